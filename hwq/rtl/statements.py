"""What stands inside a module: declarations, blocks of logic and instances in their order, registers.

Logic is written as blocks of statements, from inputs and registers down; a block ends only where an instance reads what
it computes. Synthesisers make the netlist of an assignment a wire of it. A simulator that follows events runs a block
once a cycle, where it would follow each wire of each chain as often as it moves: Icarus takes a third of the time.
"""

from __future__ import annotations

from collections.abc import Sequence

from hwq.rtl.wires import bus

__all__ = ["Statements"]


class Statements:
    """The statements of one module as they come; `lines` are those of the file."""

    def __init__(self) -> None:
        self._declared: list[str] = []
        self._parts: list[str] = []  # blocks that are closed, and instances
        self._block: list[str] = []  # the statements of the one that is open
        self._clocked: list[str] = []  # registers, one a line: together they would be another netlist to ABC

    @property
    def lines(self) -> list[str]:
        self._close()
        return [*self._declared, *self._parts, *[""] * bool(self._clocked), *self._clocked]

    def declare(self, kind: str, width: int, name: str, note: str = "") -> None:
        """A signal of a kind: "wire", "reg", "(* keep *) reg"."""
        self._declared.append(f"  {kind} {bus(width)}{name};{' // ' * bool(note)}{note}")

    def constant(self, width: int, name: str, value: int) -> None:
        self._declared.append(f"  localparam {bus(width)}{name} = {width}'h{value:x};")

    def let(self, name: str, value: str) -> None:
        """A statement of the open block; the signals that it reads are computed before."""
        self._block.append(f"    {name} = {value};")

    def gap(self) -> None:
        """A blank line, between statements."""
        self._block += [""] * bool(self._block)

    def instance(self, lines: Sequence[str]) -> None:
        """An instance, after all that was computed so far."""
        self._close()
        self._parts += lines

    def clocked(self, name: str, width: int, value: str, reset: str = "rst", enable: str = "en") -> None:
        """A register that takes a value under the enable, and 0 under `reset`, if any, whatever the enable says."""
        start = f"if ({reset}) {name} <= {width}'h0; else " if reset else ""
        self._clocked.append(f"  always @(posedge clk) {start}if ({enable}) {name} <= {value};")

    def _close(self) -> None:
        if self._block:
            self._parts += ["", "  always @* begin", *self._block, "  end"]
            self._block = []
