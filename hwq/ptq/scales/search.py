"""The one search for scales: candidates and a score. An error says how far rounded numbers are from the numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor

from hwq.formats import Format

__all__ = ["Calibrator", "Error", "Score", "moments", "power", "products", "score", "search", "squared_error"]

Error = Callable[[Tensor, Tensor], Tensor]  # rows x [R, n] and the same rounded -> how far apart, [R]
Score = Callable[[Tensor], Tensor]  # scales [R] -> what is to be least, [R]


class Calibrator(Protocol):
    """Scales [R] for rows x [R, n], so that x[r] is about scale[r] * a value of `fmt`.

    `importance` [R, n] or [n] weighs the error of each element where the rule has an error.
    """

    def __call__(self, x: Tensor, fmt: Format, importance: Tensor | None = None) -> Tensor: ...


def search(candidates: Iterable[Tensor], score: Score) -> tuple[Tensor, Tensor]:
    """(scales, scores) [R]: for every row the first candidate of least score."""
    first, *others = candidates
    best, least = first, score(first)
    for scale in others:
        found = score(scale)
        best, least = torch.where(found < least, scale, best), torch.minimum(found, least)
    return best, least


def score(x: Tensor, fmt: Format, error: Error) -> Score:
    """The `error` that rows x [R, n] have on the grid of `fmt`, for any scales."""

    def of(scale: Tensor) -> Tensor:
        by_row = scale.unsqueeze(1).to(x.dtype)
        return error(x, fmt.quantize(x / by_row) * by_row)

    return of


def power(exponent: float = 2.0, importance: Tensor | None = None) -> Error:
    """The sum of |x - xq|**exponent, each element by its `importance`.

    Squares of the gradient of the loss as importance are PTQ4ViT's "hessian" metric (arXiv 2111.12293).
    """

    def error(x: Tensor, rounded: Tensor) -> Tensor:
        far = (x - rounded).square() if exponent == 2 else (x - rounded).abs() ** exponent
        return (far if importance is None else far * importance).sum(1, dtype=torch.float64)

    return error


def products(weight: Tensor) -> Error:
    """The squared error of the products with `weight` [N, K], of one row x [1, T * K] of T inputs (AdaLog's metric)."""

    def error(x: Tensor, rounded: Tensor) -> Tensor:
        far = (x - rounded).reshape(-1, weight.shape[1]) @ weight.T.to(x.dtype)
        return far.square().sum(dtype=torch.float64).reshape(1)

    return error


def moments(hessian: Tensor) -> Error:
    """The squared error of the products of weights x [R, K] with inputs of second moment `hessian` [K, K]."""

    def error(x: Tensor, rounded: Tensor) -> Tensor:
        far = (x - rounded).to(hessian.dtype)
        return ((far @ hessian) * far).sum(1)

    return error


def squared_error(x: Tensor, fmt: Format, scale: Tensor, importance: Tensor | None = None) -> Tensor:
    """The squared error [R] of rows x [R, n] on the grid of `fmt` with scales [R]."""
    return score(x, fmt, power(2.0, importance))(scale)
