"""Unpack Debian packages that hold data into a cache: `python tools/fetch_data.py [PACKAGE ...]`, by default all.

No root is needed, only apt's package lists (`apt-get update` once before). `dataset-fashion-mnist` (31 MB, MIT) is
wanted for retraining and for scores on all 10,000 test images, `opencv-doc` (96 MB, Apache-2.0) and `wordnet-base`
(6 MB, WordNet's own licence) for models of `make models`. The demo and `make test` use the committed images.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

from hwq.zoo.packages import CACHE

PACKAGES = ("dataset-fashion-mnist", "opencv-doc", "wordnet-base")


def main() -> None:
    """Fetch into `HWQ_DATA`, else into `~/.cache/hwq`, what is not there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=Path(os.environ.get("HWQ_DATA") or CACHE))
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help=", ".join(PACKAGES))
    chosen = parser.parse_args()
    for package in chosen.packages or PACKAGES:
        print(fetch(chosen.into, package))


def fetch(into: Path, package: str) -> Path:
    """The folder of the unpacked package; renamed when whole, so that a broken download is never taken for it."""
    folder = into / package
    if not folder.exists():
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into) as scratch:
            unpacked = Path(scratch) / "unpacked"
            subprocess.run(["apt-get", "download", package], cwd=scratch, check=True)
            (archive,) = Path(scratch).glob("*.deb")
            subprocess.run(["dpkg", "-x", str(archive), str(unpacked)], check=True)
            unpacked.rename(folder)
    return folder


if __name__ == "__main__":
    main()
