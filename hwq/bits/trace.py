"""What every net of a block is in each clock cycle: its cells as printed Python, run over what its inputs are shown.

Nothing has a delay: of each cycle a trace keeps what the nets settle at behind its clock edge. Cells of one fabric's
chains and blocks (`bank`, `hard`, `twin`, ...) are not read here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwq.bits.cells import Block, Cell, Net
from hwq.errors import HwqError

__all__ = ["Bits", "trace"]

Bits = NDArray[np.bool_]  # [cycles, width], the lowest bit first


def trace(block: Block, inputs: Mapping[str, Sequence[int]], clear: Sequence[int] | None = None) -> dict[Net, Bits]:
    """The bits of every net that is no constant, in as many cycles as an input is given values.

    Registers start at 0. In the cycle behind one of `clear`, states are 0; nothing else stops a clock.
    """
    names = [net.name for net in block.inputs]
    if sorted(names) != sorted(inputs):
        raise HwqError(f"the inputs of {block.name} must be {', '.join(names)}, not {', '.join(inputs)}")
    cycles = len(next(iter(inputs.values())))
    run, nets = _compiled(block)
    seen = run(list(zip(*(inputs[name] for name in names), strict=True)), clear or [0] * cycles)
    size = sum(_bytes(net) for net in nets)
    bits = np.unpackbits(np.frombuffer(seen, np.uint8).reshape(cycles, size), axis=1, bitorder="little")
    found, at = {}, 0
    for net in nets:
        found[net] = bits[:, 8 * at : 8 * at + net.width].astype(bool)
        at += _bytes(net)
    return found


def _bytes(net: Net) -> int:
    return -(-net.width // 8)


@lru_cache(maxsize=256)
def _compiled(block: Block) -> tuple[Callable[..., bytes], list[Net]]:
    """A function of the inputs of each cycle and of its clear, and the nets whose bytes it returns, cycle by cycle."""
    printed = _Printed(block)
    space: dict[str, Any] = {f"table{at}": table for at, table in enumerate(printed.tables)}
    exec(compile(printed.text, f"<{block.name}>", "exec"), space)
    return space["run"], printed.nets


class _Printed:
    """The source of a block's function: each net is an unsigned integer of its width."""

    def __init__(self, block: Block) -> None:
        regs = [cell for cell in block.cells if cell.op == "reg"]
        self.tables: list[object] = []
        held = [*(state.q for state in block.states), *(cell.out for cell in regs)]
        self.nets = list(dict.fromkeys((*block.inputs, *held, *(cell.out for cell in block.cells))))
        self.names = {net: f"n{at}" for at, net in enumerate(self.nets)}
        lines = [f"        {self.names[cell.out]} = {self._value(cell)}" for cell in block.cells if cell.op != "reg"]
        given = ", ".join(self.names[net] for net in block.inputs)
        every = " + ".join(f"{self.names[net]}.to_bytes({_bytes(net)}, 'little')" for net in self.nets)
        after = [f"0 if clear else {self._as(state.d, state.q.width)}" for state in block.states]
        after += [self._as(cell.args[0], cell.out.width) for cell in regs]
        moved = f"        {', '.join(map(self.names.__getitem__, held))} = {', '.join(after)}" if held else ""
        self.text = "\n".join(
            [
                "def run(inputs, clears):",
                "    seen = []",
                *(f"    {self.names[net]} = 0" for net in held),
                f"    for ({given},), clear in zip(inputs, clears):",
                *lines,
                f"        seen.append({every})",
                moved,
                "    return b''.join(seen)",
            ]
        )

    def _value(self, cell: Cell) -> str:
        made = _VALUES.get(cell.op)
        if made is None:
            raise HwqError(f"a trace reads cells of {', '.join(_VALUES)}, not {cell.op!r}; leave out use=")
        return f"{made(self, cell)} & {(1 << cell.out.width) - 1}"

    def _raw(self, net: Net) -> str:
        return self.names[net] if net.value is None else str(net.value)

    def _number(self, net: Net) -> str:
        """The net's value as a number with its sign."""
        half = 1 << net.width - 1
        return f"(({self._raw(net)} ^ {half}) - {half})" if net.signed else self._raw(net)

    def _as(self, net: Net, width: int) -> str:
        """Truncated or extended to a width."""
        return f"{self._number(net)} & {(1 << width) - 1}"

    def _view(self, cell: Cell) -> str:
        return f"({self._number(cell.args[0])} >> {cell.attr})"

    def _cat(self, cell: Cell) -> str:
        ends = np.cumsum([0, *(net.width for net in cell.args)])
        return f"({' | '.join(f'{self._raw(net)} << {at}' for net, at in zip(cell.args, ends, strict=False))})"

    def _not(self, cell: Cell) -> str:
        return f"~{self._number(cell.args[0])}"

    def _bitwise(self, cell: Cell) -> str:
        sign = {"and": " & ", "or": " | ", "xor": " ^ "}[cell.op]
        return f"({sign.join(map(self._number, cell.args))})"

    def _select(self, cell: Cell) -> str:
        index, *legs = cell.args
        return f"({', '.join(map(self._number, legs))})[{self._raw(index)}]"

    def _booth(self, cell: Cell) -> str:
        x, digit = self._number(cell.args[0]), self._raw(cell.args[1])
        return f"((0, {x}, {x}, 2 * {x}, -2 * {x} - 1, ~{x}, ~{x}, -1)[{digit}])"

    def _row(self, cell: Cell) -> str:
        return f"({' + '.join(map(self._number, cell.args))})"

    def _compare(self, cell: Cell) -> str:
        return f"({(' < ' if cell.op == 'lt' else ' == ').join(map(self._number, cell.args))})"

    def _table(self, cell: Cell) -> str:
        self.tables.append(cell.attr)
        return f"table{len(self.tables) - 1}[{self._raw(cell.args[0])}]"


_VALUES: Mapping[str, Callable[[_Printed, Cell], str]] = {
    "view": _Printed._view,
    "cat": _Printed._cat,
    "not": _Printed._not,
    "and": _Printed._bitwise,
    "or": _Printed._bitwise,
    "xor": _Printed._bitwise,
    "select": _Printed._select,
    "booth": _Printed._booth,
    "row": _Printed._row,
    "lt": _Printed._compare,
    "eq": _Printed._compare,
    "table": _Printed._table,
}
