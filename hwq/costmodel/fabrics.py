"""Fabrics: which cells of a plan count as what there, and what of it has a price that is known.

Rows are counted exactly; what a mapper decides (multiplexers, recoders, glue) is counted in bits and its coefficient
fitted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hwq.bits.cells import Cell
from hwq.costmodel.context import Context
from hwq.datapath.device import DEVICES

__all__ = ["FABRICS", "Fabric"]

Count = Callable[[Cell, Context, Counter[str]], None]


@dataclass(frozen=True)
class Fabric:
    """How cells count on a device. `field` is what their counts price; `exact` the coefficients that are not fitted."""

    field: str
    count: Count
    exact: Mapping[str, float]
    ff: bool = False  # flip-flops are part of that field
    joined: bool = False  # a flip-flop is set back only while it is enabled: a table joins the two for all of a kind


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
    else:
        _lut4(cell, context, counts)


def _ice40(cell: Cell, context: Context, counts: Counter[str]) -> None:
    """A place of a carry chain is one LUT4, whose two inputs are the chain's: nothing else goes into it."""
    if cell.op == "row":
        counts["row"] += cell.out.width
    else:
        _lut4(cell, context, counts)


def _lut4(cell: Cell, context: Context, counts: Counter[str]) -> None:
    """What stands before the carry chains of four-input tables."""
    if _clamp(cell, context, counts):
        return
    if cell.op == "booth":
        counts["digit"] += _digit_lut4(cell, context)
    elif cell.op == "select":
        for live in context.legs(cell):  # no chain takes it in: its inputs decide
            counts[f"mux{len(cell.args) - 1}:{live}"] += bool(live)
    elif cell.op == "table" and context.beside_block:
        counts["flag"] += _flag_lut4(cell, context)
    elif cell.op == "table":
        counts["table"] += _table(cell, 4)
    elif cell.op != "row" and not context.beside_block:
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


_ONE = {"read": 1.0, "saturate": 1.0, "flag": 1.0, "enable": 1.0}
_LUT6 = Fabric("lut", _xc7, {"row": 1.0, "shift": 1.0, **_ONE})

FABRICS: Mapping[str, Fabric] = {
    "xc7": _LUT6,
    "xcup": _LUT6,
    "ecp5": Fabric("lut", _ecp5, {"carry": 2.0, "digit": 1.0, "alone": 1.0, **_ONE}),
    "ice40": Fabric("lut", _ice40, {"row": 1.0, "digit": 1.0, "joined": 1.0, **_ONE}, joined=True),
    "ge": Fabric("ge", _ge, {}, ff=True),
}
