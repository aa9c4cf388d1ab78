"""The fake-quantized evaluator: torch floats that stand on the grids, differentiable, with the encoded scales.

A value is held in units of its scale, `scale * held` being the real number; so every product, bias and ratio is the
very number that the hardware has. What may differ from `exact` is torch's float32 accumulation, and the accumulator's
own rounding, wrapping or saturation, which is not modelled. What the host computes is real: its scale is 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as fn

from hwq.formats import Format
from hwq.ptq.graph import Node, Ports, apply
from hwq.ptq.lower import Layer

__all__ = ["Held", "Rounder", "accumulate", "by_channel", "finish", "highest", "on_grid", "outside", "terms"]

Rounder = Callable[[Tensor, Format], Tensor]  # what brings numbers to the values of a format


@dataclass(frozen=True, eq=False)
class Held:
    """What a layer holds, as numbers.

    `weight`, `bias` [N] on the accumulator's grid, the requantizer's `ratio` [N], and where the result is real `unit`
    [N], what one unit of the sum stands for.
    """

    weight: Tensor | None
    bias: Tensor
    ratio: Tensor | None
    unit: Tensor | None = None


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
    return apply(node, read, {"weight": weight}.get, len(read[0]))


def finish(layer: Layer, total: Tensor, held: Held, scale: float = 1.0, rounder: Rounder = on_grid) -> Tensor:
    """Bias, requantize, rectify and round a sum, as the epilogue does; without a ratio the sum is the result.

    `scale` is that of the value, in which the end of a rectifier is measured; a `rounder` may leave some unrounded.
    """
    total = total + by_channel(held.bias, layer.node)
    for factor in (held.ratio, held.unit):
        total = total if factor is None else total * by_channel(factor, layer.node)
    if layer.node.relu:
        total = total.clamp(0, layer.node.most / scale)
    return rounder(total, layer.fmt) if held.ratio is not None and layer.fmt is not None else total


def outside(
    layer: Layer, read: list[Tensor], scale: float, held: Ports, images: int, rounder: Rounder = on_grid
) -> Tensor:
    """The value of a layer without a datapath: codes moved or compared, or what the host made, on the grid."""
    if not layer.outside:
        return apply(replace(layer.node, most=highest(layer, scale)), read, held, images)
    made = read[0] if layer.op == "input" else apply(layer.node, read, held, images)
    return made if layer.real or layer.fmt is None else rounder(made / scale, layer.fmt)


def highest(layer: Layer, scale: float) -> float:
    """Where the layer's rectifier ends, as a value of its format."""
    if layer.fmt is None or math.isinf(layer.node.most):
        return layer.node.most / scale
    return float(layer.fmt.quantize(torch.tensor([layer.node.most / scale], dtype=torch.float64)))


def terms(node: Node, read: list[Tensor], padding: float) -> Tensor:
    """The activations of a sum or a pool as rows [N, *shape, K]; `padding` is what a padded position holds."""
    if node.op == "add":
        return torch.stack(read, -1)
    w = node.window
    padded = fn.pad(read[0], (w.padding[1], w.padding[1], w.padding[0], w.padding[0]), value=padding)
    return padded.unfold(2, w.kernel[0], w.stride[0]).unfold(3, w.kernel[1], w.stride[1]).flatten(-2)


def by_channel(x: Tensor, node: Node) -> Tensor:
    """One number a channel, shaped to meet the node's value; sums and pools have one for all."""
    return x.reshape(-1, 1, 1) if node.op == "conv2d" else x
