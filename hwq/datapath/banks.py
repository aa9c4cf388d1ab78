"""Sums in banks that the exponent chooses (`use=banks`): what stands in them, and what adds them up.

The sum of an element is a small memory. The high bits of a product's exponent are the address of a bank, its `low` bits
shift the product, and the word there grows by it: an adder of a bank's width, and no shifter over the whole range. The
top one of the low bits chooses within the adder's table.

`low` is the smallest number of bits with which the banks fit `WORDS`: fewer low bits are less shifter and a narrower
adder, and as many times more cycles to clear and to drain. A bank has the bits of `k` products, all of them there.

Banks are cleared and drained by indices that enter as operands do: codes whose exponents add up to that of a bank, with
a bit above that takes their number away, and one more that clears. An element has nothing for them but that bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hwq.bits import Word, const, evaluate, variable
from hwq.bits.cells import Block
from hwq.bits.rows import Lowering
from hwq.bits.sums import bits_of
from hwq.datapath.floats import Term
from hwq.datapath.hard import no_block
from hwq.datapath.operand import Operand, operands
from hwq.datapath.spec import Mac
from hwq.errors import HwqError

__all__ = ["FOOT", "WORDS", "Banks", "banks", "foot", "indices", "no_banks"]

FOOT = "pe_foot"  # what adds the banks of a column's elements
WORDS = 16  # of the smallest memory that a fabric makes of its tables: ECP5's; AMD's have 32


@dataclass(frozen=True)
class Banks:
    """`count` banks of `width` bits, 2**`low` binary places apart."""

    low: int
    count: int
    width: int

    @property
    def far(self) -> int:
        """How far the top one of the low bits shifts."""
        return 1 << (self.low - 1) if self.low else 0

    @property
    def apart(self) -> int:
        return 1 << self.low

    def near(self, term: Term) -> Word:
        """A product, shifted by all low bits of its exponent but the top one."""
        return term.sig << term.exp.low(self.low - 1) if self.low > 1 else term.sig

    def top(self, term: Term) -> Word:
        """Whether it has to be shifted by `far` too."""
        return (term.exp >> (self.low - 1)).low(1) if self.low else const(0)

    def place(self, term: Term) -> Word:
        """The bank of a product."""
        return term.exp >> self.low


def no_banks(mac: Mac) -> str:
    """Why banks cannot hold the sum of a Mac, or nothing."""
    if all(operand.fields["exp"].constant for operand in operands(mac)):
        return f"needs products with an exponent, which chooses a bank, not {mac.a}*{mac.w}; leave it out"
    if no_block(mac) or mac.tree != 1:
        order = f" order=tree({mac.tree})" * (mac.tree != 1)
        return f"needs a sum of products as they are, exact or wrapping, not +{mac.acc.text}{order}; leave it out"
    return ""


@lru_cache(maxsize=1024)
def banks(mac: Mac) -> Banks:
    """The banks of a Mac that `no_banks` has nothing against."""
    sig, exp = _range([o.fields["sig"] for o in operands(mac)]), sum(o.fields["exp"].hi for o in operands(mac))
    low = next(bits for bits in range(exp.bit_length() + 1) if exp >> bits < WORDS)
    places = (1 << low) - 1
    return Banks(low, (exp >> low) + 1, bits_of(*(mac.k * end << places for end in sig)))


def _range(sides: list[Word]) -> tuple[int, int]:
    a, w = sides
    ends = [x * y for x in (a.lo, a.hi) for y in (w.lo, w.hi)]
    return min(ends), max(ends)


@lru_cache(maxsize=1024)
def indices(mac: Mac) -> tuple[tuple[int, int], ...]:
    """For each bank, a code of a and one of w whose exponents lead there."""
    of, found = banks(mac), []
    a, w = operands(mac)
    codes = [_codes(operand) for operand in (a, w)]
    for bank in range(of.count):
        one = min(bank << of.low, a.fields["exp"].hi)
        pair = one, (bank << of.low) - one
        for exponent, known, operand in zip(pair, codes, (a, w), strict=True):
            if exponent not in known:
                raise HwqError(
                    f"use=banks needs a code of every exponent, not {operand.fmt} without {exponent}; leave it out"
                )
        found.append((codes[0][pair[0]], codes[1][pair[1]]))
    return tuple(found)


def _codes(operand: Operand) -> Mapping[int, int]:
    """The first code of each exponent, of those that are numbers."""
    every = np.arange(1 << operand.fmt.bits)
    read = evaluate([operand.fields[name] for name in ("exp", "nan", "inf")], {"code": every})
    exp, nan, inf = (np.broadcast_to(values, every.shape) for values in read)
    exponents, at = np.unique(exp[(nan == 0) & (inf == 0)], return_index=True)
    return dict(zip(exponents.tolist(), every[(nan == 0) & (inf == 0)][at].tolist(), strict=True))


@lru_cache(maxsize=1024)
def foot(mac: Mac) -> Block:
    """What adds a word a cycle, the lowest bank first, from a cleared start: the sum, a cycle after its last word."""
    of = banks(mac)
    below, most = of.apart * (of.count - 1), 1 << of.width
    word = variable("word", -(1 << (of.width - 1)), (1 << (of.width - 1)) - 1)
    high, rest = variable("high", -most, most - 1), variable("low", 0, (1 << below) - 1)
    rest_after = variable("low_next", rest.lo, rest.hi)
    high_after = (high >> of.apart) + word
    low = Lowering(FOOT)
    low.input(word, None)
    above, under = low.state(high), low.state(rest)
    kept = [low.view(under, of.apart, below - of.apart)] * (below > of.apart)  # all but what leaves, below what comes
    low.bind(rest_after, low.cell("cat", [*kept, low.view(above, 0, of.apart)], below, False, "low_next"))
    low.lower([high_after])
    low.feed(high, high_after)
    low.feed(rest, rest_after)
    total = low.cell("cat", [under, above], below + of.width + 1, True, "total")
    return low.block([("acc", low.resize(total, mac.acc_bits, True))], aligned=False)
