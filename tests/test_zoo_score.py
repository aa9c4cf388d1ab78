"""Intervals against the literature and against exact enumeration."""

from math import comb

import numpy as np
import pytest

from hwq.errors import HwqError
from hwq.zoo import Score, accuracy, difference, wilson

Z2 = 1.959963984540054**2


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17, 1998, p. 857, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_is_newcombes_table(right: int, n: int, low: float, high: float) -> None:
    score = wilson(right, n)
    assert (round(score.low, 4), round(score.high, 4)) == (low, high)


def test_wilson_inverts_the_score_test() -> None:
    cases = 0
    for n in (1, 2, 10, 2000):
        for right in range(0, n + 1, max(1, n // 50)):
            score = wilson(right, n)
            assert 0 <= score.low <= score.value <= score.high <= 1
            for bound in {score.low, score.high} - {0.0, 1.0}:
                assert (score.value - bound) ** 2 == pytest.approx(Z2 * bound * (1 - bound) / n)
                cases += 1
    assert cases > 100


def test_accuracy_counts() -> None:
    score = accuracy([1, 2, 3, 3], np.array([1, 2, 3, 4]))
    assert score == wilson(3, 4)
    assert str(Score(0.925, 0.9126, 0.9358, 2000)) == "92.50% [91.26%, 93.58%], n=2000"
    assert score.json() == {"value": score.value, "low": score.low, "high": score.high}


def of_counts(n: int, gained: int, lost: int) -> Score:
    first, second = np.zeros(n, int), np.zeros(n, int)
    first[gained : gained + lost], second[:gained] = 1, 1
    return difference(first, second, np.zeros(n, int))


@pytest.mark.parametrize(("gain", "loss"), [(0.02, 0.02), (0.1, 0.05), (0.3, 0.3), (0.6, 0.1)])
def test_difference_covers(gain: float, loss: float) -> None:
    """The exact probability, over all tables of 60 pairs, that the interval holds the true difference."""
    n, covered, total = 60, 0.0, 0.0
    for gained in range(n + 1):
        for lost in range(n + 1 - gained):
            chance = comb(n, gained) * comb(n - gained, lost) * gain**gained * loss**lost
            chance *= (1 - gain - loss) ** (n - gained - lost)
            total += chance
            if chance > 1e-7:
                score = of_counts(n, gained, lost)
                assert -1 <= score.low <= score.value <= score.high <= 1
                covered += chance * (score.low <= gain - loss <= score.high)
    assert total == pytest.approx(1)
    assert 0.94 <= covered <= 0.998


def test_difference_is_paired() -> None:
    """Networks that differ on few images: narrower than two intervals on their own."""
    score = of_counts(2000, 12, 30)
    assert score.value == pytest.approx(-18 / 2000)
    assert score.high < 0
    assert score.high - score.low < 0.6 * (wilson(1850, 2000).high - wilson(1850, 2000).low)
    same = of_counts(2000, 0, 0)
    assert same.value == 0
    assert same.low == -same.high < 0


def test_scores_wrong() -> None:
    with pytest.raises(HwqError, match=r"^a score needs 0 <= right <= n and n > 0, not 3 of 2$"):
        wilson(3, 2)
    with pytest.raises(HwqError, match=r"^a score needs 0 <= right <= n and n > 0, not 0 of 0$"):
        wilson(0, 0)
    with pytest.raises(HwqError, match=r"^predictions and labels must be two equal rows \[n\], not \(2,\) and \(3,\)$"):
        accuracy([1, 2], [1, 2, 3])
    with pytest.raises(HwqError, match=r"^predictions and labels must be two equal rows \[n\], not \(0,\) and \(0,\)$"):
        accuracy([], [])
