"""Verilog of a datapath: the plan's cells as they stand, and an array of elements around them."""

from typing import TYPE_CHECKING, Any

from hwq.datapath.names import top_name
from hwq.rtl.array import Top
from hwq.rtl.axi import Axi, Wrapper
from hwq.rtl.blocks import leaves
from hwq.rtl.emit import Manifest, emit
from hwq.rtl.modules import Leaf, Port

if TYPE_CHECKING:
    from hwq.rtl.component import MacArray

__all__ = ["Axi", "Leaf", "MacArray", "Manifest", "Port", "Top", "Wrapper", "emit", "leaves", "top_name"]


def __getattr__(name: str) -> Any:
    """`MacArray`, which needs Amaranth, once it is asked for."""
    if name == "MacArray":
        from hwq.rtl.component import MacArray

        return MacArray
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
