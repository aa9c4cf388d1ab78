"""What a unit costs: its blocks by their cells, at the prices of processing elements, its buffer, its control."""

from __future__ import annotations

from hwq.bits.cells import Block
from hwq.costmodel.bram import bram
from hwq.costmodel.cost import Cost, Part, Quantity
from hwq.costmodel.estimate import counted, priced
from hwq.costmodel.fabrics import FABRICS
from hwq.costmodel.features import features
from hwq.datapath.device import Device
from hwq.units import Unit, UnitPlan, plan
from hwq.units.program import Fold, Let, Row

__all__ = ["control_ff", "estimate_unit"]

KIND, TABLES = "pe", "decode"  # whose prices the rows and multiplexers of a unit have, and functions by table

# LUT for each flip-flop that steers, with the choice among the buffer's tables: what six units of rows took beyond
# their blocks and tables (pyosys 0.70, 2026-11-24), from 2.9 to 5.6 on xc7 and from 3.3 to 3.9 on ecp5.
STEERING = {"xc7": 4.0, "ecp5": 3.4}
SPREAD = 0.3  # of a unit's LUT on those: 25 of 26 were as near, see docs/units.md
SMOOTH = 0.35  # of what a table of any entries takes, the least that one of a smooth function took
# LUT up to which Yosys makes a buffer of tables: of 13 shapes on each of xc7 and ecp5, those from 96 on were blocks.
TABLES_MOST = 64

_UNMODELLED = ("energy_pj_per_mac: not measured for units", "fmax_mhz: no unit was placed and routed")
_CONTROL = "control: the logic of its states and counters is not counted on this device, its flip-flops are"
_INTERVALS = "intervals: those of processing elements, as no unit was synthesised for this device"
_BUFFER = "the row buffer: a memory of {words} words of {bits} bits, counted nowhere on this device"
_FUNCTION = "what entries of a table have in common: six measured 0.39 to 1.5 times what is counted, as of any entries"


def estimate_unit(unit: Unit | str, device: str | Device) -> Cost:
    """The cost of a unit. What no price is known of is named in `unmodelled`."""
    target = priced(device)
    chosen = unit if isinstance(unit, Unit) else Unit.parse(unit)
    of, known = plan(chosen, target.name), target.name in STEERING
    more = _more(of, target)
    pieces = {name: (features(block, target.name), _kind(block)) for name, block in of.blocks.items()}
    function = any(kind == TABLES for _, kind in pieces.values())
    if isinstance(chosen.program, Row):
        pieces["control"] = {"ff": control_ff(of) - of.buffer[1] * (more.get("buffer", ("", 0))[0] == "bram")}, KIND
    figures, parts = counted(pieces, target)
    if FABRICS[target.name].field == "lut":
        figures["bram"] = Quantity.exact(0)
    for field, quantity in more.values():
        figures[field] += quantity
    if known:
        value, _, high = figures["lut"]
        figures["lut"] = Quantity(value, SMOOTH * value, high) if function else Quantity.within(value, SPREAD)
    parts += tuple(Part(name, 1, {field: quantity}) for name, (field, quantity) in more.items())
    notes = [*_UNMODELLED, *[_FUNCTION] * function]
    if not known:
        notes += [_INTERVALS, *[_CONTROL] * isinstance(chosen.program, Row)]
        notes += [_BUFFER.format(words=of.buffer[0], bits=of.buffer[1])] * ("buffer" not in more and of.buffer[0] > 0)
    return Cost(str(chosen), target.name, target.level, target.source, figures, lambda: parts, tuple(notes))


def _kind(block: Block) -> str:
    """The kind of modules whose prices a block has; a function is nothing but a table."""
    return TABLES if [cell.op for cell in block.cells] == ["table"] else KIND


def _more(of: UnitPlan, target: Device) -> dict[str, tuple[str, Quantity]]:
    """(field, how much) of the control's logic and of the buffer, where they are known."""
    found: dict[str, tuple[str, Quantity]] = {}
    words, bits = of.buffer
    if target.name in STEERING and isinstance(of.unit.program, Row):
        found["steering"] = "lut", Quantity.exact(STEERING[target.name] * _steered(of))
    if FABRICS[target.name].field == "lut" and words:
        memory = bram(words * bits, bits, target.name)
        tables = memory.lutram.lut if memory.lutram is not None else None
        in_tables = tables is not None and tables.value <= TABLES_MOST
        found["buffer"] = ("lut", tables) if tables is not None and in_tables else ("bram", memory.blocks)
    return found


def control_ff(of: UnitPlan) -> int:
    """Flip-flops of the top itself: its states and counters, what is held of a row, the element that is read."""
    return _steered(of) + sum(word.width for word in of.held) + of.buffer[1]


def _steered(of: UnitPlan) -> int:
    """Those that steer: who fills and who works, halves, reads, three places in rows, counters of serial steps."""
    program = of.unit.program
    if not isinstance(program, Row):
        return 0
    serial = [phase for phase in program.then if not isinstance(phase, Fold | Let)]
    count = max((phase.steps for phase in serial), default=0).bit_length()
    rounds = (max((phase.rounds for phase in serial), default=1) - 1).bit_length()
    halves = 2 * bool(of.buffer[0])
    return 2 + halves + len(program.then) + 2 + 3 + 3 * of.address + count + rounds
