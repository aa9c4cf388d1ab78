"""The rows that a layer reads, a sample of them that is spread over all images, and their second moment."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as fn

from hwq.ptq.graph import Node, Window
from hwq.ptq.weights import hessian

__all__ = ["input_rows", "second_moment"]

_ROWS = 8192
_SEED = 0


def second_moment(node: Node, values: Tensor) -> Tensor:
    """The Hessian [groups, K, K] of a layer from the values [N, ...] it reads."""
    return hessian(input_rows(node, values))


def input_rows(node: Node, values: Tensor) -> Tensor:
    """Rows [groups, T, K] whose products with the weights a layer forms of `values` [N, ...]: 8,192 of them, or all.

    Every row of every image is as likely as any other to be in the sample, which is the same each time.
    """
    if node.op == "linear":
        rows = values.flatten(0, -2)
        return rows[_sample(len(rows))].unsqueeze(0)
    positions = node.shape[1] * node.shape[2]
    return _windows(values, node.window, node.shape[2], _sample(len(values) * positions), positions)


def _sample(count: int) -> Tensor:
    """Places below `count`, without one twice."""
    if count <= _ROWS:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(_SEED))[:_ROWS]


def _windows(values: Tensor, w: Window, width: int, chosen: Tensor, positions: int) -> Tensor:
    """Rows [groups, T, K] of the windows `chosen` [T] out of N * positions of images [N, C, H, W]."""
    image, place = chosen // positions, chosen % positions
    corner = (place // width * w.stride[0], place % width * w.stride[1])
    rows, columns = (
        start.reshape(-1, 1) + torch.arange(size) * apart
        for start, size, apart in zip(corner, w.kernel, w.dilation, strict=True)
    )
    up, left = w.padding
    padded = fn.pad(values, (left, left, up, up)) if up or left else values
    # [T, kh, kw, C], as a slice between indices goes last; the weight's K is [C / groups, kh, kw]
    taps = padded[image.reshape(-1, 1, 1), :, rows.unsqueeze(2), columns.unsqueeze(1)]
    return taps.permute(3, 0, 1, 2).reshape(w.groups, -1, *taps.shape[:3]).transpose(1, 2).flatten(2)
