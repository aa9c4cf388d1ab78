"""The texts of `encode` for blocks: a scale from the largest magnitude or the range, and a number over its scale."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

from hwq.bits import Word, const, evaluate, ilog2, lookup, maximum, minimum, mux
from hwq.formats.base import Format, Unpacked
from hwq.formats.minifloat import MiniFloat
from hwq.formats.rounding import Rounding

if TYPE_CHECKING:
    from hwq.formats.block import Block
    from hwq.formats.group import Group

__all__ = ["quotient_code", "scale_code", "span_code"]

_SPAN_ROUNDING = {"near": "rne", "up": "rup"}


def scale_code(fmt: Block, largest: Word, source: MiniFloat) -> Word:
    """The code of a block's scale, from the pattern of its largest magnitude in `source`."""
    u = source.unpack(largest)
    code = _quotient(fmt, u, source) if fmt.rule == "max" else _power(fmt, u, source)
    return _limited(fmt.scale, code, u.mag.eq(0), u.nan | u.inf)


def span_code(fmt: Group, low: Word, high: Word, source: MiniFloat) -> Word:
    """The code of a group's scale, from the patterns of the magnitudes of its least and its largest number."""
    swap = low > high  # patterns ascend with magnitudes
    x, y = (source.unpack(mux(swap, *pair)) for pair in ((low, high), (high, low)))
    divisor, digits = const(fmt.element.integer_range[1]), fmt.divisor.mag.hi.bit_length()
    # Of x + y the top bits, the last of them for all that is below it. Where there is anything, x is a normal number,
    # and so many places are kept that the sum is divided without its last two.
    guard = max(0, digits + divisor.hi.bit_length() + 1 - source.man)
    apart = minimum(maximum(x.exp - y.exp, 0), source.man + 1 + guard)
    more, whole = y.mag << guard, (y.mag << guard) >> apart
    lost = const(1) - (whole << apart).eq(more)
    total = (((x.mag << guard) + whole) << 1) | lost
    width = source.man + 3 + guard
    lead = ilog2(total).within(0, width - 1)
    normal = (total << (const(width - 1) - lead)).within(0, (1 << width) - 1)
    mag, cut = _divide(normal, divisor, digits, width)
    code = fmt.scale.pack(_number(mag, x.exp + lead), source.lsb - guard - width + cut, _SPAN_ROUNDING[fmt.rule])
    return _limited(fmt.scale, code, total.eq(0), x.nan | x.inf | y.nan | y.inf)


def _limited(scale: Format, code: Word, zero: Word, special: Word) -> Word:
    """A scale's code between those of the least positive and the largest, and that of a block without numbers."""
    least, most = _ends(scale)
    nan = _code(scale, _number(0, nan=1), 0, "rne") if scale.has_nan else most
    return mux(special, const(nan), mux(zero, const(least), code.clamp(least, most)))


def quotient_code(
    element: Format, scale: Format, u: Unpacked, source: MiniFloat, shared: Word, rounding: Rounding
) -> Word:
    """The code of the element of a number `u`, unpacked from `source`, over the scale of code `shared`."""
    s, lsb = scale.unpack(shared), source.lsb - scale.lsb
    mag, cut = u.mag, 0
    if s.mag.hi > 1:
        digits = element.unpack(element.code_word).mag.hi.bit_length()
        mag, cut = _divide(u.mag, s.mag, digits, element.lsb - lsb)
    # with an exponent of that any normal number is beyond the largest element: more would change nothing
    enough = _top(element)[0] + 2 - source.man - lsb + s.mag.hi.bit_length()
    exp = minimum(u.exp - s.exp, max(0, enough))
    nan, inf = (const(0), const(0)) if scale.has_nan else (u.nan, u.inf)
    code = element.pack(Unpacked(u.neg, mag, exp, nan, inf), lsb + cut, rounding)
    return mux(s.nan, const(0), code)


def _power(fmt: Block, u: Unpacked, source: MiniFloat) -> Word:
    """Two to the exponent of the largest magnitude; one more where its digits are above the rule's threshold."""
    e, t, m = _top(fmt.element)
    lead = ilog2(u.mag).within(0, source.man)
    digits = u.mag << (const(source.man) - lead)
    one = 1 << source.man
    above = {
        "floor": 2 * one - 1,
        "even": -(-one * ((4 << m) - 1) // (2 << m)) - 1,  # up from half a last place below two
        "ceil": one,
        "rceil": int(t * one),
    }[fmt.rule]
    exponent, lsb = lead + u.exp + (digits > above), source.lsb - e
    low, high = (_floor_log2(v) for c in _ends(fmt.scale) if isinstance(v := fmt.scale.value(c), Fraction))
    return fmt.scale.pack(_number(1, exponent.clamp(low - lsb, high - lsb) - (low - lsb)), low, "rne")


def _quotient(fmt: Block, u: Unpacked, source: MiniFloat) -> Word:
    """The largest magnitude over the largest element's, rounded to the scale's format."""
    top = fmt.element.integer_range[1]
    even = (top & -top).bit_length() - 1
    lsb = source.lsb - fmt.element.lsb - even
    mag, cut = _divide(u.mag, const(top >> even), fmt.divisor.mag.hi.bit_length(), fmt.scale.lsb - lsb)
    return fmt.scale.pack(_number(mag, u.exp), lsb + cut, "rne")


def _divide(mag: Word, divisor: Word, digits: int, finest: int) -> tuple[Word, int]:
    """(mag', cut): mag' * 2**cut is mag / divisor as far as rounding to `digits` bits or to 2**finest can tell.

    The last bit of mag' stands for all that is below it. Only the places that matter are divided, by a multiplication
    with the reciprocal, which is exact for so few (Granlund and Montgomery, PLDI 1994).
    """
    width = divisor.hi.bit_length()
    cut = min(mag.hi.bit_length() - (digits + 2 + width), finest - 1)
    n = mag >> cut if cut > 0 else mag << -cut
    shift = n.hi.bit_length() + width
    table = [0, *(-(-(1 << shift) // d) for d in range(1, divisor.hi + 1))]
    reciprocal = const(table[divisor.lo]) if divisor.constant else lookup(divisor, table)
    quotient = ((n * reciprocal) >> shift).within(0, n.hi // max(1, divisor.lo))
    exact = (n - quotient * divisor).eq(0)
    if cut > 0:
        exact = exact & mag.low(cut).eq(0)
    return (quotient << 1) | (const(1) - exact), cut - 1


@lru_cache(maxsize=1024)
def _ends(scale: Format) -> tuple[int, int]:
    """The codes of the least positive and the largest value."""
    beyond = _floor_log2(scale.extremes[1]) + 1
    return _code(scale, _number(1), scale.lsb, "rup"), _code(scale, _number(1), beyond, "rtz")


@lru_cache(maxsize=1024)
def _top(element: Format) -> tuple[int, Fraction, int]:
    """(e, t, m): the largest value is t * 2**e, 1 <= t < 2, and the step below it 2**(e - m), or a little more."""
    below, most = sorted({v for c in element.codes().tolist() if isinstance(v := element.value(c), Fraction)})[-2:]
    e = _floor_log2(most)
    return e, most / Fraction(2) ** e, max(0, e - _floor_log2(most - below))


def _code(fmt: Format, x: Unpacked, lsb: int, rounding: str) -> int:
    return int(evaluate([fmt.pack(x, lsb, rounding)], {})[0])


def _number(mag: Word | int, exp: Word | int = 0, nan: int = 0) -> Unpacked:
    mag, exp = (w if isinstance(w, Word) else const(w) for w in (mag, exp))
    return Unpacked(const(0), mag, exp, const(nan), const(0))


def _floor_log2(x: Fraction) -> int:
    guess = x.numerator.bit_length() - x.denominator.bit_length()
    return guess if x >= Fraction(2) ** guess else guess - 1
