"""The one exception type that users see: a single line that names the invariant, the value and the remedy."""

__all__ = ["HwqError", "ToolError"]

_LONGEST = 1000  # characters; a value that is quoted in full may have millions


class HwqError(ValueError):
    """Bad input, said in one line: what must hold, what was given, what to do about it.

    A message that quotes an array or a long text is brought to one line, without its middle.
    """

    def __init__(self, message: str) -> None:
        line = " ".join(part.strip() for part in message.splitlines())
        if len(line) > _LONGEST:
            line = f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 :]}"
        super().__init__(line)


class ToolError(HwqError):
    """An outside tool (simulator, synthesiser, place and route) is missing or failed."""
