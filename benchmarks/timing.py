"""Lines of a benchmark, and how their times are taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Line", "best_of", "seconds"]


@dataclass(frozen=True)
class Line:
    """One figure: what was measured, its value in `unit` ("x" is a ratio), and the most that it may be, if promised."""

    name: str
    value: float
    unit: str = "x"
    limit: float | None = None
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the figure is within its limit."""
        return self.limit is None or self.value <= self.limit


def seconds(function: Callable[[], object]) -> float:
    """The time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def best_of(functions: Sequence[Callable[[], object]], rounds: int = 7) -> list[float]:
    """The least time of each function in seconds, timed in turns, so that a busy moment hits all alike.

    One call each goes before, which compiles and fills caches.
    """
    for function in functions:
        function()
    times = [[seconds(function) for function in functions] for _ in range(rounds)]
    return [min(column) for column in zip(*times, strict=True)]
