"""Sums that are floats, as texts: one rounding a term or a group, and the aligned sum of tensor cores.

Nothing here is as wide as the range of the numbers. Of two summands the one of the lower exponent is shifted right, at
most until it is gone, and what it loses is remembered in one bit below the last: enough for any rounding, because the
other summand then keeps two places or more between its rounding position and that bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from hwq.bits import Word, const, ilog2, maximum, minimum, mux, negate_if
from hwq.datapath.accumulators import Align, top_binade
from hwq.formats import Format, Unpacked, round_shift

__all__ = ["Addend", "Term", "addend", "aligned", "exceptional", "rounded"]


@dataclass(frozen=True)
class Term:
    """An exact product or sum `sig * 2**(exp + lsb)`, sig signed, and its special flags; lsb belongs to the holder."""

    sig: Word
    exp: Word
    nan: Word
    pinf: Word
    ninf: Word


@dataclass(frozen=True)
class Addend:
    """`(-1)**neg * mag * 2**exp`, mag 0 or with its top bit set wherever that matters; exp may be negative."""

    neg: Word
    mag: Word
    exp: Word


def _top(mag: Word) -> tuple[Word, Word]:
    """`mag` shifted left until its top bit is set, and by how many places: halving steps, as a table-free encoder."""
    width, moved = mag.width, const(0)
    for power in reversed(range((width - 1).bit_length())):
        step = 1 << power
        small = mag < (1 << (width - step))
        mag = mux(small, mag.low(width - step) << step, mag)
        moved = moved | (small << power)
    return mag, moved


def addend(sig: Word, exp: Word, lsb: int) -> Addend:
    """A term with its leading one at the top."""
    u = Unpacked.of(sig)
    mag, moved = _top(u.mag)
    return Addend(u.neg, mag, exp - moved + lsb)


def _held(fmt: Format, u: Unpacked) -> Addend:
    """A number of the format; without subnormals below the top bit, or shifted until there are none."""
    mag, moved = (u.mag, const(0)) if u.normal else _top(u.mag)
    return Addend(u.neg, mag, u.exp - moved + fmt.lsb)


def rounded(fmt: Format, u: Unpacked, term: Addend, nan: Word, pinf: Word, ninf: Word) -> Word:
    """The code of `round(u + term)`, u a number of the format; to nearest, ties to even; never -0."""
    number, lsb = _added(_held(fmt, u), term, u.normal)
    return _packed(fmt, exceptional(u, number, nan, pinf, ninf), lsb, "rne")


def _packed(fmt: Format, x: Unpacked, lsb: int, rounding: str) -> Word:
    """The code, +0 for every zero: a zero product then leaves every sum as it is, and needs no valid bit beside it."""
    code, zero = fmt.pack(x, lsb, rounding), const(0)
    minus = fmt.pack(Unpacked(const(1), zero, zero, zero, zero), fmt.lsb, rounding)
    return code if minus is zero else mux(code.eq(minus), zero, code)


def _added(s: Addend, p: Addend, gradual: bool) -> tuple[Unpacked, int]:
    """The sum with a sticky last bit, and the weight of that bit where exp is 0.

    With m fraction bits in s, s is extended by three places or to the term's width, the term to m + 4 bits. Where one
    loses bits, the other's leading one is then at least m + 3 places above the last; but for a `gradual` s, without
    its top bit, whose last place nothing can be rounded below. A zero has the lowest exponent.
    """
    grow_s, grow_p = max(3, p.mag.width + 1 - s.mag.width), max(0, s.mag.width + 3 - p.mag.width)
    base = min(s.exp.lo - grow_s, p.exp.lo - grow_p)
    exp_s, exp_p = s.exp - (grow_s + base), p.exp - (grow_p + base)
    exp_p = mux(p.mag.eq(0), const(0), exp_p)
    if not gradual:
        exp_s = mux(s.mag.eq(0), const(0), exp_s)
    mag_s, mag_p = s.mag << grow_s, p.mag << grow_p
    behind = exp_p < exp_s
    near, far = mux(behind, mag_s, mag_p), mux(behind, mag_p, mag_s)
    near_neg, far_neg = mux(behind, s.neg, p.neg), mux(behind, p.neg, s.neg)
    gap = negate_if(exp_p - exp_s, behind).within(0, max(exp_p.hi, exp_s.hi))
    places = minimum(gap, far.width)
    lost = (far & ((const(1) << places) - 1)) > 0
    total = negate_if(near << 1, near_neg) + negate_if(((far >> places) << 1) | lost, far_neg)
    return Unpacked.of(total, mux(behind, exp_s, exp_p)), base - 1


def exceptional(u: Unpacked, number: Unpacked, nan: Word, pinf: Word, ninf: Word) -> Unpacked:
    """`number`, or what IEEE arithmetic makes of a special u and of a term's flags."""
    up, down = pinf | (u.inf & u.neg.eq(0)), ninf | (u.inf & u.neg)
    nan = nan | u.nan | (up & down)
    inf = (up | down) & nan.eq(0)
    return Unpacked(mux(inf, down, number.neg), number.mag, number.exp, nan, inf, number.normal)


def aligned(acc: Align, u: Unpacked, terms: list[Term], lsb: int, point: int) -> Word:
    """The code of the fused sum of u, a number of the accumulator's format, and the terms, in units of `2**lsb`.

    `point` is the number of fraction bits of a product of significands in [1, 2): its exponent is the sum of its
    factors', though it may reach 4. A zero has no exponent.
    """
    fmt = acc.format
    summands = [(t.sig, t.exp + lsb, point) for t in terms] + [(u.sig, u.exp + fmt.lsb, u.mag.width - 1)]
    tops = [exp + place for _, exp, place in summands]
    lowest = min(top.lo for top in tops)
    found = [mux(sig.eq(0), const(0), top - lowest) for (sig, _, _), top in zip(summands, tops, strict=True)]
    largest = _tournament(found)
    total: Word = const(0)
    for (sig, _, place), top in zip(summands, found, strict=True):
        below = (largest - top).within(0, largest.hi)
        total = total + _cut(sig, below, acc.bits - place, acc.mode)
    number = Unpacked.of(total, largest)
    flags = [reduce(lambda x, y: x | y, kind) for kind in zip(*((t.nan, t.pinf, t.ninf) for t in terms), strict=True)]
    x = exceptional(u, number, *flags)
    return _packed(fmt, _overflowed(acc, x, lowest - acc.bits), lowest - acc.bits, acc.rounding)


def _tournament(words: list[Word]) -> Word:
    """The largest, in log depth."""
    while len(words) > 1:
        words = [reduce(maximum, words[j : j + 2]) for j in range(0, len(words), 2)]
    return words[0]


def _cut(sig: Word, below: Word, room: int, mode: str) -> Word:
    """A significand whose last bit is `room` places above the last that is kept, shifted right by `below`."""
    wide = sig << max(0, room)
    places = minimum(below + max(0, -room), wide.width + 1)
    return round_shift(wide, places, mode)


def _overflowed(acc: Align, x: Unpacked, lsb: int) -> Unpacked:
    """Truncation stops at the largest number; the hardware's total does not: what is beyond becomes inf or nan."""
    fmt = acc.format
    t = top_binade(fmt)
    if acc.rounding == "rne" or fmt.overflow == "sat" or t is None:
        return x
    over = (x.mag > 0) & (ilog2(x.mag) + x.exp >= t - lsb) & x.nan.eq(0)
    if fmt.overflow == "nan":
        return Unpacked(x.neg, x.mag, x.exp, x.nan | over, x.inf)
    return Unpacked(x.neg, x.mag, x.exp, x.nan, x.inf | over)
