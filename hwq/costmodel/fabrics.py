"""Fabrics: which cells of a plan count as what there, and what of it has a price that is known.

Rows are counted exactly; what a mapper decides (multiplexers, recoders, glue) is counted in bits and its coefficient
fitted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from hwq.bits.cells import Cell
from hwq.costmodel.context import Context
from hwq.datapath.device import DEVICES
from hwq.datapath.pricefile import FIELDS

__all__ = ["FABRICS", "Fabric"]

Count = Callable[[Cell, Context, Counter[str]], None]


@dataclass(frozen=True)
class Fabric:
    """How cells count on a device.

    `fields` are what their counts price, each with coefficients of its own, the first one what designs are compared by;
    `exact` the coefficients that are not fitted.
    """

    fields: tuple[str, ...]
    count: Count
    exact: Mapping[str, float]
    ff: bool = False  # flip-flops are part of these fields
    unmodelled: tuple[str, ...] = ()
    stated: Mapping[str, float] = field(default_factory=dict)  # coefficients that no design of the experiment has shown

    @property
    def field(self) -> str:
        return self.fields[0]


def _table(cell: Cell, inputs: int, counts: Counter[str]) -> None:
    """Bits of a table by how many bits of the index they depend on, `table:n`; `inputs` or fewer are one LUT.

    A column that is constant, a bit of the index, or the complement of another is a wire.
    """
    assert isinstance(cell.attr, tuple)
    entries = range(len(cell.attr))
    every = (1 << len(entries)) - 1
    columns = {sum((cell.attr[at] >> bit & 1) << at for at in entries) for bit in range(cell.out.width)}
    for column in {min(c, every ^ c) for c in columns}:
        support = _support(column, cell.args[0].width)
        counts[f"table:{max(support, inputs)}"] += support > 1


@lru_cache(maxsize=65536)
def _support(column: int, index: int) -> int:
    """How many bits of an index a column of a table depends on: those whose flip changes an entry."""
    found = 0
    for bit in range(index):
        low = sum(1 << at for at in range(1 << index) if not at >> bit & 1)  # the entries where the bit is 0
        found += (column ^ column >> (1 << bit)) & low != 0
    return found


def _glue(cell: Cell, counts: Counter[str]) -> None:
    if cell.op in ("and", "or", "xor", "not"):
        counts["logic"] += cell.out.width * max(1, len(cell.args) - 1)
    elif cell.op == "eq":
        counts["equal"] += max(a.width for a in cell.args)
    elif cell.op == "lt":
        counts["less"] += max(a.width for a in cell.args)


def _muxes(cell: Cell, context: Context, counts: Counter[str], taker: str = "") -> None:
    """Bits of a multiplexer by how many of its legs live."""
    for live in context.legs(cell):
        name = f"window:{live}" if context.windowed else f"mux{len(cell.args) - 1}:{live}{taker}"
        counts[name] += bool(live)


def _clamp(cell: Cell, context: Context, counts: Counter[str], one_sided: int) -> bool:
    """Saturation of an n + 1 bit sum to n is n - 1 LUT: each bit and the two on top; half of it for each comparison.

    Where a sum can leave one end alone it is one comparison, with `one_sided` fewer. A clamp of more bits, as in the
    output path, is counted alike and its coefficient fitted.
    """
    if cell.op == "lt" and context.limits(cell.out):
        places = max(a.width for a in cell.args) - 2
        if not any(state.q.width == places + 1 for state in context.block.states):
            counts["clamp"] += places / 2  # type: ignore[assignment]
        else:
            counts["saturate"] += places / 2 if cell.out in context.paired else places - one_sided  # type: ignore[assignment]
        return True
    return cell.op == "select" and context.limits(cell.args[0])


def _blank(cell: Cell, context: Context, counts: Counter[str]) -> bool:
    """A number that a flag clears on its way through is a table a bit, where nothing else is formed."""
    if cell.op != "select" or len(cell.args) != 3 or not any(leg.value == 0 for leg in cell.args[1:]):
        return False
    ports = context.block.inputs
    if cell.args[0] not in ports or any(leg.value is None and leg not in ports for leg in cell.args[1:]):
        return False
    counts["blank"] += sum(map(bool, context.legs(cell)))
    return True


def _xc7(cell: Cell, context: Context, counts: Counter[str]) -> None:
    absorbed = context.absorbed(cell)
    if _clamp(cell, context, counts, 1) or _blank(cell, context, counts):
        return
    if cell.op == "row":
        counts["row"] += context.row_luts(cell)
        if not context.row_luts(cell):
            counts["increment"] += cell.out.width
    elif cell.op in ("twin", "triple"):
        counts["row"] += cell.out.width + (cell.op == "triple" and cell.args[4].value is None)
    elif cell.op == "bank":  # a table a bit, and four of them for eight bits of the memory
        counts["bank"] += cell.out.width + 4 * -(-cell.out.width // 8)
    elif cell.op == "booth":
        counts["digit"] += 0 if absorbed else cell.out.width
    elif cell.op == "select":  # what a bit costs depends on how many of its legs live, and on what takes it
        taker = "taken" if absorbed else context.after(cell)
        _muxes(cell, context, counts, f":{taker}")
    elif cell.op == "table" and context.beside_block:
        counts["flag"] += _flags(cell)
    elif cell.op == "table":
        _table(cell, 6, counts)
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
    if _clamp(cell, context, counts, 0) or _blank(cell, context, counts):
        return
    if cell.op == "booth":
        counts["digit"] += _digit_lut4(cell, context)
    elif cell.op == "select":
        _muxes(cell, context, counts)  # no chain takes it in: its inputs decide
    elif cell.op == "table" and context.beside_block:
        counts["flag"] += _flag_lut4(cell, context)
    elif cell.op == "table":
        _table(cell, 4, counts)
    elif cell.op != "row" and not context.beside_block:
        _glue(cell, counts)


def _flag_lut4(cell: Cell, context: Context) -> int:
    """LUT4 of a flag beside a block: one for four bits and one for each further; it takes in what only it reads."""
    return max(1, cell.args[0].width - 3) if _flags(cell) and cell.out in context.kept else 0


def _flags(cell: Cell) -> int:
    """LUT6 of the tables of flags."""
    counts: Counter[str] = Counter()
    _table(cell, 6, counts)
    return sum(count << int(name.partition(":")[2]) - 6 for name, count in counts.items())


def _digit_lut4(cell: Cell, context: Context) -> int:
    """LUT4 of a Booth digit of n live bits.

    One a bit where it is 0 or +-1, and one more for the first digit. Else two a bit, one of them a function of three
    digit bits that is formed once: 2n + 1.
    """
    live = cell.args[0].width - context.unsigned_digit(cell.out)
    first = context.driver[cell.args[1]].args[0].value is not None
    return live if cell.attr == 1 else live + 1 if first else 2 * live + 1


def _cells(cell: Cell, context: Context, counts: Counter[str]) -> None:
    """Of standard cells. Where sums are trees, full adders stand as words of gates and the adder behind them as a row.

    A row's places that have both of its numbers are `adder`, those above the shorter one `carry`.
    """
    if _clamp(cell, context, counts, 0):
        return
    if cell.op == "row":
        base, addend, _ = cell.args
        overlap = min(base.width, addend.width, cell.out.width)
        plain = base.value is None and addend.value is None
        counts["adder" if plain else "increment"] += overlap if plain else cell.out.width
        counts["carry"] += (cell.out.width - overlap) * plain
        levels = (cell.out.width - 1).bit_length()
        counts[f"{'prefix' if plain else 'ahead'}:{'short' if cell.out.width <= SHORT else 'long'}"] += (
            cell.out.width * levels
        )
    elif cell.op == "booth":
        counts["digit" if cell.attr == 2 else "unit digit"] += cell.out.width
        counts["recoder"] += 1
    elif cell.op == "select":
        _muxes(cell, context, counts)
    elif cell.op == "table":
        _table(cell, 2, counts)
    elif cell.op in ("and", "or", "xor"):
        counts[cell.op] += context.gates_of(cell)
    elif cell.op in ("eq", "lt"):
        _glue(cell, counts)


SHORT = 10  # places of a chain of cells whose look-ahead a mapper builds otherwise than that of longer ones

_ONE = {"read": 1.0, "saturate": 1.0, "flag": 1.0, "enable": 1.0}
_ENERGY = "energy_pj_per_mac: not measured on this device"
_ASKED = "energy_pj_per_mac: not asked for; it depends on the operands (--energy STREAM)"
_LUT6 = Fabric(
    FIELDS["xc7"],
    _xc7,
    {"row": 1.0, "shift": 1.0, "alike": 1.0, "blank": 1.0, "valid": 1.0, **_ONE},
    stated={"bank": 1.0},
    unmodelled=("fmax_mhz: no open place and route; not checked against Vivado", _ENERGY),
)

_LIBRARY = Fabric(
    FIELDS["nangate45"],
    _cells,
    {},
    ff=True,
    unmodelled=("fmax_mhz: no cells were placed", _ASKED, "leakage: not measured on this device"),
)

FABRICS: Mapping[str, Fabric] = {
    "xc7": _LUT6,
    "xcup": _LUT6,
    "ecp5": Fabric(
        FIELDS["ecp5"],
        _ecp5,
        {"carry": 2.0, "digit": 1.0, "alone": 1.0, "alike": 1.0, "blank": 1.0, **_ONE},
        unmodelled=(_ENERGY,),
    ),
    "ice40": Fabric(
        FIELDS["ice40"],
        _ice40,
        {"row": 1.0, "digit": 1.0, "joined": 1.0, "alike": 1.0, "blank": 1.0, **_ONE},
        unmodelled=("fmax_mhz: no design was placed and routed on this device", _ENERGY),
    ),
    "ge": Fabric(
        FIELDS["ge"],
        _cells,
        {},
        ff=True,
        unmodelled=("fmax_mhz: no library", _ENERGY, "area_um2: multiply ge by a library's NAND2"),
    ),
    **dict.fromkeys(("nangate45", "sky130", "asap7"), _LIBRARY),
}
