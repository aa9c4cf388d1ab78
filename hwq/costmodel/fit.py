"""Fits a device's prices to measured rows: non-negative coefficients, relative least squares, no intercept.

Weights are 1/y, so every design counts alike. The spread is conformal: the finite-sample 90 % quantile of the relative
residuals that each design has when it is left out of the fit (ten folds by name), over the designs whose price is not
known exactly.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from hwq.costmodel.fabrics import FABRICS
from hwq.costmodel.features import Features
from hwq.errors import HwqError

__all__ = ["FOLDS", "Fit", "Sample", "fit", "fold", "price", "spread"]

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
    """Coefficient of each feature, and for each sample its residual when left out; None where nothing is fitted."""

    coefficients: Mapping[str, float]
    residuals: tuple[float | None, ...]


def price(features: Features, coefficients: Mapping[str, float]) -> float:
    """Sum of count times coefficient. A feature without a coefficient is refused: nothing unmodelled counts as 0."""
    total = 0.0
    for name, count in features.items():
        if count and name != "ff" and name not in coefficients:
            raise HwqError(f"feature {name!r} must have a price on this device, not none; recalibrate")
        total += count * coefficients.get(name, 0.0)
    return total


def fit(samples: Sequence[Sample], fabric: str, with_ff: bool, what: str) -> Fit:
    """The prices of a fabric from its samples of one kind, named in `what`."""
    if len(samples) < FOLDS:
        raise HwqError(f"a fit needs at least {FOLDS} measured {what}, not {len(samples)}; measure more designs")
    known = FABRICS[fabric].exact
    names = sorted({n for s in samples for n, c in s.features.items() if c} - set(known))
    names = [n for n in names if with_ff or n != "ff"]
    without = [_solve([s for s in samples if fold(s.name) != held], names, known) for held in range(FOLDS)]
    residuals = (
        price_of(s, without[fold(s.name)]) / s.measured - 1 if any(s.features.get(n) for n in names) else None
        for s in samples
    )
    return Fit(_solve(samples, names, known), tuple(residuals))


def price_of(sample: Sample, coefficients: Mapping[str, float]) -> float:
    return sum(c * coefficients.get(n, 0.0) for n, c in sample.features.items())


def fold(name: str) -> int:
    """Which part of the leave-out a design belongs to."""
    return hashlib.sha256(name.encode()).digest()[2] % FOLDS


def _solve(samples: Sequence[Sample], names: Sequence[str], known: Mapping[str, float]) -> dict[str, float]:
    y = np.array([s.measured for s in samples], dtype=float)
    base = np.array([sum(s.features.get(n, 0) * c for n, c in known.items()) for s in samples])
    x = np.array([[float(s.features.get(n, 0)) for n in names] for s in samples]).reshape(len(samples), len(names))
    weights = 1 / np.maximum(y, 1e-9)
    found, _ = nnls(x * weights[:, None], (y - base) * weights) if names else (np.zeros(0), 0.0)
    return dict(known) | {n: float(c) for n, c in zip(names, found, strict=True)}


def spread(residuals: Iterable[float | None]) -> float:
    """The conformal half-width: the ceil((n + 1) * 0.9)-th smallest absolute residual."""
    ranked = sorted(abs(r) for r in residuals if r is not None)
    if not ranked:
        return 0.0
    return ranked[min(len(ranked), math.ceil((len(ranked) + 1) * COVERAGE)) - 1]
