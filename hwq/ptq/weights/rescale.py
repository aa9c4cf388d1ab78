"""The scale of a row, chosen by what its solver makes of it rather than by what rounding would."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from hwq.ptq.weights.rows import HESSIAN, Answer, Rows, Solver

__all__ = ["rescaled"]

_GAINS = tuple(2 ** (step / 16) for step in range(-6, 5))  # of the scale of least rounding error


def rescaled(solver: Solver) -> Solver:
    """`solver` at eleven scales from 0.77 to 1.19 of the given one, of which each row keeps that of least error.

    The scale at which rounded weights err least is not the one at which a solver's products do. Rows do not see one
    another, so that all scales are solved at once. Where rows share a scale they keep the best one for all.
    """

    def solve(rows: Rows) -> Answer:
        count = rows.weight.shape[-2]
        stacked = torch.cat([rows.weight / gain for gain in _GAINS], -2)
        answer = solver(replace(rows, weight=stacked))
        gains = torch.tensor(_GAINS, dtype=rows.weight.dtype).repeat_interleave(count).expand(stacked.shape[:-1])
        gains = gains if answer.gain is None else gains * answer.gain
        values = rows.grid.decode(answer.codes) * gains.unsqueeze(-1)
        original = replace(rows, weight=torch.cat([rows.weight] * len(_GAINS), -2))
        loss = _by_gain(original.loss(values), -1)
        best = (loss.sum(-1, keepdim=True).expand_as(loss) if rows.one_gain else loss).argmin(-2, keepdim=True)
        codes = _by_gain(answer.codes, -2)
        codes = codes.gather(-3, best.unsqueeze(-1).expand(*best.shape, codes.shape[-1])).squeeze(-3)
        return Answer(codes, _by_gain(gains, -1).gather(-2, best).squeeze(-2))

    return Solver(solve, solver.needs | {HESSIAN})


def _by_gain(x: Tensor, axis: int) -> Tensor:
    """The stacked rows along `axis` as [..., gain, R, ...]."""
    split: Tensor = x.unflatten(axis, (len(_GAINS), -1))  # type: ignore[no-untyped-call]
    return split
