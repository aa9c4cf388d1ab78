"""hwq: number formats of neural-network accelerators, from bits to Verilog to accuracy against cost."""

from hwq.errors import HwqError, ToolError
from hwq.formats import catalog, parse_format

__all__ = ["HwqError", "ToolError", "catalog", "parse_format"]
