"""What the files of a datapath are called, and how they are written."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

from hwq.datapath.structure import Datapath
from hwq.errors import HwqError

__all__ = ["check_own", "top_name", "write_files"]


def top_name(dp: Datapath) -> str:
    """The name of a datapath's hardware and models: its text's digest, so that no two datapaths share one."""
    return f"hwq_{hashlib.sha256(dp.parametric().encode()).hexdigest()[:10]}"


def check_own(folder: str | Path, names: Collection[str], known: Collection[str]) -> None:
    """Refuse to overwrite what is not known to be ours."""
    foreign = sorted(name for name in names if name not in known and (Path(folder) / name).exists())
    if foreign:
        raise HwqError(f"the folder must not hold {foreign[0]}, which hwq did not write there; write elsewhere")


def write_files(folder: str | Path, texts: Mapping[str, str]) -> dict[str, str]:
    """Write texts by name into a folder, which is made if it is missing; the SHA-256 digest of each."""
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
