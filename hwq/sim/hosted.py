"""The bench on the side of Python, `bench.py`: cocotb hosts it in the simulator, beat after beat, around `hosted.v`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import find_libpython
from cocotb_tools import config

from hwq.errors import ToolError
from hwq.sim.job import Job
from hwq.sim.tools import CLEARS, LOADS, OVERLAPS, call, icarus_environment, make, verilator_environment

__all__ = ["icarus", "verilator"]

BENCH = "hwq.sim.bench"
HOST = "hosted.v"

TOP = "hosted"
SEEN = "seen.vlt"  # which signals Verilator keeps for Python: of all others it may leave none


def icarus(job: Job) -> Path | None:
    """Compile and run in Icarus; returns the waveform file, if any."""
    environment = icarus_environment()
    call(["iverilog", "-g2005", "-o", "sim.vvp", "-s", TOP, *job.prepare(HOST)], job.folder, environment)
    command = ["vvp", "-n", "-m", config.lib_entry("vpi", "icarus"), "sim.vvp", "-fst" if job.waves else "-none"]
    call(command, job.folder, _environment(job))
    return job.folder / "waves.fst" if job.waves else None


def verilator(job: Job) -> Path | None:
    """Compile and run in Verilator; returns the waveform file, if any."""
    environment = verilator_environment()
    libraries = config.libs_dir
    main = config.share_dir / "lib" / "verilator" / "verilator.cpp"
    (job.folder / SEEN).write_text(f'`verilator_config\npublic_flat_rw -module "{TOP}" -var "*"\n', encoding="utf-8")
    options = ["--cc", "--exe", "--vpi", SEEN, "-Wno-fatal", *["--trace"] * job.waves]
    options += ["--prefix", "Vtop", "-o", "sim", "-Mdir", "build", "--top-module", TOP]
    options += ["-LDFLAGS", f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator"]
    call(["verilator", *options, str(main), *job.prepare(HOST)], job.folder, environment)
    make(job.folder, [f"VM_TRACE={int(job.waves)}", "OPT_FAST=-O1"], environment)
    trusted = _environment(job) | {"COCOTB_TRUST_INERTIAL_WRITES": "1"}
    call([str(job.folder / "build" / "sim")], job.folder, trusted)
    return job.folder / "waves.fst" if job.waves else None


def _environment(job: Job) -> dict[str, str]:
    """What cocotb asks of the environment."""
    libpython = find_libpython.find_libpython()
    if libpython is None:
        raise ToolError("cocotb needs the shared library of this Python, not found; install libpython")
    return os.environ | {
        LOADS: str(job.loads),
        CLEARS: str(job.clears),
        OVERLAPS: str(job.overlaps),
        "COCOTB_TOPLEVEL": TOP,
        "COCOTB_TEST_MODULES": BENCH,
        "COCOTB_RESULTS_FILE": str(job.folder / "results.xml"),
        "COCOTB_LOG_LEVEL": "WARNING",
        "TOPLEVEL_LANG": "verilog",
        "GPI_USERS": f"{libpython};{config.pygpi_entry_point()}",
        "PYGPI_PYTHON_BIN": sys.executable,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PATH": os.pathsep.join([os.environ["PATH"], str(config.libs_dir)]),
    }
