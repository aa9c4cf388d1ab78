"""Integers in groups that share a scale and a zero point: `group(uint(b),SCALE,size[,rule])`.

A code is `scale code << 2b | zero point << b | element`, and its value is `(element - zero point) * scale`, so that the
element equal to the zero point is exactly 0. With lo the least number of a group and hi its largest, or 0 where that is
not below or above 0,

- the scale is (hi - lo) / (2**b - 1), to the nearest number of the scale's format ("near", ties to even), or to the
  next above ("up", of which powers of two have the default: to the nearest they would cut off a quarter of a range);
- the zero point is -lo / scale to the nearest integer, ties to even, at most 2**b - 1;
- an element is x / scale rounded once, plus the zero point, and then limited to 0..2**b - 1.

So GPTQ, AWQ and OmniQuant choose them (arXiv 2210.17323, 2306.00978, 2308.13137), each in float arithmetic; here every
sum, quotient and rounding is of the exact number, the scale in the second and third line that of the code. A scale is
at least the least positive number of its format (so is that of a group of zeros), and at most the largest. A group with
a NaN or an infinity is NaN as a whole, its other bits 0, where the scale has a NaN; elsewhere its scale is the largest,
an infinity is an end of the elements, and a NaN an element of value 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

from hwq.bits import Word, const, mux, variable
from hwq.errors import HwqError
from hwq.formats.base import Format, Unpacked
from hwq.formats.families import family, whole_numbers
from hwq.formats.integer import Int
from hwq.formats.minifloat import MiniFloat
from hwq.formats.rounding import Rounding
from hwq.formats.scaled import Scaled
from hwq.formats.scales import quotient_code, span_code

__all__ = ["Group"]

_LOW, _HIGH = "low", "high"  # the magnitudes of the least and the largest number of a group
_MOST_BITS = 8


@dataclass(frozen=True)
class Group(Scaled):
    """`size` unsigned integers of format `element`, less one of their number, times one of format `scale`."""

    word = "group"
    rules = ("near", "up")
    defaults = ("up", "near")

    def __post_init__(self) -> None:
        super().__post_init__()
        plain = Int(self.element.bits if self.element.bits <= _MOST_BITS else _MOST_BITS, signed=False)
        if self.element != plain:
            raise HwqError(
                f"a group's element must be an unsigned integer of at most {_MOST_BITS} bits, not {self.element}; "
                "block(...) takes others, without a zero point"
            )

    @cached_property
    def factor(self) -> Format:
        return Difference(self.element)

    def measures(self, pattern: Word, source: MiniFloat) -> Mapping[str, Word]:
        low = source.exp + source.man
        negative, magnitude = pattern >> low, pattern.low(low)
        return {_LOW: mux(negative, magnitude, const(0)), _HIGH: mux(negative, const(0), magnitude)}

    def shared_code(self, source: MiniFloat) -> Word:
        low, high = (variable(name, 0, source.sign - 1) for name in (_LOW, _HIGH))
        scale = span_code(self, low, high, source)
        u = source.unpack(low)
        least = replace(u, neg=const(0), nan=const(0), inf=u.nan | u.inf)
        zero = quotient_code(self.element, self.scale, least, source, scale, "rne")
        return (scale << self.element.bits) | zero

    def element_code(self, u: Unpacked, source: MiniFloat, shared: Word, rounding: Rounding) -> Word:
        width, scale = self.element.bits, shared >> self.element.bits
        steps = Int(width + 1, narrow=True)  # what is beyond is beyond the elements, whatever the zero point
        code = quotient_code(steps, self.scale, u, source, scale, rounding)
        element = (code.wrap(width + 1) + shared.low(width)).clamp(0, (1 << width) - 1)
        return mux(self.scale.unpack(scale).nan, const(0), element)


@dataclass(frozen=True)
class Difference(Format):
    """Two unsigned integers of one format, `zero point << bits | element`: the second less the first."""

    element: Format

    @property
    def bits(self) -> int:
        return 2 * self.element.bits

    @property
    def lsb(self) -> int:
        return 0

    @property
    def text(self) -> str:
        return f"{self.element.text}-{self.element.text}"

    @property
    def extremes(self) -> tuple[Fraction, Fraction]:
        top = self.element.extremes[1]
        return -top, top

    @property
    def least_positive(self) -> Fraction:
        return Fraction(1)

    def value(self, code: int) -> Fraction:
        zero, element = divmod(code, 1 << self.element.bits)
        return Fraction(element - zero)

    def unpack(self, code: Word) -> Unpacked:
        return Unpacked.of(code.low(self.element.bits) - (code >> self.element.bits))

    def pack(self, x: Unpacked, lsb: int, rounding: Rounding) -> Word:
        """Of the codes of a number that with a 0 in it."""
        width = self.element.bits + 1
        number = Int(width, narrow=True).pack(x, lsb, rounding).wrap(width).within(*self.integer_range)
        below = number < 0
        size = mux(below, -number, number).within(0, number.hi)
        return mux(below, size << self.element.bits, size)


@family("group")
def _group(args: list[str], text: str) -> Format:
    from hwq.formats.text import parse_format

    if not 3 <= len(args) <= 4:
        raise HwqError(f"group takes an element, a scale, a size and perhaps a rule, not {text!r}")
    (size,) = whole_numbers(args[2:3], (1,), text)
    return Group(parse_format(args[0]), parse_format(args[1]), size, *args[3:])
