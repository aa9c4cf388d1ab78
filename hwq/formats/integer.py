"""Two's complement and unsigned integers and fixed point: `int(n)`, `uint(n)`, `fixed(n,f)`, `ufixed(n,f)`."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hwq.bits import Word, const, maximum, minimum, mux
from hwq.errors import HwqError
from hwq.formats.base import Format, Unpacked
from hwq.formats.rounding import round_shift

__all__ = ["Int"]


@dataclass(frozen=True)
class Int(Format):
    """`width` bits in units of `2**-frac`; `narrow` drops the most negative code, so the range is symmetric.

    Widths are 1-1024 unsigned, 2-1024 signed; a wide one is an accumulator, not an operand.
    """

    width: int
    signed: bool = True
    frac: int = 0
    narrow: bool = False

    def __post_init__(self) -> None:
        low = 2 if self.signed else 1
        if not low <= self.width <= 1024:
            raise HwqError(f"bits must be between {low} and 1024, not {self.width}")
        if self.narrow and not self.signed:
            raise HwqError("narrow applies to a signed integer, not to uint; use int(n,narrow)")
        if abs(self.frac) > 1024:
            raise HwqError(f"fractional bits must be between -1024 and 1024, not {self.frac}")

    @property
    def bits(self) -> int:
        return self.width

    @property
    def lsb(self) -> int:
        return -self.frac

    @property
    def text(self) -> str:
        if not self.signed:
            return f"uint({self.width})" if not self.frac else f"ufixed({self.width},{self.frac})"
        if self.frac:
            return f"fixed({self.width},{self.frac}{',narrow' if self.narrow else ''})"
        return f"int({self.width}{',narrow' if self.narrow else ''})"

    @property
    def integer_range(self) -> tuple[int, int]:
        if not self.signed:
            return 0, (1 << self.width) - 1
        top = 1 << (self.width - 1)
        return -top + self.narrow, top - 1

    @property
    def extremes(self) -> tuple[Fraction, Fraction]:
        lo, hi = self.integer_range
        return lo * Fraction(2) ** self.lsb, hi * Fraction(2) ** self.lsb

    def reserved(self, code: int) -> bool:
        return self.narrow and code == 1 << (self.width - 1)

    def value(self, code: int) -> Fraction:
        if not 0 <= code < 1 << self.width or self.reserved(code):
            raise HwqError(f"{self} has no code {code}")
        number = code - (1 << self.width) if self.signed and code >= 1 << (self.width - 1) else code
        return number * Fraction(2) ** self.lsb

    def unpack(self, code: Word) -> Unpacked:
        return Unpacked.of((code.wrap(self.width) if self.signed else code).within(*self.integer_range))

    def pack(self, x: Unpacked, lsb: int, rounding: str) -> Word:
        shift = x.exp + (lsb - self.lsb)
        # beyond this many places up everything nonzero saturates; beyond that many down nothing is left but a sign
        left = minimum(maximum(shift, 0), self.width)
        right = minimum(maximum(-shift, 0), x.sig.width + 1)
        number = round_shift(x.sig << left, right, rounding).clamp(*self.integer_range)
        lo, hi = self.integer_range
        number = mux(x.inf, mux(x.neg, const(lo), const(hi)), number)
        return mux(x.nan, const(0), number).low(self.width)
