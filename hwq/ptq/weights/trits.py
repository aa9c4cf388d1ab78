"""PTQTP: a weight as the sum of two ternary planes, free or tied to the nine integers -4 to 4."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from hwq.errors import HwqError
from hwq.ptq.weights.rows import Answer, Rows

__all__ = ["Trits", "ptqtp", "refinements", "two_planes"]

_LEVEL = 4  # 3 + 1: the largest integer of two tied planes
_SHRINK, _STARTS = 0.93, 24  # 0.93**23 is 0.19: nine levels clip a Gaussian of 4 sigma at 0.53 of its range
_TURNS = 50
_TOLERANCE = 1e-4
_RIDGE, _RIDGE_MOST, _CONDITION = 1e-8, 1.0, 1e6
# Pairs of trits, sparser ones first: of two equally near pairs the sparser is taken.
_PAIRS = sorted(product((0, 1, -1), repeat=2), key=lambda pair: sum(map(abs, pair)))


def ptqtp(rows: Rows) -> Answer:
    """PTQTP (arXiv 2509.16989) with tied planes: codes of the integers 3 t1 + t2 in -4..4 and the gain of each row.

    A tie of the two scales at 3 to 1 is one pass over a 4-bit operand in place of two over trits. Codes and gain are
    solved in turn, from the best of 24 scales, the widest among them; the gain is one for all rows of `one_gain`. No
    moment is looked at, as in the paper, whose groups of 128 are rows here: our rows have one scale.
    """
    grid, weight = rows.grid, rows.weight
    whole = torch.arange(-_LEVEL, _LEVEL + 1, dtype=weight.dtype)
    if grid.block > 1 or not torch.equal(grid.decode(grid.encode(whole)).to(weight.dtype), whole):
        raise HwqError(f"weights of tied trit planes must hold the integers -4 to 4, not {grid}; give signed integers")
    levels, gain = _tied(weight.reshape(1, -1) if rows.one_gain else weight)
    return Answer(grid.encode(levels.reshape(weight.shape)), gain.expand(weight.shape[:-1]).contiguous())


@dataclass(frozen=True, eq=False)
class Trits:
    """Two planes of trits: `scales` [..., 2] and `planes` [..., 2, g] of -1, 0 and 1."""

    scales: Tensor
    planes: Tensor

    @property
    def values(self) -> Tensor:
        """The weights [..., g] that the planes stand for."""
        return (self.scales.unsqueeze(-1) * self.planes).sum(-2)


def two_planes(weight: Tensor) -> Trits:
    """PTQTP with two free scales for each group of weights [..., g].

    From the signs, and from the tied planes, at which the signs' descent may fail to arrive: the better of both.
    Constants are those of a re-implementation (the paper's own were not found in its public text).
    """
    levels, gain = _tied(weight)
    coarse = (levels / 3).round()
    tied = torch.stack([coarse, levels - 3 * coarse], -2)
    signs = weight.sign().unsqueeze(-2).expand(tied.shape)
    best = Trits(torch.stack([3 * gain, gain], -1), tied)
    for planes in (tied, signs):
        best = _better(weight, best, list(refinements(weight, planes))[-1])
    return best


def refinements(weight: Tensor, planes: Tensor) -> Iterator[Trits]:
    """The turns of PTQTP from given planes: scales by least squares with a ridge, then each pair of trits anew."""
    before = torch.full_like(planes[..., 0], torch.inf)
    pairs = torch.tensor(_PAIRS, dtype=weight.dtype)  # [9, 2]
    for _ in range(_TURNS):
        scales = _ridge(weight, planes)
        sums = scales @ pairs.T  # [..., 9]
        chosen = (weight.unsqueeze(-1) - sums.unsqueeze(-2)).square().argmin(-1)
        planes = pairs[chosen].mT
        yield Trits(scales, planes)
        if float((scales - before).norm(dim=-1).max()) < _TOLERANCE:
            return
        before = scales


def _ridge(weight: Tensor, planes: Tensor) -> Tensor:
    """Scales [..., 2] of least squares; the ridge grows tenfold while the 2 x 2 system is ill-conditioned."""
    square, wanted = planes @ planes.mT, planes @ weight.unsqueeze(-1)
    unit, ridge = torch.eye(2, dtype=weight.dtype), torch.full_like(square[..., :1, :1], _RIDGE)
    for _ in range(round(-torch.log10(torch.tensor(_RIDGE)).item())):
        ill = torch.linalg.cond(square + ridge * unit).reshape(ridge.shape) > _CONDITION
        ridge = torch.where(ill, ridge * 10, ridge).clamp(max=_RIDGE_MOST)
    solved: Tensor = torch.linalg.solve(square + ridge * unit, wanted)
    return solved.squeeze(-1)


def _tied(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Integers -4..4 [..., R, K] and the scale [..., R] of least squared error, found in turn; 1 for a row of zeros."""
    largest = weight.abs().amax(-1)
    widest = torch.where(largest > 0, largest / _LEVEL, torch.ones_like(largest))
    starts = widest * _SHRINK ** torch.arange(_STARTS, dtype=weight.dtype).reshape(-1, *[1] * widest.dim())
    best = widest
    least = _error(weight, widest)
    for start in starts:
        error = _error(weight, start)
        best, least = torch.where(error < least, start, best), torch.minimum(error, least)
    for _ in range(_TURNS):
        levels = _nearest(weight, best)
        own = levels.square().sum(-1)
        after = torch.where(own > 0, (weight * levels).sum(-1) / own.clamp(min=1), best)
        if torch.equal(after, best):
            break
        best = after
    return _nearest(weight, best), best


def _nearest(weight: Tensor, scale: Tensor) -> Tensor:
    return (weight / scale.unsqueeze(-1)).round().clamp(-_LEVEL, _LEVEL)


def _error(weight: Tensor, scale: Tensor) -> Tensor:
    return (weight - _nearest(weight, scale) * scale.unsqueeze(-1)).square().sum(-1)


def _better(weight: Tensor, one: Trits, other: Trits) -> Trits:
    """The first of two in every group but those where the other has less error."""
    errors = [(weight - trits.values).square().sum(-1) for trits in (one, other)]
    less = (errors[1] < errors[0]).unsqueeze(-1)
    return Trits(torch.where(less, other.scales, one.scales), torch.where(less.unsqueeze(-1), other.planes, one.planes))
