"""The fake-quantized evaluator: torch floats that stand on the grids, differentiable, with the encoded scales.

A value is held in units of its scale, `scale * held` being the real number; so every product, bias and ratio is the
very number that the hardware has. What may differ from `exact` is torch's float32 accumulation, and the accumulator's
own rounding, wrapping or saturation, which is not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as fn

from hwq.formats import Format
from hwq.ptq.graph import Node, apply
from hwq.ptq.lower import Layer

__all__ = ["Held", "accumulate", "finish", "on_grid", "terms"]


@dataclass(frozen=True, eq=False)
class Held:
    """What a layer holds, as numbers: `weight`, `bias` [N] on the accumulator's grid, the requantizer's `ratio` [N]."""

    weight: Tensor | None
    bias: Tensor
    ratio: Tensor | None


class _OnGrid(torch.autograd.Function):
    """Round to the format's values; the gradient passes inside the range and stops outside (straight-through)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, fmt: Format) -> Tensor:
        ctx.save_for_backward((x >= fmt.min) & (x <= fmt.max))
        rounded: Tensor = fmt.quantize(x)
        return rounded

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.saved_tensors[0], None


def on_grid(x: Tensor, fmt: Format) -> Tensor:
    """`x` at the nearest values of `fmt`, with a straight-through gradient."""
    made: Tensor = _OnGrid.apply(x, fmt)  # type: ignore[no-untyped-call]
    return made


def accumulate(layer: Layer, read: list[Tensor], weight: Tensor | None) -> Tensor:
    """The sum of products of the values read, in units of activation times weight scale."""
    node = layer.node
    if node.op in ("add", "avgpool") and weight is not None:
        return terms(node, read, 0.0) @ weight[0]
    return apply(node, read, weight)


def finish(layer: Layer, total: Tensor, held: Held) -> Tensor:
    """Bias, requantize, rectify and round a sum, as the epilogue does; without a ratio the sum is the result."""
    total = total + _by_channel(held.bias, layer.node)
    if held.ratio is not None:
        total = total * _by_channel(held.ratio, layer.node)
    if layer.node.relu:
        total = torch.relu(total)
    return on_grid(total, layer.fmt) if held.ratio is not None and layer.fmt is not None else total


def terms(node: Node, read: list[Tensor], padding: float) -> Tensor:
    """The activations of a sum or a pool as rows [N, *shape, K]; `padding` is what a padded position holds."""
    if node.op == "add":
        return torch.stack(read, -1)
    w = node.window
    padded = fn.pad(read[0], (w.padding[1], w.padding[1], w.padding[0], w.padding[0]), value=padding)
    return padded.unfold(2, w.kernel[0], w.stride[0]).unfold(3, w.kernel[1], w.stride[1]).flatten(-2)


def _by_channel(x: Tensor, node: Node) -> Tensor:
    """One number a channel, shaped to meet the node's value; sums and pools have one for all."""
    return x.reshape(-1, 1, 1) if node.op == "conv2d" else x
