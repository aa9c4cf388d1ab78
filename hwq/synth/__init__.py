"""Synthesis of Verilog by Yosys, place and route by nextpnr: measured rows."""

from hwq.synth.efforts import AREA_EFFORTS, EFFORTS, Point, pareto
from hwq.synth.experiment import measure_designs
from hwq.synth.job import Job
from hwq.synth.liberty import LIBRARIES
from hwq.synth.measure import measure, measure_many
from hwq.synth.netlist import netlist
from hwq.synth.pnr import Route
from hwq.synth.row import Row, Spread
from hwq.synth.target import TARGETS

__all__ = [
    "AREA_EFFORTS",
    "EFFORTS",
    "LIBRARIES",
    "TARGETS",
    "Job",
    "Point",
    "Route",
    "Row",
    "Spread",
    "measure",
    "measure_designs",
    "measure_many",
    "netlist",
    "pareto",
]
