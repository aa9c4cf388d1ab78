"""Integers and fixed point: `int(n)`, `uint(n)`, `fixed(n,f)`, `ufixed(n,f)`, each with options, and `sm(n[,f])`."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hwq.bits import Word, const, maximum, minimum, mux
from hwq.errors import HwqError
from hwq.formats.base import Format, Unpacked
from hwq.formats.families import family, options, whole_numbers, word_of
from hwq.formats.fields import flag_fields, index_fields, word_field
from hwq.formats.rounding import Rounding, most_places, round_shift

__all__ = ["MAX_FRAC", "Int", "SignMagnitude"]

MAX_FRAC = 1024  # binary places, either way


@dataclass(frozen=True)
class Int(Format):
    """`width` bits in units of `2**-frac`; `narrow` drops the most negative code, so the range is symmetric.

    A code stands for itself less the zero point `zero`. `overflow`: what is beyond the ends becomes the nearer end
    ("sat"), or its low bits are kept ("wrap"; an infinity still becomes an end). Widths are 1-1024 unsigned, 2-1024
    signed; a wide one is an accumulator, not an operand.
    """

    width: int
    signed: bool = True
    frac: int = 0
    narrow: bool = False
    zero: int = 0
    overflow: str = "sat"

    def __post_init__(self) -> None:
        index_fields(self, "width", "frac", "zero")
        flag_fields(self, "signed", "narrow")
        low = 2 if self.signed else 1
        if not low <= self.width <= 1024:
            raise HwqError(f"bits must be between {low} and 1024, not {self.width}")
        if self.narrow and not self.signed:
            raise HwqError("narrow applies to a signed integer, not to uint; use int(n,narrow)")
        if abs(self.frac) > MAX_FRAC:
            raise HwqError(f"fractional bits must be between -{MAX_FRAC} and {MAX_FRAC}, not {self.frac}")
        least, most = self._stored
        if not least <= self.zero <= most:
            raise HwqError(f"the zero point must be a number of the format, {least} to {most}, not {self.zero}")
        word_field(self, "overflow", ("sat", "wrap"), "an integer's overflow must be sat or wrap")
        if self.overflow == "wrap" and self.narrow:
            raise HwqError("ovf=wrap needs all codes, but narrow drops one; leave one of them out")

    @property
    def bits(self) -> int:
        return self.width

    @property
    def lsb(self) -> int:
        return -self.frac

    @property
    def text(self) -> str:
        word = ("" if self.signed else "u") + ("fixed" if self.frac else "int")
        found = [str(self.width)] + [str(self.frac)] * bool(self.frac) + ["narrow"] * self.narrow
        found += [f"zp={self.zero}"] * bool(self.zero) + [f"ovf={self.overflow}"] * (self.overflow != "sat")
        return f"{word}({','.join(found)})"

    @property
    def _stored(self) -> tuple[int, int]:
        """(least, largest) number that a code spells, before the zero point."""
        if not self.signed:
            return 0, (1 << self.width) - 1
        top = 1 << (self.width - 1)
        return -top + self.narrow, top - 1

    @property
    def integer_range(self) -> tuple[int, int]:
        least, most = self._stored
        return least - self.zero, most - self.zero

    @property
    def extremes(self) -> tuple[Fraction, Fraction]:
        lo, hi = self.integer_range
        return lo * Fraction(2) ** self.lsb, hi * Fraction(2) ** self.lsb

    def reserved(self, code: int) -> bool:
        return self.narrow and code == 1 << (self.width - 1)

    def valid(self, code: Word) -> Word:
        return const(1) - code.eq(1 << (self.width - 1)) if self.narrow else const(1)

    def value(self, code: int) -> Fraction:
        if not 0 <= code < 1 << self.width or self.reserved(code):
            raise HwqError(f"{self} has no code {code}")
        number = code - (1 << self.width) if self.signed and code >= 1 << (self.width - 1) else code
        return (number - self.zero) * Fraction(2) ** self.lsb

    def unpack(self, code: Word) -> Unpacked:
        stored = (code.wrap(self.width) if self.signed else code).within(*self._stored)
        return Unpacked.of(stored - self.zero)

    def pack(self, x: Unpacked, lsb: int, rounding: Rounding) -> Word:
        shift = x.exp + (lsb - self.lsb)
        # beyond this many places up everything nonzero saturates; beyond that many down nothing is left but a sign
        left = minimum(maximum(shift, 0), self.width)
        right = minimum(maximum(-shift, 0), most_places(x.sig.width, rounding))
        number = round_shift(x.sig << left, right, rounding) + self.zero
        lo, hi = self._stored
        if self.overflow == "sat":
            number = number.clamp(lo, hi)
        number = mux(x.inf, mux(x.neg, const(lo), const(hi)), number)
        return mux(x.nan, const(self.zero), number).low(self.width)


@dataclass(frozen=True)
class SignMagnitude(Format):
    """A sign over `width - 1` magnitude bits in units of `2**-frac`, 2 to 64 bits: symmetric, with a -0. Saturates."""

    width: int
    frac: int = 0

    def __post_init__(self) -> None:
        index_fields(self, "width", "frac")
        if not 2 <= self.width <= 64:
            raise HwqError(f"bits must be between 2 and 64, not {self.width}")
        if abs(self.frac) > MAX_FRAC:
            raise HwqError(f"fractional bits must be between -{MAX_FRAC} and {MAX_FRAC}, not {self.frac}")

    @property
    def bits(self) -> int:
        return self.width

    @property
    def lsb(self) -> int:
        return -self.frac

    @property
    def text(self) -> str:
        return f"sm({self.width}{f',{self.frac}' if self.frac else ''})"

    @property
    def _top(self) -> int:
        return (1 << (self.width - 1)) - 1

    @property
    def extremes(self) -> tuple[Fraction, Fraction]:
        top = self._top * Fraction(2) ** self.lsb
        return -top, top

    def negative_zero(self, code: int) -> bool:
        return code == self._top + 1

    def value(self, code: int) -> Fraction:
        if not 0 <= code < 1 << self.width:
            raise HwqError(f"{self} has no code {code}")
        negative, magnitude = divmod(code, self._top + 1)
        return (-magnitude if negative else magnitude) * Fraction(2) ** self.lsb

    def unpack(self, code: Word) -> Unpacked:
        return Unpacked(code >> (self.width - 1), code.low(self.width - 1), const(0), const(0), const(0))

    def pack(self, x: Unpacked, lsb: int, rounding: Rounding) -> Word:
        shift = x.exp + (lsb - self.lsb)
        left = minimum(maximum(shift, 0), self.width)
        right = minimum(maximum(-shift, 0), most_places(x.mag.width, rounding))
        magnitude = minimum(round_shift(x.mag << left, right, rounding, x.neg), self._top)
        magnitude = mux(x.inf, const(self._top), magnitude)
        return mux(x.nan, const(0), magnitude + (x.neg << (self.width - 1)))


@family("int", "uint", "fixed", "ufixed")
def _integer(args: list[str], text: str) -> Format:
    """`int` and `uint` take a width, `fixed` and `ufixed` a width and fractional bits."""
    word = word_of(text)
    signed, places = not word.startswith("u"), 2 if word.endswith("fixed") else 1
    width, *frac = whole_numbers(args[:places], (places,), text)
    flags = ("narrow",) if signed else ()
    given = options(args[places:], flags, {"zp": "-?[0-9]{1,9}", "ovf": "sat|wrap"}, text)
    return Int(width, signed, sum(frac), "narrow" in given, int(given.get("zp", 0)), given.get("ovf", "sat"))


@family("sm")
def _sm(args: list[str], text: str) -> Format:
    return SignMagnitude(*whole_numbers(args, (1, 2), text))
