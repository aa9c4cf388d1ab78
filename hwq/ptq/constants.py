"""The integers that a layer is loaded with: scales as the requantizer has them."""

from __future__ import annotations

import torch
from torch import Tensor

from hwq.errors import HwqError
from hwq.formats import Format

__all__ = ["MAX_SHIFT", "encode_ratio", "ratio_value"]

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
