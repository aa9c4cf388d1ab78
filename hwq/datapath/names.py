"""What the files of a datapath are called, and how they are written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from hwq.datapath.structure import Datapath

__all__ = ["top_name", "write_files"]


def top_name(dp: Datapath) -> str:
    """The name of a datapath's hardware and models: its text's digest, so that no two datapaths share one."""
    return f"hwq_{hashlib.sha256(dp.parametric().encode()).hexdigest()[:10]}"


def write_files(folder: str | Path, texts: Mapping[str, str]) -> dict[str, str]:
    """Write texts by name into a folder, which is made if it is missing; the SHA-256 digest of each."""
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
