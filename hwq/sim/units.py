"""Units in a simulator: every result against the emulator's, the cycles against those that the unit says."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from hwq.errors import HwqError, ToolError
from hwq.rtl import Manifest
from hwq.rtl.units import emit_unit
from hwq.sim.bulk import MAIN
from hwq.sim.tools import COUNTS, LOG, RESULTS, call, icarus_environment, make, said, verilator_environment
from hwq.units import Unit

__all__ = ["UnitReport", "check_unit", "check_units"]

INSIDE, BENCH = "unit.v", "bench.v"
IN, TAKES, FLIGHT = "x.hex", "o.hex", "flight.hex"
RESET, LATEST = 5, 1000  # cycles until codes are shown, and from there until the reset that they do not survive
_STALLS = 0.25  # how often a stream that pauses does
_LONGEST = 6  # cycles of a pause, but for one in a while that is as long as a row
Ints = np.ndarray[Any, Any]


@dataclass(frozen=True)
class UnitReport:
    """What a simulation showed; `first_mismatch`: (result, what came, what the emulator says), in bits, last first.

    `cycles` are those from the first code to the last result; `expected_cycles` is None where streams paused.
    """

    unit: str
    device: str
    simulator: str
    compared: int
    mismatches: int
    first_mismatch: tuple[int, str, str] | None
    cycles: int
    expected_cycles: int | None

    @property
    def passed(self) -> bool:
        on_time = self.expected_cycles is None or self.cycles == self.expected_cycles
        return self.compared > 0 and not self.mismatches and on_time


def check_unit(
    unit: Unit,
    rows: Sequence[Ints],
    *,
    simulator: str = "icarus",
    device: str = "portable",
    seed: int | None = None,
    folder: str | Path | None = None,
) -> UnitReport:
    """Run rows of codes through the Verilog of a unit, after a reset while the first of them are on their way.

    With a `seed` both streams pause at random, without one neither does. `folder` holds Verilog that `emit_unit` wrote.
    """
    (found,) = check_units([(unit, rows)], simulator=simulator, device=device, seeds=(seed,), folder=folder)
    return found


def check_units(
    cases: Sequence[tuple[Unit, Sequence[Ints]]],
    *,
    simulator: str = "icarus",
    device: str = "portable",
    seeds: Sequence[int | None] = (None,),
    folder: str | Path | None = None,
) -> list[UnitReport]:
    """The same of several units in one simulation, once a seed: a report for each seed and unit.

    A `folder` is that of one unit.
    """
    if simulator not in _RUN:
        raise HwqError(f"simulator must be one of {', '.join(_RUN)}, not {simulator!r}")
    if not cases or not all(rows and all(map(len, rows)) for _, rows in cases):
        raise HwqError("a simulation needs a row of codes or more of each unit, not none")
    with tempfile.TemporaryDirectory(prefix="hwq-unit-") as name:
        work = Path(name)
        jobs = [_job(work / str(at), *case, device, folder) for at, case in enumerate(cases)]
        sources = [str(source) for job in jobs for source in job.sources]
        (work / INSIDE).write_text(files("hwq.sim").joinpath(INSIDE).read_text(encoding="utf-8"), encoding="utf-8")
        (work / BENCH).write_text(_bench(jobs), encoding="utf-8")
        build, run = _RUN[simulator]
        build(work, [BENCH, *dict.fromkeys(sources)])
        reports = []
        for seed in seeds:
            for job in jobs:
                job.write(seed)
            run(work)
            reports += [job.report(simulator, seed) for job in jobs]
    return reports


@dataclass(frozen=True, eq=False)
class _Job:
    """One unit among those of a simulation, in a folder of its own."""

    unit: Unit
    rows: Sequence[Ints]
    folder: Path
    manifest: Manifest
    sources: Sequence[Path]
    wanted: Sequence[str]

    @property
    def lengths(self) -> list[int]:
        return [len(row) for row in self.rows]

    @property
    def macros(self) -> dict[str, object]:
        """What fits the bench to the unit."""
        unit, at = self.unit, self.folder.name
        found: dict[str, object] = {"TOP": self.manifest.top, "BENCH": f"bench_{at}", "BEATS": sum(self.lengths)}
        found |= {"X_BITS": unit.x.format.bits, "O_BITS": unit.y.format.bits}
        named = {"IN": IN, "TAKES": TAKES, "FLIGHT": FLIGHT, "OUT": RESULTS, "COUNT": COUNTS}
        return found | {macro: f'"{at}/{file}"' for macro, file in named.items()}

    def write(self, seed: int | None) -> None:
        """The codes with their pauses, those of the results, and when the reset comes: within the first rows."""
        rng, bits, count = np.random.default_rng(seed or 0), self.unit.x.format.bits, sum(self.lengths)
        row = max(1, self.unit.n)
        before, after = ([0] * count if seed is None else _pauses(rng, count, row) for _ in range(2))
        beats = [int(beat, 2) for beat in _beats(self.rows, bits)]
        lines = [f"{pause << bits + 1 | beat:x}\n" for pause, beat in zip(before, beats, strict=True)]
        (self.folder / IN).write_text("".join(lines), encoding="ascii")
        (self.folder / TAKES).write_text("".join(f"{pause:x}\n" for pause in after), encoding="ascii")
        flight = RESET + int(rng.integers(1, min(LATEST, 2 * self.unit.cycles(self.lengths[:1]))))
        (self.folder / FLIGHT).write_text(f"{flight:x}\n", encoding="ascii")
        (self.folder / COUNTS).unlink(missing_ok=True)

    def report(self, simulator: str, seed: int | None) -> UnitReport:
        """What came, beside what the emulator says."""
        if not (self.folder / COUNTS).is_file():
            log = (self.folder.parent / LOG).read_text("utf-8")
            raise ToolError(f"the bench must write its outcome, not end with: {said(log)}")
        came = (self.folder / RESULTS).read_text("utf-8").split()
        came += ["nothing"] * (len(self.wanted) - len(came))
        wrong = [at for at, (one, other) in enumerate(zip(came, self.wanted, strict=True)) if one != other]
        return UnitReport(
            unit=str(self.unit),
            device=self.manifest.device,
            simulator=simulator,
            compared=len(self.wanted),
            mismatches=len(wrong),
            first_mismatch=(wrong[0], came[wrong[0]], self.wanted[wrong[0]]) if wrong else None,
            cycles=int((self.folder / COUNTS).read_text("utf-8")),
            expected_cycles=self.unit.cycles(self.lengths) if seed is None else None,
        )


def _job(work: Path, unit: Unit, rows: Sequence[Ints], device: str, folder: str | Path | None) -> _Job:
    work.mkdir()
    source = work if folder is None else Path(folder).resolve()
    manifest = emit_unit(unit, work, device) if folder is None else Manifest.load(source)
    wanted = _beats([unit(row) for row in rows], unit.y.format.bits)
    return _Job(unit, rows, work, manifest, [source / file for file in manifest.sources], wanted)


def _bench(jobs: Sequence[_Job]) -> str:
    """The benches of all units under one clock, until all are done."""
    lines = ["`timescale 1ns/1ns"]
    for job in jobs:
        macros = job.macros
        lines += [f"`define {name} {value}" for name, value in macros.items()] + [f'`include "{INSIDE}"']
        lines += [f"`undef {name}" for name in macros]
    lines += ["`ifdef VERILATOR", "module bench (input wire clk);", "`else", "module bench;", "  reg clk = 0;"]
    lines += ["  always begin", "    #1 clk = 1;", "    #1 clk = 0;", "  end", "`endif"]
    lines += [f"  wire [{len(jobs) - 1}:0] done;"]
    lines += [f"  bench_{at} bench_{at}_ (.clk(clk), .done(done[{at}]));" for at in range(len(jobs))]
    return "\n".join([*lines, "  always @(posedge clk) if (&done) $finish;", "endmodule", ""])


def _beats(rows: Sequence[Ints], bits: int) -> list[str]:
    """Last and code of each result, in bits."""
    return [f"{int(at == len(row) - 1)}{int(code):0{bits}b}" for row in rows for at, code in enumerate(row)]


def _pauses(rng: np.random.Generator, count: int, row: int) -> list[int]:
    short = rng.integers(1, _LONGEST + 1, count) * (rng.random(count) < _STALLS)
    long = rng.integers(1, 3 * row, count) * (rng.random(count) < 1 / (2 * row))
    found: list[int] = np.maximum(short, long).tolist()
    return found


def _build_icarus(folder: Path, sources: Sequence[str]) -> None:
    call(["iverilog", "-g2005", "-o", "sim.vvp", "-s", "bench", *sources], folder, icarus_environment())


def _run_icarus(folder: Path) -> None:
    call(["vvp", "-n", "sim.vvp"], folder, icarus_environment())


def _build_verilator(folder: Path, sources: Sequence[str]) -> None:
    environment = verilator_environment()
    options = ["--cc", "--exe", "--prefix", "Vtop", "-o", "sim", "-Mdir", "build", "--top-module", "bench"]
    (folder / "main.cpp").write_text(MAIN, encoding="utf-8")
    call(["verilator", *options, "-Wno-fatal", "--x-initial", "unique", "main.cpp", *sources], folder, environment)
    make(folder, ["VM_TRACE=0", "OPT_FAST=-O0", "OPT_GLOBAL=-O0"], environment)


def _run_verilator(folder: Path) -> None:
    call([str(folder / "build" / "sim")], folder, os.environ)


_RUN: Mapping[str, tuple[Callable[[Path, Sequence[str]], None], Callable[[Path], None]]] = {
    "icarus": (_build_icarus, _run_icarus),
    "verilator": (_build_verilator, _run_verilator),
}
