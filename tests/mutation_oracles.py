"""What shows a fault: simulation against the emulator, lint, size, and a proof that there is none to show."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
from functools import partial
from pathlib import Path

from sequential import same_machine

from hwq.datapath import Datapath
from hwq.errors import HwqError
from hwq.rtl import Manifest
from hwq.sim.tools import verilator_environment

__all__ = ["declared", "limit", "linted", "same", "shown", "simulated", "simulated_long"]

TILES, MORE_TILES = 40, 200  # of a run that most faults do not survive, and of one for those that did
SECONDS, LONG_SECONDS = 10, 40  # of a processor's time for any one process: what needs more hangs
PAIR_BITS = 16  # of both operands, where every pair of codes is a run of half a minute


def limit(seconds: int = SECONDS) -> None:
    """Processor time of each program that is called from here on; what needs more hangs."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def simulated(dp: Datapath, folder: Path, vectors: int = TILES, seed: int = 0, whole: bool = False) -> str:
    """How the simulation of a folder against the emulator shows a fault; nothing if it passes."""
    from hwq.sim import check

    limit(2 * LONG_SECONDS if whole or vectors > TILES else SECONDS)
    try:
        report = check(dp, folder=folder, bench="bulk", exhaustive=whole, vectors=vectors, seed=seed)
    except HwqError as error:
        tool = str(error).split()[0]
        return {"iverilog": "compile error", "vvp": "hang", "the": "hang"}.get(tool, "refused")
    except ValueError:  # results of another width
        return "mismatch"
    if report.passed:
        return ""
    if report.first_mismatch and report.first_mismatch["got"] is None:
        return "hang"
    return "mismatch" if report.mismatches else "cycles"


def shown(dp: Datapath, good: Path, folder: Path) -> str:
    """The same; a fault is shown only where the design without it passes."""
    found = simulated(dp, folder)
    assert not found or not simulated(dp, good), f"{dp} must pass before it is given faults"
    return found


def simulated_long(dp: Datapath, folder: Path) -> str:
    """The same with many tiles, and with every pair of codes where those are few."""
    if found := simulated(dp, folder, MORE_TILES, 1):
        return f"{found}, long run"
    small = (dp.array.rows, dp.array.cols) == (1, 1) and dp.mac.a.bits + dp.mac.w.bits <= PAIR_BITS
    found = simulated(dp, folder, whole=True) if small else ""
    return f"{found}, all pairs" if found else ""


def called(command: list[str], folder: Path, seconds: int = SECONDS) -> str:
    """What a tool says, whether or not it succeeds or ends in time."""
    environment = verilator_environment()
    path = shutil.which(command[0], path=environment["PATH"])
    assert path is not None, command
    limit(seconds)
    command = [path, *command[1:]]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def linted(folder: Path) -> str:
    """What Verilator has to say, with every warning that is an error in tests/test_rtl.py; fewer beside models."""
    manifest = Manifest.load(folder)
    models = [str(path) for path in sorted(folder.glob("models/*.v"))]
    every = [] if models else ["-Wall", "-Wno-UNUSEDSIGNAL"]
    command = ["verilator", "--quiet", "--lint-only", *every, "--top-module", manifest.top, *manifest.files, *models]
    return "lint" if called(command, folder) else ""


def same(good: Path, folder: Path) -> bool:
    """Whether the two are proved to be one machine."""
    return same_machine(good, folder, partial(called, folder=folder, seconds=LONG_SECONDS))


def declared(folder: Path) -> int:
    """Bits of the wires, registers and tables of a folder's modules, each module once."""
    texts = (path.read_text("utf-8") for path in folder.glob("*.v"))
    found = [m for text in texts for m in re.finditer(r"^ .*?\b(?:wire|reg|localparam) (?:\[(\d+):0\] )?", text, re.M)]
    return sum(int(m[1] or 0) + 1 for m in found)
