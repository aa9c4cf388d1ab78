"""The rounding that a format's values imply: the nearest of a table, by comparing numbers, without any bit trick."""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from hwq.errors import HwqError
from hwq.formats import STOCHASTIC, Format, Special, check_rounding

__all__ = ["Nearest"]

Array = np.ndarray[Any, Any]


class Nearest:
    """The codes that a format of at most 16 bits must give, by its `value` alone.

    A number between two neighbours goes to the nearer one, or where the rounding is directed; a tie goes to the one
    that is an even multiple of their distance. (Of two powers of two, neighbours in a format without fraction bits,
    that is the larger: IEEE 754-2019, 4.3.1.) Where ties go `by_rank`, that is the value of even rank, the least
    value's being 0; from a format's own decision points on its upper value is taken. `beyond` is the number that would
    follow the largest if the format went on; only a format that does not saturate needs it.
    """

    ANY_NAN = -1

    def __init__(self, fmt: Format, beyond: Fraction | None = None) -> None:
        self.format = fmt
        self._specials: dict[Special, int] = {}
        numbers: dict[Fraction, int] = {}
        self._minus_zero = None
        self._canonical: Array = np.arange(1 << fmt.bits)
        for code in fmt.codes().tolist():
            value = fmt.value(code)
            if isinstance(value, Special):
                self._specials.setdefault(value, code)
                self._canonical[code] = self.ANY_NAN if value is Special.NAN else self._specials[value]
            elif fmt.negative_zero(code):
                self._minus_zero = code if self._minus_zero is None else self._minus_zero
            else:
                numbers.setdefault(value, code)  # the least of equal codes
        exact = sorted(numbers)
        self.values: Array = np.array([float(v) for v in exact])
        if [Fraction(v) for v in self.values] != exact:
            raise HwqError(f"every value must be a float64 number, not as in {fmt}; narrow its exponents")
        self.codes: Array = np.array([numbers[v] for v in exact], dtype=np.int64)
        self.beyond = float(beyond) if beyond is not None else 2 * self.values[-1] - self.values[-2]

    @cached_property
    def midpoints(self) -> Array:
        """float64: between every two neighbours; and a format's own decision points."""
        halfway = self.values[:-1] + np.diff(self.values) / 2
        return halfway if self._points is None else np.concatenate([halfway, self._points])

    @cached_property
    def points(self) -> Array:
        """float64: every number at which a code begins or ends or lies, and some beyond."""
        ends = [self.beyond, (self.values[-1] + self.beyond) / 2, 2 * self.beyond]
        return np.concatenate([self.values, self.midpoints, ends, [-x for x in ends]])

    def encode(self, x: Array, rounding: str, noise: Array | None = None) -> Array:
        """int64 codes of float64 numbers; `ANY_NAN` where the result is NaN, whatever its code.

        Stochastic rounding takes one word of `noise`, 0 to 2**16 - 1, an element.
        """
        check_rounding(rounding, stochastic=True)
        x = np.asarray(x, dtype=np.float64)
        finite = np.where(np.isfinite(x), x, 0.0)
        codes = self._wrapped(finite, rounding, noise) if self._wraps else self._finite(finite, rounding, noise)
        if self._minus_zero is not None:
            codes = np.where((codes == self.zero) & np.signbit(finite), self._minus_zero, codes)
        for sign in (1, -1):
            over = sign * finite > sign * self.values[-1 if sign > 0 else 0]
            leaves = over & np.isfinite(x) & (not self._wraps) & self._leaves(finite, sign, rounding, noise)
            codes = np.where(leaves, self._overflow(sign), codes)
            codes = np.where(x == sign * np.inf, self._infinity(sign), codes)
        return np.where(np.isnan(x), self.ANY_NAN, codes) if Special.NAN in self._specials else codes  # else as 0 is

    @property
    def _wraps(self) -> bool:
        return self.format.overflow == "wrap"

    def _wrapped(self, x: Array, rounding: str, noise: Array | None) -> Array:
        """The codes of evenly spaced values that go round: the number of steps from the least value, modulo them."""
        least, step = self.values[0], self.values[1] - self.values[0]
        count = len(self.values)
        x = np.fmod(x, count * step) / step  # exact, and within float64 whatever the step
        whole = np.floor(x)
        up = _rounds_up(x, whole, whole + 1, rounding, noise, False, whole % 2 == 1) & (x != whole)
        return np.asarray(self.codes[np.mod(np.mod(whole, count) + up - least / step, count).astype(np.int64)])

    def canonical(self, codes: Array) -> Array:
        """int64 codes with one code for each special: `ANY_NAN`, and the first of the codes of either infinity."""
        return np.asarray(self._canonical[codes.astype(np.int64)])

    @cached_property
    def zero(self) -> int:
        """The code of zero, or of the number nearest to it."""
        return int(self.codes[np.argmin(np.abs(self.values))])

    @cached_property
    def _by_magnitude(self) -> bool:
        """True if a code is a sign over a magnitude: stochastic rounding then goes by the magnitude."""
        return self._minus_zero is not None or bool(self.values[1] < 0 and self.codes[0] > self.codes[1])

    def _finite(self, x: Array, rounding: str, noise: Array | None) -> Array:
        below = np.clip(np.searchsorted(self.values, x, side="right") - 1, 0, len(self.values) - 2)
        lo, hi = self.values[below], self.values[below + 1]
        inside = np.clip(x, self.values[0], self.values[-1])
        even = (below + 1) % 2 == 0 if self.format.ties_by_rank else hi / (hi - lo) % 2 == 0
        up = _rounds_up(inside, lo, hi, rounding, noise, self._by_magnitude, even)
        if self._points is not None and rounding in ("rne", "rna"):
            up = inside >= self._points[below]
        return np.asarray(self.codes[below + up])

    @cached_property
    def _points(self) -> Array | None:
        """The decision points of a format that states its own."""
        points = getattr(self.format, "points", None)
        return None if points is None else np.array([float(p) for p in points])

    def _leaves(self, x: Array, sign: int, rounding: str, noise: Array | None) -> Array:
        """Where a number past the end goes on rather than back to the last value."""
        outward = {"rup": sign > 0, "rdn": sign < 0, "rtz": False}
        if rounding in outward:
            return np.full(x.shape, outward[rounding])
        last, following = np.full_like(x, self.values[-1]), np.full_like(x, self.beyond)
        inside = np.clip(sign * x, last, following)
        even = np.full(x.shape, len(self.values) % 2 == 0) if self.format.ties_by_rank else None
        return _rounds_up(inside, last, following, rounding, noise, True, even) & (sign * x > last)

    def _overflow(self, sign: int) -> int:
        if self.format.overflow in ("sat", "wrap") or sign < 0 and self.values[0] >= 0:
            return int(self.codes[-1 if sign > 0 else 0])
        return self.ANY_NAN if self.format.overflow == "nan" else self._specials[_INFINITY[sign]]

    def _infinity(self, sign: int) -> int:
        """An infinity is no overflow: it stays one where it has a code, under every overflow mode."""
        return self._specials.get(_INFINITY[sign], self._overflow(sign))


_INFINITY = {1: Special.PINF, -1: Special.NINF}


def _rounds_up(
    x: Array,
    lo: Array,
    hi: Array,
    rounding: str,
    noise: Array | None,
    by_magnitude: bool,
    even: Array | None = None,
) -> Array:
    """True where lo <= x <= hi becomes hi. The arithmetic on neighbours is exact in float64."""
    gap = hi - lo
    middle = lo + gap / 2
    even = hi / gap % 2 == 0 if even is None else even
    if rounding == STOCHASTIC:
        assert noise is not None
        reach = noise * (gap / 65536)
        up = np.where(by_magnitude & (x < 0), x > lo + reach, x >= hi - reach)  # counted from the inner neighbour
    elif rounding == "rne":
        up = (x > middle) | ((x == middle) & even)
    elif rounding == "rna":
        up = (x > middle) | ((x == middle) & (x > 0))
    else:
        inwards = np.where((lo < 0) & (hi > 0), x >= 0, (x > lo) & (x < 0))  # or to its own side of a missing zero
        up = (x == hi) | {"rdn": False, "rup": x > lo, "rtz": inwards}[rounding]
    return np.asarray(up)
