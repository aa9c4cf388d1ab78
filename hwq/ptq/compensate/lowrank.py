"""Low-rank branches: two thin matrices beside the codes of a weight, which carry what the codes miss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hwq.errors import HwqError

__all__ = ["Branch", "lorc", "svd_branch"]

_TURNS = 10


@dataclass(frozen=True, eq=False)
class Branch:
    """`weight` [N, K] on its grid, and `out` [N, r] @ `into` [r, K] added to it: y = x (weight + out @ into)^T."""

    weight: Tensor
    out: Tensor
    into: Tensor

    @property
    def values(self) -> Tensor:
        """The weights [N, K] that all three stand for."""
        return self.weight + self.out @ self.into


def lorc(weight: Tensor, quantized: Tensor, rank: int) -> Branch:
    """LoRC of ZeroQuant-V2 (arXiv 2303.08302): the best `rank` of the error W - Wh, its singular values on both sides.

    The squared error left is the sum of the singular values' squares beyond the rank (Eckart-Young).
    """
    if not 0 <= rank <= min(weight.shape):
        raise HwqError(f"the rank of a branch must be 0..{min(weight.shape)}, not {rank}")
    left, values, right = torch.linalg.svd(weight - quantized, full_matrices=False)
    root = values[:rank].sqrt()
    return Branch(quantized, left[:, :rank] * root, root.unsqueeze(1) * right[:rank])


def svd_branch(weight: Tensor, quantize: Callable[[Tensor], Tensor], rank: int, turns: int = _TURNS) -> Branch:
    """The branch and the quantized rest in turn: Q(W - branch), then the best `rank` of what that misses.

    As in Brevitas' svd_quant, which starts from the branch of the weight itself; the best turn is kept, LoRC among
    them. `quantize` chooses scales and rounds, anew for every rest.
    """
    best = lorc(weight, quantize(weight), rank)
    branch = lorc(weight, torch.zeros_like(weight), rank)
    for _ in range(turns):
        branch = lorc(weight, quantize(weight - branch.out @ branch.into), rank)
        if _error(weight, branch) < _error(weight, best):
            best = branch
    return best


def _error(weight: Tensor, branch: Branch) -> float:
    return float((weight - branch.values).square().sum())
