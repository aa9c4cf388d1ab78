"""What every weight solver is given and gives: rows on a grid in, codes out, judged by the error of their products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from hwq.errors import HwqError

__all__ = [
    "CROSS",
    "HESSIAN",
    "Answer",
    "Grid",
    "Points",
    "Rows",
    "Solver",
    "damped",
    "given",
    "hessian",
    "keep_best",
    "proxy_loss",
]

HESSIAN, CROSS = "hessian", "cross"
_DAMPING = 0.01


class Grid(Protocol):
    """Where weights may go, as a `Format` says it: `block` numbers, consecutive along the last axis, may share a scale.

    `encode` chooses what the numbers [..., K] of each block share and rounds them; `shared` is that choice,
    `encode_under` the rounding of numbers by themselves when it has been made. `decode` says what codes stand for, and
    `quantize` is both at once.
    """

    @property
    def block(self) -> int: ...
    def encode(self, x: Any) -> Any: ...
    def shared(self, x: Any) -> Any: ...
    def encode_under(self, x: Any, shared: Any) -> Any: ...
    def decode(self, codes: Any) -> Any: ...
    def quantize(self, x: Any) -> Any: ...


@dataclass(frozen=True)
class Points:
    """A function that rounds numbers one by one, as a grid whose points are their own codes."""

    encode: Callable[[Tensor], Tensor]
    block: int = 1

    def shared(self, x: Tensor) -> Tensor:
        """Nothing: 0 for every number."""
        return torch.zeros_like(x)

    def encode_under(self, x: Tensor, shared: Tensor) -> Tensor:
        """`encode`, as nothing is shared."""
        return self.encode(x)

    def decode(self, codes: Tensor) -> Tensor:
        """The points themselves."""
        return codes

    def quantize(self, x: Tensor) -> Tensor:
        """The points nearest to `x`."""
        return self.encode(x)


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a layer: `weight` [..., R, K] in units of `grid`; leading axes are groups.

    `hessian` [..., K, K] is the second moment X~^T X~ of the inputs as the quantized layers before give them, `cross`
    [..., K, K] is X^T X~ with the float inputs X of the same rows; both have a factor of 2 a row. A solver may give
    every row a gain of its own, or one to all of them where they have `one_gain`.
    """

    weight: Tensor
    grid: Grid
    hessian: Tensor | None = None
    cross: Tensor | None = None
    one_gain: bool = False

    def loss(self, values: Tensor) -> Tensor:
        """The squared error [..., R] of the products, were the weights `values`.

        With `cross` it is against the float products, less their own square, which no weight changes.
        """
        moment = given(self.hessian, HESSIAN)
        if self.cross is None:
            return proxy_loss(self.weight, values, moment)
        wanted = self.weight.to(moment.dtype) @ self.cross
        values = values.to(moment.dtype)
        return ((values @ moment - 2 * wanted) * values).sum(-1)


@dataclass(frozen=True, eq=False)
class Answer:
    """`codes` of the grid, and the `gain` [..., R] by which each row's scale grows; None leaves the scales."""

    codes: Tensor
    gain: Tensor | None = None

    def values(self, grid: Grid) -> Tensor:
        """The weights that the codes stand for, in the units in which the rows were given."""
        points: Tensor = grid.decode(self.codes)
        return points if self.gain is None else points * self.gain.unsqueeze(-1)


@dataclass(frozen=True)
class Solver:
    """A way to solve `Rows`, and which of their moments it `needs`: nothing else is computed for it."""

    solve: Callable[[Rows], Answer]
    needs: frozenset[str] = frozenset()

    def __call__(self, rows: Rows) -> Answer:
        """The answer to `rows`."""
        return self.solve(rows)


def given(moment: Tensor | None, name: str) -> Tensor:
    """The moment that a solver works on; refused where the rows came without it."""
    if moment is None:
        raise HwqError(f"rows must have their {name} moment for this solver, not None; give Rows(..., {name}=...)")
    return moment


def hessian(rows: Tensor, floats: Tensor | None = None) -> Tensor:
    """The second moment [..., K, K] of input rows [..., T, K], or their moment with the `floats` of the same rows."""
    if rows.shape[-2] == 0:
        raise HwqError("a Hessian needs 1 input row or more, not 0")
    return ((rows if floats is None else floats).mT @ rows).double() * (2 / rows.shape[-2])


def proxy_loss(weight: Tensor, solved: Tensor, hessian: Tensor) -> Tensor:
    """The squared output error [..., R] that `solved` has on the inputs behind `hessian`."""
    error = (weight - solved).to(hessian.dtype)
    return ((error @ hessian) * error).sum(-1)


def damped(hessian: Tensor, share: float = _DAMPING) -> Tensor:
    """The Hessian with a `share` of its mean diagonal added to the diagonal; an input never seen counts as 1 more."""
    diagonal = hessian.diagonal(dim1=-2, dim2=-1)
    return hessian + torch.diag_embed(share * diagonal.mean(-1, keepdim=True) + (diagonal == 0))


def keep_best(rows: Rows, codes: Tensor, nearest: Tensor) -> Answer:
    """`codes` [..., R, K], but for the rows that are worse than their `nearest` ones."""
    solved, rounded = (rows.loss(rows.grid.decode(found)) for found in (codes, nearest))
    return Answer(torch.where((solved > rounded).unsqueeze(-1), nearest, codes))
