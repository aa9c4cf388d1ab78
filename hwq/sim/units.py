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

__all__ = ["UnitReport", "check_unit"]

BENCH = "unit.v"
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
    """Run rows of codes through the Verilog of a unit, after a reset in the midst of them.

    With a `seed` both streams pause at random, without one neither does. `folder` holds Verilog that `emit_unit` wrote.
    """
    if simulator not in _RUN:
        raise HwqError(f"simulator must be one of {', '.join(_RUN)}, not {simulator!r}")
    if not rows or not all(len(row) for row in rows):
        raise HwqError("a simulation needs at least one row of codes, not none")
    wanted = _beats([unit(row) for row in rows], unit.y.format.bits)
    with tempfile.TemporaryDirectory(prefix="hwq-unit-") as name:
        work = Path(name)
        source = work if folder is None else Path(folder).resolve()
        manifest = emit_unit(unit, work, device) if folder is None else Manifest.load(source)
        count = _write(unit, rows, work, seed)
        # in the midst of a row that is worked on while the next one enters
        flight = 5 + unit.cycles([len(rows[0])]) + 3
        macros = {"TOP": manifest.top, "X_BITS": unit.x.format.bits, "O_BITS": unit.y.format.bits}
        macros |= {"BEATS": count, "FLIGHT": flight}
        (work / BENCH).write_text(files("hwq.sim").joinpath(BENCH).read_text(encoding="utf-8"), encoding="utf-8")
        given = [f"-D{key}={value}" for key, value in macros.items()]
        _RUN[simulator](work, [*given, BENCH, *(str(source / file) for file in manifest.sources)])
        if not (work / COUNTS).is_file():
            raise ToolError(f"the bench must write its outcome, not end with: {said((work / LOG).read_text('utf-8'))}")
        came = (work / RESULTS).read_text("utf-8").split()
        cycles = int((work / COUNTS).read_text("utf-8"))
    came += ["nothing"] * (len(wanted) - len(came))
    wrong = [at for at, (one, other) in enumerate(zip(came, wanted, strict=True)) if one != other]
    return UnitReport(
        unit=str(unit),
        device=manifest.device,
        simulator=simulator,
        compared=len(wanted),
        mismatches=len(wrong),
        first_mismatch=(wrong[0], came[wrong[0]], wanted[wrong[0]]) if wrong else None,
        cycles=cycles,
        expected_cycles=unit.cycles([len(row) for row in rows]) if seed is None else None,
    )


def _beats(rows: Sequence[Ints], bits: int) -> list[str]:
    """Last and code of each result, in bits."""
    return [f"{int(at == len(row) - 1)}{int(code):0{bits}b}" for row in rows for at, code in enumerate(row)]


def _write(unit: Unit, rows: Sequence[Ints], folder: Path, seed: int | None) -> int:
    """The codes with their pauses, and those of the results; how many there are."""
    bits, count = unit.x.format.bits, sum(map(len, rows))
    rng = np.random.default_rng(seed)
    pauses = [_pauses(rng, count, max(1, unit.n)) if seed is not None else [0] * count for _ in range(2)]
    beats = [int(beat, 2) for beat in _beats(rows, bits)]
    lines = [f"{pause << bits + 1 | beat:x}\n" for pause, beat in zip(pauses[0], beats, strict=True)]
    (folder / "x.hex").write_text("".join(lines), encoding="ascii")
    (folder / "o.hex").write_text("".join(f"{pause:x}\n" for pause in pauses[1]), encoding="ascii")
    return count


def _pauses(rng: np.random.Generator, count: int, row: int) -> list[int]:
    short = rng.integers(1, _LONGEST + 1, count) * (rng.random(count) < _STALLS)
    long = rng.integers(1, 3 * row, count) * (rng.random(count) < 1 / (2 * row))
    found: list[int] = np.maximum(short, long).tolist()
    return found


def _icarus(folder: Path, given: Sequence[str]) -> None:
    environment = icarus_environment()
    call(["iverilog", "-g2005", "-o", "sim.vvp", "-s", "bench", *given], folder, environment)
    call(["vvp", "-n", "sim.vvp"], folder, environment)


def _verilator(folder: Path, given: Sequence[str]) -> None:
    environment = verilator_environment()
    options = ["--cc", "--exe", "--prefix", "Vtop", "-o", "sim", "-Mdir", "build", "--top-module", "bench"]
    (folder / "main.cpp").write_text(MAIN, encoding="utf-8")
    call(["verilator", *options, "-Wno-fatal", "--x-initial", "unique", "main.cpp", *given], folder, environment)
    make(folder, ["VM_TRACE=0", "OPT_FAST=-O1", "OPT_GLOBAL=-O1"], environment)
    call([str(folder / "build" / "sim")], folder, os.environ)


_RUN: Mapping[str, Callable[[Path, Sequence[str]], None]] = {"icarus": _icarus, "verilator": _verilator}
