"""Random and corner values for one Mac: what a simulation or a reference model is run on."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from hwq.bits import evaluate
from hwq.datapath.params import Params
from hwq.datapath.spec import MAX_SHIFT, Mac
from hwq.datapath.steps import SEED, parameters
from hwq.formats import Format
from hwq.formats.rounding import SEED_BITS

__all__ = ["Codes", "Draw"]

Codes = np.ndarray[Any, Any]

_SOME = 1 << 13  # random codes of a format that has too many to list
_CLOSE = 6  # binades of an operand whose numbers are close


class Draw:
    """Random and corner values for one Mac.

    Of operands that reach over many binades (a block's scale alone over 254) most products would leave the accumulator,
    or vanish below it. So half of their tiles are of close numbers: those of a few binades of either operand, whose
    products are somewhere in the accumulator's range. The numbers of a block with near scales are such numbers.
    """

    def __init__(self, mac: Mac, seed: int) -> None:
        self.mac = mac
        self.rng = np.random.default_rng(seed)
        self.codes = {"a": _listed(mac.a), "w": _listed(mac.w)}
        self.corners = {"a": _corners(mac.a), "w": _corners(mac.w)}
        self.finite = {"a": _ordered(mac.a)[0], "w": _ordered(mac.w)[0]}
        self.words = parameters(mac)
        self.wide = any(most - least > 2 * _CLOSE for least, most in (_binades(mac.a), _binades(mac.w)))
        self.close: dict[str, Codes] | None = None

    def operand(self, side: str, shape: tuple[int, int]) -> Codes:
        """Codes of a lane each: any code, or corners, or finite numbers, or nothing but zero; or close numbers alone.

        Draw "a" first: whether numbers are close, and which those of "w" then are, is chosen with it.
        """
        if side == "a":
            self.close = self._closely() if self.wide and self.rng.random() < 0.5 else None
        kinds = (self.codes, self.finite, self.finite, self.corners) if self.close is None else (self.close,)
        rows = [self.rng.choice(kinds[self.rng.integers(len(kinds))][side], shape[1]) for _ in range(shape[0])]
        if self.rng.random() < 0.1:
            rows[self.rng.integers(shape[0])][:] = self.zero(side)
        return np.stack(rows)

    def _closely(self) -> dict[str, Codes]:
        """Codes of numbers within a few binades of each operand, and whose products meet the accumulator's range."""
        mac, rng = self.mac, self.rng
        (least_a, most_a), (least_w, most_w) = (_binades(fmt) for fmt in (mac.a, mac.w))
        least = max(mac.acc_format.lsb - mac.product_lsb, least_a + least_w - 1)
        most = min(mac.acc_format.lsb - mac.product_lsb + mac.acc_format.integer_range[1].bit_length(), most_a + most_w)
        product = int(rng.integers(least, max(least, most) + 1))
        low, high = max(least_a, product - most_w), min(most_a, product - least_w)
        at = int(rng.integers(low, high + 1)) if low <= high else min(max(low, least_a), most_a)
        return {"a": _around(mac.a, at), "w": _around(mac.w, product - at)}

    def opposite(self, side: str, codes: Codes) -> Codes:
        """Codes of the numbers of other sign; the codes themselves where there is none."""
        known, others = _opposites(self.mac.a if side == "a" else self.mac.w)
        return others[np.searchsorted(known, codes)]

    def zero(self, side: str) -> int:
        fmt = self.mac.a if side == "a" else self.mac.w
        return int(np.asarray(fmt.encode(np.zeros(1, np.float32)))[0])

    def params(self, columns: int, terms: int, largest: int = 0) -> Params:
        """Parameters of each column: extremes now and then, else such that results fall inside the output's range.

        `largest` is the sum's expected magnitude, by default that of so many products.
        """
        largest = largest or max(map(abs, self.mac.product_range)) * min(terms, 64)
        found: dict[str, list[int]] = {name: [] for name in self.words}
        for _ in range(columns):
            for name, value in self._column(largest).items():
                if name in found:
                    found[name].append(value)
        return Params(**{name: np.array(values, dtype=object) for name, values in found.items()})

    def _column(self, largest: int) -> dict[str, int]:
        mac, rng = self.mac, self.rng
        reach = largest if rng.random() < 0.8 else 1 << (mac.acc_bits - 1)
        bias = _within(rng, min(reach, (1 << (mac.acc_bits - 1)) - 1))
        if rng.random() < 0.1:
            bias = int(rng.choice([0, 1, -1])) * ((1 << (mac.acc_bits - 1)) - 1)
        found = {"bias": bias & ((1 << mac.acc_bits) - 1)}
        if mac.floats is not None:  # a number of the sum's size, or any code
            number = np.array([_within(rng, largest) * 2.0**mac.product_lsb])
            found["bias"] = (
                int(mac.floats.encode(number)[0]) if rng.random() < 0.9 else int(rng.integers(1 << mac.acc_bits))
            )
        if mac.requant is not None:
            bits = mac.requant.bits
            top = 1 << (bits - 1)
            corner = rng.random() < 0.2
            found["mul"] = int(rng.choice([top, 2 * top - 1])) if corner else top + int(rng.integers(top))
            centre = _shift_to(mac, largest << (bits - 1))
            spread = int(rng.integers(-4, 5)) if rng.random() < 0.85 else int(rng.integers(-MAX_SHIFT, MAX_SHIFT + 1))
            found["shift"] = min(max(centre + spread, 0), MAX_SHIFT)
        if SEED in self.words:
            found[SEED] = int(rng.integers(1, 1 << SEED_BITS))
        return found


def _within(rng: np.random.Generator, reach: int) -> int:
    """A number of random magnitude, at most `reach`, of either sign; of any size."""
    bits = int(rng.integers(reach.bit_length() + 1))
    value = min(int.from_bytes(rng.bytes(bits // 8 + 1), "little") & ((1 << bits) - 1), reach)
    return -value if rng.random() < 0.5 else value


def _shift_to(mac: Mac, largest: int) -> int:
    """The shift that brings the largest scaled sum to the output's largest value."""
    assert mac.out is not None, "only an output is requantized"
    lsb = mac.acc_lsb if mac.floats is None else mac.product_lsb
    ratio = largest * Fraction(2) ** lsb / Fraction(mac.out.max)
    return max(0, int(ratio).bit_length() - 1)


def _corners(fmt: Format) -> Codes:
    """Codes of the extremes, a NaN and the infinities, the zeros and the numbers next to zero."""
    order, numbers = _ordered(fmt)
    middle = int(np.abs(numbers).argmin())
    kinds = {fmt.value(code): code for code in np.setdiff1d(_listed(fmt), order).tolist()}  # a NaN has many codes
    specials = np.array([*kinds.values()], dtype=order.dtype)
    return np.unique(np.concatenate([order[:2], order[-2:], order[max(0, middle - 2) : middle + 3], specials]))


@lru_cache(maxsize=64)
def _listed(fmt: Format) -> Codes:
    """All codes; of a wide format some, among them those beside every power of two and beside the ends."""
    if fmt.bits <= 16:
        return fmt.codes()
    edges = [(1 << at) + beside for at in range(fmt.bits + 1) for beside in (-2, -1, 0, 1)]
    edges += [(1 << fmt.bits) - edge for edge in edges]
    some = np.random.default_rng(fmt.bits).integers(1 << fmt.bits, size=_SOME, dtype=np.int64)
    codes = np.unique(np.concatenate([[code for code in edges if 0 <= code < 1 << fmt.bits], some]))
    return np.array([code for code in codes.tolist() if not fmt.reserved(code)], dtype=fmt.code_dtype)


@lru_cache(maxsize=64)
def _ordered(fmt: Format) -> tuple[Codes, np.ndarray[Any, Any]]:
    """Codes of numbers, the least first, and those numbers in units of `2**lsb`."""
    codes, u = _listed(fmt), fmt.unpack(fmt.code_word)
    number, nan, inf = evaluate([u.fixed, u.nan, u.inf], {"code": codes.astype(np.int64)})
    finite = np.broadcast_to((nan == 0) & (inf == 0), codes.shape).astype(bool)
    codes, number = codes[finite], np.broadcast_to(number, codes.shape)[finite]
    order = np.argsort(number, kind="stable")
    return codes[order], number[order]


@lru_cache(maxsize=64)
def _opposites(fmt: Format) -> tuple[Codes, Codes]:
    """(Codes, ascending; of each the code of the number of other sign, or itself)."""
    order, numbers = _ordered(fmt)
    at = np.minimum(np.searchsorted(numbers, -numbers), len(numbers) - 1)
    known = np.sort(_listed(fmt))
    others = known.copy()
    others[np.searchsorted(known, order)] = np.where(numbers[at] == -numbers, order[at], order)
    return known, others


@lru_cache(maxsize=64)
def _lengths(fmt: Format) -> np.ndarray[Any, Any]:
    """Bits of the magnitude of each number of `_ordered`, in units of `2**lsb`; 0 for a zero."""
    return np.array([abs(int(number)).bit_length() for number in _ordered(fmt)[1]])


def _binades(fmt: Format) -> tuple[int, int]:
    """(least, largest) bits of a number that is not zero."""
    found = _lengths(fmt)
    return int(found[found > 0].min()), int(found.max())


def _around(fmt: Format, length: int) -> Codes:
    """Codes of zero and of numbers of that many bits or a few less; of the nearest length, where there is none."""
    lengths = _lengths(fmt)
    apart = np.abs(lengths - (length - _CLOSE // 2))
    reach = max(_CLOSE // 2, int(apart[lengths > 0].min()))
    return np.asarray(_ordered(fmt)[0][(apart <= reach) | (lengths == 0)])
