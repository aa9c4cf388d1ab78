"""Scales: which real step one unit of a format stands for. Blind to what the format is."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from hwq.errors import HwqError
from hwq.formats import Format

__all__ = ["CALIBRATORS", "Calibrator", "check_finite", "least_squares", "minmax", "percentile", "squared_error"]

_SHRINK = 0.93
_STEPS = 32  # 0.93**31 is 0.1: a ternary grid clips a Gaussian of 3.7 sigma at a third of its range
_SPARE = 1.01
_TAIL = 1e-4


class Calibrator(Protocol):
    """Scales [R] for rows x [R, n], so that x[r] is about scale[r] * a value of `fmt`.

    `importance` [n] weighs the error of each column where the rule has an error.
    """

    def __call__(self, x: Tensor, fmt: Format, importance: Tensor | None = None) -> Tensor: ...


def minmax(x: Tensor, fmt: Format, importance: Tensor | None = None) -> Tensor:
    """The least scale at which no element of a row saturates."""
    return _covering(x.amin(1), x.amax(1), fmt)


def percentile(x: Tensor, fmt: Format, importance: Tensor | None = None) -> Tensor:
    """`minmax` after a share of 1e-4 of each row has been left out on either side."""
    ordered = x.sort(1).values
    out = int(_TAIL * x.shape[1])
    return _covering(ordered[:, out], ordered[:, -1 - out], fmt)


def least_squares(x: Tensor, fmt: Format, importance: Tensor | None = None) -> Tensor:
    """The scale of least squared error on a geometric grid below `minmax`.

    Then it doubles as long as the error stays within 1 % of the least and values of the format above 1 are in use: a
    format of many binades keeps its relative precision, and smaller values need a narrower accumulator. On an even
    grid a doubling costs a factor of 4.
    """
    widest = best = minmax(x, fmt)
    least = squared_error(x, fmt, best, importance)
    for step in range(1, _STEPS):
        scale = widest * _SHRINK**step
        error = squared_error(x, fmt, scale, importance)
        best, least = torch.where(error < least, scale, best), torch.minimum(error, least)
    largest, bound = x.abs().amax(1), least * _SPARE
    top, doubling = best, least > 0
    while bool(doubling.any()):
        doubling &= (largest > top) & (squared_error(x, fmt, top * 2, importance) <= bound)
        top = torch.where(doubling, top * 2, top)
    return top


def squared_error(x: Tensor, fmt: Format, scale: Tensor, importance: Tensor | None = None) -> Tensor:
    """The squared error [R] of rows x [R, n] on the grid of `fmt` with scales [R]."""
    by_row = scale.unsqueeze(1).to(x.dtype)
    error: Tensor = (x - fmt.quantize(x / by_row) * by_row).square()
    return (error if importance is None else error * importance).sum(1, dtype=torch.float64)


CALIBRATORS: dict[str, Calibrator] = {"minmax": minmax, "mse": least_squares, "percentile": percentile}


def check_finite(x: Tensor, what: str) -> None:
    """Refuse nan and inf, of which no scale can be made."""
    if not bool(torch.isfinite(x).all()):
        raise HwqError(f"{what} must be finite, not with nan or inf among them")


def _covering(low: Tensor, high: Tensor, fmt: Format) -> Tensor:
    """The least scale at which the span of `fmt` reaches from `low` to `high` [R]; 1 where both are 0.

    Of a format whose blocks have scales that is the element's: they stay near the middle of what they can be.
    """
    check_finite(torch.stack([low, high]), "values to be quantized")
    least, most = fmt.span
    scale = high.double().clamp(min=0) / most
    if least < 0:
        scale = torch.maximum(scale, low.double().clamp(max=0) / least)
    return torch.where(scale > 0, scale, torch.ones_like(scale))
