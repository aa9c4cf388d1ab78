"""LDLQ: block after block from the last, each moved by the errors of those behind it."""

from __future__ import annotations

import torch
from torch import Tensor

from hwq.errors import HwqError
from hwq.ptq.weights.rows import HESSIAN, Answer, Rows, damped, given, keep_best

__all__ = ["block_ldl", "ldlq"]


def ldlq(rows: Rows) -> Answer:
    """LDLQ of QuIP (arXiv 2307.13304) with the block LDL of QuIP# (arXiv 2402.04396), 1 % damping.

    The damped Hessian is L D L^T with a lower L (often printed as L^T D L, whose order is the other one). Blocks of the
    grid are solved from the last to the first, each rounded whole: Wh_k = Q(W_k + (W - Wh)_{>k} L_{>k,k}). Where they
    share nothing a block is one column, and LDLQ is GPTQ from the last column to the first under the same damping;
    where they share a scale, GPTQ chooses it and goes on within the block, LDLQ rounds the block as it stands. Rows
    worse than rounded to nearest are rounded to nearest.
    """
    moment, grid = given(rows.hessian, HESSIAN), rows.grid
    weight, nearest = rows.weight.to(moment.dtype), grid.encode(rows.weight)
    lower, _ = block_ldl(damped(moment), grid.block)
    error, codes = torch.zeros_like(weight), torch.empty_like(nearest)
    for start in reversed(range(0, weight.shape[-1], grid.block)):
        stop = start + grid.block
        wanted = weight[..., start:stop] + error[..., stop:] @ lower[..., stop:, start:stop]
        codes[..., start:stop] = grid.encode(wanted)
        error[..., start:stop] = weight[..., start:stop] - grid.decode(codes[..., start:stop])
    return keep_best(rows, codes, nearest)


def block_ldl(square: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """(L, D) with `square` [..., K, K] = L D L^T: blocks of L on the diagonal are identity, D has no other ones."""
    lower, failed = torch.linalg.cholesky_ex(square)
    if bool(failed.any()):
        raise HwqError("inputs of a layer must vary for LDLQ, not give a singular Hessian; calibrate on more images")
    where = torch.arange(square.shape[-1]) // block
    corner = lower * (where.unsqueeze(1) == where)
    return torch.linalg.solve_triangular(corner, lower, upper=False, left=False), corner @ corner.mT
