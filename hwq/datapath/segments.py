"""A sum in segments: the low bits of a product are added as soon as they are final, the carry a cycle later.

A product with a register behind each row has its low bits cycles before its high ones. A sum that stays can take them
then: no register holds them until the rest is there, and a bit holds the carry of each segment. What a segment holds
belongs to a later product than what the one above it holds. Once codes of zero have entered for as many cycles as lie
between the first and the last, all are of one moment; that is shorter than the flush for which a tile waits anyway. A
clear comes before the first segment takes anything of a tile, which even the lowest does behind two registers.
"""

from __future__ import annotations

from collections.abc import Sequence

from hwq.bits import Word, const, variable
from hwq.bits.cells import Net
from hwq.bits.rows import Lowering

__all__ = ["accumulated", "lone_product"]


def lone_product(before: Word, after: Word) -> Word | None:
    """The product, where a step does nothing but add it: no shift, no rounding, no saturation."""
    total = after.args[0] if after.op in ("wrap", "within") else after
    terms = [term for term in total.args if term is not before]
    if total.op != "add" or len(total.args) != 2 or len(terms) != 1:
        return None
    (term,) = terms
    while term.op == "stage":
        (term,) = term.args
    return term if term.op == "mul" else None


def accumulated(low: Lowering, total: Word, product: Word, digits: Sequence[Net]) -> Net:
    """The registers of a sum to which a product's digits are added, lowest first, each a cycle after the one below."""
    held: list[Net] = []
    at, carry = 0, const(0)
    for net in digits:
        last = len(held) == len(digits) - 1
        kept, digit = (_segment(word, at, net.width, last) for word in (total, product))
        held.append(low.state(kept))
        low.bind(digit, low.resize(net, digit.width, digit.signed))
        both = kept + digit + carry
        after = {kept: both.wrap(kept.width) if last else both.low(net.width)}
        at += net.width
        if not last:
            carry = variable(f"carry_{at}", 0, 1)
            low.state(carry)
            after[carry] = both >> net.width
        low.lower(list(after.values()))
        for word, value in after.items():
            low.feed(word, value)
    return low.cell("cat", held, total.width, True, "sum")


def _segment(word: Word, at: int, bits: int, last: bool) -> Word:
    """Those bits of a word, as a variable: a digit, or all that is left above."""
    ends = (word.lo >> at, word.hi >> at) if last else (0, (1 << bits) - 1)
    return variable(f"{word.attr or word.op}_{at}", *ends)
