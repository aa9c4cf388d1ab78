"""Verilog of a datapath: the plan's cells as they stand, and an output-stationary systolic array around them."""

from hwq.rtl.array import SystolicArray
from hwq.rtl.blocks import Leaf, Port, leaves
from hwq.rtl.emit import Manifest, emit, top_name

__all__ = ["Leaf", "Manifest", "Port", "SystolicArray", "emit", "leaves", "top_name"]
