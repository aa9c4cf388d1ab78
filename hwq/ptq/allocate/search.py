"""Allocation by trying: all choices, or one step down after the other."""

from __future__ import annotations

import itertools

import numpy as np

from hwq.errors import HwqError
from hwq.ptq.allocate.problem import Floats, Places, Problem

__all__ = ["brute_force", "greedy"]

_MOST = 1 << 20


def brute_force(problem: Problem) -> Places:
    """The best choice [L] of all K**G for G groups of tied layers, at most 2**20 of them; of equals the first."""
    count = problem.choices ** len(problem.groups)
    if count > _MOST:
        raise HwqError(f"brute force must have at most {_MOST} cases to try, not {count}; use integer_program")
    best, least = None, np.inf
    for chosen in itertools.product(range(problem.choices), repeat=len(problem.groups)):
        spread = problem.spread(chosen)
        if problem.fits(spread) and (loss := problem.objective(spread)) < least:
            best, least = spread, loss
    if best is None:
        raise problem.hopeless()
    return best


def greedy(problem: Problem) -> Places:
    """Start where nothing is lost, and take the step that loses least for what it saves until all budgets hold.

    That is the rule of MPTQ-ViT (arXiv 2401.14895). Steps go along the lower convex hull of each group's loss over its
    cost, summed over resources in units of the dearest choice, so that the way down is the same for every budget and a
    larger one never ends worse. Pair terms and shared costs are looked at only to tell whether the budgets hold.
    """
    weights = 1 / np.maximum(problem.cost.max(axis=(0, 1)), np.finfo(np.float64).tiny)
    ways = []
    for group in problem.groups:
        cost, loss = (problem.cost[group].sum(0) * weights).sum(-1), problem.loss[group].sum(0)
        ways.append(_hull(cost, loss))
    steps = sorted(
        (slope, place, choice) for place, (_, way) in enumerate(ways) for slope, choice in way
    )  # slopes grow along each hull, so that this order keeps each group's own
    chosen = [start for start, _ in ways]
    for step in (None, *steps):
        if step is not None:
            chosen[step[1]] = step[2]
        if problem.fits(problem.spread(chosen)):
            return problem.spread(chosen)
    raise problem.hopeless()


def _hull(cost: Floats, loss: Floats) -> tuple[int, list[tuple[float, int]]]:
    """The choice of least loss, and the (loss added per cost saved, choice) of each step down the lower convex hull."""
    at = min(range(len(cost)), key=lambda k: (loss[k], cost[k]))
    start, steps = at, list[tuple[float, int]]()
    while True:
        cheaper = [k for k in range(len(cost)) if cost[k] < cost[at]]
        if not cheaper:
            return start, steps
        slopes = [(float((loss[k] - loss[at]) / (cost[at] - cost[k])), float(cost[k]), k) for k in cheaper]
        slope, _, at = min(slopes)
        steps.append((slope, at))
