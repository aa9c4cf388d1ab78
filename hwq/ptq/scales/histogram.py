"""The range at which the histogram of rounded magnitudes diverges least from that of the magnitudes."""

from __future__ import annotations

import torch
from torch import Tensor

from hwq.formats import Format
from hwq.ptq.scales.ranges import minmax
from hwq.ptq.scales.search import search

__all__ = ["divergence"]

_BINS = 2048
_FEWEST, _STEP = 128, 32  # clips that are tried, in bins


def divergence(x: Tensor, fmt: Format, importance: Tensor | None = None) -> Tensor:
    """The clip of least Kullback-Leibler divergence among magnitudes of 2,048 bins, after TensorRT's calibration.

    Reconstructed for any format: all magnitudes beyond the clip count for its last bin; the bins that round to one
    value spread their mass, outliers left out, evenly over those of them that have any. Its published rule merges equal
    numbers of bins, which is the same for even grids alone. Many equal magnitudes, such as zeros of a rectifier, are
    one bin.
    """
    return torch.cat([_of_row(row.abs(), row, fmt) for row in x])


def _of_row(size: Tensor, row: Tensor, fmt: Format) -> Tensor:
    widest, top = minmax(row.unsqueeze(0), fmt), float(size.max())
    if top == 0:
        return widest
    counts = torch.histc(size.float(), _BINS, 0, top).double()
    clips = range(_BINS, _FEWEST - 1, -_STEP)
    candidates = [widest * (clip / _BINS) for clip in clips]
    # `search` knows scales alone: which clip a scale belongs to follows from its quotient with the widest
    return search(candidates, lambda scale: _divergence(counts, fmt, top, scale, round(float(scale / widest) * _BINS)))[
        0
    ]


def _divergence(counts: Tensor, fmt: Format, top: float, scale: Tensor, clip: int) -> Tensor:
    """KL(P || Q) of the first `clip` bins as they are and as rounded at `scale`; infinite where Q lacks a bin of P."""
    centres = (torch.arange(clip, dtype=torch.float64) + 0.5) * (top / _BINS)
    seen = counts[:clip]
    whole = seen.clone()
    whole[-1] += counts[clip:].sum()
    _, level = torch.unique(fmt.quantize(centres / scale), return_inverse=True)
    live = (seen > 0).double()
    mass, places = (torch.zeros(clip, dtype=torch.float64).scatter_add_(0, level, part) for part in (seen, live))
    spread = live * (mass / places.clamp(min=1))[level]
    held = whole > 0
    if bool((spread[held] == 0).any()):
        return torch.full((1,), torch.inf, dtype=torch.float64)
    p, q = whole[held] / whole.sum(), spread[held] / spread.sum()
    return (p * (p / q).log()).sum().reshape(1)
