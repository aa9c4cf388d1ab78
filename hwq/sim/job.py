"""What one simulation is asked to do, and what it leaves: the files in its folder, the same for every bench."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from hwq.datapath import Datapath
from hwq.datapath.schedule import doubled, start, through
from hwq.errors import ToolError
from hwq.rtl import Manifest
from hwq.sim.beats import Beats
from hwq.sim.paced import paced
from hwq.sim.tools import COUNTS, LAST, LOG, NEWS, RESULTS, said

__all__ = ["Job", "Outcome"]


@dataclass(frozen=True, eq=False)
class Job:
    """One run of a design in a folder: its Verilog and the beats of its streams, those of `o` without a payload."""

    folder: Path
    manifest: Manifest
    sources: Sequence[Path]
    beats: dict[str, Beats]
    dp: Datapath
    waves: bool

    @property
    def loads(self) -> int:
        """Beats of w that go before those of a; 0 if they go together."""
        return self.dp.array.rows if self.dp.array.dataflow == "ws" else 0

    @property
    def clears(self) -> int:
        """1 if a tile begins with a cycle for its parameters, 0 if operands enter at once."""
        return min(1, start(self.dp))

    @property
    def overlaps(self) -> int:
        """1 if a tile begins before the one before it ends: then no bench can tell whose a stalled cycle is."""
        return int(doubled(self.dp))

    @property
    def expected_cycles(self) -> int:
        """Cycles of its tiles without pauses."""
        return through(self.dp, self.beats["a"].sizes)

    @property
    def widths(self) -> dict[str, int]:
        """Bits of each stream's payload."""
        return {port.name[0]: port.width for port in self.manifest.ports if port.name.endswith("_payload")}

    @property
    def macros(self) -> dict[str, object]:
        """What fits a bench to the design."""
        found: dict[str, object] = {"TOP": self.manifest.top, "LOADS": self.loads}
        found |= {"CLEARS": self.clears, "OVERLAPS": self.overlaps}
        found |= {f"{stream.upper()}_BITS": bits for stream, bits in self.widths.items()}
        found |= {f"{stream.upper()}_BEATS": len(beats) for stream, beats in self.beats.items()}
        return found | ({"WAVES": 1} if self.waves else {})

    def prepare(self, bench: str) -> list[str]:
        """Write the beats and a bench; returns what the compiler is told: macros, then files."""
        self.write()
        text = files("hwq.sim").joinpath(bench).read_text(encoding="utf-8")
        (self.folder / bench).write_text(text, encoding="utf-8")
        return [*(f"-D{name}={value}" for name, value in self.macros.items()), bench, *map(str, self.sources)]

    @property
    def tiles(self) -> int:
        return int(self.beats["o"].last.sum())

    def parts(self, count: int) -> list[Job]:
        """The same in so many folders inside this one, for processes side by side: each runs some of the tiles."""
        if count == 1:
            return [self]
        found = []
        for part in range(count):
            first, after = (self.tiles * at // count for at in (part, part + 1))
            beats = {stream: beats.of_tiles(first, after) for stream, beats in self.beats.items()}
            folder = self.folder / f"part_{part}"
            folder.mkdir()
            found.append(replace(self, folder=folder, beats=beats))
        return found

    def write(self) -> None:
        """What a bench reads, a file a stream: of each beat its pause, its flags, its payload from the highest byte."""
        for stream, beats in self.beats.items():
            words = np.column_stack([beats.pause, _flags(beats), beats.payload[:, ::-1]])
            words.tofile(self.folder / f"{stream}.bin")


def _flags(beats: Beats) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """LAST where a beat ends a tile; NEWS where that, or a pause, makes it another beat than the one before it."""
    news = beats.last | (beats.pause != 0)
    news[1:] |= beats.last[:-1]
    return np.where(beats.last, LAST, 0).astype(np.uint8) | np.where(news, NEWS, 0).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a bench saw: result beats [n, 1 + bits] as characters, last and payload, and the cycles that passed."""

    results: np.ndarray[Any, Any]
    cycles: int
    stalled: int

    @classmethod
    def read(cls, job: Job) -> Outcome:
        """What a bench wrote into the folder."""
        path = job.folder / COUNTS
        if not path.exists():
            log = (job.folder / LOG).read_text(encoding="utf-8")
            raise ToolError(f"the bench must write its outcome, not end with: {said(log)}")
        lines = np.fromfile(job.folder / RESULTS, dtype=np.uint8).reshape(-1, job.widths["o"] + 2)
        cycles, stalled = map(int, path.read_text(encoding="utf-8").split())
        return cls(lines[:, :-1], cycles, paced(job.dp, job.beats) - job.expected_cycles if job.overlaps else stalled)

    @classmethod
    def joined(cls, jobs: Sequence[Job]) -> Outcome:
        """What all benches saw, up to a part that lacks a result: what comes after it has no place."""
        found, results = [cls.read(job) for job in jobs], list[np.ndarray[Any, Any]]()
        for outcome, job in zip(found, jobs, strict=True):
            results.append(outcome.results)
            if len(outcome.results) != len(job.beats["o"]):
                break
        return cls(np.concatenate(results), sum(one.cycles for one in found), sum(one.stalled for one in found))
