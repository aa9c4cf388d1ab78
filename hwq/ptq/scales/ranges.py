"""Ranges: scales at which the ends of a format meet the ends of what is observed, or of most of it."""

from __future__ import annotations

import torch
from torch import Tensor

from hwq.errors import HwqError
from hwq.formats import Format
from hwq.ptq.scales.search import power, score, search

__all__ = ["check_finite", "covering", "ema", "minmax", "percentile"]

_TAILS = (1e-5, 1e-4, 1e-3)
_MOMENTUM = 0.95
_PARTS = 8


def minmax(x: Tensor, fmt: Format, importance: Tensor | None = None) -> Tensor:
    """The least scale at which no element of a row saturates."""
    return covering(x.amin(1), x.amax(1), fmt)


def percentile(x: Tensor, fmt: Format, importance: Tensor | None = None) -> Tensor:
    """`minmax` after 1e-5, 1e-4 or 1e-3 of a row have been left out on either side: the share of least squared error.

    As RepQ-ViT does (arXiv 2212.08254).
    """
    ordered = x.sort(1).values
    outs = [int(tail * x.shape[1]) for tail in _TAILS]
    candidates = [covering(ordered[:, out], ordered[:, -1 - out], fmt) for out in outs]
    return search(candidates, score(x, fmt, power(2.0, importance)))[0]


def ema(x: Tensor, fmt: Format, importance: Tensor | None = None) -> Tensor:
    """The range as a moving average, m <- 0.95 m + 0.05 minmax(batch), as I-ViT trains it (arXiv 2207.01405).

    The batches are eighths of each row, in its order, which is the images'; the first sets the range.
    """
    parts = x.tensor_split(min(_PARTS, x.shape[1]), 1)
    low, high = parts[0].amin(1), parts[0].amax(1)
    for part in parts[1:]:
        low = _MOMENTUM * low + (1 - _MOMENTUM) * part.amin(1)
        high = _MOMENTUM * high + (1 - _MOMENTUM) * part.amax(1)
    return covering(low, high, fmt)


def check_finite(x: Tensor, what: str) -> None:
    """Refuse nan and inf, of which no scale can be made."""
    if not bool(torch.isfinite(x).all()):
        raise HwqError(f"{what} must be finite, not with nan or inf among them")


def covering(low: Tensor, high: Tensor, fmt: Format) -> Tensor:
    """The least scale at which the span of `fmt` reaches from `low` to `high` [R]; 1 where both are 0.

    Of a format whose blocks have scales that is the element's: they stay near the middle of what they can be.
    """
    check_finite(torch.stack([low, high]), "values to be quantized")
    least, most = fmt.span
    scale = high.double().clamp(min=0) / most
    if least < 0:
        scale = torch.maximum(scale, low.double().clamp(max=0) / least)
    return torch.where(scale > 0, scale, torch.ones_like(scale))
