"""Files that are asked for: there, and no folder, before a library says so in words of its own."""

from __future__ import annotations

from pathlib import Path

from hwq.errors import HwqError

__all__ = ["check_file"]


def check_file(path: str | Path, what: str) -> None:
    """Refuse a path at which there is no file; `what` names what should be there."""
    if Path(path).is_dir():
        raise HwqError(f"{path} must be {what}, not a folder; name the file in it")
    if not Path(path).is_file():
        raise HwqError(f"{path} must be {what}, not a file that is missing")
