"""Texts that look for the leading bit of a number: they read it as it is stored, negative or not."""

from __future__ import annotations

from hwq.bits.word import Word, const, mux, negate_if

__all__ = ["flipped", "ilog2", "stored", "window"]


def ilog2(x: Word) -> Word:
    """floor(log2(x)) for x >= 1 and 0 for x = 0."""
    return x.excess(1)


def stored(mag: Word) -> tuple[Word, Word]:
    """(x, x < 0) where `mag` is the magnitude that was taken of a number x, else (mag, 0)."""
    inner = mag.args[0] if mag.op == "within" else mag
    if inner.op == "neg" and inner.args[1] is (inner.args[0] < 0):
        return inner.args[0], inner.args[1]
    return mag, const(0)


def flipped(x: Word, minus: Word, bits: int) -> Word:
    """The low `bits` bits of x, inverted where `minus` is 1: a negative number's magnitude, less one."""
    return x.low(bits) ^ mux(minus, (1 << bits) - 1, 0)


def window(x: Word, minus: Word, place: int, keep: int, most: int) -> tuple[Word, Word, Word, Word]:
    """(k, top, lost, beyond) of a number as it is stored, `minus` its sign.

    Its leading bit is the highest that differs from the sign. `k` is how far that bit is above `place`, at least 0 and
    at most what `most` takes in bits. `top` are the `keep` bits from bit `place + k` down, as they are stored (below a
    number's last bit there are zeros), `lost` whether there is a one further down, and `beyond` whether there is a
    leading bit above those that were looked at.
    """
    base = place + 1 - keep
    x, base = x << max(0, -base), max(0, base)
    above = x.width - x.signed - (base + keep)
    digits = min(max(0, above), most).bit_length()
    span = keep + (1 << digits) - 1
    rest = x >> (base + span)
    beyond = const(1) - rest.eq(negate_if(minus, 1) if x.signed else 0)
    y = (x >> base).low(span)
    k = flipped(y, minus, span).excess(keep)
    return k, (y >> k).low(keep), x.lost(base) | y.lost(k), beyond
