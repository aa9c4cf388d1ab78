"""Blocks of numbers that share a scale: OCP MX, NVFP4, block floating point, integers in groups.

A number's code carries the scale of its block, `code = scale code << element.bits | element code`; its value is the
element's times the scale's: see `hwq.formats.scaled`, which has all that follows from that.

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

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hwq.bits import Word, variable
from hwq.errors import HwqError
from hwq.formats.base import Format, Unpacked
from hwq.formats.families import family, whole_numbers
from hwq.formats.fields import exact
from hwq.formats.integer import Int
from hwq.formats.minifloat import MiniFloat
from hwq.formats.rounding import Rounding
from hwq.formats.scaled import Scaled
from hwq.formats.scales import quotient_code, scale_code

__all__ = ["RULES", "Block"]

RULES = ("floor", "even", "ceil", "rceil", "max")
_LARGEST = "largest"


@dataclass(frozen=True)
class Block(Scaled):
    """`size` numbers of format `element`, times one of format `scale` that `rule` chooses.

    Without a rule powers of two follow "floor", other scales "max".
    """

    word = "block"
    rules = RULES
    defaults = ("floor", "max")

    @property
    def factor(self) -> Format:
        return self.element

    def measures(self, pattern: Word, source: MiniFloat) -> Mapping[str, Word]:
        return {_LARGEST: pattern.low(source.exp + source.man)}

    def shared_code(self, source: MiniFloat) -> Word:
        return scale_code(self, variable(_LARGEST, 0, source.sign - 1), source)

    def element_code(self, u: Unpacked, source: MiniFloat, shared: Word, rounding: Rounding) -> Word:
        element = self.element
        if isinstance(element, Int) and element.signed and element.overflow == "sat" and not element.zero:
            element = replace(element, narrow=True)
        return quotient_code(element, self.scale, u, source, shared, rounding)

    def outer_scale(self, largest: float) -> float:
        """The second-level scale of NVFP4, a host number: divide by it before `encode`, multiply after `decode`.

        `largest` is the largest magnitude of the whole tensor, which then gets the largest scale and element.
        """
        exactly = exact("the largest magnitude", largest)
        if exactly < 0:
            raise HwqError(f"the largest magnitude must be a finite number of at least 0, not {largest}")
        return float(exactly / (self.element.extremes[1] * self.scale.extremes[1])) or 1.0


@family("block")
def _block(args: list[str], text: str) -> Format:
    from hwq.formats.text import parse_format

    if not 3 <= len(args) <= 4:
        raise HwqError(f"block takes an element, a scale, a size and perhaps a rule, not {text!r}")
    (size,) = whole_numbers(args[2:3], (1,), text)
    return Block(parse_format(args[0]), parse_format(args[1]), size, *args[3:])
