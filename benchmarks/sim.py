"""Vectors (operand beats) a second of one call of `sim.check`, int8 with 32 bits @1x1, random tiles under stalls.

*Each further vector*: what a call takes longer for more of them, all of it: drawing, the emulator, the simulator, the
comparison. *The whole call* is divided by its vectors, the compiler and the simulator's start included: a small design
is compiled in seconds by Verilator, and once a process its runtime. Seconds are those of the clock on the wall: Icarus
runs in a process for each 10,000 vectors, on all cores, and needs a machine that does nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.timing import Line
from hwq.datapath import Datapath
from hwq.sim import Report, check

DATAPATH = "int8*int8 +fixed(32)"


@dataclass(frozen=True)
class Case:
    """A bench in a simulator, the tiles of a short and a long run, and the most microseconds that a vector may take."""

    bench: str
    simulator: str
    few: int
    many: int
    limit: float


CASES = (
    Case("bulk", "icarus", 4_000, 20_000, 20.0),  # 50,000 a second
    Case("bulk", "verilator", 4_000, 250_000, 2.0),  # 500,000 a second
    Case("cocotb", "icarus", 2_000, 10_000, 100.0),  # 10,000 a second
    Case("cocotb", "verilator", 100, 10_000, 100.0),
)


def measure() -> Iterator[Line]:
    """Two lines a case."""
    dp = Datapath.parse(DATAPATH)
    for case in CASES:
        _run(dp, case, 10)  # compiles the emulator, and Verilator's runtime
        short, few, _ = _run(dp, case, case.few)
        long, many, report = _run(dp, case, case.many)
        name, each = f"sim {case.bench} {case.simulator}", (long - short) / (many - few)
        stalls = f"{report.cycles / many:.2f} cycles a vector"
        yield Line(f"{name}, each further vector", each * 1e6, "us", case.limit, f"{1 / each:,.0f}/s, {stalls}")
        yield Line(f"{name}, whole call", long / many * 1e6, "us", note=f"{many / long:,.0f}/s of {many:,} vectors")


def _run(dp: Datapath, case: Case, tiles: int) -> tuple[float, int, Report]:
    """Seconds of a call, its vectors, its report."""
    start = time.perf_counter()
    report = check(dp, simulator=case.simulator, bench=case.bench, vectors=tiles, exhaustive=False)
    taken = time.perf_counter() - start
    if not report.passed:
        raise ValueError(f"{dp} must equal its emulator, not fail: {report.failure}")
    # a tile of K terms takes one cycle less for each term that it lacks
    return taken, report.expected_cycles - report.tiles * (dp.cycles(1, 1, 1) - 1), report
