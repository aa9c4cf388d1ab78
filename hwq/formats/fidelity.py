"""How well a format represents numbers of a distribution, or given data, at the scale that suits it best.

The measure is E(x - y)**2 / E(x**2), y the format's number for x under one scale for all x. The expectation is a sum
over fixed nodes, without chance: the quantiles of the density p**(1/3) / c, where the levels of a good quantizer lie
(Panter and Dite, Proc. IRE 1951), each weighed with the ratio of p to that density, so that tails count as they should.
Numbers are rounded by the format itself; what lies beyond its ends is brought to them first, whatever its overflow. A
format without negative values sees magnitudes, of the same distribution.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np

from hwq.errors import HwqError
from hwq.formats.base import Format

__all__ = ["DISTRIBUTIONS", "Fidelity", "Source", "distribution", "fidelity", "squared_error"]

Array = np.ndarray[Any, Any]
Loss = Callable[[float], float]

_NODES = 1 << 15
_DEGREES = 5  # of freedom of student-t: the fourth moment exists, the sixth does not
_STEPS = 4  # an octave, of the coarse search
_OCTAVES = range(-3, 18)  # of the format's largest value in standard deviations
_BEST = 3  # minima of the coarse search that are looked at closely
_SEED = 3


@dataclass(frozen=True, eq=False)
class Source:
    """Numbers of mean square 1: `nodes` with their `weights` (sum 1), and a `series` [..., n] of equal weights.

    A block's numbers share a scale, so that block formats are given the series, in its order along the last axis.
    """

    name: str
    nodes: Array
    weights: Array
    series: Array

    @classmethod
    def of(cls, name: str, x: Any) -> Source:
        """Given data [..., n], such as the weights of a layer, over its root of the mean square."""
        data = np.asarray(x, dtype=np.float64)
        power = float(np.square(data).mean()) if data.size else 0.0
        if not 0 < power < math.inf:
            raise HwqError(f"data must be finite numbers, not all zero, not {data.size} with mean square {power:g}")
        data = data / math.sqrt(power)
        flat = data.ravel()
        return cls(name, flat, np.full(flat.shape, 1 / flat.size), data)


@dataclass(frozen=True)
class Fidelity:
    """`mse`: normalised mean squared error; `clip`: the format's largest value at the best scale, in standard
    deviations; `one_sided`: magnitudes were represented, since the format has no negative values.
    """

    mse: float
    clip: float
    one_sided: bool

    @property
    def sqnr_db(self) -> float:
        """Signal to quantization noise, in dB; infinite where nothing is lost."""
        return -10 * math.log10(self.mse) if self.mse else math.inf


def _gaussian(u: Array, spread: float) -> Array:
    inverse = NormalDist(0, spread).inv_cdf
    return np.array([inverse(v) for v in u.tolist()])


def _laplace(u: Array, spread: float) -> Array:
    radius: Array = -np.log(2 * (1 - u)) * (spread / math.sqrt(2))
    return radius


def _student(u: Array) -> Array:
    """Quantiles of five degrees of freedom and variance 1, by Newton's method on the closed form of the integral."""
    t = np.tan(math.pi * (u - 0.5))
    for _ in range(60):
        a, z = np.arctan(t / math.sqrt(_DEGREES)), 1 + t * t / _DEGREES
        cdf = 0.5 + (a + t / math.sqrt(_DEGREES) / z * (1 + 2 / (3 * z))) / math.pi
        density = 8 / (3 * math.pi * math.sqrt(_DEGREES)) / z**3
        step = (cdf - u) / density
        t = np.maximum(t - np.clip(step, -0.5 * (1 + t), 0.5 * (1 + t)), 0)
    scaled: Array = t * math.sqrt((_DEGREES - 2) / _DEGREES)
    return scaled


def _laws() -> dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array], Callable[[Array], Array]]]:
    """(quantile, quantile of p**(1/3) / c, log of p**(2/3) up to a constant) of each law, of variance 1, above 0."""
    wide = math.sqrt(3)
    return {
        "gaussian": (lambda u: _gaussian(u, 1.0), lambda u: _gaussian(u, wide), lambda x: -x * x / 3),
        "laplace": (lambda u: _laplace(u, 1.0), lambda u: _laplace(u, 3.0), lambda x: -x * math.sqrt(8) / 3),
        "student-t(5)": (_student, lambda u: wide * np.tan(math.pi * (u - 0.5)), lambda x: -2 * np.log1p(x * x / 3)),
    }


DISTRIBUTIONS = tuple(_laws())


@lru_cache(maxsize=16)
def distribution(name: str) -> Source:
    """One of the laws in `DISTRIBUTIONS`, of mean 0 and variance 1."""
    if name not in DISTRIBUTIONS:
        raise HwqError(f"a distribution must be one of {', '.join(DISTRIBUTIONS)}, not {name!r}")
    quantile, spaced, weight = _laws()[name]
    upper = 0.5 + (np.arange(_NODES // 2) + 0.5) / _NODES
    nodes = spaced(upper)
    weights = np.exp(weight(nodes))
    series = _mirrored(quantile(upper), -1)
    # the order in which a block meets its numbers: any, but always the same
    np.random.Generator(np.random.PCG64(_SEED)).shuffle(series)
    return Source(name, _mirrored(nodes, -1), _mirrored(weights / (2 * weights.sum()), 1), series)


def _mirrored(upper: Array, sign: int) -> Array:
    return np.concatenate([sign * upper[::-1], upper])


def squared_error(fmt: Format, source: Source, clip: float) -> float:
    """The normalised mean squared error at the scale that puts the format's largest value at `clip` deviations.

    Infinite where a number has no finite value near it.
    """
    if not fmt.max > 0 or fmt.bits > 64:
        raise HwqError(f"a fidelity needs a positive value and at most 64 bits, not {fmt} with {fmt.bits}")
    x, weights = (source.series, None) if fmt.blocked else (source.nodes, source.weights)
    x = np.abs(x) if fmt.min >= 0 else x
    scale = clip / fmt.max
    with np.errstate(over="ignore", invalid="ignore"):  # beyond float64 is beyond the format too
        y = fmt.decode(fmt.encode(np.clip(x / scale, fmt.min, fmt.max))) * scale
        error, power = (float(np.average(np.square(d), axis=None, weights=weights)) for d in (y - x, x))
    return error / power if math.isfinite(error) else math.inf


def fidelity(fmt: Format, source: Source) -> Fidelity:
    """The least error over all scales, by a coarse search and a golden section around its best minima."""
    mse, octave = _least(lambda octave: squared_error(fmt, source, 2.0**octave))
    if not math.isfinite(mse):
        raise HwqError(f"{fmt} has no number near some of {source.name} at any scale")
    return Fidelity(mse, 2.0**octave, fmt.min >= 0)


def _least(loss: Loss) -> tuple[float, float]:
    """(value, place) of the least of the function's best minima; of equal ones the first."""
    places = [step / _STEPS for step in range(_OCTAVES.start * _STEPS, _OCTAVES.stop * _STEPS)]
    values = [loss(place) for place in places]
    inner = range(1, len(places) - 1)
    dips = [at for at in inner if values[at] <= min(values[at - 1], values[at + 1])]
    ranked = sorted(dips, key=values.__getitem__)[:_BEST]
    found = [_golden(loss, places[at] - 1 / _STEPS, places[at] + 1 / _STEPS) for at in ranked]
    return min([*found, *zip(values, places, strict=True)])


def _golden(loss: Loss, low: float, high: float) -> tuple[float, float]:
    """(value, place) of the minimum between two places, by golden sections (Kiefer, 1953)."""
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > 1e-3:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = loss(right)
    return min((at_left, left), (at_right, right))
