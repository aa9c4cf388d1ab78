"""Cycles of a unit whose streams never wait: exact, from the depths of its blocks."""

from __future__ import annotations

from collections.abc import Sequence

from hwq.errors import HwqError
from hwq.units.plans import FILL, OUT, UnitPlan, plan
from hwq.units.program import Fold, Let, Map
from hwq.units.spec import Unit

__all__ = ["cycles", "interval", "latency", "phases"]


def phases(of: UnitPlan, length: int) -> dict[str, int]:
    """Cycles of each phase behind the entering of a row of that length; none of a unit without rows.

    A pass reads an element a cycle, sees it in the next one, and ends when the last one is through the block.
    """
    program = of.unit.program
    if isinstance(program, Map):
        return {}
    found = {}
    for phase in program.then:
        if isinstance(phase, Fold):
            found[phase.name] = length + 1 + of.depths[phase.name]
        else:
            found[phase.name] = 1 if isinstance(phase, Let) else phase.rounds * (phase.steps + 1)
    return found | {OUT: length + 1 + of.depths[OUT]}


def cycles(unit: Unit, lengths: Sequence[int]) -> int:
    """From the cycle of the first code to that of the last result, both counted.

    A row enters while the one before it is worked on. When it is in, and through the first block, it is handed over in
    one cycle, as soon as the one before it is done.
    """
    of = plan(unit)
    if isinstance(unit.program, Map):
        return sum(lengths) + of.depths[OUT]
    begun = idle = 0
    for length in lengths:
        if not 1 <= length <= max(1, unit.n):
            raise HwqError(f"a row must have 1 to {max(1, unit.n)} codes, not {length}")
        handed = max(begun + length + of.depths[FILL], idle)
        begun, idle = handed + 1, handed + 1 + sum(phases(of, length).values())
    return idle


def latency(unit: Unit) -> int:
    """Cycles from a row's last code to its first result."""
    of, n = plan(unit), max(1, unit.n)
    return cycles(unit, [n]) - n - (0 if isinstance(of.unit.program, Map) else n - 1)


def interval(unit: Unit) -> int:
    """Cycles that a row takes beyond those of its codes, alone: those of a row that follows are fewer."""
    n = max(1, unit.n)
    return cycles(unit, [n]) - n
