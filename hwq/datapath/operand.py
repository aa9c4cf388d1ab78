"""How an operand travels from the array's edge to the processing elements.

A decoded operand is either *fixed*, one signed integer that embeds the number (an integer itself, or a small minifloat:
E2M1 in 5 bits, E2M3 in 7), or *split* into a signed significand and an exponent. Which one is derived from the ranges:
the embedding is chosen where its rows and adder are narrower than a shifter's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from hwq.bits import Word, const, evaluate, mux, variable
from hwq.datapath.accumulators import Align
from hwq.formats import Format, Unpacked

if TYPE_CHECKING:
    from hwq.datapath.spec import Mac

__all__ = ["Operand", "operands", "zero_code"]

# An embedding of up to this many bits costs fewer Booth cells than significand, exponent and aligner together:
# 8 x 8 bits are 40 row cells, a 4 x 4-bit significand product with two 4:1 stages as many. E3M2 (10 bits) is past it.
EMBED_BITS = 8


@dataclass(frozen=True)
class Operand:
    """One operand's decoded fields: name -> range, in port order; a constant one does not travel.

    A special has a significand of zero, so an operand with infinities carries its sign beside it. `rests`: a bit above
    the code says that none enters, where no code makes the product zero, or where codes are the indices of banks. Then
    the field `zero`, one more bit above, `clears` the bank.
    """

    fmt: Format
    embedded: bool
    rests: bool = False
    clears: bool = False

    @property
    def bits(self) -> int:
        """Bits that travel to the decoder."""
        return self.fmt.bits + self.rests + self.clears

    @cached_property
    def idle(self) -> int:
        """What stands there while no operand enters: a zero, if there is one."""
        if self.rests:
            return 1 << self.fmt.bits
        zero = zero_code(self.fmt)
        return next(c for c in range(1 << self.bits) if _finite(self.fmt, c)) if zero is None else zero

    @property
    def code_word(self) -> Word:
        """The decoder's input."""
        return variable("code", 0, (1 << self.bits) - 1)

    def decode(self, code: Word) -> dict[str, Word]:
        """The edge decoder: the fields of a code."""
        u = self.fmt.unpack(code.low(self.fmt.bits))
        lo, hi = self.fmt.integer_range
        sig, exp = (u.fixed.within(lo, hi), const(0)) if self.embedded else (u.sig, u.exp)
        nan, inf = u.nan, u.inf
        if self.rests:
            enters = const(1) - (code >> self.fmt.bits).low(1)
            sig, nan, inf = mux(enters, sig, 0), nan & enters, inf & enters
        found = {"sig": sig, "exp": exp, "nan": nan, "inf": inf, "neg": const(0) if u.inf.constant else u.neg}
        return found | ({"zero": code >> (self.fmt.bits + 1)} if self.clears else {})

    @cached_property
    def fields(self) -> Mapping[str, Word]:
        return MappingProxyType(self.decode(self.code_word))

    def inputs(self, prefix: str) -> dict[str, Word]:
        """The same fields as inputs of a processing element, `<prefix>_<field>`; constants stay constants."""
        return {name: variable(f"{prefix}_{name}", w.lo, w.hi) for name, w in self.fields.items()}

    def codes(self, prefix: str) -> dict[str, Word]:
        """The code itself as an input."""
        return {"code": variable(f"{prefix}_code", 0, (1 << self.bits) - 1)}


@lru_cache(maxsize=1024)
def zero_code(fmt: Format) -> int | None:
    """The code of zero, or None where no code means zero."""
    if fmt.blocked:
        code = int(np.asarray(fmt.encode(np.zeros(1)))[0])
    else:  # read once, its text need not be compiled: this is asked of every datapath that is parsed
        zero = Unpacked.of(const(0))
        code = int(evaluate([fmt.pack(zero, fmt.lsb, "rne")], {})[0])
    return code if fmt.value(code) == 0 else None


def _finite(fmt: Format, code: int) -> bool:
    return not fmt.reserved(code) and isinstance(fmt.value(code), Fraction)


@lru_cache(maxsize=1024)
def _operand(fmt: Format, split: bool, rests: bool, whole: bool, clears: bool = False) -> Operand:
    lo, hi = fmt.integer_range
    width = max(hi.bit_length(), (~lo).bit_length() if lo < 0 else 0) + 1
    u = fmt.unpack(fmt.code_word)
    return Operand(fmt, whole or u.exp.constant or width <= EMBED_BITS and not split, rests, clears)


def operands(mac: Mac, whole: bool = False, indexed: bool = False) -> tuple[Operand, Operand]:
    """The operands (a, w) of a Mac in the form in which they reach a processing element.

    An aligned sum looks at every exponent, so that its operands are split whatever their width; a multiplier block
    takes a `whole` number, whatever its width. Where sums are `indexed`, in banks, a has room for indices.
    """
    split = isinstance(mac.acc, Align)
    rests = indexed or zero_code(mac.a) is None and zero_code(mac.w) is None
    return _operand(mac.a, split, rests, whole, indexed), _operand(mac.w, split, False, whole)
