"""The worker process: jobs of one device, each in a child of its own. Run as `python -m hwq.synth.worker FOLDER`.

The cell libraries are read once; every job then maps its module in a fork of that state, so that its counts are a
function of its Verilog alone: in one design with others, names and their order would decide ties in the mapper.

The folder holds jobs.json and a folder of sources for each job; each finished job is one JSON line on standard output.
Yosys writes to C's standard output and ends the process on an error, hence file descriptor 1 moved away.
"""

import json
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from pyosys import libyosys

from hwq.synth.efforts import EFFORTS, Point
from hwq.synth.pnr import Route, place_and_route
from hwq.synth.target import GENLIB, Target, genlib, target

__all__ = ["main"]

NAME = "m"  # of every module, so that its own name decides nothing


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

    def has(self, pattern: str) -> bool:
        """True if a cell matches."""
        return bool(self.caught(f"select -list {pattern}").strip())


def _prepare(yosys: Yosys, flow: Target, job: dict[str, Any]) -> None:
    """Make the job's module the flat top under a neutral name, ready to be mapped."""
    yosys.run(*(f"read_verilog {source}" for source in job["sources"]))
    yosys.run(f"hierarchy -check -top {job['module']}", f"rename {job['module']} {NAME}")
    yosys.run("proc", "flatten", "opt_clean", "check -assert", "scratchpad -set abc9.verify false", *flow.passes)
    yosys.run(*(flow.memories if yosys.has("t:$mem*") else ()), "delete t:$scopeinfo", "design -save flat")


def _logic_ns(yosys: Yosys) -> float | None:
    """Longest register-to-register or port path in ns, without routing."""
    found = re.search(r"Latest arrival time in '.*' is (\d+)", yosys.caught("sta"))
    return int(found.group(1)) / 1000 if found else None


def _statistics(yosys: Yosys, options: str = "") -> dict[str, Any]:
    """Cells of the mapped module, and their area where `options` name libraries."""
    found: dict[str, Any] = json.loads(yosys.caught(f"stat -json {options}"))["modules"][f"\\{NAME}"]
    return found


def _saved(effort: str) -> str:
    """The name of a design that an effort left: one word."""
    return effort.replace(" ", "_")


def _smallest(yosys: Yosys, liberty: str, job: dict[str, Any]) -> dict[str, Any]:
    """Map the logic with every effort; the design becomes the smallest result. Fields of the row."""
    yosys.run("design -save registers")
    gates = " ".join(f"-liberty {name}" for name in job["gates"])
    points = []
    for effort in job["efforts"]:
        yosys.run("design -load registers")
        script = f"{EFFORTS[effort]}; topo; stime -p".replace("; ", ";").replace(" ", ",")
        said = yosys.caught(f"abc {gates} -script +{script}")
        found = re.findall(r"Delay =\s*([\d.]+) ps", re.sub(r"\x1b\[[\d;]*m", "", said))
        yosys.run("opt_clean", f"design -save {_saved(effort)}")
        points.append(Point(effort, round(_statistics(yosys, liberty)["area"], 4), float(found[-1]) if found else 0.0))
    best = min(points, key=lambda point: point.area_um2)
    yosys.run(f"design -load {_saved(best.effort)}")
    return {"points": points, "area_um2": best.area_um2, "logic_ns": round(best.delay_ps / 1000, 5)}


def _measure(yosys: Yosys, flow: Target, job: dict[str, Any]) -> dict[str, Any]:
    """The fields of a job's row that this process knows."""
    start = time.monotonic()
    os.chdir(job["job"])
    if GENLIB in " ".join(flow.mapping):
        shutil.copyfile(genlib(), GENLIB)
    _prepare(yosys, flow, job)
    liberty = " ".join(f"-liberty {name}" for name in job["liberty"])
    yosys.run(*(one.format(liberty=liberty) for one in flow.mapping))
    row: dict[str, Any] = {"job": job["job"]}
    if flow.liberty:
        row |= _smallest(yosys, liberty, job)
    row["breakdown"] = dict(sorted(_statistics(yosys).get("num_cells_by_type", {}).items()))
    if flow.timed:
        row["logic_ns"] = _logic_ns(yosys)
    if job["netlist"]:
        yosys.run(f"rename {NAME} {job['module']}")
        yosys.run(*(f"read_liberty -overwrite -ignore_miss_func {name}" for name in job["liberty"]))
        yosys.run(f"hierarchy -top {job['module']}", f"write_verilog -selected -noattr {job['netlist']}")
    if job["seeds"]:
        route = Route(**job["route"])
        mapping = flow.fast if route.wide else flow.mapping
        yosys.run("design -load flat", *mapping, f"write_json -selected {NAME}.json")
        row |= place_and_route(f"{NAME}.json", NAME, job["seeds"], route)
    return row | {"seconds": round(time.monotonic() - start, 3)}


def _alone(yosys: Yosys, flow: Target, job: dict[str, Any], lines: TextIO) -> None:
    """One job in a child process; what it says when it fails is in errors.txt of its folder."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    with open(f"{job['job']}/errors.txt", "wb") as errors:
        os.dup2(errors.fileno(), 2)
    print(json.dumps(_measure(yosys, flow, job)), file=lines, flush=True)
    os._exit(0)


def _serve(batch: dict[str, Any], lines: TextIO) -> None:
    asked_by = os.getppid()
    flow, yosys = target(batch["device"]), Yosys()
    yosys.run(*flow.libraries)
    for job in batch["jobs"]:
        if os.getppid() != asked_by:
            return  # killed: nobody reads on
        _alone(yosys, flow, job, lines)


def main(folder: str) -> None:
    """Serve the jobs in `folder`; rows go to the standard output this process was started with."""
    os.chdir(folder)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as lines, open(os.devnull, "wb") as sink:
        os.dup2(sink.fileno(), 1)
        _serve(json.loads(Path("jobs.json").read_text(encoding="utf-8")), lines)


if __name__ == "__main__":
    main(sys.argv[1])
