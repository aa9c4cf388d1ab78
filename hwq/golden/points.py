"""The float32 numbers at which a format's rounding is decided."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from hwq.formats import Format

__all__ = ["ALL_BITS", "boundaries"]

Array = np.ndarray[Any, Any]

ALL_BITS = 10  # formats of more bits have every kind of boundary, but not all of each kind
_SOME = 1 << 10
_EDGE = 4  # values at the ends, around zero and wherever steps change that are always among some


def boundaries(fmt: Format) -> Array:
    """float32: each value, each midpoint or decision point, the places of overflow, both neighbours of all these;
    zeros, infinities, NaN, and the ends of float32's own ranges. Distinct patterns, ascending as unsigned integers.
    """
    info = np.finfo(np.float32)
    with np.errstate(over="ignore"):
        points = _points(fmt).astype(np.float32)
    points = points[np.isfinite(points)]
    around = [np.nextafter(points, np.float32(end)) for end in (-np.inf, np.inf)]
    ends = np.array([0.0, np.inf, info.max, info.tiny, info.smallest_subnormal], dtype=np.float32)
    found = np.concatenate([points, *around, ends, -ends])
    patterns = np.append(found[~np.isnan(found)].view(np.uint32), np.float32(np.nan).view(np.uint32))
    return np.asarray(np.unique(patterns)).view(np.float32)


def _points(fmt: Format) -> Array:
    """float64: values, what lies halfway or decides between neighbours, and steps beyond either end."""
    exact = sorted({v for code in fmt.codes().tolist() if isinstance(v := fmt.value(code), Fraction)})
    values = np.array([float(v) for v in exact])
    kept = _kept(values, fmt.bits)
    kept = kept[kept < len(values) - 1]
    halfway = values[kept] + (values[kept + 1] - values[kept]) / 2
    own = getattr(fmt, "points", None) or ()  # where a format does not decide halfway
    steps = np.array([0.5, 1.0, 2.0])
    above, below = values[-1] + (values[-1] - values[-2]) * steps, values[0] - (values[1] - values[0]) * steps
    return np.concatenate([values[kept], values[-1:], halfway, [float(p) for p in own], above, below, -above])


def _kept(values: Array, bits: int) -> Array:
    """Indices of the values that are looked at: all, or evenly chosen ones and those at ends, zero and new steps."""
    count = len(values)
    if bits <= ALL_BITS:
        return np.arange(count)
    gaps = np.diff(values)
    edges = [0, count - 1, int(np.argmin(np.abs(values))), *(np.flatnonzero(gaps[1:] != gaps[:-1]) + 1).tolist()]
    near = np.add.outer(edges, np.arange(-_EDGE, _EDGE + 1)).ravel()
    spread = np.linspace(0, count - 1, _SOME).astype(np.int64)
    return np.unique(np.clip(np.concatenate([near, spread]), 0, count - 1))
