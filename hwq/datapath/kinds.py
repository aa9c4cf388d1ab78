"""Specials beside a sum that a multiplier block keeps: bits that come from the edge, and one table a sticky flag.

Without infinities a flag is set by any NaN. With them there are two, one for what reaches +inf and one for what reaches
-inf; a NaN is both, and so is an infinity times zero. Bits are chosen for each flag to be a table of at most six, of
which one is the flag itself: one LUT6, and one for both flags where both operands have infinities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce

from hwq.bits import Word, const, lookup, mux

__all__ = ["flags", "kinds"]

Fields = Mapping[str, Word]


def kinds(own: Fields, infinite: bool, other: bool) -> dict[str, Word]:
    """The bits of an operand with the decoded fields `sig`, `nan`, `inf` and `neg`.

    `infinite`, `other`: whether it and the other operand have infinities. Where only it has them, they are what it
    says: `pinf` and `ninf`, both of a NaN. Where the other one has them, `plus` and `minus` say which of those reach
    +inf: those of its own sign, either for zero; none for a NaN, but both of them if both operands are `special`.
    """
    sig, nan, inf, neg = (own[name] for name in ("sig", "nan", "inf", "neg"))
    if not infinite and not other:
        return {"nan": nan}
    if not other:
        return {"pinf": nan | (inf & (const(1) - neg)), "ninf": nan | (inf & neg)}
    negative = neg if infinite else sig < 0
    either = sig.eq(0) & (const(1) - inf)  # zero, and a NaN, whose significand is zero
    plus, minus = mux(negative, either, 1), mux(negative, 1, either)
    if infinite:
        return {"special": nan | inf, "plus": plus, "minus": minus}
    number = const(1) - nan
    return {"plus": plus & number, "minus": minus & number}


def flags(now: Fields, before: Fields, a: Fields, w: Fields) -> dict[str, Word]:
    """The next value of each flag of `now`; one that `before` lacks starts at 0."""
    held = {name: before.get(name, const(0)) for name in now if name != "acc"}
    a, w = ({name: word.stage("mul") for name, word in x.items()} for x in (a, w))
    if "nan" in held:
        return {"nan": _table(_any, a["nan"], w["nan"], held["nan"])}
    if not held:
        return {}
    special = [_table(_any, a["special"], w["special"])] if "special" in a else []
    own, other = (a, w) if "pinf" in a else (w, a)
    ways = [own[name] for name in (("plus", "minus") if special else ("pinf", "ninf"))]
    bits = (*ways, other["plus"], other["minus"], *special)
    rules = {"pinf": _to_plus, "ninf": _to_minus}
    return {name: _table(rules[name], *bits, word) for name, word in held.items()}


def _any(*bits: int) -> int:
    return int(any(bits))


def _to_plus(along: int, against: int, plus: int, minus: int, *rest: int) -> int:
    """An infinity that the other operand lets through, or an operand with neither bit, which is NaN.

    `rest`: whether an operand is special, where both can be, and the flag itself.
    """
    *special, held = rest
    return held | all(special) & (along & plus | against & minus) | int(not plus and not minus)


def _to_minus(along: int, against: int, plus: int, minus: int, *rest: int) -> int:
    return _to_plus(against, along, plus, minus, *rest)


def _table(rule: Callable[..., int], *bits: Word) -> Word:
    """A function of bits as a table of those that are not constant, the first one lowest."""
    live = [bit for bit in bits if not bit.constant]
    places = {bit: at for at, bit in enumerate(live)}
    entries = []
    for index in range(1 << len(live)):
        entries.append(int(rule(*(index >> places[bit] & 1 if bit in places else bit.lo for bit in bits))))
    if not live:
        return const(entries[0])
    return lookup(reduce(lambda x, y: x | y, (bit << at for at, bit in enumerate(live))), entries)
