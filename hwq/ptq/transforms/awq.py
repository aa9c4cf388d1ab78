"""AWQ: channels are scaled up before their weights are rounded, by a power of their size that is searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hwq.ptq.graph import Graph
from hwq.ptq.lower import Layer
from hwq.ptq.scales import CALIBRATORS, Calibrator
from hwq.ptq.sites import Link, links
from hwq.ptq.transforms.base import Transform
from hwq.ptq.transforms.rewrite import at_columns, by_input, rescale
from hwq.ptq.transforms.statistics import extents, second_moments
from hwq.ptq.weights import proxy_loss

__all__ = ["awq"]

_LEAST = 1e-4


def awq(points: int = 20, kinds: Sequence[str] = ("norms", "values"), weights: str = "mse") -> Transform:
    """s = mean|x|^r, brought to a geometric middle of 1, with the r in 0, 1/points, ... of least error.

    AWQ (arXiv 2306.00978); the error is that of the products, of weights rounded to nearest in the layer's own format
    with scales found by `weights`. r = 0 changes nothing, so that the result is never worse than rounding on the images
    searched on. It does not see activations rounded, on which it is hard between convolutions ("layers"). Absent: the
    search for a clipped range, which the rule for scales has already.
    """
    chosen, rule = tuple(kinds), CALIBRATORS[weights]

    def rewrite(graph: Graph, images: Tensor, layers: tuple[Layer, ...]) -> Graph:
        by_name = {layer.name: layer for layer in layers}
        found = [link for kind in chosen for link in links(graph, kind)]
        seen = extents(graph, images, [(link.source, link.axis) for link in found])
        moments = second_moments(graph, images, {name for link in found for name, _ in link.targets})
        for link in found:
            size = seen[link.source].size
            factors = [_factor(size, i / points, link) for i in range(points)]
            losses = [_loss(graph, link, factor, by_name, moments, rule) for factor in factors]
            graph = rescale(graph, link, 1 / factors[losses.index(min(losses))])
        return graph

    return Transform(rewrite, sees_formats=True)


def _factor(size: Tensor, power: float, link: Link) -> Tensor:
    """What weights are multiplied by [channels]."""
    factor = (size**power).clamp(min=_LEAST)
    free = factor[list(link.free)]
    made = torch.ones_like(factor)
    made[list(link.free)] = free / (free.max() * free.min()).sqrt()
    return made


def _loss(
    graph: Graph,
    link: Link,
    factor: Tensor,
    layers: Mapping[str, Layer],
    moments: Mapping[str, Tensor],
    rule: Calibrator,
) -> float:
    """The squared error of the products of all layers that read a link, their weights scaled by `factor`."""
    total = 0.0
    for name, columns in link.targets:
        weight, by_column = (
            graph.state[name, "weight"].double(),
            by_input(graph, name, at_columns(factor, columns, 1.0)),
        )
        rounded = rounded_weight(weight * by_column, layers[name], rule) / by_column
        groups = graph[name].window.groups
        rows, near = (x.flatten(1).reshape(groups, -1, x[0].numel()) for x in (weight, rounded))
        total += float(proxy_loss(rows, near, moments[name]).sum())
    return total


def rounded_weight(weight: Tensor, layer: Layer, rule: Calibrator) -> Tensor:
    """A layer's weight at the nearest values of its format, with the scales that it would have."""
    assert layer.datapath is not None
    fmt, rows = layer.datapath.mac.w, weight.flatten(1)
    one = layer.fmt is None and not layer.real  # the network's result, whose channels share a scale
    scale = rule(rows.reshape(1, -1) if one else rows, fmt).reshape(-1, 1)
    made: Tensor = fmt.quantize(rows / scale) * scale
    return made.reshape(weight.shape)
