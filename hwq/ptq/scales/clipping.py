"""A clip that is learned on the products of a layer."""

from __future__ import annotations

import torch
from torch import Tensor

from hwq.formats import Format
from hwq.ptq.scales.search import products, score

__all__ = ["learned_clip"]

_STEPS, _RATE = 500, 0.02


def learned_clip(x: Tensor, weight: Tensor, fmt: Format, start: Tensor, steps: int = _STEPS) -> Tensor:
    """The scale [1] of inputs x [T, K] that gradient descent finds from `start`, by the products with `weight` [N, K].

    RepQuant (arXiv 2402.05628) learns both ends of each channel's range this way and then folds the channels' scales
    and zero points into their neighbours. Without zero points the two ends are one number, the scale. Rounding passes
    gradients straight through (the steps of LSQ); Adam moves the logarithm of the scale, by about 2 % a step; its best
    scale is kept, so that the error is never above that of `start`.
    """
    least, most = fmt.span
    of = score(x.reshape(1, -1), fmt, products(weight))
    best, fewest = start, of(start)
    log = start.double().log().requires_grad_()
    optimizer = torch.optim.Adam([log], lr=_RATE)
    for _ in range(steps):
        with torch.enable_grad():
            scale = log.exp().to(x.dtype)
            held = (x / scale).clamp(least, most)
            rounded = held + (fmt.quantize(held.detach()) - held).detach()
            loss = ((x - rounded * scale) @ weight.T.to(x.dtype)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        now = log.detach().exp()
        error = of(now)
        best, fewest = torch.where(error < fewest, now, best), torch.minimum(error, fewest)
    return best
