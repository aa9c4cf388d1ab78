"""A fixed-point number with sticky special flags above it: what an accumulator hands out when nothing packs it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hwq.bits import Word, const, mux
from hwq.errors import HwqError
from hwq.formats.base import Format, Special, Unpacked
from hwq.formats.integer import Int
from hwq.formats.rounding import Rounding

__all__ = ["Flagged"]


@dataclass(frozen=True)
class Flagged(Format):
    """`number` in the low bits; above it one bit nan, then (if `inf`) one bit +inf and one bit -inf, nan on top.

    nan wins over the infinities; both infinities at once are nan.
    """

    number: Int
    inf: bool = False

    has_nan = True

    @property
    def has_inf(self) -> bool:  # type: ignore[override]
        return self.inf

    @property
    def bits(self) -> int:
        return self.number.bits + 1 + 2 * self.inf

    @property
    def lsb(self) -> int:
        return self.number.lsb

    @property
    def text(self) -> str:
        return f"flagged({self.number.text}{',inf' if self.inf else ''})"

    @property
    def extremes(self) -> tuple[Fraction, Fraction]:
        return self.number.extremes

    def value(self, code: int) -> Fraction | Special:
        if not 0 <= code < 1 << self.bits:
            raise HwqError(f"{self} has codes below {1 << self.bits}, not {code}")
        flags, number = divmod(code, 1 << self.number.bits)
        if not flags:
            return self.number.value(number)
        names = {1: Special.NAN} if not self.inf else {1: Special.NINF, 2: Special.PINF}
        return names.get(flags, Special.NAN)

    def unpack(self, code: Word) -> Unpacked:
        number = self.number.unpack(code.low(self.number.bits))
        flags = code >> self.number.bits
        mag = mux(flags.eq(0), number.mag, const(0))  # a special counts as zero
        if not self.inf:
            return Unpacked(number.neg, mag, number.exp, flags, const(0))
        ninf, pinf, nan = flags.low(1), (flags >> 1).low(1), flags >> 2
        nan = nan | (pinf & ninf)
        inf = (pinf | ninf) & (const(1) - nan)
        return Unpacked((number.neg & (const(1) - pinf)) | ninf, mag, number.exp, nan, inf)

    def pack(self, x: Unpacked, lsb: int, rounding: Rounding) -> Word:
        number = self.number.pack(x, lsb, rounding)
        flags = x.nan << (2 * self.inf)
        if self.inf:
            flags = flags | ((x.inf & (const(1) - x.neg)) << 1) | (x.inf & x.neg)
        return number | (flags << self.number.bits)
