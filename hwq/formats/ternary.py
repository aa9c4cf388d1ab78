"""Ternary digits in two bits: codes 0, 1, 3 are 0, +1, -1; bit 0 is nonzero, bit 1 negative; 2 is reserved."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hwq.bits import Word
from hwq.errors import HwqError
from hwq.formats.base import Format, Unpacked
from hwq.formats.families import family, whole_numbers
from hwq.formats.integer import Int
from hwq.formats.rounding import Rounding

__all__ = ["Ternary"]

# The three codes are those of a 2-bit two's complement integer without its most negative one: that is the circuit.
_DIGIT = Int(2, narrow=True)


@dataclass(frozen=True)
class Ternary(Format):
    """-1, 0, +1."""

    bits = 2
    lsb = 0

    @property
    def text(self) -> str:
        return "trit()"

    def reserved(self, code: int) -> bool:
        return code == 2

    def value(self, code: int) -> Fraction:
        values = {0: 0, 1: 1, 3: -1}
        if code not in values:
            raise HwqError(f"{self} has codes 0, 1 and 3, not {code}")
        return Fraction(values[code])

    def unpack(self, code: Word) -> Unpacked:
        return _DIGIT.unpack(code)

    def pack(self, x: Unpacked, lsb: int, rounding: Rounding) -> Word:
        return _DIGIT.pack(x, lsb, rounding)


@family("trit")
def _trit(args: list[str], text: str) -> Format:
    whole_numbers(args, (0,), text)
    return Ternary()
