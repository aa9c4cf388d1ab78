"""How an operand travels from the array's edge to the processing elements.

A decoded operand is either *fixed*, one signed integer that embeds the number (an integer itself, or a small minifloat:
E2M1 in 5 bits, E2M3 in 7), or *split* into a signed significand and an exponent. Which one is derived from the ranges:
the embedding is chosen where its rows and adder are narrower than a shifter's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from hwq.bits import Word, const, variable
from hwq.datapath.accumulators import Align
from hwq.formats import Format

if TYPE_CHECKING:
    from hwq.datapath.spec import Mac

__all__ = ["Operand", "operands"]

# An embedding of up to this many bits costs fewer Booth cells than significand, exponent and aligner together:
# 8 x 8 bits are 40 row cells, a 4 x 4-bit significand product with two 4:1 stages as many. E3M2 (10 bits) is past it.
EMBED_BITS = 8


@dataclass(frozen=True)
class Operand:
    """One operand's decoded fields: name -> range, in port order; a constant one does not travel.

    A special has a significand of zero, so an operand with infinities carries its sign beside it.
    """

    fmt: Format
    embedded: bool

    def decode(self, code: Word) -> dict[str, Word]:
        """The edge decoder: the fields of a code."""
        u = self.fmt.unpack(code)
        lo, hi = self.fmt.integer_range
        sig, exp = (u.fixed.within(lo, hi), const(0)) if self.embedded else (u.sig, u.exp)
        return {"sig": sig, "exp": exp, "nan": u.nan, "inf": u.inf, "neg": const(0) if u.inf.constant else u.neg}

    @cached_property
    def fields(self) -> Mapping[str, Word]:
        return MappingProxyType(self.decode(self.fmt.code_word))

    def inputs(self, prefix: str) -> dict[str, Word]:
        """The same fields as inputs of a processing element, `<prefix>_<field>`; constants stay constants."""
        return {name: variable(f"{prefix}_{name}", w.lo, w.hi) for name, w in self.fields.items()}


@lru_cache(maxsize=1024)
def _operand(fmt: Format, split: bool) -> Operand:
    lo, hi = fmt.integer_range
    width = max(hi.bit_length(), (~lo).bit_length() if lo < 0 else 0) + 1
    u = fmt.unpack(fmt.code_word)
    return Operand(fmt, u.exp.constant or width <= EMBED_BITS and not split)


def operands(mac: Mac) -> tuple[Operand, Operand]:
    """The operands (a, w) of a Mac in the form in which they reach a processing element.

    An aligned sum looks at every exponent, so that its operands are split whatever their width.
    """
    split = isinstance(mac.acc, Align)
    return _operand(mac.a, split), _operand(mac.w, split)
