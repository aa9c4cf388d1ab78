"""Weight solvers: which grid point each weight becomes. They see the grid only as a function that rounds to it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hwq.errors import HwqError

__all__ = ["SOLVERS", "Round", "Solver", "gptq", "hessian", "proxy_loss", "rtn"]

Round = Callable[[Tensor], Tensor]
Solver = Callable[[Tensor, Tensor, Round], Tensor]

_DAMPING = 0.01
_BLOCK = 128


def rtn(weight: Tensor, hessian: Tensor, round_to: Round) -> Tensor:
    """Every weight [..., R, K] to its nearest grid point; `hessian` is not looked at."""
    return round_to(weight)


def gptq(weight: Tensor, hessian: Tensor, round_to: Round) -> Tensor:
    """GPTQ (arXiv 2210.17323), columns in their own order, 1 % damping.

    Weights [..., R, K] in grid units become grid points; `hessian` [..., K, K] is the second moment of the inputs, and
    leading axes are groups. A column whose input was never seen is rounded to nearest (the paper sets it to 0), and so
    is a row on which the greedy order ends worse than that.
    """
    return _gptq(weight, hessian, round_to)


def gptq_ordered(weight: Tensor, hessian: Tensor, round_to: Round) -> Tensor:
    """`gptq` with the columns of the largest inputs first."""
    order = hessian.diagonal(dim1=-2, dim2=-1).argsort(-1, descending=True)
    columns = order.unsqueeze(-2).expand(weight.shape)
    square = hessian.gather(-2, order.unsqueeze(-1).expand(hessian.shape))
    square = square.gather(-1, order.unsqueeze(-2).expand(hessian.shape))
    solved = _gptq(weight.gather(-1, columns), square, round_to)
    return torch.empty_like(solved).scatter_(-1, columns, solved)


SOLVERS: dict[str, Solver] = {"gptq": gptq, "gptq-ordered": gptq_ordered, "rtn": rtn}


def hessian(rows: Tensor) -> Tensor:
    """The second moment [..., K, K] of input rows [..., T, K]."""
    if rows.shape[-2] == 0:
        raise HwqError("a Hessian needs 1 input row or more, not 0")
    return (rows.mT @ rows).double() * (2 / rows.shape[-2])


def proxy_loss(weight: Tensor, solved: Tensor, hessian: Tensor) -> Tensor:
    """The squared output error [..., R] that `solved` has on the inputs behind `hessian`."""
    error = (weight - solved).to(hessian.dtype)
    return ((error @ hessian) * error).sum(-1)


def _gptq(weight: Tensor, hessian: Tensor, round_to: Round) -> Tensor:
    left, upper = weight.to(hessian.dtype, copy=True), _upper(hessian)
    solved = torch.zeros_like(left)
    width = weight.shape[-1]
    for start in range(0, width, _BLOCK):
        stop = min(start + _BLOCK, width)
        errors = torch.zeros_like(left[..., start:stop])
        for i in range(start, stop):
            q = round_to(left[..., i])
            error = (left[..., i] - q) / upper[..., i, i].unsqueeze(-1)
            left[..., i:stop] -= error.unsqueeze(-1) * upper[..., i, i:stop].unsqueeze(-2)
            solved[..., i], errors[..., i - start] = q, error
        left[..., stop:] -= errors @ upper[..., start:stop, stop:]
    solved, nearest = solved.to(weight.dtype), round_to(weight)
    worse = proxy_loss(weight, solved, hessian) > proxy_loss(weight, nearest, hessian)
    return torch.where(worse.unsqueeze(-1), nearest, solved)


def _upper(hessian: Tensor) -> Tensor:
    """The upper Cholesky factor of the inverse of the damped Hessian; an input never seen counts as 1."""
    diagonal = hessian.diagonal(dim1=-2, dim2=-1)
    extra = _DAMPING * diagonal.mean(-1, keepdim=True) + (diagonal == 0)
    lower, failed = torch.linalg.cholesky_ex(hessian + torch.diag_embed(extra))
    inverse = torch.cholesky_inverse(lower)
    upper, failed_again = torch.linalg.cholesky_ex(inverse, upper=True)
    if bool(failed.any()) or bool(failed_again.any()):
        raise HwqError("inputs of a layer must vary for GPTQ, not give a singular Hessian; calibrate on more images")
    return torch.as_tensor(upper)
