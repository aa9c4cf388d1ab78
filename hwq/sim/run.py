"""Proof by simulation: emit a datapath, run its Verilog in a simulator, compare every code with the emulator's."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hwq.bits.loops import threads
from hwq.datapath import Datapath
from hwq.errors import HwqError
from hwq.rtl import Manifest, emit
from hwq.sim import bulk, hosted
from hwq.sim.beats import drive
from hwq.sim.compare import compare
from hwq.sim.job import Job, Outcome
from hwq.sim.stimulus import Tiles, exhaustive_tiles, random_tiles

__all__ = ["BENCHES", "SIMULATORS", "Report", "check"]

EXHAUSTIVE_BITS = 16  # of both operands together: 65,536 pairs
PART = 10_000  # beats of a that are worth a process of their own
BENCHES: Mapping[str, Mapping[str, Callable[[Job], Path | None]]] = {
    "cocotb": {"icarus": hosted.icarus, "verilator": hosted.verilator},
    "bulk": {"icarus": bulk.icarus, "verilator": bulk.verilator},
}
SIMULATORS = tuple(BENCHES["cocotb"])


@dataclass(frozen=True)
class Report:
    """What a simulation showed. `first_mismatch` names tile, row, column, the code that came and the one expected.

    `cycles` are those from the first tile to the last result, `expected_cycles` those of an array that never waits,
    `stalled` those that the bench's own pauses froze. `vectors_per_s`: operand beats a second, compiling included.
    """

    datapath: str
    device: str
    simulator: str
    mode: str
    seed: int
    tiles: int
    compared: int
    mismatches: int
    first_mismatch: dict[str, Any] | None
    cycles: int
    expected_cycles: int
    stalled: int
    vectors_per_s: float

    @property
    def passed(self) -> bool:
        """True if something was compared, every code was right and every cycle is accounted for."""
        return self.failure is None

    @property
    def failure(self) -> str | None:
        """Why the check failed, None if it passed."""
        if not self.compared:
            return "nothing was compared"
        if self.mismatches:
            return "results differ from the emulator's"
        if self.cycles != self.expected_cycles + self.stalled:
            return "the array took another number of cycles than its schedule and the bench's pauses"
        return None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check(
    dp: Datapath,
    *,
    device: str | None = None,
    simulator: str = "icarus",
    bench: str | None = None,
    exhaustive: bool | None = None,
    vectors: int = 1000,
    seed: int = 0,
    waves: str | Path | None = None,
    folder: str | Path | None = None,
) -> Report:
    """Simulate a datapath against the emulator.

    `exhaustive` (the default for a 1x1 array of up to 16 operand bits) runs all pairs of codes, else `vectors` random
    tiles. `bench`: "bulk", on the side of the hardware, where every beat costs least (the default of exhaustive runs),
    or "cocotb", on the side of Python; both send the same beats with the same pauses. Long runs in Icarus are shared by
    processes, as many at a time as there are cores (HWQ_THREADS). `folder` holds Verilog that
    `emit` wrote, perhaps edited since; without it the datapath is emitted for `device`, "portable" by default. `waves`
    names a file for the waveforms.
    """
    small = (dp.array.rows, dp.array.cols) == (1, 1) and dp.mac.a.bits + dp.mac.w.bits <= EXHAUSTIVE_BITS
    if exhaustive and not small:
        raise HwqError(f"an exhaustive run needs @1x1 and operands of up to 16 bits together, not {dp}; use vectors")
    whole = small if exhaustive is None else exhaustive
    bench = bench or ("bulk" if whole else "cocotb")
    _check_options(simulator, bench, vectors, seed, waves)
    batches = list(exhaustive_tiles(dp, seed) if whole else random_tiles(dp, vectors, seed))
    with tempfile.TemporaryDirectory(prefix="hwq-sim-") as name:
        job = _job(dp, batches, Path(name), folder, device, seed, waves is not None)
        start = time.perf_counter()
        parts = job.parts(_processes(job, simulator))
        with ThreadPoolExecutor(threads()) as pool:
            wave, *_ = pool.map(BENCHES[bench][simulator], parts)
        seconds = time.perf_counter() - start
        if wave is not None and waves is not None:
            shutil.copyfile(wave, waves)
        outcome = Outcome.joined(parts)
    mismatches, first = compare(dp.mac, batches, job.beats["o"].last, outcome.results)
    return Report(
        datapath=str(dp),
        device=job.manifest.device,
        simulator=simulator,
        mode="exhaustive" if whole else "random",
        seed=seed,
        tiles=sum(map(len, batches)),
        compared=len(outcome.results) * dp.array.cols,
        mismatches=mismatches,
        first_mismatch=first,
        cycles=outcome.cycles,
        expected_cycles=sum(part.expected_cycles for part in parts),
        stalled=outcome.stalled,
        vectors_per_s=round(len(job.beats["a"]) / seconds, 1),
    )


def _processes(job: Job, simulator: str) -> int:
    """How many processes share the tiles of a run: Icarus interprets on one core. The same on every machine.

    What is compiled first is quicker in one, and waveforms are wanted in one file.
    """
    if job.waves or simulator != "icarus":
        return 1
    return max(1, min(job.tiles, len(job.beats["a"]) // PART))


def _check_options(simulator: str, bench: str, vectors: int, seed: int, waves: str | Path | None) -> None:
    for name, value, known in (("bench", bench, BENCHES), ("simulator", simulator, SIMULATORS)):
        if value not in known:
            raise HwqError(f"{name} must be one of {', '.join(known)}, not {value!r}")
    if vectors < 1:
        raise HwqError(f"vectors must be at least 1, not {vectors}")
    if not 0 <= seed < 1 << 63:
        raise HwqError(f"seed must be between 0 and 2**63 - 1, not {seed}")
    if waves is not None and not Path(waves).absolute().parent.is_dir():
        raise HwqError(f"the folder of waves must exist, not {Path(waves).parent}; make it first")
    if waves is not None and (Path(waves).suffix != ".fst" or Path(waves).is_dir()):
        raise HwqError(f"waves must be a file named .fst, the format that is written, not {str(waves)!r}")


def _job(
    dp: Datapath,
    batches: Sequence[Tiles],
    work: Path,
    folder: str | Path | None,
    device: str | None,
    seed: int,
    waves: bool,
) -> Job:
    source = Path(folder).resolve() if folder is not None else work
    manifest = _read(dp, source, device) if folder is not None else emit(dp, work, device or "portable")
    return Job(
        folder=work,
        manifest=manifest,
        sources=[source / file for file in manifest.sources],
        beats=drive(dp, batches, seed),
        dp=dp,
        waves=waves,
    )


def _read(dp: Datapath, folder: Path, device: str | None) -> Manifest:
    manifest = Manifest.load(folder)
    if manifest.datapath != dp.parametric():
        raise HwqError(f"the Verilog in {folder.name!r} must be of {dp}, not of {manifest.datapath}")
    if device not in (None, manifest.device):
        raise HwqError(f"the Verilog in {folder.name!r} must be for {device}, not for {manifest.device}; emit it again")
    if missing := [name for name in manifest.sources if not (folder / name).is_file()]:
        raise HwqError(f"the folder must hold all that its manifest names, not lack {missing[0]}; emit it again")
    return manifest
