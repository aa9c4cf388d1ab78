"""Products of several rows and columns that one multiplier block makes, side by side in one number."""

from __future__ import annotations

from collections.abc import Sequence

from hwq.bits import Word, variable
from hwq.bits.sums import signed_bits
from hwq.datapath.spec import Mac

__all__ = ["fields", "side_by_side", "spacing", "together"]


def spacing(mac: Mac) -> int:
    """Bits between the products of one block, so that those below one never carry into it but by their sign."""
    lo, hi = mac.product_range
    return max((~lo).bit_length() if lo < 0 else 0, (hi + 1).bit_length(), (-lo).bit_length()) + 1


def side_by_side(numbers: Sequence[Word], apart: int) -> Word:
    """x + y * 2**apart. The upper number is one less where the lower one is negative, whose bits stand as they are."""
    x, y = numbers
    upper = y + (x >> (x.width - 1)) if x.lo < 0 else y
    bits = signed_bits(upper)
    return ((upper.low(bits) << apart) | x.low(apart)).wrap(bits + apart)


def fields(product: Word, tile: tuple[int, int], bits: int) -> dict[tuple[int, int], Word]:
    """The products that lie side by side in one, by row and column.

    A field is one too small where the number below it is negative: that number's sign, a carry-in, mends it.
    """
    down, across = tile
    found = {}
    for row in range(down):
        for col in range(across):
            at = (col * down + row) * bits
            own = product >> at
            own = own if at + bits >= product.width else own.wrap(bits)
            found[row, col] = own + (product >> (at - 1)).low(1) if at else own
    return found


def together(sig: Word, side: str, mac: Mac, tile: tuple[int, int]) -> Word:
    """The input that holds the numbers of several rows, or columns, `spacing` bits apart."""
    down, across = tile
    count, bits = (down, spacing(mac)) if side == "a" else (across, down * spacing(mac))
    lo, hi = (sum(end << (at * bits) for at in range(count)) for end in (sig.lo, sig.hi))
    return variable(str(sig.attr), lo, hi)
