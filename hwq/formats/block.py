"""Blocks of numbers that share a scale: OCP MX, NVFP4, block floating point, integers in groups.

A number's code carries the scale of its block, `code = scale code << element.bits | element code`; its value is the
element's times the scale's, and so means the same wherever it stands. A sum over block operands is a sum as over any
others: every product is exact, in the order of k, and the accumulator alone decides what is lost. Scales enter in two
places only. `encode` and `quantize` choose one for each `size` consecutive numbers along the last axis (the last block
of a row may be shorter), and packing to bits stores it once a block. A single number has no block to take a scale
from: no datapath ends in such a format.

With m the largest magnitude of a block, and M = t * 2**e the largest value of an element, 1 <= t < 2, a scale is

- floor: 2**(floor(log2 m) - e), the default of OCP MX v1.0, 6.3; what is then beyond M saturates;
- even: the same of m rounded to the element's fraction bits;
- ceil: 2**(ceil(log2 m) - e);
- rceil: 2**ceil(log2(m / M)), the least power of two with which nothing saturates;
- max: m / M to the nearest number of the scale's format.

Rules compare integers. A scale is at least the least positive number of its format (so is that of a block of zeros),
and at most the largest. A block with a NaN or an infinity is NaN as a whole, its elements of code 0, where the scale
has a NaN (as in microxcaling and torchao); elsewhere its scale is the largest. An element is the exact quotient of a
number and its scale, rounded once. The most negative integer stays unused, as OCP MX v1.0 allows for INT8, but has its
value.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from hwq.bits import Word, const, lookup, mux
from hwq.errors import HwqError
from hwq.formats.base import Format, Special, Unpacked
from hwq.formats.families import family, whole_numbers
from hwq.formats.integer import Int
from hwq.formats.minifloat import MiniFloat
from hwq.formats.rounding import Rounding

__all__ = ["RULES", "Block"]

RULES = ("floor", "even", "ceil", "rceil", "max")
_MOST_BITS = 16  # of an element or a scale: their values are listed
_MOST_DIGITS = 12  # of a scale that is no power of two: numbers are divided by it through a table of reciprocals


@dataclass(frozen=True)
class Block(Format):
    """`size` numbers of format `element`, times one of format `scale` that `rule` chooses.

    Without a rule powers of two follow "floor", other scales "max".
    """

    element: Format
    scale: Format
    size: int
    rule: str = ""

    blocked = True

    def __post_init__(self) -> None:
        if isinstance(self.element, Block) or isinstance(self.scale, Block):
            raise HwqError("a block's element and scale must be plain formats, not blocks")
        if not isinstance(self.size, int) or not 1 <= self.size <= 1 << 16:
            raise HwqError(f"a block must have between 1 and 65536 numbers, not {self.size}")
        if max(self.element.bits, self.scale.bits) > _MOST_BITS:
            raise HwqError(
                f"a block's element and scale must have at most {_MOST_BITS} bits, not {self.element} and {self.scale}"
            )
        if not isinstance(self.scale, MiniFloat | Int) or self.scale.overflow != "sat" or not self._from_zero:
            raise HwqError(f"a scale must be a float or an integer that saturates, not {self.scale}")
        if self.element.extremes[1] <= 0:
            raise HwqError(f"a block's element must have a positive value, not {self.element}")
        digits = self.divisor.mag.hi.bit_length()
        if digits > _MOST_DIGITS:
            raise HwqError(
                f"a scale must have at most {_MOST_DIGITS} significant bits, not {digits} as {self.scale} has"
            )
        if not self.rule:
            object.__setattr__(self, "rule", "floor" if self.powers else "max")
        if self.rule not in RULES:
            raise HwqError(f"a scale's rule must be one of {', '.join(RULES)}, not {self.rule!r}")

    @property
    def bits(self) -> int:
        return self.element.bits + self.scale.bits

    @property
    def lsb(self) -> int:
        return self.element.lsb + self.scale.lsb

    @property
    def text(self) -> str:
        return f"block({self.element.text},{self.scale.text},{self.size},{self.rule})"

    @property
    def has_nan(self) -> bool:  # type: ignore[override]
        return self.element.has_nan or self.scale.has_nan or self.has_inf and self.reaches_zero

    @property
    def has_inf(self) -> bool:  # type: ignore[override]
        return self.element.has_inf or self.scale.has_inf

    @property
    def reaches_zero(self) -> bool:
        """True if the factor of an infinity can be 0."""
        others = [self.scale] * self.element.has_inf + [self.element] * self.scale.has_inf
        return any(fmt.value(code) == 0 for fmt in others for code in fmt.codes().tolist())

    @property
    def extremes(self) -> tuple[Fraction, Fraction]:
        ends = [x * y for x in self.element.extremes for y in self.scale.extremes]
        return min(ends), max(ends)

    def __str__(self) -> str:
        from hwq.formats.catalog import catalog

        return catalog.name_of(self) or f"block({self.element},{self.scale},{self.size},{self.rule})"

    def reserved(self, code: int) -> bool:
        scale, element = divmod(code, 1 << self.element.bits)
        return self.element.reserved(element) or self.scale.reserved(scale)

    def valid(self, code: Word) -> Word:
        low = self.element.bits
        return _valid(self.element, code.low(low)) & _valid(self.scale, code >> low)

    def negative_zero(self, code: int) -> bool:
        if self.value(code) != 0:
            return False
        scale, element = divmod(code, 1 << self.element.bits)
        return _negative(self.element, element) != _negative(self.scale, scale)

    def value(self, code: int) -> Fraction | Special:
        if not 0 <= code < 1 << self.bits or self.reserved(code):
            raise HwqError(f"{self} has no code {code}")
        scale, element = divmod(code, 1 << self.element.bits)
        x, y = self.element.value(element), self.scale.value(scale)
        if isinstance(x, Fraction) and isinstance(y, Fraction):
            return x * y
        if Special.NAN in (x, y) or 0 in (x, y):
            return Special.NAN
        negative = [v == Special.NINF or isinstance(v, Fraction) and v < 0 for v in (x, y)]
        return Special.NINF if negative[0] != negative[1] else Special.PINF

    def unpack(self, code: Word) -> Unpacked:
        return _product(self.element.unpack(code.low(self.element.bits)), self.scale.unpack(code >> self.element.bits))

    def pack(self, x: Unpacked, lsb: int, rounding: Rounding) -> Word:
        raise HwqError(
            f"an output must round one number alone, not {self}, whose scale is that of a block; "
            f"use a format such as {self.element}"
        )

    def codes(self) -> np.ndarray[Any, Any]:
        if self.bits > 16:
            return super().codes()  # which says so
        scales = self.scale.codes().astype(self.code_dtype) << self.element.bits
        return np.asarray((scales[:, None] | self.element.codes()).reshape(-1))

    @property
    def least_positive(self) -> Fraction:
        return self.element.least_positive * self.scale.least_positive

    def encode(self, x: Any, rounding: str = "rne", seed: int = 1) -> Any:
        """The code of each element of `x`, its block's scale included; blocks run along the last axis."""
        from hwq.formats.blockwise import encode

        return encode(self, x, rounding, seed)

    def decode(self, codes: Any) -> Any:
        from hwq.formats.blockwise import decode

        return decode(self, codes)

    def quantize(self, x: Any, rounding: str = "rne", seed: int = 1) -> Any:
        """`decode(encode(x))` in `x`'s dtype; one of too few significant bits is refused.

        What is beyond that dtype's ends is rounded into it, once. With powers of two of the floor rule nothing is.
        """
        from hwq.formats.blockwise import quantize

        return quantize(self, x, rounding, seed)

    def outer_scale(self, largest: float) -> float:
        """The second-level scale of NVFP4, a host number: divide by it before `encode`, multiply after `decode`.

        `largest` is the largest magnitude of the whole tensor, which then gets the largest scale and element.
        """
        if not 0 <= largest < float("inf"):
            raise HwqError(f"the largest magnitude must be a finite number of at least 0, not {largest}")
        return largest / (self.element.max * self.scale.max) or 1.0

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

    def number(self, code: Word, shared: Word) -> Unpacked:
        """The number of that element and scale."""
        return _product(self.element.unpack(code), self.scale.unpack(shared))


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


@family("block")
def _block(args: list[str], text: str) -> Format:
    from hwq.formats.text import parse_format

    if not 3 <= len(args) <= 4:
        raise HwqError(f"block takes an element, a scale, a size and perhaps a rule, not {text!r}")
    (size,) = whole_numbers(args[2:3], (1,), text)
    return Block(parse_format(args[0]), parse_format(args[1]), size, *args[3:])
