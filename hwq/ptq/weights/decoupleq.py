"""decoupleQ: integers and scales of a layer in turn, each exactly best for the other or nearly so."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from hwq.ptq.weights.gptq import gptq_ordered
from hwq.ptq.weights.rows import HESSIAN, Answer, Rows, given

__all__ = ["best_gain", "decoupleq", "descend"]

_TURNS = 4


def decoupleq(rows: Rows) -> Answer:
    """decoupleQ (arXiv 2404.12759), symmetric: codes and the gain of each row (of all, for rows of `one_gain`).

    Four turns: codes by GPTQ with the largest inputs first, improved by one sweep of coordinate descent; then the gain
    of least error, W H q / (q H q). The best turn of a row is kept, among them its nearest codes. The published second
    unknown, a zero point a row, does not exist: our formats have none.
    """
    best = _with_gain(rows, rows.grid.encode(rows.weight), rows.weight.new_ones(rows.weight.shape[:-1]))
    least, gain = _loss(rows, best), best.gain
    for _ in range(_TURNS):
        assert gain is not None
        scaled = replace(rows, weight=rows.weight / gain.unsqueeze(-1))
        made = _with_gain(rows, descend(scaled, gptq_ordered(scaled).codes), gain)
        loss, gain = _loss(rows, made), made.gain
        assert best.gain is not None and gain is not None
        less = loss < least
        best = Answer(torch.where(less.unsqueeze(-1), made.codes, best.codes), torch.where(less, gain, best.gain))
        least = torch.minimum(loss, least)
    return best


def descend(rows: Rows, codes: Tensor) -> Tensor:
    """One sweep of coordinate descent: each column's codes to the best ones while the others stay.

    The error is a parabola in one weight, so that its best point is the one nearest to the parabola's foot; it never
    grows. What a block shares is that of the weights themselves.
    """
    moment, grid, shared = given(rows.hessian, HESSIAN), rows.grid, rows.grid.shared(rows.weight)
    codes = codes.clone()
    error = rows.weight.to(moment.dtype) - grid.decode(codes)
    curve = moment.diagonal(dim1=-2, dim2=-1).unsqueeze(-2)
    for k in range(codes.shape[-1]):
        slope = (error @ moment[..., :, k].unsqueeze(-1)).squeeze(-1)
        now = grid.decode(codes[..., k])
        foot = torch.where(curve[..., k] > 0, now + slope / curve[..., k], now.to(moment.dtype))
        codes[..., k] = grid.encode_under(foot, shared[..., k])
        error[..., k] += now - grid.decode(codes[..., k])
    return codes


def best_gain(rows: Rows, values: Tensor, before: Tensor) -> Tensor:
    """The gain [..., R] at which `values` have the least error; `before` where there is no positive one."""
    moment = given(rows.hessian, HESSIAN)
    response = values.to(moment.dtype) @ moment
    wanted, own = ((x * response).sum(-1) for x in (rows.weight, values))
    if rows.one_gain:
        wanted, own = wanted.sum().expand_as(wanted), own.sum().expand_as(own)
    found = wanted / torch.where(own > 0, own, torch.ones_like(own))
    return torch.where((own > 0) & (found > 0), found, before)


def _with_gain(rows: Rows, codes: Tensor, before: Tensor) -> Answer:
    return Answer(codes, best_gain(rows, rows.grid.decode(codes), before))


def _loss(rows: Rows, answer: Answer) -> Tensor:
    """The error by which an answer is kept [..., R]: that of all rows together where they share a gain."""
    loss = rows.loss(answer.values(rows.grid))
    return loss.sum().expand_as(loss) if rows.one_gain else loss
