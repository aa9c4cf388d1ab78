"""Measures datapaths: their emitted Verilog through the flows, one row a design."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from hwq.datapath import Datapath, plan
from hwq.rtl import emit, leaves, top_name
from hwq.synth.efforts import AREA_EFFORTS
from hwq.synth.job import SEEDS, Job
from hwq.synth.measure import measure_many
from hwq.synth.pnr import Route
from hwq.synth.row import Row

__all__ = ["measure_designs"]


def measure_designs(
    designs: Sequence[tuple[Datapath, str]],
    device: str,
    *,
    place_and_route: bool = False,
    liberty: Sequence[Path] = (),
    efforts: Sequence[str] = AREA_EFFORTS,
    seeds: Sequence[int] = SEEDS,
    route: Route | None = None,
    workers: int = 2,
    store: Path | None = None,
    on_row: Callable[[Row], None] | None = None,
) -> list[Row]:
    """Synthesise the `pe`, `epilogue`, `decode_a` or `top` of each datapath, in parallel.

    Rows come back in the order asked.

    `store` keeps every row as it is measured, so that an interrupted run goes on where it stopped.
    """
    with tempfile.TemporaryDirectory() as name:
        jobs = []
        for at, (dp, part) in enumerate(designs):
            files, module = _written(Path(name) / str(at), dp, part, device)
            jobs.append(
                Job.of(
                    files,
                    module,
                    device,
                    place_and_route=place_and_route,
                    seeds=seeds,
                    design=str(dp),
                    liberty=liberty,
                    efforts=efforts,
                    route=route,
                )
            )
        return measure_many(jobs, workers=workers, on_row=on_row, store=store)


def _written(folder: Path, dp: Datapath, part: str, device: str) -> tuple[list[Path], str]:
    """The Verilog files of a part, and the name of its module."""
    if part == "top":
        manifest = emit(dp, folder, device)
        return [folder / name for name in manifest.files], manifest.top
    leaf = leaves(plan(dp, device), top_name(dp))[part]  # alone: the array around it need not be written
    folder.mkdir()
    file = folder / f"{leaf.name}.v"
    file.write_text(leaf.text, encoding="utf-8")
    return [file], leaf.name
