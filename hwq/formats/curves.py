"""Companded formats of published quantizers: the levels of a curve, rounded once to a grid that hardware can hold.

A number is encoded to the nearest level. The papers instead round on the curve's own axis, so that the decision points
lie at half codes: the option `axis` does as they do. Scales are the host's: a level is what the decoder's table holds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Any

from hwq.errors import HwqError
from hwq.formats.base import Format
from hwq.formats.families import family, word_of
from hwq.formats.fields import exact, flag_fields, index_fields, word_field
from hwq.formats.table import Table

__all__ = ["CURVES", "Curve", "Shape"]

FRAC = 12  # default fractional bits of a level
_POINT = 8  # further bits of a decision point on the curve's axis
_DIGITS = 18  # of a denominator
_WHOLE = "[0-9]{1,5}"
_NUMBER = rf"-?[0-9]{{1,{_DIGITS + 3}}}(/[1-9][0-9]{{0,{_DIGITS - 1}}}|\.[0-9]{{1,{_DIGITS - 1}}})?"
_ADALOG_STEPS = 37  # of an octave, in the paper

Level = Callable[[Fraction, int, Fraction, int], Fraction]


@dataclass(frozen=True)
class Shape:
    """A curve: `level(code, bits, parameter, frac)`, what it is for signed codes too, and its parameter's range.

    `point` likewise gives the decision point at a half code on its axis, where that is not the level there.
    """

    level: Level
    source: str
    signed: bool
    default: Fraction
    low: Fraction
    high: Fraction
    point: Level | None = None


def _grid(x: float, frac: int) -> Fraction:
    return Fraction(round(math.ldexp(x, frac)), 1 << frac)


def _log(t: Fraction, bits: int, step: Fraction, frac: int) -> Fraction:
    """2**(-t * step): the fraction of the exponent is rounded, so that a level is a shifted constant."""
    octaves, rest = divmod(t * step, 1)
    return _grid(2.0 ** -float(rest), frac) / (1 << int(octaves))


def _adalog(t: Fraction, bits: int, q: Fraction, frac: int) -> Fraction:
    """round(2**-rest * most) * 2**-octaves with most = 2**(bits + 1) - 2: the paper's two tables, times most."""
    octaves, rest = divmod(t * q / _ADALOG_STEPS, 1)
    most = (2 << bits) - 2
    return Fraction(round(2.0 ** -float(rest) * most), 1 << int(octaves))


def _adalog_point(t: Fraction, bits: int, q: Fraction, frac: int) -> Fraction:
    return ((2 << bits) - 2) * _log(t, bits, q / _ADALOG_STEPS, frac)


def _sulq_exponent(t: Fraction, bits: int, eta: Fraction) -> float:
    low, high = (math.log2(x + float(eta)) for x in (0, 1))
    return low + float(t) * (high - low) / ((1 << bits) - 1)


def _sulq(t: Fraction, bits: int, eta: Fraction, frac: int) -> Fraction:
    """2**round(u) - eta, u even steps from log2(eta) to log2(1 + eta): a shift less a constant."""
    return _grid(2.0 ** round(_sulq_exponent(t, bits, eta)) - float(eta), frac)


def _sulq_point(t: Fraction, bits: int, eta: Fraction, frac: int) -> Fraction:
    return _grid(2.0 ** _sulq_exponent(t, bits, eta) - float(eta), frac)


def _tan(t: Fraction, bits: int, a: Fraction, frac: int) -> Fraction:
    """atan(t / most * tan(a)) / a, 0 to 1, finest near 1."""
    return _grid(math.atan(float(t) / ((1 << bits) - 1) * math.tan(float(a))) / float(a), frac)


def _power(t: Fraction, bits: int, a: Fraction, frac: int) -> Fraction:
    """sign(t) * |t / most|**(1 / a)."""
    return _grid(math.copysign((float(abs(t)) / ((1 << (bits - 1)) - 1)) ** (1 / float(a)), t), frac)


def _lognp(t: Fraction, bits: int, step: Fraction, frac: int) -> Fraction:
    """sign(t) * (2**(|t| * step) - 1)."""
    return _grid(math.copysign(2.0 ** float(abs(t) * step) - 1, t), frac)


def _twin(t: Fraction, bits: int, up: Fraction, frac: int) -> Fraction:
    """The low bits, times 2**up where the top bit is set: two even ranges."""
    far, rest = divmod(t, 1 << (bits - 1))
    return rest * (1 << int(up) if far else 1)


def _shape(
    level: Level, source: str, signed: bool, default: str, low: str, high: str, point: Level | None = None
) -> Shape:
    return Shape(level, source, signed, Fraction(default), Fraction(low), Fraction(high), point)


CURVES: Mapping[str, Shape] = {
    "log": _shape(_log, "log2 and log-sqrt2 (step 1/2): RepQ-ViT, arXiv 2212.08254", False, "1", "1/64", "4"),
    "adalog": _shape(_adalog, "AdaLog, arXiv 2407.12951", False, "37", "1", "148", _adalog_point),
    "sulq": _shape(_sulq, "SULQ: I&S-ViT, arXiv 2311.10126", False, "1/100", "1/1000", "1", _sulq_point),
    "tan": _shape(_tan, "TanQ: DopQ-ViT, arXiv 2408.03291 (reconstructed)", False, "1", "1/64", "3/2"),
    "power": _shape(_power, "NUPES, arXiv 2308.05600", True, "1/2", "1/8", "1"),
    "lognp": _shape(_lognp, "LogNP: QuartDepth, arXiv 2503.16709", True, "1/2", "1/64", "2"),
    "twin": _shape(_twin, "twin-uniform: PTQ4ViT, arXiv 2111.12293", False, "3", "0", "15"),
}


@dataclass(frozen=True)
class Curve(Table):
    """The levels of the curve `kind` at the codes of `width` bits (2 to 8), multiples of 2**-frac.

    Codes of signed curves are two's complement without the most negative one. `zero`: the last code of an unsigned
    curve is 0 (FQ-ViT's convention for logarithms). `axis`: rounding to nearest is on the curve's axis.
    """

    kind: str
    width: int
    parameter: Fraction
    frac: int = FRAC
    axis: bool = False
    zero: bool = False

    def __post_init__(self) -> None:
        word_field(self, "kind", tuple(CURVES), f"a curve must be one of {', '.join(CURVES)}")
        index_fields(self, "width", "frac")
        flag_fields(self, "axis", "zero")
        object.__setattr__(self, "parameter", _number(self.kind, self.parameter))
        shape = self._shape
        if not 2 <= self.width <= 8 or not 1 <= self.frac <= 24:
            raise HwqError(f"{self.kind} takes 2 to 8 bits and a frac of 1 to 24, not {self.width} and {self.frac}")
        if not shape.low <= self.parameter <= shape.high:
            raise HwqError(f"{self.kind}'s number must be between {shape.low} and {shape.high}, not {self.parameter}")
        if self.kind == "twin" and self.parameter.denominator > 1:
            raise HwqError(f"twin's number is of places to shift, a whole one, not {self.parameter}")
        if self.zero and shape.signed:
            raise HwqError(f"zero gives a curve without sign a code of 0; {self.kind} has one")
        if len(self.ranked) < 2:
            raise HwqError(f"{self.kind} needs two different levels, which frac={self.frac} does not tell apart")
        if self.axis and list(self.points or ()) != sorted(self.points or ()):
            raise HwqError(f"axis needs a curve that rises with its codes, not {self.kind}; leave it out")

    @property
    def _shape(self) -> Shape:
        return CURVES[self.kind]

    @property
    def bits(self) -> int:
        return self.width

    @property
    def text(self) -> str:
        found = [str(self.width), str(self.parameter)] + [f"frac={self.frac}"] * (self.frac != FRAC)
        return f"{self.kind}({','.join([*found, *['axis'] * self.axis, *['zero'] * self.zero])})"

    @cached_property
    def _levels(self) -> tuple[Fraction | None, ...]:
        count = 1 << self.width
        places = [self._place(code) for code in range(count)]
        levels = [self._shape.level(t, self.width, self.parameter, self.frac) for t in places]
        if self._shape.signed:
            return tuple(None if code == count // 2 else level for code, level in enumerate(levels))
        return (*levels[:-1], Fraction(0)) if self.zero else tuple(levels)

    @property
    def levels(self) -> tuple[Fraction | None, ...]:
        return self._levels

    @cached_property
    def _points(self) -> tuple[Fraction, ...] | None:
        if not self.axis:
            return None
        at = [self._place(code) for _, code in self.ranked]
        middles = [(s + t) / 2 for s, t in pairwise(at)]
        point = self._shape.point or self._shape.level
        return tuple(point(t, self.width, self.parameter, self.frac + _POINT) for t in middles)

    @property
    def points(self) -> tuple[Fraction, ...] | None:
        return self._points

    def _place(self, code: int) -> Fraction:
        """The code's place on the axis."""
        return Fraction(code - (1 << self.width) if self._shape.signed and code >> (self.width - 1) else code)


def _number(kind: str, number: Any) -> Fraction:
    """The number as a fraction that a text can hold."""
    found = exact(f"{kind}'s number", number)
    if found.denominator >= 10**_DIGITS:
        raise HwqError(f"{kind}'s number must have a denominator of up to {_DIGITS} digits, not {number!r}; round it")
    return found


@family(*CURVES)
def _curve(args: list[str], text: str) -> Format:
    kind = word_of(text)
    flags = [a for a in args if a in ("axis", "zero")]
    frac = [a[5:] for a in args if a.startswith("frac=")]
    numbers = [a for a in args if a not in flags and not a.startswith("frac=")]
    width, *parameter = numbers or [""]
    fits = re.fullmatch(_WHOLE, width) and all(re.fullmatch(_NUMBER, p) for p in parameter)
    once = max(len(parameter), len(frac)) <= 1 and len(set(flags)) == len(flags)
    if not fits or not once or not all(re.fullmatch(_WHOLE, f) for f in frac):
        raise HwqError(f"{kind} takes bits, a number such as 1/2 or 0.5, frac=N, axis, zero, not {text!r}")
    number = Fraction(parameter[0]) if parameter else CURVES[kind].default
    return Curve(kind, int(width), number, int(frac[0]) if frac else FRAC, "axis" in flags, "zero" in flags)
