"""Biases, and gains of channels: the first two moments of a layer's outputs brought back to the float ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["empirical", "retuned"]

_TURNS = 8


def empirical(bias: Tensor, target: Tensor, mean: Callable[[Tensor], Tensor], turns: int = _TURNS) -> Tensor:
    """The bias [N] at which outputs have the mean `target`, as near as `turns` bring it; `mean` measures it for a bias.

    Behind a rectifier or a clip the mean does not follow the bias one to one, so that one correction overshoots or
    falls short: b <- b + target - mean(b), each channel keeping its best. The iteration is a reconstruction.
    """
    best, far = bias, (target - mean(bias)).abs()
    for _ in range(turns):
        bias = bias + target - mean(bias)
        left = (target - mean(bias)).abs()
        best, far = torch.where(left < far, bias, best), torch.minimum(left, far)
    return best


def retuned(floats: Tensor, quantized: Tensor) -> tuple[Tensor, Tensor]:
    """(gain, shift) [N] that give outputs `quantized` [T, N] the mean and deviation of `floats` [T, N].

    Para-normalisation of CalibTIP (arXiv 2006.10518): a batch norm is put back, takes its statistics from the
    quantized layer, and is folded again; the gain goes into the layer's scales, the shift into its bias. Its learning
    of biases by gradient is not in it. A channel that is constant keeps its gain.
    """
    means, deviations = zip(*((x.mean(0), x.std(0, correction=0)) for x in (floats, quantized)), strict=True)
    alive = (deviations[0] > 0) & (deviations[1] > 0)
    gain = torch.where(alive, deviations[0] / torch.where(alive, deviations[1], 1), 1)
    return gain, means[0] - gain * means[1]
