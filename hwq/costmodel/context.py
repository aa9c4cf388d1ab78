"""What a block's cells stand next to: a mapper sees no cell alone."""

from __future__ import annotations

from functools import cached_property

from hwq.bits.cells import GATED, Block, Cell, Net

__all__ = ["Context"]

Source = tuple[Net, int] | None


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
    def _before(self) -> dict[Net, str]:
        return _before(self.block)

    @cached_property
    def _after(self) -> dict[Net, str]:
        return _after(self.block)

    def between(self, cell: Cell) -> str:
        """What the logic around a multiplexer begins and ends in: a mapper shares more between two registers."""
        begins = "row" if any(self._before.get(a) == "row" for a in cell.args) else "reg"
        return f"{begins}>{self._after.get(cell.out, 'reg')}"

    def sources(self, net: Net) -> list[Source]:
        """The cell output or port behind each bit of a net, through wires; None for a constant."""
        if net not in self._sources:
            self._sources[net] = self._trace(net)
        return self._sources[net]

    def _trace(self, net: Net) -> list[Source]:
        cell = self.driver.get(net)
        if net.value is not None:
            return [None] * net.width
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
        """For each bit of a multiplexer, how many different live legs it has."""
        found = []
        for ends in map(set, zip(*(self._extended(leg, cell.out.width) for leg in cell.args[1:]), strict=True)):
            found.append(len(ends - {None}) if len(ends) > 1 else 0)
        return found

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

    def unsigned_digit(self, net: Net) -> bool:
        """True for a Booth digit of a number whose sign bit is always 0."""
        cell = self.driver.get(net)
        source = self.driver.get(cell.args[0]) if cell is not None and cell.op == "booth" else None
        return source is not None and source.op == "view" and not source.args[0].signed

    def row_luts(self, cell: Cell) -> int:
        """LUTs of one carry chain: one for each distinct pair of base and addend bits.

        Above both of them every pair is the two sign bits again, and one LUT serves all of those places. Where there is
        nothing but an unsigned digit, that pair is the digit's sign alone: a wire.
        """
        base, addend, _ = cell.args
        if addend.value == 0:
            return 0  # the base itself drives the chain's select inputs
        alone = base.value == 0 and self.unsigned_digit(addend)
        return min(cell.out.width, max(base.width, addend.width)) - alone


def _before(block: Block) -> dict[Net, str]:
    """Whether a net's logic begins in a carry chain or in registers and ports alone."""
    found: dict[Net, str] = {}
    for cell in block.cells:
        chain = cell.op in ("row", "booth") or cell.op != "reg" and any(found.get(a) == "row" for a in cell.args)
        found[cell.out] = "row" if chain else "reg"
    return found


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
