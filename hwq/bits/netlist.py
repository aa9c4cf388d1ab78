"""The bookkeeping of a block under construction: cells made once, cycles, wires, registers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

from hwq.bits.cells import Block, Cell, Net, State

__all__ = ["Netlist"]


class Netlist:
    """A block in the making. Every net knows its cycle; a cell's arguments are brought to one cycle by registers."""

    def __init__(self, name: str, cuts: Iterable[str] = ()) -> None:
        self.name = name
        self.cuts = frozenset(cuts)
        self.cells: list[Cell] = []
        self.inputs: list[Net] = []
        self.states: list[State] = []
        self.cycle: dict[Net, int | None] = {}  # None: holds still (a constant, a parameter, a state)
        self._delayed: dict[tuple[Net, int], Net] = {}
        self._names: dict[str, int] = {}
        self._constants: dict[tuple[int, int, bool], Net] = {}
        self._parts: dict[tuple[Net, int, int], Net] = {}  # what a concatenation holds at a place
        self._made: dict[tuple[str, tuple[Net, ...], object, int, bool], Net] = {}

    def fresh(self, stem: str) -> str:
        """A name that no other net has, whatever stem that one grew from."""
        count = self._names.get(stem, 0)
        while count and f"{stem}_{count}" in self._names:
            count += 1
        name = f"{stem}_{count}" if count else stem
        self._names[stem] = count + 1
        self._names.setdefault(name, 1)
        return name

    def constant(self, value: int, width: int | None = None, signed: bool | None = None) -> Net:
        signed = value < 0 if signed is None else signed
        width = width or max(1, value.bit_length() if value >= 0 else (~value).bit_length() + 1)
        key = (value & ((1 << width) - 1), width, signed)
        if key not in self._constants:
            net = Net(f"c{width}_{key[0]}{'s' * signed}", width, signed, key[0])
            self._constants[key] = net
            self.cycle[net] = None
        return self._constants[key]

    def cell(self, op: str, args: Sequence[Net], width: int, signed: bool, stem: str, attr: object = None) -> Net:
        cycles = {c for a in args if (c := self.cycle[a]) is not None}
        cycle = max(cycles, default=None)
        placed = tuple(args) if len(cycles) < 2 else tuple(self.at(a, cycle) for a in args)
        key = (op, placed, attr, width, signed)
        net = self._made.get(key)
        if net is None:
            net = self._made[key] = Net(self.fresh(stem), width, signed)
            self.cycle[net] = cycle
            self.cells.append(Cell(op, net, placed, attr))
            if op == "cat":
                ends = accumulate(part.width for part in placed)
                self._parts |= {(net, end - p.width, p.width): p for p, end in zip(placed, ends, strict=True)}
        return net

    def reg(self, net: Net, stage: str) -> Net:
        if net.value is not None or self.cycle[net] is None:
            return net
        cycle = self.cycle[net]
        assert cycle is not None
        key = (net, cycle + 1)
        if key not in self._delayed:
            later = Net(self.fresh(f"{net.name}_q"), net.width, net.signed)
            self.cycle[later] = cycle + 1
            self.cells.append(Cell("reg", later, (net,), stage))
            self._delayed[key] = later
        return self._delayed[key]

    def at(self, net: Net, cycle: int | None) -> Net:
        """The net as it stands at a later cycle."""
        have = self.cycle[net]
        if cycle is None or have is None:
            return net
        assert have <= cycle, f"{net.name} is of cycle {have}, not at most {cycle}"
        while self.cycle[net] != cycle:
            net = self.reg(net, "delay")
        return net

    def resize(self, net: Net, width: int, signed: bool | None = None) -> Net:
        """Truncate or extend: wires only."""
        signed = net.signed if signed is None else signed
        if net.width == width and net.signed == signed:
            return net
        return self.view(net, 0, width, signed)

    def view(self, net: Net, lo: int, width: int, signed: bool = False) -> Net:
        part = self._parts.get((net, lo, width))
        if part is not None and not signed and not part.signed:
            return part
        if net.value is not None:
            value = net.value - (1 << net.width) if net.signed and net.value >> (net.width - 1) else net.value
            return self.constant(value >> lo, width, signed)
        return self.cell("view", [net], width, signed, f"{net.name}_{lo}", lo)

    def shifted(self, net: Net, by: int) -> Net:
        return (
            self.cell("cat", [self.constant(0, by), net], net.width + by, net.signed, f"{net.name}_x{1 << by}")
            if by
            else net
        )

    def fit(self, net: Net, width: int) -> Net:
        """An output of `width` unsigned bits."""
        return self.resize(net, width, False)

    def block(self, outputs: Sequence[tuple[str, Net]], aligned: bool = True) -> Block:
        """The finished netlist; outputs leave at one cycle if `aligned`. Unused cells are dropped."""
        ends = [n for _, n in outputs] + [s.d for s in self.states]
        cycles = [c for n in ends if (c := self.cycle[n]) is not None]
        depth = max(cycles, default=0)
        final = [(name, self.at(n, depth) if aligned else n) for name, n in outputs]
        kept = _live(self.cells, [n for _, n in final] + [s.d for s in self.states])
        return Block(self.name, tuple(self.inputs), tuple(final), tuple(self.states), tuple(kept), depth)


def _live(cells: Sequence[Cell], ends: Sequence[Net]) -> list[Cell]:
    """The cells that the ends need; a register holds only the bits that somebody reads."""
    demand = {net: net.width for net in ends}
    kept: list[Cell] = []
    for cell in reversed(cells):
        top = demand.get(cell.out)
        if top is None:
            continue
        kept.append(cell)
        for arg in cell.args:
            demand[arg] = max(demand.get(arg, 0), min(arg.width, _demand(cell, arg, top)))
    narrow = {
        c.out: Net(c.out.name, demand[c.out], False) for c in kept if c.op == "reg" and demand[c.out] < c.out.width
    }
    kept.reverse()
    if not narrow:
        return kept
    return [Cell(c.op, narrow.get(c.out, c.out), tuple(narrow.get(a, a) for a in c.args), c.attr) for c in kept]


def _demand(cell: Cell, arg: Net, top: int) -> int:
    """How many low bits of an argument matter where the low `top` bits of the result do."""
    if cell.op == "view":
        assert isinstance(cell.attr, int)
        return cell.attr + top
    if cell.op == "cat":
        at = 0
        reach = 0
        for net in cell.args:
            if net is arg and at < top:
                reach = max(reach, top - at)
            at += net.width
        return reach
    if cell.op in ("row", "reg", "and", "or", "xor", "not") or cell.op == "booth" and arg is cell.args[0]:
        return top
    return arg.width
