"""A bench in an emitted folder: what its makefile runs, without hwq."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np

from hwq.datapath import Datapath
from hwq.datapath.names import check_own
from hwq.rtl import Manifest
from hwq.sim.beats import as_bits, drive
from hwq.sim.bulk import BENCH, MAIN
from hwq.sim.expected import expected
from hwq.sim.job import Job
from hwq.sim.stimulus import random_tiles

__all__ = ["write_bench"]

TILES = 200
_OURS = ("bench.f", "bench.v", "bench.cpp", "expected.txt")


def write_bench(folder: str | Path, tiles: int = TILES, seed: int = 0) -> int:
    """Write `bench/` into a folder that `hwq.rtl.emit` wrote: beats with pauses, and the emulator's results.

    Returns the number of result beats. `bench.v` reads the beats, drives the design and writes `results.txt`, which
    must equal `expected.txt`; `bench.f` holds the macros that fit the bench to the design, `bench.cpp` is Verilator's
    main program. The manifest names them too: as with the Verilog, no other file is overwritten.
    """
    manifest = Manifest.load(folder)
    dp = Datapath.parse(manifest.datapath)
    batches = list(random_tiles(dp, tiles, seed))
    path = Path(folder) / "bench"
    job = Job(path, manifest, (), drive(dp, batches, seed), dp, waves=False)
    names = [f"bench/{name}" for name in (*(f"{stream}.bin" for stream in job.beats), *_OURS)]
    check_own(folder, names, manifest.project)
    path.mkdir(exist_ok=True)
    job.write()
    lines = [f"+define+{name}={value}" for name, value in job.macros.items()]
    (path / "bench.f").write_text("\n".join([*lines, ""]), encoding="utf-8")
    (path / "bench.v").write_text(files("hwq.sim").joinpath(BENCH).read_text(encoding="utf-8"), encoding="utf-8")
    (path / "bench.cpp").write_text(MAIN, encoding="utf-8")
    beats = [expected(dp.mac, batch).reshape(-1, dp.array.cols) for batch in batches]
    bits = np.concatenate(
        [as_bits(codes, dp.mac.output.bits)[:, ::-1, ::-1].reshape(len(codes), -1) for codes in beats]
    )
    rows = np.column_stack([job.beats["o"].last.astype(np.uint8), bits]) + np.uint8(ord("0"))
    ends = np.full((len(rows), 1), ord("\n"), np.uint8)
    (path / "expected.txt").write_bytes(np.column_stack([rows, ends]).astype(np.uint8).tobytes())
    digests = {name: hashlib.sha256((Path(folder) / name).read_bytes()).hexdigest() for name in names}
    replace(manifest, project={**manifest.project, **digests}).save(folder)
    return len(rows)
