"""Multipliers that a device has as blocks: what one multiplies and adds, from the vendor's guide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from hwq.bits import Word
from hwq.bits.sums import signed_bits
from hwq.datapath.accumulators import Align, Fixed
from hwq.datapath.kinds import kinds
from hwq.datapath.operand import Operand, operands
from hwq.datapath.spec import Mac
from hwq.errors import HwqError

__all__ = [
    "DOTS",
    "MULTIPLIERS",
    "Hard",
    "Multiplier",
    "Whole",
    "block_operands",
    "check_block",
    "find_block",
    "no_block",
]

_T = TypeVar("_T")


@dataclass(frozen=True)
class Multiplier:
    """A block that multiplies signed numbers of `wide` and `narrow` bits and adds the product to `total` bits.

    `doubles`: an adder before the multiplier can take the wide number twice. Without `adds` the product of `total`
    bits is what comes out, and the sum is kept in logic. `lanes`: so many products of such numbers are added at once;
    the numbers stand side by side, those of the first lowest.
    """

    name: str
    wide: int
    narrow: int
    total: int
    source: str
    doubles: bool = False
    adds: bool = True
    lanes: int = 1


MULTIPLIERS: Mapping[str, Multiplier] = {
    "xc7": Multiplier("DSP48E1", 25, 18, 48, "AMD UG479", doubles=True),
    "xcup": Multiplier("DSP48E2", 27, 18, 48, "AMD UG579", doubles=True),
    "versal": Multiplier("DSP58", 27, 24, 58, "AMD AM004"),
    "ecp5": Multiplier("MULT18X18D", 18, 18, 36, "Lattice FPGA-TN-02205", adds=False),
    "ice40": Multiplier("SB_MAC16", 16, 16, 32, "Lattice FPGA-TN-02007"),
}
DOTS: Mapping[str, Multiplier] = {"versal": Multiplier("DSP58", 9, 8, 58, "AMD AM004", lanes=3)}
"""The same blocks in the mode that adds several products."""


@dataclass(frozen=True)
class Hard:
    """The attribute of a `hard` cell: one block as it is used. Its own registers serve, and cost nothing.

    Its arguments are the numbers a of the lanes, then the numbers w. `swapped`: w is the wider one. `inside`: the block
    registers its operands; `piped`: its product too; `waits`: the enable of w where that has one of its own. `doubled`:
    the next argument says whether the wider one counts twice. `sums`: a sum comes out, which starts from the last
    argument where it is `chained`, else from itself; otherwise the product.
    """

    block: Multiplier
    swapped: bool
    inside: bool
    piped: bool
    waits: str
    doubled: bool
    sums: bool
    chained: bool

    def sides(self, args: Sequence[_T]) -> tuple[Sequence[_T], Sequence[_T]]:
        """Of the arguments those of the wider and those of the narrower side."""
        lanes = (len(args) - self.doubled - self.chained) // 2
        a, w = args[:lanes], args[lanes : 2 * lanes]
        return (w, a) if self.swapped else (a, w)


@dataclass(frozen=True)
class Whole(Operand):
    """An operand of a block: one number, beside it what the sticky flags ask for.

    `halved`: in its top binade, whose numbers are even, half the number enters and the bit `twice`. `beside`: whether
    the other operand has infinities.
    """

    halved: bool = False
    beside: bool = False

    def decode(self, code: Word) -> dict[str, Word]:
        own = super().decode(code)
        found = {"sig": own["sig"]}
        if self.halved:
            u = self.fmt.unpack(code.low(self.fmt.bits))
            twice = u.exp.eq(u.exp.hi)
            found = {"sig": u.sig << (u.exp - twice).within(0, u.exp.hi - 1), "twice": twice}
        return found | kinds(own, self.fmt.has_inf, self.beside)

    @property
    def half(self) -> Whole:
        """The same with half its numbers in its top binade, if it has several."""
        several = not self.rests and not self.fmt.unpack(self.fmt.code_word).exp.constant
        return replace(self, halved=True) if several else self

    @property
    def size(self) -> int:
        """Bits of a port that takes it."""
        return signed_bits(self.fields["sig"])


def block_operands(mac: Mac, block: Multiplier | None) -> tuple[Whole, Whole]:
    """The operands (a, w) of a Mac as a block takes them, w or a halved where it fits only so."""
    x, y = operands(mac, whole=True)
    a, w = (Whole(o.fmt, o.embedded, o.rests, beside=p.fmt.has_inf) for o, p in ((x, y), (y, x)))
    if block is not None and block.doubles and min(a.size, w.size) > block.narrow:
        if a.size < block.wide and w.half.size <= block.narrow:
            return a, w.half
        if w.size < block.wide and a.half.size <= block.narrow:
            return a.half, w
    return a, w


def no_block(mac: Mac) -> str:
    """Why no block can keep the sum of a Mac, or nothing."""
    if mac.floats is not None or isinstance(mac.acc, Align) or isinstance(mac.acc, Fixed) and mac.acc.overflow == "sat":
        return f"needs a sum that a block can keep, exact or wrapping, not +{mac.acc.text}; leave it out"
    if mac.acc_lsb != mac.product_lsb:
        return f"needs a sum on the product's grid, not +{mac.acc.text}; leave frac out"
    return ""


def find_block(device: str, form: str, lanes: int) -> Multiplier:
    """The device's block, in the mode that takes so many products at once."""
    if device not in MULTIPLIERS:
        raise HwqError(f"use={form} needs a device with multiplier blocks ({', '.join(MULTIPLIERS)}), not {device}")
    block = MULTIPLIERS[device] if lanes == 1 else DOTS.get(device, MULTIPLIERS[device])
    if lanes > block.lanes:
        raise HwqError(
            f"use={form} needs lanes that a {block.name} takes at once, at most {block.lanes}, not {lanes}; write fewer"
        )
    return block


def check_block(
    mac: Mac, pair: tuple[Whole, Whole], block: Multiplier, form: str, tile: tuple[int, int], apart: int
) -> tuple[Multiplier, bool]:
    """(the block, whether w goes to its wider side), if operands and sum fit.

    A block that makes the products of a `tile` of rows and columns takes numbers that are `apart` bits from one
    another, of a side by row, of the other by all rows of a column.
    """
    if block.lanes > 1 and mac.has_nan:
        raise HwqError(f"use={form} needs lanes without nan and infinities, not of {mac.a}*{mac.w}; write one lane")
    down, across = tile
    a, w = (operand.size for operand in pair)
    a, w = a + apart * (down - 1) + (down > 1), w + apart * down * (across - 1) + (across > 1)
    total = mac.acc_bits if tile == (1, 1) and block.adds else 0
    if max(a, w) > block.wide or min(a, w) > block.narrow or total > block.total:
        name, other = block.name, "another variant"
        if block.lanes > 1:
            name, other = f"{name} of {block.lanes} lanes", "one lane"
        raise HwqError(
            f"a {name} multiplies {block.wide} x {block.narrow} bits into {block.total}, not {a} x {w} into "
            f"{total or a + w} as {mac.a}*{mac.w} needs with use={form}; take smaller formats, or {other}"
        )
    return block, w > a
