"""Sums beyond 2**53: operands cut into limbs, so that every float64 product of limb matrices is exact.

Only limbs that occur are multiplied: values of neural networks span a few dozen of the 262 bits that a bfloat16 can
reach, so two limbs are common where fourteen are possible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from hwq.bits import evaluate
from hwq.datapath.spec import Mac
from hwq.errors import HwqError
from hwq.formats import Format

__all__ = ["limb_sums"]

Ints = np.ndarray[Any, Any]

_EXACT = 53  # float64 holds every integer to 2**53
_STEP = 8  # windows begin at a multiple of this, so that few epilogues are compiled


@dataclass(frozen=True, eq=False)
class _Side:
    """An operand: which of the listed numbers each element is; magnitudes are Python ints."""

    index: Ints
    sign: Ints
    magnitude: Ints


def _listed(fmt: Format, codes: Ints) -> tuple[Ints, Ints]:
    """(sign, magnitude) of each code's embedding."""
    u = fmt.unpack(fmt.code_word)
    neg, mag = evaluate([u.neg, u.mag << u.exp], {"code": codes.astype(np.int64)})
    sign = np.broadcast_to(1.0 - 2.0 * np.asarray(neg, dtype=np.int64), codes.shape)
    return sign, np.broadcast_to(np.asarray(mag, dtype=object), codes.shape)


@lru_cache(maxsize=64)
def _all(fmt: Format) -> tuple[Ints, Ints]:
    """The same of every code of a narrow format, index = code."""
    sign, magnitude = np.ones(1 << fmt.bits), np.zeros(1 << fmt.bits, dtype=object)
    codes = fmt.codes()
    sign[codes], magnitude[codes] = _listed(fmt, codes)
    return sign, magnitude


def _side(fmt: Format, codes: Ints) -> _Side:
    """All codes of a narrow format are listed, of a wide one those that occur."""
    if fmt.bits <= 16:
        return _Side(codes, *_all(fmt))
    present, index = np.unique(codes, return_inverse=True)
    return _Side(index.reshape(codes.shape), *_listed(fmt, present))


def _window(side: _Side) -> tuple[int, int]:
    """The bit positions [first, last) that the magnitudes of these elements use."""
    present = np.bincount(side.index.reshape(-1), minlength=len(side.sign)) > 0
    used = int(np.bitwise_or.reduce(side.magnitude[present], initial=0))
    first = (used & -used).bit_length() - 1 if used else 0
    first -= first % _STEP
    return first, max(used.bit_length(), first + 1)


def cut(a: int, w: int, k: int) -> tuple[int, int]:
    """Bits of a limb of either operand of `a` and `w` bits: the fewest products whose sums of k terms are exact."""
    room = _EXACT - (k - 1).bit_length()
    if room < 2:
        raise HwqError(f"sums beyond 2**53 are limited to 2**51 terms, not {k}")
    counts = (((room - wide), wide) for wide in range(1, room))
    return min(counts, key=lambda c: (-(-a // c[0]) * -(-w // c[1]), abs(c[0] - c[1])))


def _limbs(side: _Side, window: tuple[int, int], bits: int) -> dict[int, Ints]:
    """Matrices of float64 by the weight of their last bit."""
    mask = (1 << bits) - 1
    tables = {at: side.sign * ((side.magnitude >> at) & mask).astype(np.float64) for at in range(*window, bits)}
    return {at: np.take(table, side.index) for at, table in tables.items()}


def limb_sums(
    mac: Mac, a: Ints, w: Ints, multiply: Callable[[Ints, Ints], Ints]
) -> tuple[tuple[Ints, ...], tuple[int, ...]]:
    """Parts [G, M, N] as int64 and their shifts: the accumulators are `sum(part << shift)`."""
    sides = _side(mac.a, a), _side(mac.w, w)
    spans = _window(sides[0]), _window(sides[1])
    bits = cut(spans[0][1] - spans[0][0], spans[1][1] - spans[1][0], a.shape[-1])
    left, right = (_limbs(side, span, b) for side, span, b in zip(sides, spans, bits, strict=True))
    parts: dict[int, Ints] = {}
    for i, x in left.items():
        for j, y in right.items():
            part = multiply(x, y).astype(np.int64)
            parts[i + j] = parts[i + j] + part if i + j in parts else part
    shifts = tuple(sorted(parts))
    return tuple(parts[s] for s in shifts), shifts
