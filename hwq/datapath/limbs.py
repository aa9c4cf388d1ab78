"""Sums beyond 2**53: operands cut into limbs, so that every float64 product of limb matrices is exact.

Only limbs that occur are multiplied: values of neural networks span a few dozen of the 262 bits that a bfloat16 can
reach, so two limbs are common where fourteen are possible.
"""

from __future__ import annotations

from collections.abc import Callable
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


@lru_cache(maxsize=64)
def _numbers(fmt: Format) -> tuple[Ints, Ints]:
    """(sign, magnitude) of every code's embedding, index = code; magnitudes are Python ints."""
    u = fmt.unpack(fmt.code_word)
    codes = fmt.codes().astype(np.int64)
    neg, mag = evaluate([u.neg, u.mag << u.exp], {"code": codes})
    sign, magnitude = np.ones(1 << fmt.bits), np.zeros(1 << fmt.bits, dtype=object)
    sign[codes] = 1 - 2 * np.asarray(neg, dtype=np.int64)
    magnitude[codes] = mag
    return sign, magnitude


def _window(fmt: Format, codes: Ints) -> tuple[int, int]:
    """The bit positions [first, last) that the magnitudes of these codes use."""
    present = np.bincount(codes.reshape(-1), minlength=1 << fmt.bits) > 0
    used = int(np.bitwise_or.reduce(_numbers(fmt)[1][present], initial=0))
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


def _limbs(fmt: Format, codes: Ints, window: tuple[int, int], bits: int) -> dict[int, Ints]:
    """Matrices of float64 by the weight of their last bit."""
    sign, magnitude = _numbers(fmt)
    mask = (1 << bits) - 1
    tables = {at: sign * ((magnitude >> at) & mask).astype(np.float64) for at in range(*window, bits)}
    return {at: np.take(table, codes) for at, table in tables.items()}


def limb_sums(
    mac: Mac, a: Ints, w: Ints, multiply: Callable[[Ints, Ints], Ints]
) -> tuple[tuple[Ints, ...], tuple[int, ...]]:
    """Parts [M, N] as int64 and their shifts: the accumulators are `sum(part << shift)`."""
    spans = _window(mac.a, a), _window(mac.w, w)
    bits = cut(spans[0][1] - spans[0][0], spans[1][1] - spans[1][0], a.shape[1])
    left, right = (_limbs(f, c, s, b) for f, c, s, b in zip((mac.a, mac.w), (a, w), spans, bits, strict=True))
    parts: dict[int, Ints] = {}
    for i, x in left.items():
        for j, y in right.items():
            part = multiply(x, y).astype(np.int64)
            parts[i + j] = parts[i + j] + part if i + j in parts else part
    shifts = tuple(sorted(parts))
    return tuple(parts[s] for s in shifts), shifts
