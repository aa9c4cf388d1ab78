"""Integer texts that several units are made of: constants as factors and divisors, exponentials, scales."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

from hwq.bits import Word, const, lookup, minimum, mux, negate_if
from hwq.formats import Format, Unpacked

__all__ = ["MULTIPLIER", "exp_shift", "exp_table", "floor_div", "packed", "quotient", "scaled", "times"]

MULTIPLIER = 16  # significant bits of a scale as a fixed multiplier: the datapath's own
_FRACTION = 6  # bits of an exponent's fraction, which 64 entries stand for: one LUT6 a bit


def times(x: Word, factor: int) -> Word:
    """x * factor, a row for each but the first of the factor's signed digits, of which no two neighbours are not 0."""
    terms = [(x << at) if digit > 0 else -(x << at) for at, digit in _digits(factor)]
    total = sum(terms[1:], terms[0]) if terms else const(0)
    return total.within(*sorted((x.lo * factor, x.hi * factor)))


def _digits(factor: int) -> Iterator[tuple[int, int]]:
    """(place, 1 or -1) of the canonical signed digits (Reitwiesner 1960)."""
    at = 0
    while factor:
        if factor & 1:
            digit = 2 - (factor & 3)
            yield at, digit
            factor -= digit
        factor >>= 1
        at += 1


def floor_div(x: Word, divisor: int) -> Word:
    """floor(x / divisor) by a multiplication with m = ceil(2**k / divisor), the least k for which it is exact.

    With e = m * divisor - 2**k that is wherever x * e < 2**k (Granlund and Montgomery, PLDI 1994). A negative number is
    first brought to 0 or above by a multiple of the divisor.
    """
    up = max(0, -(x.lo // divisor))
    twos = (divisor & -divisor).bit_length() - 1
    y, odd = (x + up * divisor).within(x.lo + up * divisor, x.hi + up * divisor) >> twos, divisor >> twos
    k = 0
    while y.hi * (-(-(1 << k) // odd) * odd - (1 << k)) >= 1 << k:
        k += 1
    found = times(y, -(-(1 << k) // odd)) >> k
    return found.within(y.lo // odd, y.hi // odd) - up


def exp_shift(x: Word, period: int, places: int, room: int = 0) -> Word:
    """I-ViT's exponential of x times a scale of about 1 / period: 2**-q * (1 - f/2), times period * 2**places.

    x is multiplied by 23/16 for log2(e), floor by floor; from `places` octaves down it stands still. Where x can be
    above 0 what comes out is exact to `room` octaves, and stands still from there on.
    """
    number = x + (x >> 1) - (x >> 4)
    number = number.within(*(v + (v >> 1) - (v >> 4) for v in (x.lo, x.hi)))  # it rises with x
    down = minimum(-number, places * period)
    octaves = floor_div(down, period)
    rest = (down - times(octaves, period)).within(0, period - 1)
    if octaves.lo < -room:
        octaves = mux(octaves < -room, const(-room), octaves).within(-room, octaves.hi)
    above = max(0, -octaves.lo)
    return ((2 * period - rest) << (places + above)) >> (octaves + (1 + above))


def exp_table(down: Word, scale: Fraction, places: int) -> Word:
    """floor(2**places * exp(-down * scale)) for down >= 0, the exponent's fraction rounded to 6 bits first."""
    digits = down.hi.bit_length() + 2  # of the product below the fraction: 1/8 of its last place is lost at most
    factor = round(Fraction(math.log2(math.e)) * scale * (1 << _FRACTION + digits))
    octaves = (times(down, factor) + (1 << digits >> 1)) >> digits
    octaves = minimum(octaves, (places + 1) << _FRACTION)
    table = [round(2.0 ** (places - at / (1 << _FRACTION))) for at in range(1 << _FRACTION)]
    return lookup(octaves.low(_FRACTION), table) >> (octaves >> _FRACTION)


def quotient(num: int, den: Word, stage: str) -> Word:
    """floor(num / den) of a constant at once, a row a digit; after each row the stage `stage` and a number."""
    steps = (num // den.lo).bit_length()
    bits = den.width + 1
    rest = const(num >> steps)
    found = const(0)
    for at in range(steps):
        minus = rest < 0
        bit = num >> (steps - 1 - at) & 1
        shifted = ((rest.low(bits) << 1).low(bits) | bit).wrap(bits) if at else const(2 * rest.lo + bit)
        rest = (shifted + negate_if(den, const(1) - minus)).wrap(bits)
        found = found << 1 | (const(1) - (rest < 0))
        rest, found, den = (word.stage(f"{stage}{at + 1}") for word in (rest, found, den))
    return found.within(num // den.hi, num // den.lo)


def scaled(number: Word, ratio: Fraction) -> tuple[Word, int]:
    """(number * m, -e) with m * 2**-e the ratio, rounded to MULTIPLIER significant bits if it has more."""
    places = MULTIPLIER - (math.floor(math.log2(ratio)) + 1)
    factor = round(ratio * Fraction(2) ** places)
    twos = (factor & -factor).bit_length() - 1
    return times(number, factor >> twos), twos - places


def packed(fmt: Format, number: Word, lsb: int) -> Word:
    """The code of number * 2**lsb, rounded once to nearest, ties to even."""
    return fmt.pack(Unpacked.of(number), lsb, "rne")
