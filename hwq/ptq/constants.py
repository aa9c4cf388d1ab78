"""The integers that a layer is loaded with: scales as the requantizer has them, biases, and the sums they can reach."""

from __future__ import annotations

import torch
from torch import Tensor

from hwq.errors import HwqError
from hwq.formats import Format

__all__ = ["MAX_SHIFT", "encode_ratio", "ratio_value", "reach", "width"]

MAX_SHIFT = 63


def encode_ratio(ratio: Tensor, fmt: Format, what: str) -> tuple[Tensor, Tensor]:
    """Codes m of `fmt` and shifts s, so that `m * 2**-s` is the number nearest to each `ratio` [N] > 0.

    The shift is the largest at which m does not saturate, so that m has its top bit set.
    """
    ratio = ratio.double()
    fraction, exponent = torch.frexp(ratio)
    top_fraction, top_exponent = torch.frexp(torch.tensor(fmt.max, dtype=torch.float64))
    shift = top_exponent - exponent - (fraction > top_fraction).to(exponent.dtype)
    least, most = float(ratio.min()), float(ratio.max())
    if int(shift.min()) < 0 or int(shift.max()) > MAX_SHIFT:
        found = f"{least:.3g}..{most:.3g}"
        raise HwqError(f"scale ratios of {what} must be within {fmt} >> 0..{MAX_SHIFT}, not {found}")
    codes: Tensor = fmt.encode(torch.ldexp(ratio, shift))
    return codes, shift.long()


def ratio_value(codes: Tensor, shift: Tensor) -> Tensor:
    """The numbers `m * 2**-s` [N] as float64, exactly; a multiplier is an unsigned integer, its own code."""
    return torch.ldexp(codes.double(), -shift)


def reach(weights: Tensor, fmt: Format, read: tuple[int, int], bias: list[int]) -> tuple[int, int]:
    """(least, largest) sum that any prefix of products with or without its bias can be, over all output channels.

    `weights` are codes [N, K] of `fmt`; `read` is the range of the activation in units of its lsb, `bias` [N] is in
    units of the product's lsb. Python integers: exact for every format.
    """
    units = torch.from_numpy(fmt.integers().copy())[weights.long()]
    up, down = units.clamp(min=0).sum(1).tolist(), units.clamp(max=0).sum(1).tolist()
    low, high = min(0, read[0]), max(0, read[1])
    ends = [(u * low + d * high, u * high + d * low, b) for u, d, b in zip(up, down, bias, strict=True)]
    return min(lo + min(b, 0) for lo, _, b in ends), max(hi + max(b, 0) for _, hi, b in ends)


def width(low: int, high: int) -> int:
    """Bits of a two's complement number that holds everything from `low` to `high`, both signs among them."""
    return max((~low if low < 0 else low).bit_length(), high.bit_length()) + 1
