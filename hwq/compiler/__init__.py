"""From a quantized network to a streaming kernel: the layers it runs, its memories' words, its Verilog and bench."""

from hwq.compiler.network import Compiled, compile_network

__all__ = ["Compiled", "compile_network"]
