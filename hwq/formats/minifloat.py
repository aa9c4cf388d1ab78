"""Sign, exponent, fraction: any ExMy and the IEEE formats to 64 bits, specials as parameters.

Sources: OCP 8-bit floating point (OFP8) rev. 1.0; OCP Microscaling (MX) v1.0; IEEE 754-2019; the FNUZ encodings of
Noune et al., arXiv 2206.02915; IEEE P3109 interim report (binary formats with one zero and one NaN).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from hwq.bits import Word, const, flipped, maximum, minimum, mux, stored, window
from hwq.errors import HwqError
from hwq.formats.base import Format, Special, Unpacked
from hwq.formats.families import family, options, whole_numbers
from hwq.formats.fields import flag_fields, index_fields, word_field
from hwq.formats.rounding import Rounding, cut, fraction_bits, leaves, most_places, round_shift

__all__ = ["MiniFloat"]

_SPECIALS = ("", "nan", "inf", "fnuz", "p3109")
_OVERFLOWS = ("sat", "nan", "inf")


@dataclass(frozen=True)
class MiniFloat(Format):
    """`exp` exponent and `man` fraction bits under a sign, exponent bias `bias` (default `2**(exp-1) - 1`).

    `specials`: "" every code is finite; "nan" the all-ones magnitude is NaN (OCP E4M3); "inf" the top exponent is
    infinity and NaN (IEEE 754, OCP E5M2); "fnuz" the code of -0 is the one NaN; "p3109" the code of -0 is NaN and the
    largest magnitude infinity (unsigned: NaN is the largest, infinity the one below). `subnormals` False: an exponent
    field of zero means zero, whatever the fraction. `signed` False: there is no sign, and what is below the least value
    becomes that. `zero` False: an exponent field of zero is one binade more, and there is no zero (OCP E8M0).
    `overflow`: what a finite value beyond the largest becomes: "sat", "nan" or "inf"; an infinity becomes inf where
    there is one, else it overflows likewise.
    """

    exp: int
    man: int
    bias: int | None = None
    specials: str = ""
    subnormals: bool = True
    overflow: str = "sat"
    signed: bool = True
    zero: bool = True

    def __post_init__(self) -> None:
        index_fields(self, "exp", "man")
        if not 1 <= self.exp <= 11 or not 0 <= self.man <= 52:
            raise HwqError(f"fp(e,m) needs 1 <= e <= 11 and 0 <= m <= 52, not fp({self.exp},{self.man})")
        flag_fields(self, "subnormals", "signed", "zero")
        known = "fp options are bias=N, inf, nan, fnuz, p3109, nosub, unsigned, nozero, ovf=sat|nan|inf"
        word_field(self, "specials", _SPECIALS, known)
        word_field(self, "overflow", _OVERFLOWS, known)
        if self.bias is None:
            object.__setattr__(self, "bias", (1 << (self.exp - 1)) - 1)
        index_fields(self, "bias")
        if abs(self.offset) > 2048:
            raise HwqError(f"bias must be between -2048 and 2048, not {self.bias}")
        if self.overflow == "nan" and not self.has_nan or self.overflow == "inf" and not self.has_inf:
            raise HwqError(
                f"ovf={self.overflow} needs a code for it; add {'inf' if self.overflow == 'inf' else 'nan or inf'}"
            )
        if self.specials == "inf" and (self.exp < 2 or self.man < 1):
            raise HwqError(f"inf needs e >= 2 and m >= 1, not fp({self.exp},{self.man})")
        if self.specials == "fnuz" and not self.signed:
            raise HwqError("fnuz puts the NaN in the place of -0, which unsigned has none of; use nan or p3109")
        if self.specials in ("fnuz", "p3109") and not self.subnormals:
            raise HwqError(f"{self.specials} has one code of zero, but nosub makes all subnormals zeros; leave one out")
        if not self.zero and (self.signed or not self.subnormals):
            raise HwqError("nozero goes with unsigned and without nosub; write fp(e,m,unsigned,nozero)")
        if self.max_code < 1:
            raise HwqError(f"a format needs a nonzero value, but fp({self.exp},{self.man}) has none left")

    @property
    def offset(self) -> int:
        """The exponent bias."""
        assert self.bias is not None
        return self.bias

    @property
    def bits(self) -> int:
        return self.signed + self.exp + self.man

    @property
    def lsb(self) -> int:
        return self.zero - self.offset - self.man

    @property
    def has_nan(self) -> bool:  # type: ignore[override]
        return self.specials != ""

    @property
    def has_inf(self) -> bool:  # type: ignore[override]
        return self.specials in ("inf", "p3109")

    @property
    def ties_by_rank(self) -> bool:  # type: ignore[override]
        """P3109: of two powers of two, neighbours without fraction bits, a tie goes to the even code."""
        return self.specials == "p3109" and not self.man

    @property
    def sign(self) -> int:
        """The sign's weight within a code; also the number of magnitude codes."""
        return 1 << (self.exp + self.man)

    @property
    def max_code(self) -> int:
        """The code of the largest finite magnitude."""
        taken = {"": 0, "fnuz": 0, "nan": 1, "inf": 1 << self.man, "p3109": 2 - self.signed}[self.specials]
        return self.sign - 1 - taken

    @property
    def one_zero(self) -> bool:
        """True where the pattern of -0 is the NaN."""
        return self.signed and self.specials in ("fnuz", "p3109")

    @property
    def nan_code(self) -> int:
        """The code that a NaN is given; of a format without NaN the code of zero, or of the least value."""
        if self.one_zero:
            return self.sign
        return {"": 0, "nan": self.sign - 1, "inf": self.sign - (1 << self.man) // 2, "p3109": self.sign - 1}[
            self.specials
        ]

    @property
    def _beyond(self) -> int:
        """The magnitude of an overflow's code; `_sign` makes it the NaN in the place of -0."""
        return {"sat": self.max_code, "nan": self.nan_code % self.sign, "inf": self.max_code + 1}[self.overflow]

    @property
    def text(self) -> str:
        options = [str(self.exp), str(self.man)]
        if self.offset != (1 << (self.exp - 1)) - 1:
            options.append(f"bias={self.offset}")
        options += [self.specials] * bool(self.specials) + ["nosub"] * (not self.subnormals)
        options += ["unsigned"] * (not self.signed) + ["nozero"] * (not self.zero)
        options += [f"ovf={self.overflow}"] * (self.overflow != "sat")
        return f"fp({','.join(options)})"

    def subnormal(self, on: bool) -> MiniFloat:
        return replace(self, subnormals=on) if self.man and self.zero else self

    @property
    def extremes(self) -> tuple[Fraction, Fraction]:
        top, least = self.value(self.max_code), self.value(0)
        assert isinstance(top, Fraction) and isinstance(least, Fraction)
        return -top if self.signed else least, top

    def negative_zero(self, code: int) -> bool:
        return code >= self.sign and not isinstance(v := self.value(code), Special) and v == 0

    def value(self, code: int) -> Fraction | Special:
        if not 0 <= code < 1 << self.bits:
            raise HwqError(f"{self} has codes below {1 << self.bits}, not {code}")
        negative, magnitude = divmod(code, self.sign)
        field, fraction = divmod(magnitude, 1 << self.man)
        if self.one_zero and code == self.sign or self.specials == "nan" and magnitude == self.sign - 1:
            return Special.NAN
        if self.specials == "inf" and field == (1 << self.exp) - 1:
            return Special.NAN if fraction else Special.NINF if negative else Special.PINF
        if self.specials == "p3109" and magnitude > self.max_code:
            return Special.NAN if magnitude > self.max_code + 1 else Special.NINF if negative else Special.PINF
        part = Fraction(fraction, 1 << self.man)
        if field == 0 and self.zero:
            number = part * Fraction(2) ** (1 - self.offset) if self.subnormals else Fraction(0)
        else:
            number = (1 + part) * Fraction(2) ** (field - self.offset)
        return -number if negative else number

    def unpack(self, code: Word) -> Unpacked:
        magnitude = code.low(self.exp + self.man)
        neg = code >> (self.exp + self.man)
        field, fraction = magnitude >> self.man, magnitude.low(self.man) if self.man else const(0)
        zero = field.eq(0) if self.zero else const(0)
        mag = mux(zero, fraction if self.subnormals else const(0), fraction + (1 << self.man))
        exp = (field + zero - int(self.zero)).within(0, (1 << self.exp) - 1 - self.zero)
        nan = inf = special = const(0)
        if self.specials == "inf":
            special = field.eq((1 << self.exp) - 1)
            inf, nan = special & fraction.eq(0), special & (const(1) - fraction.eq(0))
        elif self.specials:
            nan = code.eq(self.nan_code) if self.one_zero else magnitude.eq(self.nan_code)
            inf = magnitude.eq(self.max_code + 1) if self.has_inf else const(0)
            special = nan | inf
        # a special counts as zero wherever its flag is not looked at: an accumulator's number stays defined
        mag = mux(special, const(0), mag)
        exp = mux(special, const(0), exp).within(0, max(0, (self.max_code >> self.man) - self.zero))
        return Unpacked(neg, mag, exp, nan, inf, normal=True)

    def pack(self, x: Unpacked, lsb: int, rounding: Rounding) -> Word:
        """One rounding, of a significand whose last bit has the weight of the result's last place.

        With k the number of binades above the lowest one, the code of the magnitude is `(k << man) + significand`:
        the hidden bit adds itself to the exponent field, and so does a carry out of the rounding.
        """
        gap = lsb - self.lsb
        trusted = x.normal and gap <= self.man - x.mag.width + 1
        binade, significand, beyond = (self._shifted if trusted else self._found)(x, gap, rounding)
        limit = (1 << self.exp) + 1
        code = (minimum(binade, limit) << self.man) + significand.within(0, 2 << self.man)
        if not self.subnormals:
            code = self._flush(code, x, gap, rounding)
        if not self.zero:
            code = maximum(code - (1 << self.man), 0)
        over = ((code > self.max_code) | beyond) & leaves(x.neg, rounding)
        code = mux(beyond, const(self.max_code), minimum(code, self.max_code))
        if self.overflow != "sat":
            code = mux(over, const(self._beyond), code)
        code = mux(x.inf, const(self.max_code + 1 if self.has_inf else self._beyond), code)
        return self._sign(code, x, over)

    def _shifted(self, x: Unpacked, gap: int, rounding: Rounding) -> tuple[Word, Word, Word]:
        """Binade, rounded significand and whether it is beyond both, where the leading one is known to be on top."""
        lead = const(x.mag.width - 1)
        binade = maximum(lead + x.exp + (gap - self.man), 0)
        drop = maximum(lead - self.man, const(-gap) - x.exp)  # places below the result's last; negative: to make up
        raised = max(0, -drop.lo)
        places = minimum(maximum(drop + raised, 0), most_places(x.mag.width + raised, rounding))
        odd = ((x.mag << raised >> places) + binade).low(1) if self.ties_by_rank else None
        return binade, round_shift(x.mag << raised, places, rounding, x.neg, odd), const(0)

    def _found(self, x: Unpacked, gap: int, rounding: Rounding) -> tuple[Word, Word, Word]:
        """The same of any number: its leading bits are looked for where it is stored, before its magnitude is taken."""
        number, minus = stored(x.mag)
        keep = self.man + 1 + fraction_bits(rounding)
        base = gap - self.man + x.exp  # the binade of a one in the last place
        place, most = max(0, -base.lo) if base.constant else 0, x.mag.width
        if base.constant:  # what is above the format's binades is not looked for in detail
            most = max(0, (self.max_code >> self.man) - max(0, base.lo))
        k, top, lost, beyond = window(number, minus, place, keep, most)
        binade = k + place + base
        top = flipped(top, minus, keep)
        if binade.lo != 0 or not base.constant:
            zero = (top >> (keep - 1)).eq(0) & (const(1) - minus)
            top = top + (minus & (const(1) - lost))
            places = minimum(maximum(-binade, 0), keep + 1)
            top, lost, minus = top >> places, lost | top.lost(places), const(0)
            binade = mux(zero, const(0), maximum(binade, 0))
        odd = ((top >> fraction_bits(rounding)) + binade).low(1) if self.ties_by_rank else None
        return binade, cut(top, lost, minus, rounding, x.neg, odd), beyond

    def _sign(self, code: Word, x: Unpacked, over: Word) -> Word:
        if not self.signed:
            return mux(x.nan, const(self.nan_code), mux(x.neg, const(0), code))
        if self.one_zero:  # there is no -0: its code is the NaN
            lost = const(0)
            if self.overflow == "nan":
                lost = over & (const(1) - x.inf) if self.has_inf else over | x.inf
            signed = code + mux(x.neg & (const(1) - code.eq(0)), const(self.sign), const(0))
            return mux(x.nan | lost, const(self.nan_code), signed).within(0, 2 * self.sign - 1)
        return mux(x.nan, const(self.nan_code), code + (x.neg << (self.exp + self.man)))

    def _flush(self, code: Word, x: Unpacked, gap: int, rounding: Rounding) -> Word:
        """Without subnormals the last place below the first normal is that normal itself."""
        raised = max(0, -(self.man - gap - x.exp.hi))
        places = const(self.man - gap + raised) - x.exp
        places = minimum(maximum(places, 0), most_places(x.mag.width + raised, rounding))
        tiny = round_shift(x.mag << raised, places, rounding, x.neg)
        return mux(code < (1 << self.man), (minimum(tiny, 1) << self.man), code)


@family("fp")
def _fp(args: list[str], text: str) -> Format:
    exp, man = whole_numbers(args[:2], (2,), text)
    flags = (*filter(None, _SPECIALS), "nosub", "unsigned", "nozero")
    given = options(args[2:], flags, {"bias": "-?[0-9]{1,4}", "ovf": "|".join(_OVERFLOWS)}, text)
    specials = [name for name in _SPECIALS if name in given]
    if len(specials) > 1:
        raise HwqError(f"fp takes one of {', '.join(filter(None, _SPECIALS))}, not {' and '.join(specials)}")
    return MiniFloat(
        exp,
        man,
        int(given["bias"]) if "bias" in given else None,
        "".join(specials),
        "nosub" not in given,
        given.get("ovf", "sat"),
        "unsigned" not in given,
        "nozero" not in given,
    )
