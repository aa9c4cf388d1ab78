"""x * sigmoid(1.702 x) in shifts and one quotient: as I-ViT published it over rows, and for each code by itself."""

from __future__ import annotations

from fractions import Fraction

from hwq.bits import const, minimum, mux, negate_if
from hwq.units.elements import number
from hwq.units.program import Map, Row
from hwq.units.softmax import DIVIDEND, below, greatest, period
from hwq.units.spec import Unit
from hwq.units.texts import exp_shift, packed, quotient, scaled

__all__ = ["by_itself", "published", "scale"]

STEEPNESS = Fraction(1702, 1000)
OCTAVES = 23  # of the published exponentials
FEWER = 12  # of those of a code by itself
SIGMA = 7  # bits of the sigmoid: its k - 1


def scale(unit: Unit) -> float:
    return float(unit.x.unit) / (1 << SIGMA)


def published(unit: Unit) -> Row:
    """I * floor(a * floor(D / (a + c)) / 2**24), a and c exponentials of I and 0 less the largest of the row."""
    fill, d = greatest(unit), period(unit.x.unit * STEEPNESS)
    largest = fill.before[0]
    room = max(0, DIVIDEND.bit_length() + 1 - OCTAVES)  # beyond which the sum stops at DIVIDEND
    a = exp_shift(below(unit, largest), d, OCTAVES)
    c = exp_shift(-(largest + unit.x.format.integer_range[0]), d, OCTAVES, room)
    a, both, x = (word.stage("exp") for word in (a, minimum(a + c, DIVIDEND), number(unit.x.format)))
    factor = quotient(DIVIDEND, both, "div")
    product = (a * factor).within(0, max(DIVIDEND, a.hi)).stage("mul")
    sigma = (product >> (31 - SIGMA)).within(0, 1 << SIGMA)
    return Row(fill, (), packed(unit.y.format, x * sigma, 0))


def by_itself(unit: Unit) -> Map:
    """x * 1 / (1 + exp(-1.702 |x|)), mirrored below 0: no largest number of a row, and 8 digits of a quotient."""
    x, d = number(unit.x.format), period(unit.x.unit * STEEPNESS)
    minus = x < 0
    e = exp_shift(negate_if(x, const(1) - minus).within(min(x.lo, -x.hi), 0), d, FEWER)
    e, x, minus = (word.stage("exp") for word in (e, x, minus))
    one = d << FEWER
    sigma = quotient(one << SIGMA, e + one, "div").within(1 << SIGMA - 1, 1 << SIGMA)
    sigma = mux(minus, const(1 << SIGMA) - sigma, sigma)
    product, lsb = scaled((x * sigma).stage("mul"), unit.x.unit / unit.y.scale)
    return Map(packed(unit.y.format, product, lsb - SIGMA))
