"""GPFQ: column after column towards the float network's own products, of the inputs that quantized layers give."""

from __future__ import annotations

import torch

from hwq.ptq.weights.rows import CROSS, HESSIAN, Answer, Rows, given, keep_best

__all__ = ["gpfq"]


def gpfq(rows: Rows) -> Answer:
    """GPFQ (arXiv 2201.11113), in the form of moments that Brevitas computes.

    v_t = (sum_{j<=t} W_j C_jt - sum_{j<t} q_j H_jt) / H_tt with C = X^T X~ and H = X~^T X~, and q_t is nearest
    to v_t. What a block shares is that of the weights themselves. A column whose input was never seen is rounded to
    nearest, and so is a row that ends worse than that.
    """
    moment, cross, grid = given(rows.hessian, HESSIAN), given(rows.cross, CROSS), rows.grid
    weight, shared = rows.weight.to(moment.dtype), grid.shared(rows.weight)
    nearest = grid.encode_under(rows.weight, shared)
    wanted, codes = weight @ cross.triu(), nearest.clone()  # less what the columns before have given already
    seen = moment.diagonal(dim1=-2, dim2=-1).unsqueeze(-2)
    for t in range(weight.shape[-1]):
        best = torch.where(seen[..., t] > 0, wanted[..., t] / seen[..., t], weight[..., t])
        codes[..., t] = grid.encode_under(best, shared[..., t])
        values = grid.decode(codes[..., t]).to(moment.dtype)
        wanted[..., t + 1 :] -= values.unsqueeze(-1) * moment[..., t, t + 1 :].unsqueeze(-2)
    return keep_best(rows, codes, nearest)
