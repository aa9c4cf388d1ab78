"""FPCS: a beam of scales, searched from coarse to fine."""

from __future__ import annotations

import torch
from torch import Tensor

from hwq.formats import Format
from hwq.ptq.scales.ranges import minmax
from hwq.ptq.scales.search import Score, power, score

__all__ = ["beam", "fpcs"]

_COARSE, _KEPT, _NEW, _ROUNDS = 32, 16, 8, 3
_LEAST = 0.1  # of the widest scale


def fpcs(x: Tensor, fmt: Format, importance: Tensor | None = None) -> Tensor:
    """The scale that `beam` finds between a tenth of `minmax` and `minmax`, by squared error.

    AdaLog's fast progressive combining search (arXiv 2407.12951): 16 are kept of a coarse grid, then three rounds of
    128 candidates about those. It searches pairs of range ends with a zero point; here the scale is the only axis.
    """
    widest = minmax(x, fmt)
    ratio = _LEAST ** (1 / (_COARSE - 1))
    coarse = widest * ratio ** torch.arange(_COARSE, dtype=widest.dtype).unsqueeze(1)
    return beam(coarse, ratio, score(x, fmt, power(2.0, importance)))[0]


def beam(coarse: Tensor, ratio: float, of: Score) -> tuple[Tensor, Tensor]:
    """(scales, scores) [R]: from candidates [S, R] that are a `ratio` apart, by scores `of` them.

    The 16 best of a row stay; in each of three rounds each has 8 new neighbours within the distance to the next of the
    round before, a fourth as far each round. The best ever seen is returned.
    """
    kept, scores = _best(coarse, torch.stack([of(scale) for scale in coarse]))
    apart = abs(torch.log(torch.tensor(ratio, dtype=coarse.dtype)))
    for _ in range(_ROUNDS):
        steps = torch.linspace(-1, 1, _NEW + 1, dtype=coarse.dtype)  # its middle is the scale itself
        steps = steps[steps != 0] * apart
        near = (kept.unsqueeze(0) * steps.exp().reshape(-1, 1, 1)).flatten(0, 1)
        found = torch.stack([of(scale) for scale in near])
        kept, scores = _best(torch.cat([kept, near]), torch.cat([scores, found]))
        apart = apart * (2 / _NEW)
    return kept[0], scores[0]


def _best(scales: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Those [16, R] of least score, best first."""
    least, order = scores.sort(dim=0, stable=True)
    return scales.gather(0, order[:_KEPT]), least[:_KEPT]
