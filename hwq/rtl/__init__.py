"""Verilog of a datapath: the plan's cells as they stand, and an output-stationary systolic array around them."""

from hwq.datapath.names import top_name
from hwq.rtl.array import SystolicArray
from hwq.rtl.blocks import Leaf, Port, leaves
from hwq.rtl.emit import Manifest, emit

__all__ = ["Leaf", "Manifest", "Port", "SystolicArray", "emit", "leaves", "top_name"]
