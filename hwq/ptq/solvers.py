"""Weight solvers: which code each weight gets. They know of a format what `Grid` says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from hwq.errors import HwqError

__all__ = ["SOLVERS", "Grid", "Round", "Solver", "gptq", "hessian", "proxy_loss", "rtn"]

_DAMPING = 0.01
_BATCH = 128  # columns whose errors are brought to later ones together


class Grid(Protocol):
    """Where weights may go, as a `Format` says it: `block` numbers, consecutive along the last axis, may share a scale.

    `encode` chooses what the numbers [..., K] of each block share and rounds them; `shared` is that choice,
    `encode_under` the rounding of numbers by themselves when it has been made. `decode` says what codes stand for.
    """

    @property
    def block(self) -> int: ...
    def encode(self, x: Any) -> Any: ...
    def shared(self, x: Any) -> Any: ...
    def encode_under(self, x: Any, shared: Any) -> Any: ...
    def decode(self, codes: Any) -> Any: ...


Round = Callable[[Tensor], Tensor]
Solver = Callable[[Tensor, Tensor, Grid | Round], Tensor]


def rtn(weight: Tensor, hessian: Tensor, grid: Grid | Round) -> Tensor:
    """Every weight [..., R, K] to its nearest grid point; `hessian` is not looked at."""
    codes: Tensor = _grid(grid).encode(weight)
    return codes


def gptq(weight: Tensor, hessian: Tensor, grid: Grid | Round) -> Tensor:
    """GPTQ (arXiv 2210.17323), columns in their own order, 1 % damping.

    Weights [..., R, K] in grid units become codes of `grid`, or points of a function that rounds; `hessian`
    [..., K, K] is the second moment of the inputs, and leading axes are groups. What a block shares is chosen at its
    first column, from weights that make up for the errors before it, and then stays. A column whose input was never
    seen is rounded to nearest (the paper sets it to 0), and so is a row on which the greedy order ends worse than that.
    """
    return _gptq(weight, hessian, _grid(grid))


def gptq_ordered(weight: Tensor, hessian: Tensor, grid: Grid | Round) -> Tensor:
    """`gptq` with the columns of the largest inputs first; what a block shares is that of the weights themselves.

    Columns of a block are then solved far apart, so that it has no first one to choose at (GPTQ's static groups).
    """
    grid = _grid(grid)
    order = hessian.diagonal(dim1=-2, dim2=-1).argsort(-1, descending=True)
    columns = order.unsqueeze(-2).expand(weight.shape)
    square = hessian.gather(-2, order.unsqueeze(-1).expand(hessian.shape))
    square = square.gather(-1, order.unsqueeze(-2).expand(hessian.shape))
    shared = grid.shared(weight).gather(-1, columns)
    solved = _gptq(weight.gather(-1, columns), square, grid, shared)
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


@dataclass(frozen=True)
class _Points:
    """A function that rounds numbers one by one, as a grid whose points are their own codes."""

    encode: Round
    block: int = 1

    def shared(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def encode_under(self, x: Tensor, shared: Tensor) -> Tensor:
        return self.encode(x)

    def decode(self, codes: Tensor) -> Tensor:
        return codes


def _grid(given: Grid | Round) -> Grid:
    return _Points(given) if callable(given) else given


def _gptq(weight: Tensor, hessian: Tensor, grid: Grid, given: Tensor | None = None) -> Tensor:
    """`gptq`; `given` [..., R, K] is what each weight shares with its block, where that does not wait for its turn."""
    left, upper = weight.to(hessian.dtype, copy=True), _upper(hessian)
    nearest = grid.encode(weight) if given is None else grid.encode_under(weight, given)
    codes, width = torch.empty_like(nearest), weight.shape[-1]
    step = max(1, _BATCH // grid.block) * grid.block  # whole blocks: their weights must be up to date
    for start in range(0, width, step):
        stop = min(start + step, width)
        errors = torch.zeros_like(left[..., start:stop])
        for i in range(start, stop):
            if given is None and i % grid.block == 0:
                chosen = grid.shared(left[..., i : i + grid.block])[..., 0]
            codes[..., i] = grid.encode_under(left[..., i], chosen if given is None else given[..., i])
            error = (left[..., i] - grid.decode(codes[..., i])) / upper[..., i, i].unsqueeze(-1)
            left[..., i:stop] -= error.unsqueeze(-1) * upper[..., i, i:stop].unsqueeze(-2)
            errors[..., i - start] = error
        left[..., stop:] -= errors @ upper[..., start:stop, stop:]
    return _better(weight, hessian, grid, codes, nearest)


def _better(weight: Tensor, hessian: Tensor, grid: Grid, codes: Tensor, nearest: Tensor) -> Tensor:
    """Rows of `codes` [..., R, K], but for those that are worse than the `nearest` ones."""
    solved, rounded = (proxy_loss(weight, grid.decode(found), hessian) for found in (codes, nearest))
    return torch.where((solved > rounded).unsqueeze(-1), nearest, codes)


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
