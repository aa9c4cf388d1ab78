"""Allocation: which of several formats each layer gets, under budgets."""

from hwq.ptq.allocate.bisect import bisected, ordered
from hwq.ptq.allocate.problem import Problem
from hwq.ptq.allocate.program import integer_program
from hwq.ptq.allocate.search import brute_force, greedy
from hwq.ptq.allocate.sensitivity import divergence, measured, measured_pairs
from hwq.ptq.allocate.share_out import ALLOCATIONS, Bisect, Budgeted
from hwq.ptq.allocate.trace import hessian_traces, traced

__all__ = [
    "ALLOCATIONS",
    "Bisect",
    "Budgeted",
    "Problem",
    "bisected",
    "brute_force",
    "divergence",
    "greedy",
    "hessian_traces",
    "integer_program",
    "measured",
    "measured_pairs",
    "ordered",
    "traced",
]
