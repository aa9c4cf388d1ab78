"""Ranges of channels that are learned on the products of a layer."""

from __future__ import annotations

import torch
from torch import Tensor

from hwq.formats import Format

__all__ = ["dual_clip", "on_ranges"]

_RATE = 2e-3  # of the range, a step
_LEAST = 1e-9


def dual_clip(x: Tensor, weight: Tensor, fmt: Format, steps: int) -> tuple[Tensor, Tensor]:
    """Both ends (low, high) [C] of the range of each channel of x [T, C], by the products with weight [N, C].

    RepQuant's dual clipping per channel (arXiv 2402.05628): each channel has a grid of its own between its ends, which
    Adam moves inwards from the least and the largest value, rounding passed straight through. The ends of least error
    are kept, those at the start among them, so that no step makes it worse; without steps they are RepQ-ViT's.
    """
    low, high = x.amin(0), x.amax(0)
    span = (high - low).clamp(min=_LEAST)
    cuts = torch.zeros(2, x.shape[1], dtype=x.dtype, requires_grad=True)  # of the span, at both ends
    optimizer = torch.optim.Adam([cuts], lr=_RATE)
    best, fewest = (low, high), float("inf")
    for _ in range(steps):
        with torch.enable_grad():
            ends = low + cuts[0] * span, high - cuts[1] * span
            loss = ((x - on_ranges(x, *ends, fmt)) @ weight.T).square().mean()
        error = float(loss.detach())
        if error < fewest:
            best, fewest = (ends[0].detach(), ends[1].detach()), error
        (cuts.grad,) = torch.autograd.grad(loss, cuts)
        optimizer.step()
        cuts.data.clamp_(0, 0.49)  # the ends never meet
    return best


def on_ranges(x: Tensor, low: Tensor, high: Tensor, fmt: Format) -> Tensor:
    """x [T, C] rounded on grids of `fmt` that reach evenly round 0 to both ends of a channel's range, straight-through.

    So does a channel's grid that `reparam` moves into the norm before it: formats have no zero point.
    """
    least, most = fmt.span
    middle, half = (low + high) / 2, (high - low).clamp(min=_LEAST) / 2 / min(most, -least)
    held = ((x - middle) / half).clamp(least, most)
    rounded: Tensor = held + (fmt.quantize(held.detach()) - held).detach()
    return rounded * half + middle
