"""One worker process and its folder: sources in, rows out, an error in one line."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hwq.errors import ToolError
from hwq.synth.efforts import Point
from hwq.synth.job import Job
from hwq.synth.liberty import gate_files, library_text
from hwq.synth.row import Row, Spread
from hwq.synth.tools import python, require

__all__ = ["Started", "run_batch", "run_netlist", "stop"]

_NETLIST = "netlist.v"


Started = Callable[["subprocess.Popen[str]"], None]


def run_batch(jobs: Sequence[Job], finished: Callable[[Job, Row], None], started: Started) -> None:
    """Measure jobs of one device one after the other, calling back for each, and once for the process that does it.

    A job that fails costs only itself: ToolError for the first of them when all are done.
    """
    with tempfile.TemporaryDirectory() as name:
        _work(Path(name), jobs, "", finished, started)


def stop(process: "subprocess.Popen[str]") -> None:
    """End a worker with everything that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def run_netlist(job: Job, to: Path) -> None:
    """Write a job's synthesised netlist, under its own module name, to a file."""
    with tempfile.TemporaryDirectory() as name:
        _work(Path(name), [job], _NETLIST, lambda job, row: None, lambda process: None)
        shutil.copyfile(Path(name) / "0" / _NETLIST, to)


def _entry(folder: Path, index: int, job: Job, netlist: str) -> dict[str, Any]:
    """One job of jobs.json; its sources are copied: Yosys and the placer take relative names without spaces."""
    (folder / str(index)).mkdir()
    sources = [f"s{position}.v" for position in range(len(job.files))]
    for source, path in zip(sources, job.files, strict=True):
        shutil.copyfile(path, folder / str(index) / source)
    names = {"job": str(index), "module": job.module, "netlist": netlist}
    return {**names, "sources": sources, "seeds": job.seeds, "route": asdict(job.route), "efforts": job.efforts}


def _libraries(folder: Path, job: Job) -> dict[str, list[str]]:
    """The cell library's files, unpacked, by their names as seen from a job's own folder; those with gates again."""
    names = {path: f"cells{index}.lib" for index, path in enumerate(job.liberty)}
    for path, name in names.items():
        (folder / name).write_text(library_text(path), encoding="utf-8")
    return {
        "liberty": [f"../{name}" for name in names.values()],
        "gates": [f"../{names[path]}" for path in gate_files(job.liberty)],
    }


def _work(
    folder: Path, jobs: Sequence[Job], netlist: str, finished: Callable[[Job, Row], None], started: Started
) -> None:
    require("pyosys")
    libraries = _libraries(folder, jobs[0])
    entries = [_entry(folder, index, job, netlist) | libraries for index, job in enumerate(jobs)]
    (folder / "jobs.json").write_text(json.dumps({"device": jobs[0].device, "jobs": entries}), encoding="utf-8")
    failed = set(range(len(jobs)))
    with (folder / "errors.txt").open("w", encoding="utf-8") as errors:
        command = [python(), "-m", "hwq.synth.worker", str(folder)]
        # a session of its own, so that an interrupt reaches the one who asked and ends the worker through `stop`
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        ) as process:
            started(process)
            try:
                for line in process.stdout or ():
                    fields = json.loads(line)
                    at = int(fields.pop("job"))
                    finished(jobs[at], _row(jobs[at], fields))
                    failed.remove(at)
            except BaseException:
                stop(process)
                raise
    for at in sorted(failed):
        raise ToolError(f"synthesis of {jobs[at].module} must succeed, not end with: {_said(folder, str(at))}")


def _said(folder: Path, job: str) -> str:
    """The tool's own words: its last line that names an error, else its last line."""
    told = (folder / "errors.txt", folder / job / "errors.txt", folder / job / "report.txt")
    files = [path for path in told if path.is_file()]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no message"]
    return ([line for line in lines if "rror" in line] or lines)[-1]


def _row(job: Job, fields: dict[str, Any]) -> Row:
    counts = job.count(fields["breakdown"])
    clock = fields.pop("fmax_mhz", None)
    points = tuple(Point(*point) for point in fields.pop("points", ()))
    return Row(
        design=job.design,
        module=job.module,
        device=job.device,
        level="T2" if job.seeds else "T1",
        tools=job.tools(),
        seeds=job.seeds,
        lut=counts.lut,
        ge=counts.ge,
        ff=counts.ff,
        dsp=counts.dsp,
        bram=counts.bram,
        fmax_mhz=Spread(**clock) if clock else None,
        points=points,
        **fields,
    )
