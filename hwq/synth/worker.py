"""The worker process: one batch of modules through one Yosys design. Run as `python -m hwq.synth.worker FOLDER`.

The folder holds batch.json and the sources; each finished job is one JSON line on standard output. Yosys writes to C's
standard output and ends the process on an error, hence a process of its own with file descriptor 1 moved away.
"""

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from pyosys import libyosys

from hwq.synth.pnr import place_and_route
from hwq.synth.target import GENLIB, Target, genlib, target

__all__ = ["main"]


class Yosys:
    """One Yosys design in the current folder, driven one command at a time."""

    def __init__(self) -> None:
        self.design = libyosys.Design()

    def run(self, *commands: str) -> None:
        """Run commands; an error ends the process, its message on standard error."""
        for command in commands:
            libyosys.run_pass(command, self.design)

    def caught(self, command: str) -> str:
        """The text that a reporting command prints."""
        self.run(f"tee -q -o report.txt {command}")
        return Path("report.txt").read_text(encoding="utf-8")


def _prepare(yosys: Yosys, sources: list[str], module: str, name: str) -> None:
    """Read one design, make `module` its flat top, and put it aside under a neutral name."""
    yosys.run("design -reset", *(f"read_verilog {source}" for source in sources))
    yosys.run(f"hierarchy -top {module}", "proc", "flatten", "opt_clean", f"rename {module} {name}")
    # With a top marked, `hierarchy` would drop every other module of the batch.
    yosys.run(f"setattr -mod -unset top {name}", f"design -stash {name}")


def _map(yosys: Yosys, flow: Target, jobs: list[dict[str, Any]]) -> None:
    """Map the whole batch in one pass; the neutral names keep the composition fixed."""
    for job in jobs:
        _prepare(yosys, job["sources"], job["module"], job["name"])
    yosys.run("design -reset", *flow.libraries)
    yosys.run(*(f"design -copy-from {job['name']} -as {job['name']} {job['name']}" for job in jobs))
    yosys.run("hierarchy -check", "check -assert", "scratchpad -set abc9.verify false", *flow.passes)
    yosys.run("delete t:$scopeinfo")  # left by flatten; the placer refuses them


def _logic_ns(yosys: Yosys) -> float | None:
    """Longest register-to-register or port path of the selected module in ns, without routing."""
    found = re.search(r"Latest arrival time in '.*' is (\d+)", yosys.caught("sta"))
    return int(found.group(1)) / 1000 if found else None


def _measure(yosys: Yosys, flow: Target, job: dict[str, Any], cells: Mapping[str, int]) -> dict[str, Any]:
    """The fields of one job's row that this process knows."""
    yosys.run(f"select {job['name']}")
    row: dict[str, Any] = {"job": job["job"], "breakdown": dict(sorted(cells.items()))}
    if flow.timed:
        row["logic_ns"] = _logic_ns(yosys)
    if job["netlist"]:
        yosys.run(f"write_verilog -selected -noattr {job['name']}_netlist.v")
    if job["seeds"]:
        yosys.run(f"write_json -selected {job['name']}.json")
        row |= place_and_route(f"{job['name']}.json", job["name"], job["seeds"])
    yosys.run("select -clear")
    return row


def _serve(batch: dict[str, Any], lines: TextIO) -> None:
    start = time.monotonic()
    flow, jobs, yosys = target(batch["device"]), batch["jobs"], Yosys()
    if GENLIB in " ".join(flow.passes):
        shutil.copyfile(genlib(), GENLIB)
    _map(yosys, flow, jobs)
    modules = json.loads(yosys.caught("stat -json"))["modules"]
    shared = (time.monotonic() - start) / len(jobs)
    for job in jobs:
        begun = time.monotonic()
        row = _measure(yosys, flow, job, modules["\\" + job["name"]].get("num_cells_by_type", {}))
        row["seconds"] = round(shared + time.monotonic() - begun, 3)
        print(json.dumps(row), file=lines, flush=True)


def main(folder: str) -> None:
    """Serve the batch in `folder`; rows go to the standard output this process was started with."""
    os.chdir(folder)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as lines, open(os.devnull, "wb") as sink:
        os.dup2(sink.fileno(), 1)
        _serve(json.loads(Path("batch.json").read_text(encoding="utf-8")), lines)


if __name__ == "__main__":
    main(sys.argv[1])
