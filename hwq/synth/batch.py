"""One worker process and its folder: sources in, rows out, an error in one line."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hwq.errors import ToolError
from hwq.synth.job import Job
from hwq.synth.row import Row, Spread
from hwq.synth.target import target
from hwq.synth.tools import python, require

__all__ = ["run_batch", "run_netlist"]


def run_batch(jobs: Sequence[Job], finished: Callable[[Job, Row], None]) -> None:
    """Measure jobs of one device in one Yosys design, calling back for each; ToolError if one of them fails."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        entries = [_entry(folder, index, job, f"m{index:04}") for index, job in enumerate(jobs)]
        _work(folder, jobs, entries, lambda fields: _report(jobs, fields, finished))


def run_netlist(job: Job, to: Path) -> None:
    """Write a job's synthesised netlist, under its own module name, to a file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _work(folder, [job], [_entry(folder, 0, job, job.module) | {"netlist": True}], lambda fields: None)
        shutil.copyfile(folder / f"{job.module}_netlist.v", to)


def _entry(folder: Path, index: int, job: Job, name: str) -> dict[str, Any]:
    """One job of batch.json; its sources are copied, as Yosys and the placer take relative names without spaces."""
    sources = [f"s{index}_{position}.v" for position in range(len(job.files))]
    for source, path in zip(sources, job.files, strict=True):
        shutil.copyfile(path, folder / source)
    return {
        "job": index,
        "name": name,
        "module": job.module,
        "sources": sources,
        "seeds": job.seeds,
        "netlist": False,
    }


def _work(
    folder: Path, jobs: Sequence[Job], entries: list[dict[str, Any]], row: Callable[[dict[str, Any]], None]
) -> None:
    require("pyosys")
    batch = {"device": jobs[0].device, "jobs": entries}
    (folder / "batch.json").write_text(json.dumps(batch), encoding="utf-8")
    with (folder / "errors.txt").open("w", encoding="utf-8") as errors:
        command = [python(), "-m", "hwq.synth.worker", str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
            try:
                for line in process.stdout or ():
                    row(json.loads(line))
            except BaseException:
                process.kill()
                raise
    if process.returncode:
        names = ", ".join(job.module for job in jobs)
        raise ToolError(f"synthesis of {names} must succeed, not end with: {_said(folder / 'errors.txt')}")


def _said(errors: Path) -> str:
    """The tool's own words: its last line that names an error, else its last line."""
    lines = [line.strip() for line in errors.read_text(encoding="utf-8").splitlines() if line.strip()] or ["no message"]
    return ([line for line in lines if "rror" in line] or lines)[-1]


def _report(jobs: Sequence[Job], fields: dict[str, Any], finished: Callable[[Job, Row], None]) -> None:
    job = jobs[fields.pop("job")]
    counts = target(job.device).count(fields["breakdown"])
    clock = fields.pop("fmax_mhz", None)
    finished(
        job,
        Row(
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
            **fields,
        ),
    )
