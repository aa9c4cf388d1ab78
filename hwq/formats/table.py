"""Formats whose codes look their values up: any codebook, with the text that finds the nearest of its levels.

A number is brought to a ruler, the minifloat that has every decision point among its even codes, and rounded to odd on
it: an odd code lies strictly between two points (Boldo and Melquiond, IEEE Trans. Computers 2008). The codes of
a minifloat are in the order of its values, so the rank of a number is found by comparing codes, halving the points.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from hwq.bits import Word, const, evaluate, lookup, mux
from hwq.errors import HwqError
from hwq.formats.base import Format, Unpacked
from hwq.formats.families import family
from hwq.formats.fields import exact, index_fields, index_list, listed, whole
from hwq.formats.intake import float64_of
from hwq.formats.minifloat import MiniFloat
from hwq.formats.rounding import TO_ODD, Rounding, Stochastic

__all__ = ["Codebook", "Table", "lloyd_max"]

_DIGITS = 18  # of a number in a codebook's text
_FRACTION = 1024  # most fractional bits of a codebook
_SPLIT = 12  # bits of magnitude from which a decoder may rather give a significand and an exponent


class Table(Format):
    """A family states `levels`; a tie between two goes to the one of even rank, the least level's being 0."""

    ties_by_rank = True
    uneven = True

    @property
    @abstractmethod
    def levels(self) -> tuple[Fraction | None, ...]:
        """The value of each code, multiples of a power of two; None where the code is reserved."""

    @property
    def points(self) -> tuple[Fraction, ...] | None:
        """The decision points of rounding to nearest, in order, from which the upper level is taken; None: halfway."""
        return None

    @property
    def bits(self) -> int:
        return (len(self.levels) - 1).bit_length()

    @cached_property
    def _lsb(self) -> int:
        return min(_places(v) for v in self.levels if v)

    @property
    def lsb(self) -> int:
        return self._lsb

    @cached_property
    def ranked(self) -> tuple[tuple[Fraction, int], ...]:
        """(level, its least code), ascending."""
        codes: dict[Fraction, int] = {}
        for code, level in enumerate(self.levels):
            if level is not None:
                codes.setdefault(level, code)
        return tuple(sorted(codes.items()))

    @property
    def extremes(self) -> tuple[Fraction, Fraction]:
        return self.ranked[0][0], self.ranked[-1][0]

    def reserved(self, code: int) -> bool:
        return code >= len(self.levels) or self.levels[code] is None

    def value(self, code: int) -> Fraction:
        level = self.levels[code] if 0 <= code < len(self.levels) else None
        if level is None:
            raise HwqError(f"{self} has no code {code}")
        return level

    def unpack(self, code: Word) -> Unpacked:
        """A significand, and an exponent where that makes the significand at most half as wide."""
        numbers = [0 if v is None else int(v / Fraction(2) ** self.lsb) for v in self.levels]
        index = code.within(0, len(numbers) - 1)
        wide = max(abs(v).bit_length() for v in numbers)
        odd = max(((abs(v) // (v & -v)).bit_length() for v in numbers if v), default=1)
        keep = odd if wide > _SPLIT and 2 * odd <= wide else wide
        up = [max(0, abs(v).bit_length() - keep) for v in numbers]
        mags = [abs(v) >> n for v, n in zip(numbers, up, strict=True)]
        neg = lookup(index, [int(v < 0) for v in numbers])
        return Unpacked(neg, lookup(index, mags), lookup(index, up), const(0), const(0))

    def pack(self, x: Unpacked, lsb: int, rounding: Rounding) -> Word:
        """The code of the level of that rank; a NaN, which no level is, counts as 0."""
        return lookup(self._rank(x, lsb, rounding), [code for _, code in self.ranked])

    def _rank(self, x: Unpacked, lsb: int, rounding: Rounding) -> Word:
        points = self._decisions(rounding)
        ruler = _ruler([point for point, _ in points])
        magnitude = ruler.pack(Unpacked(const(0), x.mag, x.exp, x.nan, x.inf, x.normal), lsb, TO_ODD)
        key = mux(x.neg, -magnitude, magnitude)
        limits = [_code(ruler, point) + (not reached) for point, reached in points]
        size = 1 << len(limits).bit_length()
        limits += [key.hi + 1] * (size - 1 - len(limits))
        rank: Word = const(0)
        half = size // 2
        while half:
            limit = lookup((rank >> half.bit_length()).within(0, size // (2 * half) - 1), limits[half - 1 :: 2 * half])
            rank = rank + ((const(1) - (key < limit)) << (half.bit_length() - 1))
            half //= 2
        return rank.within(0, len(self.ranked) - 1)

    def _decisions(self, rounding: Rounding) -> list[tuple[Fraction, bool]]:
        """(point, whether it is itself above) between each two levels."""
        if isinstance(rounding, Stochastic):
            raise HwqError(f"sr needs even steps, which {self} has not; use another rounding")
        values = [v for v, _ in self.ranked]
        if self.points is not None and rounding in ("rne", "rna"):
            return [(p, True) for p in self.points]
        return [_decision(lo, hi, at, rounding) for at, (lo, hi) in enumerate(pairwise(values))]

    def decoded(self, code: Word, carrier: Format) -> Word:
        codes = self.codes().astype(np.int64)
        patterns = np.zeros(len(self.levels), dtype=object)
        patterns[codes] = evaluate([carrier.pack(self.unpack(self.code_word), self.lsb, "rne")], {"code": codes})[0]
        return lookup(code.within(0, len(patterns) - 1), patterns.tolist())


def _decision(lo: Fraction, hi: Fraction, rank: int, rounding: str) -> tuple[Fraction, bool]:
    middle = (lo + hi) / 2
    if rounding == "rtz":
        if lo < 0 < hi:  # a number stays on its side of zero
            return Fraction(0), True
        rounding = "rdn" if lo >= 0 else "rup"
    return {
        "rne": (middle, rank % 2 == 1),
        "rna": (middle, middle > 0),
        "rdn": (hi, True),
        "rup": (lo, False),
    }[rounding]


def _places(x: Fraction) -> int:
    """The exponent of the last digit of a nonzero multiple of a power of two."""
    if x.denominator & (x.denominator - 1):
        raise HwqError(f"a level must be a multiple of a power of two, not {x}")
    return (x.numerator & -x.numerator).bit_length() - x.denominator.bit_length()


def _top(x: Fraction) -> int:
    """floor(log2(|x|)) of a multiple of a power of two."""
    return abs(x.numerator).bit_length() - x.denominator.bit_length()


def _ruler(points: Sequence[Fraction]) -> MiniFloat:
    """A minifloat that has all the points among its even codes, and a larger number."""
    some = [p for p in points if p] or [Fraction(1)]
    low, high = min(map(_top, some)), max(map(_top, some)) + 1
    man = max(_top(p) - _places(p) for p in some) + 1
    exp = (high - low + 2).bit_length()
    if man > 52 or exp > 11:
        raise HwqError("an encoder needs levels whose midpoints have 53 bits within 2000 binades; take closer numbers")
    return MiniFloat(exp, max(man, 1), bias=1 - low)


def _code(ruler: MiniFloat, point: Fraction) -> int:
    """The signed code of a point: its place on the ruler."""
    unit = Fraction(2) ** ruler.lsb
    magnitude = evaluate([ruler.pack(Unpacked.of(const(int(abs(point) / unit))), ruler.lsb, TO_ODD)], {})[0]
    return -int(magnitude) if point < 0 else int(magnitude)


@dataclass(frozen=True)
class Codebook(Table):
    """`levels[code] = numbers[code] * 2**-frac`, 2 to 65,536 of them in any order; equal ones share the least code."""

    frac: int
    numbers: tuple[int, ...]

    def __post_init__(self) -> None:
        index_fields(self, "frac")
        index_list(self, "numbers")
        if not 2 <= len(self.numbers) <= 1 << 16 or len(set(self.numbers)) < 2:
            raise HwqError(f"a codebook has 2 to 65536 numbers, two of them different, not {self.numbers[:8]}")
        if max(map(abs, self.numbers)) >= 10**_DIGITS:
            raise HwqError(f"a codebook's numbers have at most {_DIGITS} digits, not {max(self.numbers, key=abs)}")
        if abs(self.frac) > _FRACTION:
            raise HwqError(f"fractional bits must be between -{_FRACTION} and {_FRACTION}, not {self.frac}")

    @cached_property
    def _levels(self) -> tuple[Fraction | None, ...]:
        return tuple(n * Fraction(2) ** -self.frac for n in self.numbers)

    @property
    def levels(self) -> tuple[Fraction | None, ...]:
        return self._levels

    @property
    def text(self) -> str:
        return f"codebook({','.join(map(str, (self.frac, *self.numbers)))})"

    @classmethod
    def of(cls, values: Sequence[float | Fraction], frac: int | None = None) -> Codebook:
        """A codebook of these values, exactly, or rounded to multiples of 2**-frac."""
        levels = [exact("a level", v) for v in listed("levels", values)]
        if frac is None:
            frac = max(0, -min((_places(v) for v in levels if v), default=0))
        frac = max(-_FRACTION - 1, min(whole("frac", frac), _FRACTION + 1))  # beyond is refused, and never computed
        return cls(frac, tuple(round(v * Fraction(2) ** frac) for v in levels))


def lloyd_max(x: Any, count: int, frac: int, rounds: int = 200) -> Codebook:
    """The codebook of `count` levels, multiples of 2**-frac, of locally least mean squared error on the numbers `x`.

    Lloyd's iteration (IEEE Trans. Information Theory 1982) from evenly spaced quantiles; sorted, so that code is rank.
    """
    data = np.sort(float64_of(x).ravel())
    count, frac, rounds = whole("levels", count), whole("frac", frac), whole("rounds", rounds)
    if not 2 <= count <= max(2, data.size) or not np.isfinite(data).all():
        raise HwqError(f"levels must be from 2 to as many as there are finite numbers, not {count} of {data.size}")
    sums = np.concatenate([[0.0], np.cumsum(data)])
    levels = data[(np.arange(count) * 2 + 1) * data.size // (2 * count)]
    for _ in range(rounds):
        edges = np.concatenate([[0], np.searchsorted(data, (levels[1:] + levels[:-1]) / 2), [data.size]])
        sizes = np.diff(edges)
        means = np.where(sizes > 0, np.diff(sums[edges]) / np.maximum(sizes, 1), levels)
        if np.array_equal(means, levels):
            break
        levels = means
    return Codebook.of(levels.tolist(), frac)


@family("codebook")
def _codebook(args: list[str], text: str) -> Format:
    if len(args) < 3 or not all(re.fullmatch(rf"-?[0-9]{{1,{_DIGITS}}}", a) for a in args):
        raise HwqError(f"codebook takes frac and two or more whole numbers, each times 2**-frac, not {text[:80]!r}")
    frac, *numbers = map(int, args)
    return Codebook(frac, tuple(numbers))
