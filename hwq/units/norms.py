"""LayerNorm and RMSNorm of rows, without their factor and offset per channel: those fold into what comes next."""

from __future__ import annotations

import math
from fractions import Fraction

from hwq.bits import Word, const, mux, variable
from hwq.formats import round_shift
from hwq.units.elements import number
from hwq.units.program import Fold, Let, Row, valid
from hwq.units.serial import Division, Newton, Root
from hwq.units.softmax import DIVIDEND, GUARD
from hwq.units.spec import Unit
from hwq.units.texts import floor_div, packed, times

__all__ = ["layernorm", "published", "rmsnorm", "scale"]


def scale(unit: Unit) -> float:
    """I-ViT's sqrt(C) / 2**30."""
    return math.sqrt(unit.n) / (1 << 30)


def _sums(unit: Unit) -> Fold:
    """The sum of a row's numbers and of their squares."""
    x = _offered(unit)
    total = variable("total", unit.n * x.lo, unit.n * x.hi)
    squares = variable("squares", 0, unit.n * (x * x).hi)
    after = (total + x).within(total.lo, total.hi), (squares + x * x).within(0, squares.hi)
    return Fold("fill", (total, squares), after)


def _offered(unit: Unit) -> Word:
    """A number that enters, or 0 where there is none."""
    return mux(valid("fill"), number(unit.x.format), const(0)).stage("unpack")


def published(unit: Unit) -> Row:
    """I-ViT's: the mean rounded to an integer, ten of Newton's steps to the root of squares, floors of quotients."""
    x, n = _offered(unit), unit.n
    total = variable("total", n * x.lo, n * x.hi)
    fill = Fold("fill", (total,), ((total + x).within(total.lo, total.hi),))
    mean = Let("mean", variable("mean", *unit.x.format.integer_range), _rounded_mean(unit, total))
    y = (number(unit.x.format) - mean.result).stage("unpack")
    some = mux(valid("deviate"), y, const(0))
    spread = variable("spread", 0, n * max(y.lo**2, y.hi**2))
    adding = Fold("deviate", (spread,), ((spread + some * some).within(0, spread.hi),))
    std = Newton("std", spread)
    factor = Division("factor", const(DIVIDEND), std.result)
    product = (y * factor.result).within(-DIVIDEND, DIVIDEND)  # no deviation is above the root of all squares
    out = product.stage("mul") >> 1
    return Row(fill, (mean, adding, std, factor), packed(unit.y.format, out, 0))


def _rounded_mean(unit: Unit, total: Word) -> Word:
    """To nearest, ties to even: of a power of two the rounder's, else by an exact quotient."""
    n, lo_hi = unit.n, unit.x.format.integer_range
    if n & (n - 1) == 0:
        return round_shift(total, n.bit_length() - 1, "rne").within(*lo_hi)
    twice = (total << 1) + n
    up = floor_div(twice, 2 * n)
    if n % 2:
        return up.within(*lo_hi)
    tie = (twice - times(up, 2 * n)).within(0, 2 * n - 1).eq(0)
    return (up - (tie & up.low(1))).within(*lo_hi)


def _scaled(unit: Unit, y: Word, power: Word, least: int, numerator: int) -> tuple[Root, Division, Word]:
    """The codes of y * sqrt(numerator / power), at most sqrt(n); power >= least wherever y is not 0.

    The root has so many places below the point that it errs by at most a quarter of a result's last place, and so has
    the reciprocal.
    """
    most = math.isqrt(unit.n - 1) + 1
    reach = min(most / unit.y.unit, Fraction(max(map(abs, unit.y.format.integer_range))))
    places = max(0, math.ceil(math.log2((reach * (1 << GUARD - 1)) / math.isqrt(least))))
    root = Root("root", power, places)
    kept = max(-y.lo, y.hi).bit_length() + GUARD - 1 - unit.y.format.lsb
    above = numerator * (Fraction(2) ** (kept + places) / unit.y.scale) ** 2
    factor = Division("factor", const(math.isqrt(math.floor(above))), root.result)
    bound = 2 * most * (factor.num.lo >> places)  # a floor is at least half of what is not below 1
    product = (y * factor.result).within(-bound, bound).stage("mul")
    return root, factor, packed(unit.y.format, product, -kept)


def layernorm(unit: Unit) -> Row:
    """(n x - sum) / sqrt(n * sum of squares - sum**2 + n**2 eps): no rounding before the root."""
    fill, n = _sums(unit), unit.n
    total, squares = fill.before
    lo, hi = unit.x.format.integer_range
    eps = max(1, round(unit.eps * n * n / unit.x.unit**2))
    most = n * n * (hi - lo) ** 2 // 4 + eps  # Popoviciu's bound of a variance
    power = (times(squares, n) - total * total + eps).within(eps, most)
    y = (times(number(unit.x.format), n) - total).within(-(n - 1) * (hi - lo), (n - 1) * (hi - lo)).stage("unpack")
    root, factor, code = _scaled(unit, y, power, eps + n - 1, 1)
    return Row(fill, (root, factor), code)


def rmsnorm(unit: Unit) -> Row:
    """x * sqrt(n) / sqrt(sum of squares + n eps)."""
    x, n = _offered(unit), unit.n
    squares = variable("squares", 0, n * (x * x).hi)
    fill = Fold("fill", (squares,), ((squares + x * x).within(0, squares.hi),))
    eps = max(1, round(unit.eps * n / unit.x.unit**2))
    power = squares + eps
    y = number(unit.x.format).stage("unpack")
    root, factor, code = _scaled(unit, y, power, eps + 1, n)
    return Row(fill, (root, factor), code)
