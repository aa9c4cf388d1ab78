"""How far sums of given weights can reach, whatever the activations and their order: certified accumulators."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Any

import numpy as np

from hwq.bits import evaluate
from hwq.datapath.accumulators import Align, Float
from hwq.datapath.spec import Mac, check_mac
from hwq.errors import HwqError
from hwq.formats import Format
from hwq.formats.arrays import check_codes

__all__ = ["narrowest_safe", "needed", "places", "reach", "width"]


def narrowest_safe(mac: Mac, weights: Any) -> int:
    """Bits of a `+fixed(bits)` accumulator on `mac`'s grid that no sum with these weight codes [N, ...] can leave.

    For any activations that the format has, in any order, of any of the products.
    """
    check_mac(mac)
    if isinstance(mac.acc, Float | Align):
        raise HwqError(f"a certified width needs +exact or +fixed(...), not +{mac.acc.text}, which rounds by magnitude")
    codes = check_codes(mac.w, weights)
    if codes.ndim < 2 or not codes.size:
        raise HwqError(f"weights must be codes [N, ...] of at least one product, not of shape {codes.shape}")
    flat = codes.reshape(len(codes), -1)
    return needed(mac, *reach(flat, mac.w, mac.a.integer_range), flat.shape[1])


def needed(mac: Mac, low: int, high: int, terms: int) -> int:
    """Bits of `mac`'s accumulator for sums of so many `terms` from `low` to `high`, in units of the product's lsb.

    On a grid coarser than the products' each term may be rounded by up to one step.
    """
    coarser = mac.acc_lsb - mac.product_lsb
    rounded = terms if coarser else 0
    return width((low >> coarser) - rounded, (high >> coarser) + rounded)


def reach(weights: Any, fmt: Format, read: tuple[int, int], bias: Sequence[int] = ()) -> tuple[int, int]:
    """(least, largest) sum that any prefix of products with or without its bias can be, over all output channels.

    `weights` are codes [N, K] of `fmt`, numpy or torch; `read` is the range of the activation in units of its lsb,
    `bias` [N] is in units of the product's lsb. Python integers: exact for every format.
    """
    units = _units(fmt, np.asarray(weights, dtype=np.int64))
    if units.shape[1] * max(map(abs, fmt.integer_range)) >= 1 << 63:
        units = units.astype(object)
    up, down = np.maximum(units, 0).sum(1).tolist(), np.minimum(units, 0).sum(1).tolist()
    low, high = min(0, read[0]), max(0, read[1])
    ends = [
        (u * low + d * high, u * high + d * low, b) for u, d, b in zip(up, down, bias or [0] * len(up), strict=True)
    ]
    return min(lo + min(b, 0) for lo, _, b in ends), max(hi + max(b, 0) for _, hi, b in ends)


def places(weights: Any, fmt: Format) -> int | None:
    """The most binary places that no number of these codes of `fmt` needs, above its `lsb`; None if all are 0."""
    units = _units(fmt, np.unique(np.asarray(weights, dtype=np.int64)))
    used = reduce(or_, map(abs, units.tolist()), 0)
    return (used & -used).bit_length() - 1 if used else None


def _units(fmt: Format, codes: Any) -> Any:
    """Each code's number in units of `2**lsb`; from a list of them where the format is narrow."""
    if fmt.bits <= 16 and max(map(abs, fmt.integer_range)) < 1 << 62:
        return fmt.integers()[codes]
    every, place = np.unique(codes, return_inverse=True)
    units = np.asarray(evaluate([fmt.unpack(fmt.code_word).fixed], {"code": every})[0], dtype=object)
    return np.broadcast_to(units, every.shape)[place].reshape(codes.shape)


def width(low: int, high: int) -> int:
    """Bits of a two's complement number that holds everything from `low` to `high`, both signs among them."""
    return max((~low if low < 0 else low).bit_length(), high.bit_length()) + 1
