"""What a block's cells stand next to: a mapper sees no cell alone."""

from __future__ import annotations

from functools import cached_property

from hwq.bits.cells import GATED, Block, Cell, Net

__all__ = ["Context"]

Source = tuple[Net, int] | None
_LOGIC = ("booth", "select", "and", "or", "xor", "not", "table", "gated")


class Context:
    """What a cell's neighbours are: who drives a net, and which nets only rows look at."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.driver = {cell.out: cell for cell in block.cells}
        self._sources: dict[Net, list[Source]] = {}

    @cached_property
    def beside_block(self) -> bool:
        """Whether the product is a multiplier block's: all tables there are flags, all gates wires to these."""
        return any(cell.op == "hard" for cell in self.block.cells)

    @cached_property
    def kept(self) -> set[Net]:
        """Nets that a register takes."""
        taken = {arg for cell in self.block.cells if cell.op == "reg" for arg in cell.args}
        return taken | {state.d for state in self.block.states}

    @cached_property
    def held(self) -> set[Net]:
        """What stands in registers that a run clears."""
        return {state.q for state in self.block.states}

    @cached_property
    def rows_only(self) -> set[Net]:
        return _read_by_rows_only(self.block)

    @cached_property
    def _after(self) -> dict[Net, str]:
        return _after(self.block)

    def after(self, cell: Cell) -> str:
        """What takes the logic that begins here: a `row`, or a `reg` or port."""
        return self._after.get(cell.out, "reg")

    def sources(self, net: Net) -> list[Source]:
        """The cell output or port behind each bit of a net, through wires; None for a 0."""
        if net not in self._sources:
            self._sources[net] = self._trace(net)
        return self._sources[net]

    def _trace(self, net: Net) -> list[Source]:
        cell = self.driver.get(net)
        if net.value is not None:
            return [(net, bit) if net.value >> bit & 1 else None for bit in range(net.width)]
        if cell is None or cell.op not in ("view", "cat"):
            return [(net, bit) for bit in range(net.width)]
        if cell.op == "cat":
            return [source for part in cell.args for source in self.sources(part)]
        assert isinstance(cell.attr, int)
        return self._extended(cell.args[0], cell.attr + net.width)[cell.attr :]

    def _extended(self, net: Net, width: int) -> list[Source]:
        """Sources of the low `width` bits of a net: above its own are its sign's, or zeros."""
        found = self.sources(net)
        return (found + [found[-1] if net.signed else None] * (width - net.width))[:width]

    def legs(self, cell: Cell) -> list[int]:
        """For each bit of a multiplexer that something reads, how many different live legs it has."""
        read = self.demand.get(cell.out, 0)
        places = zip(*(self._extended(leg, cell.out.width) for leg in cell.args[1:]), strict=True)
        return [
            len(ends - {None}) if len(ends) > 1 and read >> at & 1 else 0 for at, ends in enumerate(map(set, places))
        ]

    @cached_property
    def windowed(self) -> bool:
        """Whether a shifter's stages are wider than what is read of them: a mapper then finds more to drop."""
        stages = [cell.out for cell in self.block.cells if cell.op == "select"]
        return any(2 * self.demand.get(net, 0).bit_count() < net.width for net in stages)

    @cached_property
    def demand(self) -> dict[Net, int]:
        """The bits of each net that something reads: a synthesiser drops all others."""
        found = {state.d: _every(state.d) for state in self.block.states}
        found |= {net: _every(net) for _, net in self.block.outputs}
        for cell in reversed(self.block.cells):
            if read := found.get(cell.out, 0):
                for arg, bits in zip(cell.args, _wanted(cell, read), strict=True):
                    found[arg] = found.get(arg, 0) | bits
        return found

    def gates_of(self, cell: Cell) -> int:
        """Two-input gates of a bitwise cell: one fewer than the live bits of each place."""
        places = zip(*(self._extended(arg, cell.out.width) for arg in cell.args), strict=True)
        return sum(max(0, sum(source is not None for source in place) - 1) for place in places)

    def absorbed(self, cell: Cell) -> bool:
        return cell.out in self.rows_only

    @cached_property
    def gates(self) -> set[Net]:
        """Numbers under a bit that the tables of a row take in."""
        return {cell.args[1] for cell in self.block.cells if cell.op == "row" and cell.attr == GATED}

    def limits(self, net: Net) -> bool:
        """True for the comparison of a clamp: with a constant, and read by multiplexers."""
        cell = self.driver.get(net)
        return cell is not None and cell.op == "lt" and any(a.value is not None for a in cell.args)

    @cached_property
    def paired(self) -> set[Net]:
        """The comparisons of clamps at both ends: the second one is of what the first one let through."""
        found: set[Net] = set()
        for cell in self.block.cells:
            if cell.op == "lt" and self.limits(cell.out):
                passed = [self.driver[arg] for arg in cell.args if arg in self.driver]
                first = [select.args[0] for select in passed if select.op == "select" and self.limits(select.args[0])]
                found |= {cell.out, *first} if first else set()
        return found

    def unsigned_digit(self, net: Net) -> bool:
        """True for a Booth digit of a number whose sign bit is always 0."""
        cell = self.driver.get(net)
        source = self.driver.get(cell.args[0]) if cell is not None and cell.op == "booth" else None
        return source is not None and source.op == "view" and not source.args[0].signed

    def formed(self, net: Net) -> bool:
        """Whether a net is logic, not wires from registers and chains."""
        return any(
            source is not None and source[0] in self.driver and self.driver[source[0]].op in _LOGIC
            for source in self.sources(net)
        )

    def row_luts(self, cell: Cell) -> int:
        """LUTs of one carry chain: one for each distinct pair of base and addend bits.

        Above both of them every pair is the two sign bits again, and one LUT serves all of those places. Where there is
        nothing but an unsigned digit, that pair is the digit's sign alone: a wire. A number beside a constant drives
        the chain's select inputs by itself, but for a digit, which is formed there.
        """
        base, addend, _ = cell.args
        if addend.value is not None or (base.value is not None and not self.formed(addend)):
            return 0
        alone = base.value == 0 and self.unsigned_digit(addend)
        return min(cell.out.width, max(base.width, addend.width)) - alone


def _every(net: Net) -> int:
    return (1 << net.width) - 1


def _wanted(cell: Cell, read: int) -> list[int]:
    """The bits of each argument that bits of a cell's result depend on."""
    if cell.op == "view":
        assert isinstance(cell.attr, int)
        return [_folded(read << cell.attr, cell.args[0])]
    if cell.op == "cat":
        found, at = [], 0
        for arg in cell.args:
            found.append(read >> at & _every(arg))
            at += arg.width
        return found
    if cell.op in ("and", "or", "xor", "not", "reg"):
        return [_folded(read, arg) for arg in cell.args]
    if cell.op == "select":
        return [_every(cell.args[0]), *(_folded(read, arg) for arg in cell.args[1:])]
    if cell.op == "row":  # all below what is read, for the carry
        return [_folded((1 << read.bit_length()) - 1, arg) for arg in cell.args[:2]] + [1]
    return [_every(arg) for arg in cell.args]


def _folded(bits: int, net: Net) -> int:
    """Bits of a net's extension as bits of the net: those above it are its sign's, or none."""
    above = bits >> net.width and net.signed
    return bits & _every(net) | (1 << net.width - 1 if above else 0)


def _after(block: Block) -> dict[Net, str]:
    """Whether a net's logic ends in a carry chain or in registers and ports alone."""
    found: dict[Net, str] = {}
    for cell in reversed(block.cells):
        ends = cell.op if cell.op in ("row", "reg") else found.get(cell.out, "reg")
        for arg in cell.args:
            if found.get(arg) != "row":
                found[arg] = ends
    return found


def _read_by_rows_only(block: Block) -> set[Net]:
    """Nets that only rows look at, through wires if need be."""
    found = dict.fromkeys((*(net for _, net in block.outputs), *(state.d for state in block.states)), False)
    for cell in reversed(block.cells):
        wire = cell.op in ("view", "cat") and found.get(cell.out, False)
        for at, arg in enumerate(cell.args):
            found[arg] = found.get(arg, True) and (wire or cell.op == "row" and at == 1)
    return {net for net, only in found.items() if only}
