"""GPTQ: column after column, the columns to come make up for the error of those before."""

from __future__ import annotations

import torch
from torch import Tensor

from hwq.errors import HwqError
from hwq.ptq.weights.rows import HESSIAN, Answer, Rows, damped, given, keep_best

__all__ = ["gptq", "gptq_ordered"]

_BATCH = 128  # columns whose errors are brought to later ones together


def gptq(rows: Rows) -> Answer:
    """GPTQ (arXiv 2210.17323), columns in their own order, 1 % damping.

    What a block shares is chosen at its first column, from weights that make up for the errors before it, and then
    stays. A column whose input was never seen is rounded to nearest (the paper sets it to 0), and so is a row on which
    the greedy order ends worse than that.
    """
    return keep_best(rows, _columns(rows), rows.grid.encode(rows.weight))


def gptq_ordered(rows: Rows) -> Answer:
    """`gptq` with the columns of the largest inputs first; what a block shares is that of the weights themselves.

    Columns of a block are then solved far apart, so that it has no first one to choose at (GPTQ's static groups).
    """
    moment = given(rows.hessian, HESSIAN)
    order = moment.diagonal(dim1=-2, dim2=-1).argsort(-1, descending=True)
    columns = order.unsqueeze(-2).expand(rows.weight.shape)
    square = moment.gather(-2, order.unsqueeze(-1).expand(moment.shape))
    square = square.gather(-1, order.unsqueeze(-2).expand(moment.shape))
    shared = rows.grid.shared(rows.weight)
    solved = _columns(Rows(rows.weight.gather(-1, columns), rows.grid, square), shared.gather(-1, columns))
    codes = torch.empty_like(solved).scatter_(-1, columns, solved)
    return keep_best(rows, codes, rows.grid.encode_under(rows.weight, shared))


def _columns(rows: Rows, fixed: Tensor | None = None) -> Tensor:
    """GPTQ's codes; `fixed` [..., R, K] is what each weight shares with its block, unless that waits for its turn."""
    moment, grid = given(rows.hessian, HESSIAN), rows.grid
    left, upper = rows.weight.to(moment.dtype, copy=True), _upper(moment)
    codes, points, width = torch.empty_like(grid.encode(rows.weight)), torch.empty_like(left), left.shape[-1]
    alone = grid.block == 1  # nothing is shared: points are found at once, and their codes of all at the end
    step = max(1, _BATCH // grid.block) * grid.block  # whole blocks: their weights must be up to date
    for start in range(0, width, step):
        stop = min(start + step, width)
        errors = torch.zeros_like(left[..., start:stop])
        for i in range(start, stop):
            if alone:
                points[..., i] = grid.quantize(left[..., i])
            else:
                if fixed is None and i % grid.block == 0:
                    chosen = grid.shared(left[..., i : i + grid.block])[..., 0]
                codes[..., i] = grid.encode_under(left[..., i], chosen if fixed is None else fixed[..., i])
                points[..., i] = grid.decode(codes[..., i])
            error = (left[..., i] - points[..., i]) / upper[..., i, i].unsqueeze(-1)
            left[..., i:stop] -= error.unsqueeze(-1) * upper[..., i, i:stop].unsqueeze(-2)
            errors[..., i - start] = error
        left[..., stop:] -= errors @ upper[..., start:stop, stop:]
    return grid.encode(points) if alone else codes


def _upper(hessian: Tensor) -> Tensor:
    """The upper Cholesky factor of the inverse of the damped Hessian."""
    lower, failed = torch.linalg.cholesky_ex(damped(hessian))
    inverse = torch.cholesky_inverse(lower)
    upper, failed_again = torch.linalg.cholesky_ex(inverse, upper=True)
    if bool(failed.any()) or bool(failed_again.any()):
        raise HwqError("inputs of a layer must vary for GPTQ, not give a singular Hessian; calibrate on more images")
    return torch.as_tensor(upper)
