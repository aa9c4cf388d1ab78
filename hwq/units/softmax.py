"""Softmax of rows: the largest while a row enters, a pass for the sum of exponentials, a quotient, one for results."""

from __future__ import annotations

import math
from fractions import Fraction

from hwq.bits import Word, const, maximum, minimum, mux, variable
from hwq.errors import HwqError
from hwq.units.elements import number
from hwq.units.program import Fold, Row, valid
from hwq.units.serial import Division
from hwq.units.spec import Unit
from hwq.units.texts import exp_shift, exp_table, packed

__all__ = ["DIVIDEND", "accurate", "below", "greatest", "period", "published", "scale", "value_bits"]

DIVIDEND = (1 << 31) - 1  # of I-ViT's quotients, and where its sums stop
SHIFTMAX = 15  # octaves of its exponential
GUARD = 3  # bits below a result's last place to which quotients are kept


def greatest(unit: Unit) -> Fold:
    """The largest number of a row, above the format's least."""
    lo, hi = unit.x.format.integer_range
    largest = variable("largest", 0, hi - lo)
    above = mux(valid("fill"), number(unit.x.format) - lo, const(0))
    return Fold("fill", (largest,), (maximum(largest, above),))


def below(unit: Unit, largest: Word) -> Word:
    """A number less the largest of its row: 0 or below."""
    lo, _ = unit.x.format.integer_range
    return (number(unit.x.format) - lo - largest).within(-largest.hi, 0).stage("unpack")


def period(step: Fraction) -> int:
    """I-ViT's -floor(-1 / s): about as many steps as an octave has after its change of base."""
    return -math.floor(-1 / step)


def value_bits(unit: Unit) -> int:
    """Bits of a result's magnitude: k - 1 of a published k."""
    most = unit.y.format.integer_range[1]
    if most & (most + 1) or not most:
        raise HwqError(
            f"a published result must have all numbers to a power of two, not {unit.y.format}; take an integer"
        )
    return most.bit_length()


def scale(unit: Unit) -> float:
    return 2.0 ** -value_bits(unit)


def _sum(unit: Unit, e: Word, first: int) -> tuple[Fold, Word]:
    """The pass that adds exponentials, and what its register holds of a row: at least that of the largest."""
    total = variable("total", 0, unit.n * e.hi)
    after = (total + mux(valid("sum"), e, const(0))).within(0, total.hi)
    return Fold("sum", (total,), (after,)), total.within(first, total.hi)


def published(unit: Unit) -> Row:
    """I-ViT's Shiftmax: floors throughout, so that rows sum to less than 1. Its k is one more than a result's bits."""
    fill, d = greatest(unit), period(unit.x.unit)
    e = exp_shift(below(unit, fill.before[0]), d, SHIFTMAX).stage("exp")
    adding, total = _sum(unit, e, d << SHIFTMAX)
    factor = Division("factor", const(DIVIDEND), minimum(total, DIVIDEND))
    out = ((e * factor.result).stage("mul")) >> (31 - value_bits(unit))
    return Row(fill, (adding, factor), packed(unit.y.format, out, 0))


def accurate(unit: Unit) -> Row:
    """Exponentials by a table of 64 fractions, and a reciprocal that is rounded with the results alone.

    The sum is kept so finely that its error is at most half of a result's last place, whatever the row.
    """
    fill = greatest(unit)
    fine = max(0, math.ceil(math.log2(1 / unit.y.unit)))
    places = fine + (unit.n - 1).bit_length()
    e = exp_table(-below(unit, fill.before[0]), unit.x.unit, places).stage("exp")
    adding, total = _sum(unit, e, 1 << places)
    kept = places + GUARD - unit.y.format.lsb
    factor = Division("factor", const(math.floor((1 << kept) / unit.y.scale)), total)
    return Row(fill, (adding, factor), packed(unit.y.format, (e * factor.result).stage("mul"), -kept))
