"""Verilog of a datapath: the plan's cells as they stand, and an array of elements around them."""

from hwq.datapath.names import top_name
from hwq.rtl.array import Top
from hwq.rtl.blocks import leaves
from hwq.rtl.emit import Manifest, emit
from hwq.rtl.modules import Leaf, Port

__all__ = ["Leaf", "Manifest", "Port", "Top", "emit", "leaves", "top_name"]
