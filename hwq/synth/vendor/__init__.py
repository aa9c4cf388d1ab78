"""Synthesis by the tools of others: their scripts written, their reports read, as rows of level T3."""

from hwq.synth.vendor.kit import MANIFEST, Entry, Kit
from hwq.synth.vendor.run import on_path, run
from hwq.synth.vendor.tool import TOOLS, Tool, tool_of

__all__ = ["MANIFEST", "TOOLS", "Entry", "Kit", "Tool", "on_path", "run", "tool_of"]
