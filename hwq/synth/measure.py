"""Measure modules of Verilog files: batches of jobs through worker processes, rows as they finish."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from threading import Lock

from hwq.errors import ToolError
from hwq.synth.batch import run_batch
from hwq.synth.job import SEEDS, Job
from hwq.synth.row import Row
from hwq.synth.store import Store

__all__ = ["measure", "measure_many"]

_BATCH = 48  # modules to a Yosys design: its libraries and the mapper's boxes are read once for all of them


def measure(
    files: Sequence[str | Path],
    module: str,
    device: str,
    *,
    place_and_route: bool = False,
    seeds: Sequence[int] = SEEDS,
    design: str = "",
) -> Row:
    """Synthesise one module of some Verilog files; on ecp5 with place and route also its clock over the seeds."""
    return measure_many([Job.of(files, module, device, place_and_route, seeds, design)], workers=1)[0]


def measure_many(
    jobs: Sequence[Job],
    workers: int = 2,
    on_row: Callable[[Row], None] | None = None,
    store: Path | None = None,
) -> list[Row]:
    """Rows of the jobs, in their order. `on_row` hears each new row; rows found in `store` are not measured again.

    A job that fails does not stop the others: the first error is raised when they are done.
    """
    keys = {job: job.key() for job in jobs}
    kept, lock = Store(store), Lock()

    def finished(job: Job, row: Row) -> None:
        with lock:
            if kept.get(keys[job]) is None:
                kept.put(keys[job], row)
                if on_row:
                    on_row(row)

    pending = [group for group in _groups(keys) if any(kept.get(keys[job]) is None for job in group)]
    with ThreadPoolExecutor(max_workers=workers) as pool:
        failures = list(pool.map(lambda group: _attempt(group, finished), pending))
    for failure in failures:
        if failure:
            raise failure
    return [replace(kept.row(keys[job]), design=job.design) for job in jobs]


def _groups(keys: dict[Job, str]) -> list[list[Job]]:
    """Batches of a fixed composition, sorted by name; a routed job alone, because its cells' names steer the placer."""
    ordered = sorted(keys, key=lambda job: (job.device, job.seeds, job.module, keys[job]))
    groups: list[list[Job]] = []
    for _, same in groupby(ordered, key=lambda job: (job.device, bool(job.seeds))):
        alike = list(same)
        size = 1 if alike[0].seeds else _BATCH
        groups += [alike[start : start + size] for start in range(0, len(alike), size)]
    return groups


def _attempt(group: list[Job], finished: Callable[[Job, Row], None]) -> ToolError | None:
    """Measure a batch; if it fails, each of its jobs alone, so that one bad design is named and costs only itself."""
    try:
        run_batch(group, finished)
    except ToolError as error:
        alone = [_attempt([job], finished) for job in group] if len(group) > 1 else []
        return next((failure for failure in alone if failure), error)
    return None
