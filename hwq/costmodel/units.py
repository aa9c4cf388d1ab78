"""What a unit costs: its blocks by their cells, at the prices of processing elements, its buffer, its control."""

from __future__ import annotations

from collections.abc import Mapping

from hwq.bits.cells import Block
from hwq.costmodel.bram import Bram, bram
from hwq.costmodel.cost import Cost, Part, Quantity
from hwq.costmodel.estimate import counted, priced
from hwq.costmodel.fabrics import FABRICS
from hwq.costmodel.features import features
from hwq.datapath.device import Device
from hwq.units import Unit, UnitPlan, plan
from hwq.units.program import Fold, Let, Row

__all__ = ["control_ff", "estimate_unit"]

KIND, TABLES = "pe", "decode"  # whose prices the rows and multiplexers of a unit have, and those of functions by table
SMALL = 6  # bits of an index that a table of a row unit has at most
WIDER = 2.0  # than the intervals of these, as no unit was fitted
# LUT for each flip-flop that steers, with the choice among the buffer's tables: what six units of rows took beyond
# their blocks and tables (pyosys 0.70, 2026-11-24). One took 1.6 times as much on xc7, one 0.7.
STEERING = {"xc7": 4.0, "xcup": 4.0, "ecp5": 3.4}
_SPREAD = 0.5
_UNMODELLED = (
    "energy_pj_per_mac: not measured for units",
    "fmax_mhz: no unit was placed and routed",
)
_CONTROL = "control: the logic of its states and counters is not counted on this device, its flip-flops are"
_BUFFER = "the row buffer: a memory of {words} words of {bits} bits, not part of area on this device"


def estimate_unit(unit: Unit | str, device: str | Device) -> Cost:
    """The cost of a unit. What no price is known of is named in `unmodelled`."""
    target = priced(device)
    chosen = unit if isinstance(unit, Unit) else Unit.parse(unit)
    of = plan(chosen, target.name)
    pieces: dict[str, tuple[Mapping[str, float], str]] = {
        name: (features(block, target.name), _kind(block)) for name, block in of.blocks.items()
    }
    words, bits = of.buffer
    fpga, notes = FABRICS[target.name].field == "lut", list(_UNMODELLED)
    memory = bram(words * bits, bits, target.name) if fpga and words else None
    if isinstance(chosen.program, Row):
        notes += [_CONTROL] * (target.name not in STEERING)
        inside = memory is not None and not _in_tables(memory)
        pieces["control"] = {"ff": control_ff(of) - bits * inside}, KIND
    figures, parts = counted(pieces, target, WIDER)
    if fpga:
        figures, parts = _with_memory(figures, parts, memory, of)
    elif words:
        notes.append(_BUFFER.format(words=words, bits=bits))
    return Cost(str(chosen), target.name, target.level, target.source, figures, lambda: parts, tuple(notes))


def _kind(block: Block) -> str:
    return TABLES if any(cell.op == "table" and cell.args[0].width > SMALL for cell in block.cells) else KIND


def _in_tables(memory: Bram) -> bool:
    return memory.lutram is not None and memory.lutram.smaller


def _with_memory(
    figures: dict[str, Quantity], parts: tuple[Part, ...], memory: Bram | None, of: UnitPlan
) -> tuple[dict[str, Quantity], tuple[Part, ...]]:
    """Figures with those of the buffer, in tables or in blocks, and of the control's logic."""
    found = {**figures, "bram": Quantity.exact(0)}
    if of.device in STEERING and _steered(of):
        steers = Quantity.within(STEERING[of.device] * _steered(of), _SPREAD)
        found, parts = {**found, "lut": found["lut"] + steers}, (*parts, Part("steering", 1, {"lut": steers}))
    if memory is None:
        return found, parts
    if _in_tables(memory):
        assert memory.lutram is not None
        field, count = "lut", memory.lutram.lut
    else:
        field, count = "bram", memory.blocks
    return {**found, field: found[field] + count}, (*parts, Part("buffer", 1, {field: count}))


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
    places = 3 * of.address if of.unit.n else 0  # of rows of one all are 0
    halves = 2 * bool(of.buffer[0])
    return 2 + halves + len(program.then) + 2 + 3 + places + count + rounds
