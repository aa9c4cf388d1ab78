"""Simulation of emitted Verilog against the emulator, by one cocotb bench for every datapath."""

from hwq.sim.run import Report, check
from hwq.sim.tools import SIMULATORS

__all__ = ["SIMULATORS", "Report", "check"]
