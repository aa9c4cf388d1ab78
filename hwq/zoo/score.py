"""Means and shares with their 95 % intervals, and the difference of two networks on the same items."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwq.errors import HwqError

_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Score:
    """A value with its 95 % interval over n items; a share of 1, not percent, where `share` is true."""

    value: float
    low: float
    high: float
    n: int
    share: bool = True

    def json(self) -> dict[str, float]:
        """{value, low, high}."""
        return {"value": self.value, "low": self.low, "high": self.high}

    def __str__(self) -> str:
        form = ".2%" if self.share else ".4f"
        return f"{self.value:{form}} [{self.low:{form}}, {self.high:{form}}], n={self.n}"


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


def mean(values: ArrayLike) -> Score:
    """The mean of a number an item [n] with Student's interval; of one item nothing is known, and it is refused."""
    from scipy.special import stdtrit

    x = np.asarray(values, float)
    n = len(x)
    if n < 2 or not np.isfinite(x).all():
        raise HwqError(f"a mean with an interval needs 2 or more finite items, not {n if n < 2 else 'nan or inf'}")
    half = float(stdtrit(n - 1, 0.975)) * float(x.std(ddof=1)) / sqrt(n)
    value = float(x.mean())
    return Score(value, value - half, value + half, n, share=False)


def accuracy(predicted: ArrayLike, labels: ArrayLike) -> Score:
    """Top-1 of predicted classes [n] against labels [n], with `wilson`'s interval."""
    right = _right(predicted, labels)
    return wilson(int(right.sum()), len(right))


def difference(first: ArrayLike, second: ArrayLike, labels: ArrayLike) -> Score:
    """Top-1 of `first` minus top-1 of `second`, predicted classes [n] of the same items, with `matched`'s interval."""
    return matched(_right(first, labels), _right(second, labels))


def matched(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> Score:
    """The share of right items in `a` minus that in `b`, both [n], of the same items.

    The interval is Agresti and Min's for matched proportions (Statistics in Medicine 24, 2005): Wald's from the
    discordant counts after adding 1/2 to each cell of the 2x2 table. Two nearly equal networks agree on most items, so
    that it is much narrower than the distance of two independent intervals tells.
    """
    n, gained, lost = len(a), int((a & ~b).sum()), int((b & ~a).sum())
    total, up, down = n + 2, gained + 0.5, lost + 0.5
    centre = (up - down) / total
    half = _Z * sqrt(up + down - (up - down) ** 2 / total) / total
    return Score((gained - lost) / n, max(-1.0, centre - half), min(1.0, centre + half), n)


def _right(predicted: ArrayLike, labels: ArrayLike) -> NDArray[np.bool_]:
    answers, truth = np.asarray(predicted), np.asarray(labels)
    if answers.ndim != 1 or answers.shape != truth.shape or not len(truth):
        raise HwqError(f"predictions and labels must be two equal rows [n], not {answers.shape} and {truth.shape}")
    return np.asarray(answers == truth)
