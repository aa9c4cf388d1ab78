"""What of a block moves: its words taken apart into gates, the toggles of whose outputs and pins are counted.

| count | toggles of |
|---|---|
| `gate` | outputs of two-input gates and comparisons |
| `place` | outputs of a place of a multiplexer, of a digit's multiple, of a table, of a sum and of its carry |
| `pin` | what gates, places and registers read |
| `q`, `d` | registers' outputs and inputs |

Constants are folded, equal gates are one, what nobody reads is none, and inverters are wires, as a mapper has it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hwq.bits.cells import Block, Cell, Net
from hwq.bits.trace import Bits
from hwq.errors import HwqError

__all__ = ["toggles"]

Wire = tuple[Net, int, bool] | int  # a bit of a net, or of the carries into a row's places; 0 or 1
Moves = Mapping[tuple[Net, bool], NDArray[np.intp]]


@dataclass(frozen=True, eq=False)
class _Gate:
    """What drives a wire: a `gate`, a `place`, an inverter (`not`), a register (`q`) or an input (`port`)."""

    kind: str
    out: Wire
    pins: tuple[Wire, ...]


def toggles(block: Block, traced: Mapping[Net, Bits], warm: int) -> Counter[str]:
    """The toggles of a traced block from its cycle `warm` on, summed over the wires of each count."""
    gates, held = _gates(block)
    moves = _moves(block, traced, warm)
    found = Counter(dict.fromkeys(("gate", "place", "pin", "q", "d"), 0))
    for gate in gates:
        found[gate.kind] += _moved(moves, [gate.out])
        if gate.kind in ("gate", "place"):
            found["pin"] += _moved(moves, gate.pins)
    found["d"] = _moved(moves, held)
    found["pin"] += found["d"]
    return Counter({name: found[name] for name in ("gate", "place", "pin", "q", "d")})


def _moved(moves: Moves, wires: Iterable[Wire]) -> int:
    return sum(int(moves[wire[0], wire[2]][wire[1]]) for wire in wires if not isinstance(wire, int))


def _moves(block: Block, traced: Mapping[Net, Bits], warm: int) -> Moves:
    """How often each bit of each net changes, and each carry of a row, which is where its sum is not the others'."""
    every = {(net, False): bits for net, bits in traced.items()}
    for cell in block.cells:
        if cell.op == "row":
            base, addend = (_extended(net, traced, cell.out.width) for net in cell.args[:2])
            every[cell.out, True] = traced[cell.out] ^ base ^ addend
    return {key: np.count_nonzero(bits[warm:] ^ bits[warm - 1 : -1], axis=0) for key, bits in every.items()}


def _extended(net: Net, traced: Mapping[Net, Bits], width: int) -> Bits:
    bits = np.array([[net.value >> at & 1 for at in range(net.width)]], bool) if net.value is not None else traced[net]
    above = bits[:, -1:] & net.signed
    return np.concatenate([bits, np.repeat(above, max(0, width - net.width), axis=1)], axis=1)[:, :width]


@lru_cache(maxsize=256)
def _gates(block: Block) -> tuple[list[_Gate], list[Wire]]:
    """The gates that registers and outputs need, and the wires that registers take."""
    parts = _Parts(block)
    held = [wire for state in block.states for wire in parts.wires(state.d, state.q.width)]
    held += [wire for cell in block.cells if cell.op == "reg" for wire in parts.wires(cell.args[0], cell.out.width)]
    todo: list[Wire] = [*held, *(wire for _, net in block.outputs for wire in parts.wires(net))]
    needed: set[Wire] = set()
    while todo:
        wire = todo.pop()
        if not isinstance(wire, int) and wire not in needed:
            needed.add(wire)
            todo += parts.gates[wire].pins
    return [gate for gate in parts.gates.values() if gate.out in needed or gate.kind == "q"], held


class _Parts:
    """A block's cells, one after another, as gates of one bit."""

    def __init__(self, block: Block) -> None:
        self.gates: dict[Wire, _Gate] = {}
        self._bits: dict[Net, list[Wire]] = {}
        self._made: dict[object, Wire] = {}
        for net in block.inputs:
            self._bits[net] = self._source("port", net)
        for state in block.states:
            self._bits[state.q] = self._source("q", state.q)
        for cell in block.cells:
            if cell.op not in _CELLS:
                raise HwqError(f"energy is known of cells {', '.join(_CELLS)}, not {cell.op!r}; leave out use=")
            self._bits[cell.out] = _CELLS[cell.op](self, cell)

    def wires(self, net: Net, width: int | None = None) -> list[Wire]:
        """The bits of a net, truncated or extended."""
        found: list[Wire] = (
            [*self._bits[net]] if net.value is None else [net.value >> at & 1 for at in range(net.width)]
        )
        above = found[-1:] if net.signed else [0]
        return found if width is None else (found + above * (width - net.width))[:width]

    def _source(self, kind: str, net: Net) -> list[Wire]:
        return [self._gate(kind, (net, at), (net, at, False), ()) for at in range(net.width)]

    def _gate(self, kind: str, key: object, out: Wire, pins: Iterable[Wire]) -> Wire:
        """A gate's output; equal gates have one."""
        if key not in self._made:
            self._made[key] = out
            self.gates[out] = _Gate(kind, out, tuple(pin for pin in pins if not isinstance(pin, int)))
        return self._made[key]

    def _inverted(self, wire: Wire, out: Wire) -> Wire:
        return 1 - wire if isinstance(wire, int) else self._gate("not", ("not", wire), out, [wire])

    def _view(self, cell: Cell) -> list[Wire]:
        assert isinstance(cell.attr, int)
        return self.wires(cell.args[0], cell.attr + cell.out.width)[cell.attr :]

    def _cat(self, cell: Cell) -> list[Wire]:
        return [wire for net in cell.args for wire in self.wires(net)]

    def _not(self, cell: Cell) -> list[Wire]:
        return [
            self._inverted(wire, (cell.out, at, False))
            for at, wire in enumerate(self.wires(cell.args[0], cell.out.width))
        ]

    def _bitwise(self, cell: Cell) -> list[Wire]:
        places = zip(*(self.wires(net, cell.out.width) for net in cell.args), strict=True)
        return [self._bit(cell.op, place, (cell.out, at, False)) for at, place in enumerate(places)]

    def _bit(self, op: str, place: Sequence[Wire], out: Wire) -> Wire:
        live = {wire for wire in place if not isinstance(wire, int)}
        fixed = [wire for wire in place if isinstance(wire, int)]
        if op != "xor":
            decides = int(op == "or")
            if decides in fixed:
                return decides
            if len(live) < 2:
                return live.pop() if live else 1 - decides
            return self._gate("gate", (op, frozenset(live)), out, live)
        odd = sum(fixed) % 2
        if len(live) < 2:
            wire = live.pop() if live else 0
            return self._inverted(wire, out) if odd else wire
        return self._gate("gate", (op, frozenset(live), odd), out, live)

    def _select(self, cell: Cell) -> list[Wire]:
        index, *legs = (self.wires(net, cell.out.width if at else None) for at, net in enumerate(cell.args))
        found: list[Wire] = []
        for at, place in enumerate(zip(*legs, strict=True)):
            live = {wire for wire in place if not isinstance(wire, int)}
            kind = "place" if len(live) > 1 else "gate"
            out = (cell.out, at, False)
            same = len(set(place)) == 1
            found.append(place[0] if same else self._gate(kind, (*index, "of", *place), out, [*index, *live]))
        return found

    def _booth(self, cell: Cell) -> list[Wire]:
        x, digit = self.wires(cell.args[0], cell.out.width), self.wires(cell.args[1])
        pairs = zip(x, [0, *x], strict=False)
        return [
            self._gate("place", (*pair, "times", *digit), (cell.out, at, False), (*pair, *digit))
            for at, pair in enumerate(pairs)
        ]

    def _row(self, cell: Cell) -> list[Wire]:
        """Full and half adders; a place of one live bit beside nothing is a wire."""
        found: list[Wire] = []
        carry = self.wires(cell.args[2])[0]
        pins: list[Wire] = []
        for at, pair in enumerate(zip(*(self.wires(net, cell.out.width) for net in cell.args[:2]), strict=True)):
            if carry == (cell.out, at, True):  # what the place below hands on, a gate if it is read here
                self._gate("place", carry, carry, pins)
            place = [*pair, carry]
            pins = [wire for wire in place if not isinstance(wire, int)]
            fixed = sum(wire for wire in place if isinstance(wire, int))
            if not pins or (len(pins) == 1 and fixed != 1):
                found.append(pins[0] if pins else fixed & 1)
                carry = fixed >> 1
            else:
                out = (cell.out, at, False)
                found.append(self._gate("place", out, out, pins))
                carry = (cell.out, at + 1, True)
        return found

    def _table(self, cell: Cell) -> list[Wire]:
        assert isinstance(cell.attr, tuple)
        index = self.wires(cell.args[0])
        columns = [tuple(entry >> at & 1 for entry in cell.attr) for at in range(cell.out.width)]
        return [
            column[0] if len(set(column)) == 1 else self._gate("place", (*index, column), (cell.out, at, False), index)
            for at, column in enumerate(columns)
        ]

    def _compare(self, cell: Cell) -> list[Wire]:
        pins = dict.fromkeys(wire for net in cell.args for wire in self.wires(net))
        return [self._gate("gate", cell.out, (cell.out, 0, False), pins)]

    def _reg(self, cell: Cell) -> list[Wire]:
        return self._source("q", cell.out)


_CELLS: Mapping[str, Callable[[_Parts, Cell], list[Wire]]] = {
    "view": _Parts._view,
    "cat": _Parts._cat,
    "not": _Parts._not,
    "and": _Parts._bitwise,
    "or": _Parts._bitwise,
    "xor": _Parts._bitwise,
    "select": _Parts._select,
    "booth": _Parts._booth,
    "row": _Parts._row,
    "table": _Parts._table,
    "eq": _Parts._compare,
    "lt": _Parts._compare,
    "reg": _Parts._reg,
}
