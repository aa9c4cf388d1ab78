"""Allocation as an integer program, solved to the optimum by HiGHS."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from hwq.errors import HwqError
from hwq.ptq.allocate.problem import Floats, Places, Problem

__all__ = ["integer_program"]


def integer_program(problem: Problem) -> Places:
    """The best choice [L] (Hubara et al., arXiv 2006.10518; HAWQ-V3, arXiv 2011.10680).

    One variable of 0 or 1 says that a group of tied layers has a choice, one that any has it where something is shared,
    one that two layers are lowered both where they have a pair term.
    """
    groups, choices = problem.groups, problem.choices
    pairs = _pairs(problem)
    own = len(groups) * choices
    used = choices if problem.shared is not None else 0
    size = own + used + len(pairs)
    value = np.zeros(size)
    value[:own] = np.concatenate([problem.loss[group].sum(0) for group in groups])
    value[own + used :] = [weight for _, _, weight in pairs]
    made = milp(
        value,
        constraints=[_one_each(groups, choices, size), _budgets(problem, size), *_links(problem, pairs, size)],
        integrality=np.ones(size),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0.0},
    )
    if made.status == 2:
        raise problem.hopeless()
    if made.x is None:
        raise HwqError(f"the integer program must be solved, not end with {made.message}")
    return problem.spread(np.round(made.x[:own]).reshape(-1, choices).argmax(1).tolist())


def _one_each(groups: list[list[int]], choices: int, size: int) -> LinearConstraint:
    rows = sparse.kron(sparse.eye(len(groups)), np.ones((1, choices)), format="csr")
    return LinearConstraint(sparse.hstack([rows, sparse.csr_matrix((len(groups), size - rows.shape[1]))]), 1, 1)


def _budgets(problem: Problem, size: int) -> LinearConstraint:
    """What all choices cost, in units of the budget so that resources of different sizes are alike to the solver."""
    rows = np.zeros((len(problem.budget), size))
    costs = np.concatenate([problem.cost[group].sum(0) for group in problem.groups])
    rows[:, : len(costs)] = costs.T
    if problem.shared is not None:
        rows[:, len(costs) : len(costs) + problem.choices] = problem.shared.T
    units = np.where(problem.budget == 0, 1, np.abs(problem.budget))
    return LinearConstraint(rows / units[:, None], -np.inf, problem.budget / units * (1 + 1e-12))


def _pairs(problem: Problem) -> list[tuple[int, int, float]]:
    """(group, group, weight) of the pair terms; those within a group count wherever it is lowered."""
    if problem.pair is None:
        return []
    found = []
    for i, first in enumerate(problem.groups):
        for j, second in enumerate(problem.groups[: i + 1]):
            block: Floats = problem.pair[np.ix_(first, second)]
            weight = float(np.triu(block, 1).sum() if i == j else block.sum())
            if weight:
                found.append((i, j, weight))
    return found


def _links(problem: Problem, pairs: list[tuple[int, int, float]], size: int) -> list[LinearConstraint]:
    """A shared choice is used if a group has it; a pair is lowered if, and only if, both of its groups are."""
    groups, choices = len(problem.groups), problem.choices
    own, rows, most = groups * choices, [], []
    if problem.shared is not None:
        for choice in range(choices):  # all groups together: 0 or 1 of the choice bounds their number
            row = np.zeros(size)
            row[choice:own:choices], row[own + choice] = 1, -groups
            rows.append(row)
            most.append(0.0)
    start = size - len(pairs)
    for place, (i, j, _) in enumerate(pairs):
        both, first, second = np.zeros(size), np.zeros(size), np.zeros(size)
        first[start + place], second[start + place], both[start + place] = 1, 1, -1
        for row, at in ((first, i), (second, j)):
            row[at * choices + 1 : (at + 1) * choices] = -1
            both[at * choices + 1 : (at + 1) * choices] += 1
        if i == j:
            both /= 2
            both[start + place] = -1
        rows += [first, second, both]
        most += [0.0, 0.0, 0.0 if i == j else 1.0]
    return [LinearConstraint(np.array(rows), -np.inf, np.array(most))] if rows else []
