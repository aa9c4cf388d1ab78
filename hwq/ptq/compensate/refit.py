"""Weights refitted to quantized inputs, before they are quantized themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from hwq.ptq.weights.rows import damped

__all__ = ["refit"]


def refit(weight: Tensor, hessian: Tensor, cross: Tensor, damping: float = 0.01) -> Tensor:
    """The weights [..., R, K] of least squared error |W X - W* X~| over all real W*, damped towards W.

    W* = W + W (C - H) (H + d)^-1 with H = X~ X~^T and C = X X~^T [..., K, K]: RepQuant (arXiv 2402.05628) and, with a
    plus where notes on it print a minus, QuartDepth (arXiv 2503.16709). Damped
    towards W and not towards 0, it changes nothing where the inputs are the float ones. `damping` is the share d of the
    mean diagonal of H: unknowns over rows, K / T, is about what the noise of T rows has in H.
    """
    change = weight.to(hessian.dtype) @ (cross - hessian)
    solved: Tensor = torch.linalg.solve(damped(hessian, damping), change, left=False)
    return weight + solved.to(weight.dtype)
