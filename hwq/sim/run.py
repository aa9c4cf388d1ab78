"""Proof by simulation: emit a datapath, run its Verilog in a simulator, compare every code with the emulator's."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwq.datapath import Datapath
from hwq.datapath.schedule import tile_cycles
from hwq.datapath.steps import parameters
from hwq.errors import HwqError, ToolError
from hwq.rtl import Manifest, emit
from hwq.sim.beats import counts, operand_beats, parameter_beats
from hwq.sim.stimulus import Tile, exhaustive_tiles, expected, random_tiles
from hwq.sim.tools import LOG, said, simulate

__all__ = ["Report", "check"]

EXHAUSTIVE_BITS = 16  # of both operands together: 65,536 pairs


@dataclass(frozen=True)
class Report:
    """What a simulation showed. `first_mismatch` names tile, row, column, the code that came and the one expected.

    `cycles` are those from the first tile to the last result, `expected_cycles` those of an array that never waits,
    `stalled` those that the bench's own pauses froze. `vectors_per_s`: operand beats a second.
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
    exhaustive: bool | None = None,
    vectors: int = 1000,
    seed: int = 0,
    waves: str | Path | None = None,
    folder: str | Path | None = None,
) -> Report:
    """Simulate a datapath against the emulator.

    `exhaustive` (the default for a 1x1 array of up to 16 operand bits) runs all pairs of codes, else `vectors` random
    tiles. `folder` holds Verilog that `emit` wrote, perhaps edited since; without it the datapath is emitted for
    `device`, "portable" by default. `waves` names a file for the waveforms.
    """
    small = (dp.array.rows, dp.array.cols) == (1, 1) and dp.mac.a.bits + dp.mac.w.bits <= EXHAUSTIVE_BITS
    if exhaustive and not small:
        raise HwqError(f"an exhaustive run needs @1x1 and operands of up to 16 bits together, not {dp}; use vectors")
    if vectors < 1:
        raise HwqError(f"vectors must be at least 1, not {vectors}")
    if not 0 <= seed < 1 << 63:
        raise HwqError(f"seed must be between 0 and 2**63 - 1, not {seed}")
    if waves is not None and not Path(waves).absolute().parent.is_dir():
        raise HwqError(f"the folder of waves must exist, not {Path(waves).parent}; make it first")
    whole = small if exhaustive is None else exhaustive
    tiles = list(exhaustive_tiles(dp, seed) if whole else random_tiles(dp, vectors, seed))
    with tempfile.TemporaryDirectory(prefix="hwq-sim-") as name:
        work = Path(name)
        source = Path(folder).resolve() if folder is not None else work
        manifest = _read(dp, source, device) if folder is not None else emit(dp, work, device or "portable")
        _write(work / "stimulus.npz", dp, tiles, seed)
        start = time.perf_counter()
        wave = simulate(simulator, [source / file for file in manifest.files], manifest.top, work, waves is not None)
        seconds = time.perf_counter() - start
        if wave is not None and waves is not None:
            shutil.copyfile(wave, waves)
        outcome = _outcome(work)
    results, wanted = outcome["results"], _expected(dp, tiles)
    wrong = _mismatches(dp, results, wanted, [len(tile.a) for tile in tiles]) + _protocol(outcome)
    return Report(
        datapath=str(dp),
        device=manifest.device,
        simulator=simulator,
        mode="exhaustive" if whole else "random",
        seed=seed,
        tiles=len(tiles),
        compared=len(results) * dp.array.cols,
        mismatches=len(wrong),
        first_mismatch=wrong[0] if wrong else None,
        cycles=outcome["cycles"],
        expected_cycles=sum(tile_cycles(dp, len(tile.a), tile.terms) for tile in tiles),
        stalled=outcome["stalled"],
        vectors_per_s=round(sum(tile.terms for tile in tiles) / seconds, 1),
    )


def _read(dp: Datapath, folder: Path, device: str | None) -> Manifest:
    manifest = Manifest.load(folder)
    if manifest.datapath != dp.parametric():
        raise HwqError(f"the Verilog in {folder.name!r} must be of {dp}, not of {manifest.datapath}")
    if device not in (None, manifest.device):
        raise HwqError(f"the Verilog in {folder.name!r} must be for {device}, not for {manifest.device}; emit it again")
    return manifest


def _outcome(folder: Path) -> dict[str, Any]:
    path = folder / "outcome.json"
    if not path.exists():
        log = (folder / LOG).read_text(encoding="utf-8")
        raise ToolError(f"the bench must write its outcome, not end with: {said(log)}")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _write(path: Path, dp: Datapath, tiles: Sequence[Tile], seed: int) -> None:
    """Beats as rows of little-endian bytes: one an operand step, one a tile for the parameters."""
    mac, array = dp.mac, dp.array
    sides = list(zip(*(operand_beats(dp, tile) for tile in tiles), strict=True))
    beats = {
        "a": _packed(np.concatenate(sides[0]).tolist(), [mac.a.bits] * (array.rows * array.lanes)),
        "w": _packed(np.concatenate(sides[1]).tolist(), [mac.w.bits] * (array.cols * array.lanes)),
    }
    words = parameters(mac)
    if words:
        widths = [word.width for word in words.values()] * array.cols
        beats["p"] = _packed([parameter_beats(dp, tile) for tile in tiles], widths)
    sizes = {f"{stream}_beats": numbers for stream, numbers in counts(dp, tiles).items()}
    loads = np.array(array.dataflow == "ws")
    np.savez(path, loads=loads, seed=np.array(seed), **sizes, **beats)  # type: ignore[arg-type]


def _packed(beats: Sequence[Sequence[int]], widths: Sequence[int]) -> np.ndarray[Any, Any]:
    """Each beat's fields, the first lowest, as bytes [beats, bytes]."""
    size = (sum(widths) + 7) // 8
    joined = b"".join(_join(beat, widths).to_bytes(size, "little") for beat in beats)
    return np.frombuffer(joined, dtype=np.uint8).reshape(len(beats), size)


def _join(fields: Sequence[int], widths: Sequence[int]) -> int:
    value = at = 0
    for field, width in zip(fields, widths, strict=True):
        value |= int(field) << at
        at += width
    return value


def _expected(dp: Datapath, tiles: Sequence[Tile]) -> list[list[int]]:
    """Result codes of each output beat, tile after tile, row after row."""
    return [row for codes in expected(dp.mac, tiles) for row in codes.tolist()]


def _mismatches(
    dp: Datapath, results: Sequence[str], wanted: Sequence[Sequence[int]], sizes: Sequence[int]
) -> list[dict[str, Any]]:
    """Beats come as bits, the last column first; an unknown bit or a missing beat equals nothing.

    `sizes`: result beats of each tile.
    """
    bits, found = dp.mac.output.bits, list[dict[str, Any]]()
    places = [(tile, row) for tile, rows in enumerate(sizes) for row in range(rows)]
    for at, codes in enumerate(wanted):
        beat = results[at] if at < len(results) else ""
        for col, code in enumerate(codes):
            end = len(beat) - col * bits
            got = beat[max(0, end - bits) : end]
            if got != f"{code:0{bits}b}":
                tile, row = places[at]
                found.append({"tile": tile, "row": row, "col": col, "got": _code(got), "expected": code})
    return found


def _code(bits: str) -> int | str | None:
    """A code, or the bits themselves if some are unknown, or None if no result came."""
    if not bits:
        return None
    return int(bits, 2) if set(bits) <= {"0", "1"} else bits


def _protocol(outcome: dict[str, Any]) -> list[dict[str, Any]]:
    """Beats whose `o_last` was wrong count as mismatches."""
    wrong = {"tile": None, "row": None, "col": None, "got": "o_last", "expected": "o_last with a tile's last result"}
    return [wrong] * outcome["late"]
