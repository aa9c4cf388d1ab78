"""Scales of least error on a fixed grid below the one that covers everything."""

from __future__ import annotations

import torch
from torch import Tensor

from hwq.formats import Format
from hwq.ptq.scales.ranges import minmax
from hwq.ptq.scales.search import power, score, search

__all__ = ["least_squares", "pnorm"]

_SHRINK = 0.93
_STEPS = 32  # 0.93**31 is 0.1: a ternary grid clips a Gaussian of 3.7 sigma at a third of its range
_SPARE = 1.01
_NORM, _HUNDREDTHS = 2.4, 80


def least_squares(x: Tensor, fmt: Format, importance: Tensor | None = None) -> Tensor:
    """The scale of least squared error on a geometric grid below `minmax`.

    Then it doubles as long as the error stays within 1 % of the least and values of the format above 1 are in use: a
    format of many binades keeps its relative precision, and smaller values need a narrower accumulator. On an even
    grid a doubling costs a factor of 4.
    """
    widest, of = minmax(x, fmt), score(x, fmt, power(2.0, importance))
    top, least = search((widest * _SHRINK**step for step in range(_STEPS)), of)
    largest, bound = x.abs().amax(1), least * _SPARE
    doubling = least > 0
    while bool(doubling.any()):
        doubling &= (largest > top) & (of(top * 2) <= bound)
        top = torch.where(doubling, top * 2, top)
    return top


def pnorm(x: Tensor, fmt: Format, importance: Tensor | None = None) -> Tensor:
    """The scale of least sum of |x - xq|**2.4 among 100, 99, ... 21 hundredths of `minmax`, as in GPTQ's code."""
    widest = minmax(x, fmt)
    candidates = (widest * (1 - step / 100) for step in range(_HUNDREDTHS))
    return search(candidates, score(x, fmt, power(_NORM, importance)))[0]
