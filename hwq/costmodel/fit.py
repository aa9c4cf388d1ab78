"""Fits a device's prices to measured rows: non-negative coefficients, relative least squares, no intercept.

Weights are 1/y, so every design counts alike. An interval is split-conformal (Lei et al., JASA 113, 2018), with scores
that are scaled by what is uncertain of a design: the part of its price that is fitted. The spread is the finite-sample
90 % quantile of the scores that designs have when their pair of formats is left out of the fit (ten folds).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

from hwq.costmodel.fabrics import FABRICS
from hwq.costmodel.features import Features
from hwq.errors import HwqError

__all__ = ["FOLDS", "Fit", "Sample", "family", "fit", "fold", "lent", "price", "spread", "uncertain"]

COVERAGE = 0.90
FOLDS = 10


@dataclass(frozen=True)
class Sample:
    """One measured design: its features and what synthesis counted."""

    name: str
    features: Features
    measured: float


@dataclass(frozen=True)
class Fit:
    """What rows say of a fabric.

    `coefficients` of each feature; for each sample its `scores` when left out, None where nothing is fitted; `misses`:
    the relative errors of those, 0 where a price that is called exact is; `region`: the largest count of each fitted
    feature.
    """

    coefficients: Mapping[str, float]
    scores: tuple[float | None, ...]
    misses: tuple[float, ...]
    region: Mapping[str, float]


def price(features: Features, coefficients: Mapping[str, float]) -> float:
    """Sum of count times coefficient. A feature without a coefficient is refused: nothing unmodelled counts as 0."""
    total = 0.0
    for name, count in features.items():
        if count and name != "ff" and name not in coefficients:
            raise HwqError(f"feature {name!r} must have a price on this device, not none; recalibrate")
        total += count * coefficients.get(name, 0.0)
    return total


def lent(prices: Mapping[str, Mapping[str, float]], name: str, stated: Mapping[str, float]) -> dict[str, float]:
    """Prices of a family; what one experiment never met, another may have priced, of the same kind first."""
    kind = name.partition(" ")[0]
    others = sorted((other for other in prices if other != name), key=lambda other: (not other.startswith(kind), other))
    found = dict(stated)
    for other in reversed([*([name] if name in prices else []), *others]):
        found |= prices[other]
    return found


def uncertain(fitted: Any, total: Any) -> Any:
    """How much of a price may err: between what is fitted of it and all of it, their geometric mean, and a bit."""
    return abs(fitted * total) ** 0.5 + abs(total) / 50


def fit(samples: Sequence[Sample], device: str, what: str) -> Fit:
    """The prices of a device from its samples of one kind, named in `what`."""
    if len(samples) < FOLDS:
        raise HwqError(f"a fit needs at least {FOLDS} measured {what}, not {len(samples)}; measure more designs")
    fabric = FABRICS[device]
    names = sorted({n for s in samples for n, c in s.features.items() if c} - set(fabric.exact))
    names = [n for n in names if fabric.ff or n != "ff"]
    folds = [fold(s.name) for s in samples]
    without = [
        _solve([s for s, f in zip(samples, folds, strict=True) if f != held], names, fabric.exact)
        for held in range(FOLDS)
    ]
    scores = tuple(
        _score(s, names, without[f]) if any(s.features.get(n) for n in names) else None
        for s, f in zip(samples, folds, strict=True)
    )
    known = [s for s, score in zip(samples, scores, strict=True) if score is None and s.measured]
    misses = tuple(abs(price_of(s, fabric.exact) / s.measured - 1) for s in known)
    region = {name: max(float(s.features.get(name, 0)) for s in samples) for name in names}
    return Fit(_solve(samples, names, fabric.exact), scores, misses, region)


def _score(sample: Sample, fitted: Iterable[str], coefficients: Mapping[str, float]) -> float:
    """A sample's error over what is uncertain of its price."""
    total = price_of(sample, coefficients)
    share = sum(sample.features.get(n, 0) * coefficients[n] for n in fitted)
    return abs(total - sample.measured) / max(float(uncertain(share, total)), 1e-9)


def price_of(sample: Sample, coefficients: Mapping[str, float]) -> float:
    return sum(c * coefficients.get(n, 0.0) for n, c in sample.features.items())


def family(kind: str, features: Features) -> str:
    """Which modules of a kind are alike in how well they are priced.

    Float sums and windows of wide shifters are apart; of cells, whose adders are fitted, also what has only these.
    """
    if kind != "pe":
        return kind
    if features.get("less"):
        return f"{kind} float"
    counted = [name for name, count in features.items() if count]
    if any(name.startswith("window") for name in counted):
        return f"{kind} window"
    return f"{kind} adders" if "prefix:long" in counted and not any(map(_chooses, counted)) else kind


def _chooses(name: str) -> bool:
    """Whether a feature is of multiplexers or tables."""
    return name.startswith(("mux", "table"))


def fold(name: str) -> int:
    """Which part of the leave-out a design belongs to: that of its pair of formats, so that no sibling is left in."""
    return hashlib.sha256(name.split()[0].encode()).digest()[2] % FOLDS


def _solve(samples: Sequence[Sample], names: Sequence[str], known: Mapping[str, float]) -> dict[str, float]:
    y = np.array([s.measured for s in samples], dtype=float)
    base = np.array([sum(s.features.get(n, 0) * c for n, c in known.items()) for s in samples])
    x = np.array([[float(s.features.get(n, 0)) for n in names] for s in samples]).reshape(len(samples), len(names))
    weights = 1 / np.maximum(y, 1e-9)
    found, _ = nnls(x * weights[:, None], (y - base) * weights) if names else (np.zeros(0), 0.0)
    return dict(known) | {n: float(c) for n, c in zip(names, found, strict=True)}


def spread(scores: Iterable[float | None]) -> float:
    """The conformal quantile: the ceil((n + 1) * 0.9)-th smallest score."""
    ranked = sorted(s for s in scores if s is not None)
    if not ranked:
        return 0.0
    return ranked[min(len(ranked), math.ceil((len(ranked) + 1) * COVERAGE)) - 1]
