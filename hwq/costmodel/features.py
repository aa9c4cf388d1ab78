"""What a plan's cells come to on a fabric, as counts. A price is a sum of count times coefficient.

Rows are counted exactly; what a mapper decides (multiplexers, recoders, glue) is counted in bits and its coefficient
fitted. The same functions serve the fit and the estimate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache

from hwq.bits.cells import GATED, Block, Cell, Net
from hwq.datapath.device import DEVICES
from hwq.datapath.elements import TAKE

__all__ = ["AROUND", "EXACT", "FIELD", "Features", "features"]

Features = Mapping[str, float]

AROUND = "around"  # what surrounds the modules of a top: its spread in a device file
Source = tuple[Net, int] | None

# the field that each device's features price, and the features whose coefficient is known, not fitted
FIELD = {"xc7": "lut", "ecp5": "lut", "ge": "ge"}
EXACT: Mapping[str, Mapping[str, float]] = {
    "xc7": {"row": 1.0, "shift": 1.0, "read": 1.0, "saturate": 1.0, "flag": 1.0, "enable": 1.0},
    "ecp5": {"carry": 2.0, "read": 1.0, "digit": 1.0, "alone": 1.0, "saturate": 1.0, "flag": 1.0, "enable": 1.0},
    "ge": {},
}


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


@lru_cache(maxsize=65536)
def features(block: Block, fabric: str) -> Features:
    """The counts of a block on `xc7`, `ecp5` or `ge`."""
    counts: Counter[str] = Counter()
    context = Context(block)
    for cell in block.cells:
        if cell.op == "select" and cell.attr == GATED:  # a sum, or 0 where another starts
            counts["held"] += cell.out.width * (fabric != "xc7" or cell.out not in context.gates)
        else:
            _COUNTERS[fabric](cell, context, counts)
    # of registers that wait for more than all others: of standard cells, part of the price of a flip-flop
    counts["enable"] = fabric != "ge" and any(net.name == TAKE for net in block.inputs)
    counts["ff"], counts["dsp"] = block.flip_flops, sum(cell.op == "hard" for cell in block.cells)
    return dict(counts)


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


def _table(cell: Cell, inputs: int) -> int:
    """Lookup tables of `inputs` inputs for one table: a column that is constant or a bit of the index is a wire."""
    assert isinstance(cell.attr, tuple)
    index, entries = cell.args[0].width, range(len(cell.attr))
    every = (1 << len(entries)) - 1
    wires = {0} | {sum((at >> bit & 1) << at for at in entries) for bit in range(index)}
    columns = {sum((cell.attr[at] >> bit & 1) << at for at in entries) for bit in range(cell.out.width)}
    return len({min(c, every ^ c) for c in columns} - {min(c, every ^ c) for c in wires}) << max(0, index - inputs)


def _glue(cell: Cell, counts: Counter[str]) -> None:
    if cell.op in ("and", "or", "xor", "not"):
        counts["logic"] += cell.out.width * max(1, len(cell.args) - 1)
    elif cell.op == "eq":
        counts["equal"] += max(a.width for a in cell.args)
    elif cell.op == "lt":
        counts["less"] += max(a.width for a in cell.args)


def _clamp(cell: Cell, context: Context, counts: Counter[str]) -> bool:
    """Saturation of an n + 1 bit sum to n is n - 1 LUT: each bit and the two on top. Half of it a comparison.

    A clamp in the output path may drop any number of bits: it is counted alike and its coefficient fitted.
    """
    if cell.op == "lt" and context.limits(cell.out):
        kind = "saturate" if context.block.states else "clamp"
        counts[kind] += (max(a.width for a in cell.args) - 2) / 2  # type: ignore[assignment]
        return True
    return cell.op == "select" and context.limits(cell.args[0])


def _xc7(cell: Cell, context: Context, counts: Counter[str]) -> None:
    absorbed = context.absorbed(cell)
    if _clamp(cell, context, counts):
        return
    if cell.op == "row":
        counts["row"] += context.row_luts(cell)
        if cell.args[1].value == 0:
            counts["increment"] += cell.out.width
    elif cell.op in ("twin", "triple"):
        counts["row"] += cell.out.width + (cell.op == "triple" and cell.args[4].value is None)
    elif cell.op == "bank":  # a table a bit, and four of them for eight bits of the memory
        counts["row"] += cell.out.width + 4 * -(-cell.out.width // 8)
    elif cell.op == "booth":
        counts["digit"] += 0 if absorbed else cell.out.width
    elif cell.op == "select":
        # beside the base's bit, a row's LUT has five inputs for a multiplexer's legs and its select bits
        spare = 5 - cell.args[0].width if absorbed else 0
        legs = context.legs(cell)
        counts[f"select{len(cell.args) - 1}:{context.between(cell)}"] += sum(live > max(spare, 1) for live in legs)
        if absorbed:
            counts[f"taken{len(cell.args) - 1}"] += sum(live > 1 for live in legs)  # that a mapper may leave outside
    elif cell.op == "table":
        counts["flag" if context.beside_block else "table"] += _table(cell, 6)
    elif not context.beside_block and not (absorbed and cell.op in ("xor", "not", "and", "or")):
        _glue(cell, counts)


def _ecp5(cell: Cell, context: Context, counts: Counter[str]) -> None:
    if _clamp(cell, context, counts):
        return
    narrow = cell.op == "row" and cell.out.width < DEVICES["ecp5"][1].shortest
    if narrow and not cell.args[1].signed and cell.args[0] in context.held and cell.args[1].value is None:
        counts["digit"] += cell.out.width + (cell.args[2].value is None)  # into a sum's lower bits, and their carry
    elif narrow and not cell.args[1].signed:
        counts["narrow"] += cell.out.width  # too short for a carry chain, and without a sign to stretch it
    elif cell.op == "row":
        counts["carry"] += -(-cell.out.width // 2)
        # a chain that starts from nothing forms its carry-in in a LUT
        counts["alone"] += cell.args[0].value == 0 and cell.args[2].value is None
    elif cell.op in ("gated", "pair"):
        counts["carry"] += -(-cell.out.width // 2)
    elif cell.op == "booth":
        counts["digit"] += _digit_lut4(cell, context)
    elif cell.op == "select":
        for live in context.legs(cell):  # no chain takes it in: its inputs decide
            counts[f"mux{len(cell.args) - 1}:{live}"] += bool(live)
    elif cell.op == "table" and context.beside_block:
        counts["flag"] += _flag_lut4(cell, context)
    elif cell.op == "table":
        counts["table"] += _table(cell, 4)
    elif not context.beside_block:
        _glue(cell, counts)


def _flag_lut4(cell: Cell, context: Context) -> int:
    """LUT4 of a flag beside a block: one for four bits and one for each further; it takes in what only it reads."""
    return max(1, cell.args[0].width - 3) if _table(cell, 6) and cell.out in context.kept else 0


def _digit_lut4(cell: Cell, context: Context) -> int:
    """LUT4 of a Booth digit of n live bits.

    One a bit where it is 0 or +-1, and one more for the first digit. Else two a bit, one of them a function of three
    digit bits that is formed once: 2n + 1.
    """
    live = cell.args[0].width - context.unsigned_digit(cell.out)
    first = context.driver[cell.args[1]].args[0].value is not None
    return live if cell.attr == 1 else live + 1 if first else 2 * live + 1


def _ge(cell: Cell, context: Context, counts: Counter[str]) -> None:
    if _clamp(cell, context, counts):
        return
    if cell.op == "row":
        counts["adder"] += cell.out.width
    elif cell.op == "booth":
        counts["digit"] += cell.out.width
        counts["recoder"] += 1
    elif cell.op == "select":
        legs = context.legs(cell)
        counts["leg"] += sum(legs)
        counts["select"] += sum(map(bool, legs))
    elif cell.op == "table":
        counts["table"] += _table(cell, 4)
    else:
        _glue(cell, counts)


_COUNTERS: Mapping[str, Callable[[Cell, Context, Counter[str]], None]] = {"xc7": _xc7, "ecp5": _ecp5, "ge": _ge}
