"""The bench on the side of the hardware, `bulk.v`: many beats for one call of a simulator, none of them in Python."""

from __future__ import annotations

import os
from pathlib import Path

from hwq.sim.job import Job
from hwq.sim.tools import call, icarus_environment, make, verilator_environment

__all__ = ["BENCH", "MAIN", "icarus", "verilator"]

BENCH = "bulk.v"
MAIN = """\
#include "Vtop.h"
#include "verilated.h"

int main(int argc, char** argv) {
  VerilatedContext context;
  context.commandArgs(argc, argv);
  context.traceEverOn(true);
  Vtop top(&context);
  for (top.clk = 0; !context.gotFinish(); context.timeInc(1)) {
    top.eval();
    top.clk ^= 1;
  }
  top.final();
}
"""


def icarus(job: Job) -> Path | None:
    """Compile and run in Icarus; returns the waveform file, if any."""
    environment = icarus_environment()
    call(["iverilog", "-g2005", "-o", "sim.vvp", "-s", "bench", *job.prepare(BENCH)], job.folder, environment)
    call(["vvp", "-n", "sim.vvp", "-fst" if job.waves else "-none"], job.folder, environment)
    return job.folder / "waves.fst" if job.waves else None


def verilator(job: Job) -> Path | None:
    """Compile and run in Verilator; returns the waveform file, if any."""
    environment = verilator_environment()
    options = ["--cc", "--exe", "--prefix", "Vtop", "-o", "sim", "-Mdir", "build", "--top-module", "bench"]
    options += ["-Wno-fatal", "--x-initial", "unique", *["--trace"] * job.waves]
    (job.folder / "main.cpp").write_text(MAIN, encoding="utf-8")
    call(["verilator", *options, "main.cpp", *job.prepare(BENCH)], job.folder, environment)
    make(job.folder, [f"VM_TRACE={int(job.waves)}", "OPT_FAST=-O1", "OPT_GLOBAL=-O1"], environment)
    call([str(job.folder / "build" / "sim")], job.folder, os.environ)
    return job.folder / "waves.fst" if job.waves else None
