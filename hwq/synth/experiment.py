"""Measures datapaths: their emitted Verilog through the flows, one row a design."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from hwq.datapath import Datapath, plan
from hwq.rtl import emit, leaves, top_name
from hwq.synth.job import Job
from hwq.synth.measure import measure_many
from hwq.synth.row import Row

__all__ = ["measure_designs"]


def measure_designs(
    designs: Sequence[tuple[Datapath, str]],
    device: str,
    *,
    place_and_route: bool = False,
    workers: int = 2,
    store: Path | None = None,
    on_row: Callable[[Row], None] | None = None,
) -> list[Row]:
    """Synthesise the `pe`, `epilogue`, `decode_a` or `top` of each datapath, in parallel.

    Rows come back in the order asked.

    `store` keeps every row as it is measured, so that an interrupted run goes on where it stopped.
    """
    with tempfile.TemporaryDirectory() as name:
        jobs = [_job(Path(name) / str(j), dp, part, device, place_and_route) for j, (dp, part) in enumerate(designs)]
        return measure_many(jobs, workers=workers, on_row=on_row, store=store)


def _job(folder: Path, dp: Datapath, part: str, device: str, place_and_route: bool) -> Job:
    if part == "top":
        manifest = emit(dp, folder, device)
        files = [folder / name for name in manifest.files]
        return Job.of(files, manifest.top, device, place_and_route=place_and_route, design=str(dp))
    leaf = leaves(plan(dp, device), top_name(dp))[part]  # alone: the array around it need not be written
    folder.mkdir()
    file = folder / f"{leaf.name}.v"
    file.write_text(leaf.text, encoding="utf-8")
    return Job.of([file], leaf.name, device, place_and_route=place_and_route, design=str(dp))
