"""The one exception type that users see: a single line that names the invariant, the value and the remedy."""

__all__ = ["HwqError", "ToolError"]


class HwqError(ValueError):
    """Bad input, said in one line: what must hold, what was given, what to do about it."""


class ToolError(HwqError):
    """An outside tool (simulator, synthesiser, place and route) is missing or failed."""
