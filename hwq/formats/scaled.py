"""Formats of numbers that share a scale: what their codes mean, whatever chooses the scale.

A number's code carries what its block shares, `code = shared code << element.bits | element code`; its value is that of
a *factor*, the low bits of the code, times that of the scale above them, and so means the same wherever it stands. A
sum over such operands is a sum as over any others: every product is exact, in the order of k, and the accumulator alone
decides what is lost. What is shared enters in two places only. `encode` and `quantize` choose it for each `size`
consecutive numbers along the last axis (the last block of a row may be shorter), and packing to bits stores it once a
block. A single number has no block to take a scale from: no datapath ends in such a format.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from hwq.bits import Word, const, lookup, mux
from hwq.errors import HwqError
from hwq.formats.base import Format, Special, Unpacked
from hwq.formats.fields import index_fields, word_field
from hwq.formats.integer import Int
from hwq.formats.minifloat import MiniFloat
from hwq.formats.rounding import Rounding

__all__ = ["Scaled"]

_MOST_BITS = 16  # of an element or a scale: their values are listed
_MOST_DIGITS = 12  # of a scale that is no power of two: numbers are divided by it through a table of reciprocals


@dataclass(frozen=True)
class Scaled(Format):
    """`size` numbers of format `element` under one scale of format `scale`, that `rule` chooses."""

    element: Format
    scale: Format
    size: int
    rule: str = ""

    blocked = True
    word: ClassVar[str]  # that begins the text
    rules: ClassVar[tuple[str, ...]]  # one for powers of two and one for other scales are the defaults
    defaults: ClassVar[tuple[str, str]]

    @property
    @abstractmethod
    def factor(self) -> Format:
        """What is multiplied by the scale: the format of the bits below it."""

    @abstractmethod
    def measures(self, pattern: Word, source: MiniFloat) -> Mapping[str, Word]:
        """The texts whose largest of a block choose what it shares: unsigned numbers of a pattern in `source`."""

    @abstractmethod
    def shared_code(self, source: MiniFloat) -> Word:
        """The text of what a block shares, over the largest of each measure, by its name."""

    @abstractmethod
    def element_code(self, u: Unpacked, source: MiniFloat, shared: Word, rounding: Rounding) -> Word:
        """The text of the element of a number `u`, unpacked from `source`."""

    def __post_init__(self) -> None:
        word = self.word
        for each in (self.element, self.scale):
            if not isinstance(each, Format):
                raise HwqError(f"a {word} is made of two formats, not {each!r}; parse_format(text) makes one")
        index_fields(self, "size")
        if isinstance(self.element, Scaled) or isinstance(self.scale, Scaled):
            raise HwqError(f"a {word}'s element and scale must be plain formats, not blocks")
        if not 1 <= self.size <= 1 << 16:
            raise HwqError(f"a {word} must have between 1 and 65536 numbers, not {self.size}")
        if max(self.element.bits, self.scale.bits) > _MOST_BITS:
            raise HwqError(
                f"a {word}'s element and scale must have at most {_MOST_BITS} bits, not {self.element} and {self.scale}"
            )
        if not isinstance(self.scale, MiniFloat | Int) or self.scale.overflow != "sat" or not self._from_zero:
            raise HwqError(f"a scale must be a float or an integer that saturates, not {self.scale}")
        if self.element.extremes[1] <= 0:
            raise HwqError(f"a {word}'s element must have a positive value, not {self.element}")
        digits = self.divisor.mag.hi.bit_length()
        if digits > _MOST_DIGITS:
            raise HwqError(
                f"a scale must have at most {_MOST_DIGITS} significant bits, not {digits} as {self.scale} has"
            )
        if isinstance(self.rule, str) and not self.rule:
            object.__setattr__(self, "rule", self.defaults[not self.powers])
        word_field(self, "rule", self.rules, f"a scale's rule must be one of {', '.join(self.rules)}")

    @property
    def bits(self) -> int:
        return self.factor.bits + self.scale.bits

    @property
    def block(self) -> int:  # type: ignore[override]
        return self.size

    @property
    def shared_bits(self) -> int:
        """Bits that are the same in every code of a block, above the element's."""
        return self.bits - self.element.bits

    @property
    def lsb(self) -> int:
        return self.factor.lsb + self.scale.lsb

    @property
    def text(self) -> str:
        return f"{self.word}({self.element.text},{self.scale.text},{self.size},{self.rule})"

    def subnormal(self, on: bool) -> Scaled:
        """With other elements; the scale stays."""
        return replace(self, element=self.element.subnormal(on))

    @property
    def has_nan(self) -> bool:  # type: ignore[override]
        return self.factor.has_nan or self.scale.has_nan or self.has_inf and self.reaches_zero

    @property
    def has_inf(self) -> bool:  # type: ignore[override]
        return self.factor.has_inf or self.scale.has_inf

    @property
    def reaches_zero(self) -> bool:
        """True if the factor of an infinity can be 0."""
        others = [self.scale] * self.factor.has_inf + [self.factor] * self.scale.has_inf
        return any(fmt.value(code) == 0 for fmt in others for code in fmt.codes().tolist())

    @property
    def extremes(self) -> tuple[Fraction, Fraction]:
        ends = [x * y for x in self.factor.extremes for y in self.scale.extremes]
        return min(ends), max(ends)

    @property
    def span(self) -> tuple[float, float]:
        """An element's ends under one scale: a float's in the middle of its exponents, which is 1, else the largest.

        What the scales of blocks can do, none outside has to: an end of the format may be 2**127 elements away. Even
        steps of a scale are fine at their largest alone.
        """
        middle = self.scale.extremes[1]
        if isinstance(self.scale, MiniFloat):
            middle = min(middle, Fraction(2) ** ((1 << (self.scale.exp - 1)) - 1 - self.scale.offset))
        low, high = (float(end * middle) for end in self.factor.extremes)
        return low, high

    @property
    def least_positive(self) -> Fraction:
        return self.factor.least_positive * self.scale.least_positive

    def __str__(self) -> str:
        from hwq.formats.catalog import catalog

        return catalog.name_of(self) or f"{self.word}({self.element},{self.scale},{self.size},{self.rule})"

    def reserved(self, code: int) -> bool:
        scale, factor = divmod(code, 1 << self.factor.bits)
        return self.factor.reserved(factor) or self.scale.reserved(scale)

    def valid(self, code: Word) -> Word:
        low = self.factor.bits
        return _valid(self.factor, code.low(low)) & _valid(self.scale, code >> low)

    def negative_zero(self, code: int) -> bool:
        if self.value(code) != 0:
            return False
        scale, factor = divmod(code, 1 << self.factor.bits)
        return _negative(self.factor, factor) != _negative(self.scale, scale)

    def value(self, code: int) -> Fraction | Special:
        if not 0 <= code < 1 << self.bits or self.reserved(code):
            raise HwqError(f"{self} has no code {code}")
        scale, factor = divmod(code, 1 << self.factor.bits)
        x, y = self.factor.value(factor), self.scale.value(scale)
        if isinstance(x, Fraction) and isinstance(y, Fraction):
            return x * y
        if Special.NAN in (x, y) or 0 in (x, y):
            return Special.NAN
        negative = [v == Special.NINF or isinstance(v, Fraction) and v < 0 for v in (x, y)]
        return Special.NINF if negative[0] != negative[1] else Special.PINF

    def unpack(self, code: Word) -> Unpacked:
        return _product(self.factor.unpack(code.low(self.factor.bits)), self.scale.unpack(code >> self.factor.bits))

    def pack(self, x: Unpacked, lsb: int, rounding: Rounding) -> Word:
        raise HwqError(
            f"an output must round one number alone, not {self}, whose scale is that of a block; "
            f"use a format such as {self.element}"
        )

    def codes(self) -> np.ndarray[Any, Any]:
        if self.bits > 16:
            return super().codes()  # which says so
        scales = self.scale.codes().astype(self.code_dtype) << self.factor.bits
        return np.asarray((scales[:, None] | self.factor.codes()).reshape(-1))

    def encode(self, x: Any, rounding: str = "rne", seed: int = 1) -> Any:
        """The code of each element of `x`, what its block shares included; blocks run along the last axis."""
        from hwq.formats.blockwise import encode

        return encode(self, x, rounding, seed)

    def shared(self, x: Any) -> Any:
        return self.encode(x) >> self.element.bits

    def encode_under(self, x: Any, shared: Any) -> Any:
        """The code of each element of `x` under what its block shares: integers that broadcast to its shape."""
        from hwq.formats.blockwise import encode_under

        return encode_under(self, x, shared)

    def decode(self, codes: Any) -> Any:
        from hwq.formats.blockwise import decode

        return decode(self, codes)

    def quantize(self, x: Any, rounding: str = "rne", seed: int = 1) -> Any:
        """`decode(encode(x))` in `x`'s dtype; one of too few significant bits is refused.

        What is beyond that dtype's ends is rounded into it, once. With powers of two of the floor rule nothing is.
        """
        from hwq.formats.blockwise import quantize

        return quantize(self, x, rounding, seed)

    @property
    def _from_zero(self) -> bool:
        """True if the scale's codes ascend with its positive values: there is no zero point."""
        return not isinstance(self.scale, Int) or not self.scale.zero

    @property
    def divisor(self) -> Unpacked:
        """A scale's number, by which elements are multiplied, and numbers divided."""
        return self.scale.unpack(self.scale.code_word)

    @property
    def powers(self) -> bool:
        """True if every scale is a power of two."""
        return self.divisor.mag.hi == 1


def _valid(fmt: Format, code: Word) -> Word:
    table = [1 - fmt.reserved(c) for c in range(1 << fmt.bits)]
    return const(1) if all(table) else lookup(code, table)


def _negative(fmt: Format, code: int) -> bool:
    value = fmt.value(code)
    return fmt.negative_zero(code) or isinstance(value, Fraction) and value < 0 or value is Special.NINF


def _product(x: Unpacked, y: Unpacked) -> Unpacked:
    """The exact product; specials have the magnitude 0 already."""
    mag = mux(y.mag.eq(0), const(0), x.mag) if y.mag.hi == 1 else x.mag * y.mag
    zero_x, zero_y = (u.mag.eq(0) & (const(1) - u.inf) for u in (x, y))
    nan = x.nan | y.nan | (x.inf & zero_y) | (y.inf & zero_x)
    return Unpacked(x.neg ^ y.neg, mag, x.exp + y.exp, nan, (x.inf | y.inf) & (const(1) - nan))
