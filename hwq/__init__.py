"""hwq: number formats of neural-network accelerators, from bits to Verilog to accuracy against cost."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hwq.errors import HwqError, ToolError

if TYPE_CHECKING:
    from hwq.costmodel import estimate
    from hwq.datapath import Array, Datapath, Mac, Params, conv2d, matmul
    from hwq.formats import catalog, parse_format
    from hwq.ptq import Quantizer
    from hwq.search import Study

__all__ = [
    "Array",
    "Datapath",
    "HwqError",
    "Mac",
    "Params",
    "Quantizer",
    "Study",
    "ToolError",
    "catalog",
    "conv2d",
    "estimate",
    "matmul",
    "parse_format",
]
__version__ = "0.1.0"

_HOMES = {
    **dict.fromkeys(("Array", "Datapath", "Mac", "Params", "conv2d", "matmul"), "hwq.datapath"),
    **dict.fromkeys(("catalog", "parse_format"), "hwq.formats"),
    "Quantizer": "hwq.ptq",
    "Study": "hwq.search",
    "estimate": "hwq.costmodel",
}
_PACKAGES = {
    "bits",
    "cli",
    "costmodel",
    "datapath",
    "formats",
    "golden",
    "plot",
    "ptq",
    "rtl",
    "search",
    "sim",
    "synth",
    "testing",
    "units",
    "zoo",
}


def __getattr__(name: str) -> Any:
    """Load a sub-package when it is first asked for, so that `import hwq` stays light."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _PACKAGES:
        return importlib.import_module(f"hwq.{name}")
    raise AttributeError(f"module 'hwq' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_PACKAGES})
