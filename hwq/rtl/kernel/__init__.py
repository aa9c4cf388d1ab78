"""Verilog of a streaming kernel: its units from a datapath's plan, memories, addresses and streams around them."""

from hwq.rtl.kernel.emit import emit_kernel
from hwq.rtl.kernel.top import KernelTop

__all__ = ["KernelTop", "emit_kernel"]
