"""A share of right answers with its 95 % interval, and the difference of two networks on the same images."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from hwq.errors import HwqError

_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Score:
    """A value with its 95 % interval over n items; shares, not percent."""

    value: float
    low: float
    high: float
    n: int

    def json(self) -> dict[str, float]:
        """{value, low, high}."""
        return {"value": self.value, "low": self.low, "high": self.high}

    def __str__(self) -> str:
        return f"{self.value:.2%} [{self.low:.2%}, {self.high:.2%}], n={self.n}"


def wilson(right: int, n: int) -> Score:
    """`right / n` with the score interval of Wilson (JASA 22, 1927): sound at 0 and at n, where Wald's has no width."""
    if not 0 <= right <= n or n == 0:
        raise HwqError(f"a score needs 0 <= right <= n and n > 0, not {right} of {n}")
    share, z2 = right / n, _Z * _Z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low = 0.0 if right == 0 else centre - half
    high = 1.0 if right == n else centre + half
    return Score(share, low, high, n)


def accuracy(predicted: ArrayLike, labels: ArrayLike) -> Score:
    """Top-1 of predicted classes [n] against labels [n], with `wilson`'s interval."""
    right = _right(predicted, labels)
    return wilson(int(right.sum()), len(right))


def difference(first: ArrayLike, second: ArrayLike, labels: ArrayLike) -> Score:
    """Top-1 of `first` minus top-1 of `second`, predicted classes [n] of the same items.

    The interval is Agresti and Min's for matched proportions (Statistics in Medicine 24, 2005): Wald's from the
    discordant counts after adding 1/2 to each cell of the 2x2 table. Two nearly equal networks agree on most items, so
    that it is much narrower than the distance of two independent intervals tells.
    """
    a, b = _right(first, labels), _right(second, labels)
    n, gained, lost = len(a), int((a & ~b).sum()), int((b & ~a).sum())
    total, up, down = n + 2, gained + 0.5, lost + 0.5
    centre = (up - down) / total
    half = _Z * sqrt(up + down - (up - down) ** 2 / total) / total
    return Score((gained - lost) / n, max(-1.0, centre - half), min(1.0, centre + half), n)


def _right(predicted: ArrayLike, labels: ArrayLike) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    answers, truth = np.asarray(predicted), np.asarray(labels)
    if answers.ndim != 1 or answers.shape != truth.shape or not len(truth):
        raise HwqError(f"predictions and labels must be two equal rows [n], not {answers.shape} and {truth.shape}")
    return np.asarray(answers == truth)
