"""Measure modules of Verilog files: jobs through worker processes, rows as they finish."""

import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Lock

from hwq.errors import ToolError
from hwq.synth.batch import Started, run_batch, stop
from hwq.synth.efforts import AREA_EFFORTS
from hwq.synth.job import SEEDS, Job
from hwq.synth.row import Row
from hwq.synth.store import Store

__all__ = ["measure", "measure_many"]


def measure(
    files: Sequence[str | Path],
    module: str,
    device: str,
    *,
    place_and_route: bool = False,
    seeds: Sequence[int] = SEEDS,
    design: str = "",
    liberty: Sequence[str | Path] = (),
    efforts: Sequence[str] = AREA_EFFORTS,
) -> Row:
    """Synthesise one module of some Verilog files; on ecp5 with place and route also its clock over the seeds.

    A device of standard cells takes its Liberty files from `liberty`, else from where `library_files` finds them.
    """
    job = Job.of(files, module, device, place_and_route, seeds, design, liberty, efforts)
    return measure_many([job], workers=1)[0]


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

    pending = [job for job in keys if kept.get(keys[job]) is None]
    shares = [share for one in _by_libraries(pending) for at in range(workers) if (share := one[at::workers])]
    processes: list[subprocess.Popen[str]] = []
    with ThreadPoolExecutor(max_workers=workers) as pool:
        try:
            failures = list(pool.map(lambda share: _attempt(share, finished, processes.append), shares))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                stop(process)
            raise
    for failure in failures:
        if failure:
            raise failure
    return [replace(kept.row(keys[job]), design=job.design) for job in jobs]


def _by_libraries(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs of each device and its cells; their libraries are read once for all of them."""
    groups: dict[object, list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.device, job.liberty), []).append(job)
    return list(groups.values())


def _attempt(jobs: Sequence[Job], finished: Callable[[Job, Row], None], started: Started) -> ToolError | None:
    """Measure jobs of one device; the error of the first that failed."""
    try:
        run_batch(jobs, finished, started)
    except ToolError as error:
        return error
    return None
