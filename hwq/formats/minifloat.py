"""Sign, exponent, fraction: any ExMy to 16 bits and the IEEE formats to 64, specials as parameters.

Sources: OCP 8-bit floating point (OFP8) rev. 1.0; OCP Microscaling (MX) v1.0; IEEE 754-2019; the FNUZ encodings of
Noune et al., arXiv 2206.02915.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hwq.bits import Word, const, ilog2, maximum, minimum, mux
from hwq.errors import HwqError
from hwq.formats.base import Format, Special, Unpacked
from hwq.formats.rounding import round_shift

__all__ = ["MiniFloat"]

_SPECIALS = ("", "nan", "inf", "fnuz")
_OVERFLOWS = ("sat", "nan", "inf")


@dataclass(frozen=True)
class MiniFloat(Format):
    """`exp` exponent and `man` fraction bits under a sign, exponent bias `bias` (default `2**(exp-1) - 1`).

    `specials`: "" every code is finite; "nan" the all-ones magnitude is NaN (OCP E4M3); "inf" the top exponent is
    infinity and NaN (IEEE 754, OCP E5M2); "fnuz" the code of -0 is the one NaN. `subnormals` False: an exponent field
    of zero means zero, whatever the fraction. `overflow`: what a finite value beyond the largest becomes: "sat",
    "nan" or "inf"; an infinity becomes inf where there is one, else it overflows likewise.
    """

    exp: int
    man: int
    bias: int | None = None
    specials: str = ""
    subnormals: bool = True
    overflow: str = "sat"

    def __post_init__(self) -> None:
        if not 1 <= self.exp <= 11 or not 0 <= self.man <= 52:
            raise HwqError(f"fp(e,m) needs 1 <= e <= 11 and 0 <= m <= 52, not fp({self.exp},{self.man})")
        if self.specials not in _SPECIALS or self.overflow not in _OVERFLOWS:
            raise HwqError(
                f"fp options are inf, nan, fnuz, nosub, ovf=sat|nan|inf, not {self.specials or self.overflow!r}"
            )
        if self.bias is None:
            object.__setattr__(self, "bias", (1 << (self.exp - 1)) - 1)
        if abs(self.offset) > 2048:
            raise HwqError(f"bias must be between -2048 and 2048, not {self.bias}")
        if self.overflow == "nan" and not self.has_nan or self.overflow == "inf" and not self.has_inf:
            raise HwqError(
                f"ovf={self.overflow} needs a code for it; add {'inf' if self.overflow == 'inf' else 'nan or inf'}"
            )
        if self.specials == "inf" and (self.exp < 2 or self.man < 1):
            raise HwqError(f"inf needs e >= 2 and m >= 1, not fp({self.exp},{self.man})")
        if self.specials == "nan" and self.man < 1:
            raise HwqError(f"nan needs m >= 1, not fp({self.exp},{self.man})")
        if self.specials == "fnuz" and not self.subnormals:
            raise HwqError("fnuz has one code of zero, but nosub makes all subnormals zeros; leave one of them out")
        if self.max_code < 1:
            raise HwqError(f"a format needs a nonzero value, but fp({self.exp},{self.man}) has none left")

    @property
    def offset(self) -> int:
        """The exponent bias."""
        assert self.bias is not None
        return self.bias

    @property
    def bits(self) -> int:
        return 1 + self.exp + self.man

    @property
    def lsb(self) -> int:
        return 1 - self.offset - self.man

    @property
    def has_nan(self) -> bool:  # type: ignore[override]
        return self.specials != ""

    @property
    def has_inf(self) -> bool:  # type: ignore[override]
        return self.specials == "inf"

    @property
    def sign(self) -> int:
        """The sign's weight within a code; also the number of magnitude codes."""
        return 1 << (self.exp + self.man)

    @property
    def max_code(self) -> int:
        """The code of the largest finite magnitude."""
        return {"": self.sign - 1, "fnuz": self.sign - 1, "nan": self.sign - 2, "inf": self.sign - (1 << self.man) - 1}[
            self.specials
        ]

    @property
    def nan_code(self) -> int:
        return {"": 0, "nan": self.sign - 1, "inf": self.sign - (1 << self.man) // 2, "fnuz": self.sign}[self.specials]

    @property
    def _beyond(self) -> int:
        """The magnitude of an overflow's code; under fnuz `_sign` makes it a NaN."""
        return {"sat": self.max_code, "nan": self.nan_code % self.sign, "inf": self.max_code + 1}[self.overflow]

    @property
    def text(self) -> str:
        options = [str(self.exp), str(self.man)]
        if self.offset != (1 << (self.exp - 1)) - 1:
            options.append(f"bias={self.offset}")
        options += [self.specials] * bool(self.specials) + ["nosub"] * (not self.subnormals)
        options += [f"ovf={self.overflow}"] * (self.overflow != "sat")
        return f"fp({','.join(options)})"

    @property
    def extremes(self) -> tuple[Fraction, Fraction]:
        top = self.value(self.max_code)
        assert isinstance(top, Fraction)
        return -top, top

    def negative_zero(self, code: int) -> bool:
        return code >= self.sign and not isinstance(v := self.value(code), Special) and v == 0

    def value(self, code: int) -> Fraction | Special:
        if not 0 <= code < 2 * self.sign:
            raise HwqError(f"{self} has codes below {2 * self.sign}, not {code}")
        negative, magnitude = divmod(code, self.sign)
        field, fraction = divmod(magnitude, 1 << self.man)
        if self.specials == "fnuz" and code == self.sign or self.specials == "nan" and magnitude == self.sign - 1:
            return Special.NAN
        if self.specials == "inf" and field == (1 << self.exp) - 1:
            return Special.NAN if fraction else Special.NINF if negative else Special.PINF
        part = Fraction(fraction, 1 << self.man)
        if field == 0:
            number = part * Fraction(2) ** (1 - self.offset) if self.subnormals else Fraction(0)
        else:
            number = (1 + part) * Fraction(2) ** (field - self.offset)
        return -number if negative else number

    def unpack(self, code: Word) -> Unpacked:
        magnitude = code.low(self.exp + self.man)
        neg = code >> (self.exp + self.man)
        field, fraction = magnitude >> self.man, magnitude.low(self.man) if self.man else const(0)
        zero = field.eq(0)
        mag = mux(zero, fraction if self.subnormals else const(0), fraction + (1 << self.man))
        exp = (field + zero - 1).within(0, (1 << self.exp) - 2)
        nan = inf = special = const(0)
        if self.specials == "nan":
            nan = special = magnitude.eq(self.sign - 1)
        elif self.specials == "fnuz":
            nan = special = code.eq(self.sign)
        elif self.specials == "inf":
            special = field.eq((1 << self.exp) - 1)
            inf, nan = special & fraction.eq(0), special & (const(1) - fraction.eq(0))
        # a special counts as zero wherever its flag is not looked at: an accumulator's number stays defined
        mag = mux(special, const(0), mag)
        exp = mux(special, const(0), exp).within(0, (1 << self.exp) - (3 if self.specials == "inf" else 2))
        return Unpacked(neg, mag, exp, nan, inf, normal=True)

    def pack(self, x: Unpacked, lsb: int, rounding: str) -> Word:
        """One rounding: the significand is shifted until its last bit has the weight of the result's last place.

        With k the number of binades above the lowest one, the code of the magnitude is `(k << man) + significand`:
        the hidden bit adds itself to the exponent field, and so does a carry out of the rounding.
        """
        gap = lsb - self.lsb
        trusted = x.normal and gap <= self.man - x.mag.width + 1
        lead: Word = const(x.mag.width - 1) if trusted else ilog2(x.mag)
        binade = maximum(lead + x.exp + (gap - self.man), 0)  # k
        if not trusted:
            binade = mux(x.mag.eq(0), const(0), binade)
        drop = maximum(lead - self.man, const(-gap) - x.exp)  # places below the result's last; negative: to make up
        raised = max(0, -drop.lo)
        most = x.mag.width + raised + 1
        significand = round_shift(x.mag << raised, minimum(maximum(drop + raised, 0), most), rounding, x.neg)
        limit = (1 << self.exp) + 1
        code = (minimum(binade, limit) << self.man) + significand.within(0, 2 << self.man)
        if not self.subnormals:
            code = self._flush(code, x, gap, rounding)
        over = (code > self.max_code) & _away(x.neg, rounding)
        code = minimum(code, self.max_code)
        if self.overflow != "sat":
            code = mux(over, const(self._beyond), code)
        code = mux(x.inf, const(self.max_code + 1 if self.has_inf else self._beyond), code)
        return self._sign(code, x, over)

    def _sign(self, code: Word, x: Unpacked, over: Word) -> Word:
        if self.specials == "fnuz":  # there is no -0: its code is the NaN
            lost = (over | x.inf) if self.overflow == "nan" else const(0)
            signed = code + mux(x.neg & (const(1) - code.eq(0)), const(self.sign), const(0))
            return mux(x.nan | lost, const(self.nan_code), signed).within(0, 2 * self.sign - 1)
        return mux(x.nan, const(self.nan_code), code + (x.neg << (self.exp + self.man)))

    def _flush(self, code: Word, x: Unpacked, gap: int, rounding: str) -> Word:
        """Without subnormals the last place below the first normal is that normal itself."""
        raised = max(0, -(self.man - gap - x.exp.hi))
        places = const(self.man - gap + raised) - x.exp
        most = x.mag.width + raised + 1
        tiny = round_shift(x.mag << raised, minimum(maximum(places, 0), most), rounding, x.neg)
        return mux(code < (1 << self.man), (minimum(tiny, 1) << self.man), code)


def _away(neg: Word, rounding: str) -> Word:
    """1 where too large a number leaves the format: rounding directed inwards stops at the largest (IEEE 754, 7.4)."""
    return {"rtz": const(0), "rdn": neg, "rup": const(1) - neg}.get(rounding, const(1))
