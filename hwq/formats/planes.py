"""Weighted sums of small digits, trit-planes `trits(w,...)` and planes of signs `signs(w,...)`; and `range(lo,hi)`.

Sources: PTQTP, arXiv 2509.16989 (two trit-planes; weights 3 and 1 give nine even levels); ABQ-LLM, arXiv 2408.08554
(2**b + 1 levels around zero).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import product

from hwq.bits import Word, const, mux
from hwq.errors import HwqError
from hwq.formats.base import Format, Unpacked
from hwq.formats.families import family, whole_numbers, word_of
from hwq.formats.fields import index_fields, index_list, word_field
from hwq.formats.integer import Int
from hwq.formats.rounding import Rounding
from hwq.formats.table import Table

__all__ = ["Planes", "Range"]

# digit -> its value by code; a trit's codes are those of two's complement
_DIGITS: Mapping[str, tuple[int | None, ...]] = {"trits": (0, 1, None, -1), "signs": (-1, 1)}


@dataclass(frozen=True)
class Planes(Table):
    """`sum(weight * digit)`, the first weight's digit on top; a weight is a positive whole number.

    `digit` "trits": -1, 0, 1 in two bits each; "signs": -1 and 1 in one bit each, clear and set.
    """

    digit: str
    weights: tuple[int, ...]

    def __post_init__(self) -> None:
        word_field(self, "digit", tuple(_DIGITS), f"planes are of {' or '.join(_DIGITS)}")
        index_list(self, "weights")
        if not 1 <= len(self.weights) <= 4 or not all(1 <= w < 1 << 16 for w in self.weights):
            raise HwqError(f"planes have 1 to 4 weights from 1 to 65535, not {self.weights}")

    @property
    def text(self) -> str:
        return f"{self.digit}({','.join(map(str, self.weights))})"

    @cached_property
    def _levels(self) -> tuple[Fraction | None, ...]:
        found = []
        for digits in product(_DIGITS[self.digit], repeat=len(self.weights)):
            whole = [w * d for w, d in zip(self.weights, digits, strict=True) if d is not None]
            found.append(Fraction(sum(whole)) if len(whole) == len(digits) else None)
        return tuple(found)

    @property
    def levels(self) -> tuple[Fraction | None, ...]:
        return self._levels

    @property
    def lsb(self) -> int:
        return 0

    def unpack(self, code: Word) -> Unpacked:
        width = (len(_DIGITS[self.digit]) - 1).bit_length()
        total: Word = const(0)
        for at, weight in enumerate(reversed(self.weights)):
            digit = (code >> (at * width)).low(width)
            total = total + (digit.wrap(2).within(-1, 1) if width > 1 else (digit << 1) - 1) * weight
        return Unpacked.of(total)


@dataclass(frozen=True)
class Range(Format):
    """The whole numbers `least` to `most`, in as many bits as these take, two's complement if `least` is negative."""

    least: int
    most: int

    def __post_init__(self) -> None:
        index_fields(self, "least", "most")
        if not self.least < self.most or max(-self.least, self.most) >= 1 << 15:
            raise HwqError(f"range(lo,hi) needs lo < hi within 16 bits, not {self.least} and {self.most}")

    @cached_property
    def _carrier(self) -> Int:
        if self.least >= 0:
            return Int(self.most.bit_length(), signed=False)
        return Int(max((~self.least).bit_length(), max(0, self.most).bit_length(), 1) + 1)

    @property
    def bits(self) -> int:
        return self._carrier.bits

    @property
    def lsb(self) -> int:
        return 0

    @property
    def text(self) -> str:
        return f"range({self.least},{self.most})"

    @property
    def extremes(self) -> tuple[Fraction, Fraction]:
        return Fraction(self.least), Fraction(self.most)

    def reserved(self, code: int) -> bool:
        return not self.least <= self._carrier.value(code) <= self.most

    def value(self, code: int) -> Fraction:
        if not 0 <= code < 1 << self.bits or self.reserved(code):
            raise HwqError(f"{self} has no code {code}")
        return self._carrier.value(code)

    def unpack(self, code: Word) -> Unpacked:
        signed = self.least < 0
        return Unpacked.of((code.wrap(self.bits) if signed else code).within(self.least, self.most))

    def pack(self, x: Unpacked, lsb: int, rounding: Rounding) -> Word:
        code = self._carrier.pack(x, lsb, rounding)
        number = (code.wrap(self.bits) if self.least < 0 else code).clamp(self.least, self.most)
        return mux(x.nan, const(max(self.least, min(0, self.most))), number).low(self.bits)


@family(*_DIGITS)
def _planes(args: list[str], text: str) -> Format:
    return Planes(word_of(text), tuple(whole_numbers(args, (1, 2, 3, 4), text)))


@family("range")
def _range(args: list[str], text: str) -> Format:
    least, most = whole_numbers(args, (2,), text)
    return Range(least, most)
