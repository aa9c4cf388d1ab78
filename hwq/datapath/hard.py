"""Multipliers that a device has as blocks: what one multiplies and adds, from the vendor's guide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hwq.bits.sums import signed_bits
from hwq.datapath.accumulators import Align, Fixed
from hwq.datapath.operand import Operand
from hwq.datapath.spec import Mac
from hwq.errors import HwqError

__all__ = ["MULTIPLIERS", "Hard", "Multiplier", "check_block", "no_block"]


@dataclass(frozen=True)
class Multiplier:
    """A block that multiplies signed numbers of `wide` and `narrow` bits and adds the product to `total` bits."""

    name: str
    wide: int
    narrow: int
    total: int
    source: str


MULTIPLIERS: Mapping[str, Multiplier] = {
    "xc7": Multiplier("DSP48E1", 25, 18, 48, "AMD UG479"),
    "xcup": Multiplier("DSP48E2", 27, 18, 48, "AMD UG579"),
}


@dataclass(frozen=True)
class Hard:
    """The attribute of a `hard` cell: one block as it is used. Its own registers serve, and cost nothing.

    `swapped`: w, the second argument, is the wider one. `inside`: the block registers its operands; `piped`: its
    product too; `held`: w waits for a load. `sums`: a sum comes out, which starts from the third argument if there is
    one, else from itself; otherwise the product.
    """

    block: Multiplier
    swapped: bool
    inside: bool
    piped: bool
    held: bool
    sums: bool


def no_block(mac: Mac) -> str:
    """Why no block can keep the sum of a Mac, or nothing."""
    if mac.floats is not None or isinstance(mac.acc, Align) or isinstance(mac.acc, Fixed) and mac.acc.overflow == "sat":
        return f"needs a sum that a block can keep, exact or wrapping, not +{mac.acc.text}; leave it out"
    if mac.acc_lsb != mac.product_lsb:
        return f"needs a sum on the product's grid, not +{mac.acc.text}; leave frac out"
    return ""


def check_block(
    mac: Mac, pair: tuple[Operand, Operand], device: str, form: str, tile: tuple[int, int], apart: int
) -> tuple[Multiplier, bool]:
    """(the device's block, whether w goes to its wider side), if operands and sum fit.

    A block that makes the products of a `tile` of rows and columns takes numbers that are `apart` bits from one
    another, of a side by row, of the other by all rows of a column.
    """
    if device not in MULTIPLIERS:
        raise HwqError(f"use={form} needs a device with multiplier blocks ({', '.join(MULTIPLIERS)}), not {device}")
    block, (down, across) = MULTIPLIERS[device], tile
    a, w = (signed_bits(operand.fields["sig"]) for operand in pair)
    a, w = a + apart * (down - 1) + (down > 1), w + apart * down * (across - 1) + (across > 1)
    total = mac.acc_bits if tile == (1, 1) else 0
    if max(a, w) > block.wide or min(a, w) > block.narrow or total > block.total:
        raise HwqError(
            f"a {block.name} multiplies {block.wide} x {block.narrow} bits into {block.total}, not {a} x {w} into "
            f"{total or a + w} as {mac.a}*{mac.w} needs with use={form}; take smaller formats, or another variant"
        )
    return block, w > a
