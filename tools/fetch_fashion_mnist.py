"""Unpack Debian's package `dataset-fashion-mnist` (31 MB, MIT) into a cache: `python tools/fetch_fashion_mnist.py`.

No root is needed, only apt's package lists (`apt-get update` once before). Wanted for retraining and for scores on all
10,000 test images; the demo and the tests use the committed images.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

PACKAGE = "dataset-fashion-mnist"


def main() -> None:
    """Fetch into `HWQ_DATA`, else into `~/.cache/hwq`, unless it is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=Path(os.environ.get("HWQ_DATA") or Path.home() / ".cache" / "hwq"))
    print(fetch(parser.parse_args().into))


def fetch(into: Path) -> Path:
    """The folder of the unpacked package; renamed when whole, so that a broken download is never taken for it."""
    folder = into / PACKAGE
    if not folder.exists():
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into) as scratch:
            unpacked = Path(scratch) / "unpacked"
            subprocess.run(["apt-get", "download", PACKAGE], cwd=scratch, check=True)
            (archive,) = Path(scratch).glob("*.deb")
            subprocess.run(["dpkg", "-x", str(archive), str(unpacked)], check=True)
            unpacked.rename(folder)
    return folder


if __name__ == "__main__":
    main()
