"""Allocation: which of several formats each layer gets, under budgets."""

from hwq.ptq.allocate.bisect import bisected, ordered
from hwq.ptq.allocate.problem import Problem
from hwq.ptq.allocate.program import integer_program
from hwq.ptq.allocate.search import brute_force, greedy
from hwq.ptq.allocate.sensitivity import measured
from hwq.ptq.allocate.trace import hessian_traces, traced

__all__ = [
    "Problem",
    "bisected",
    "brute_force",
    "greedy",
    "hessian_traces",
    "integer_program",
    "measured",
    "ordered",
    "traced",
]
