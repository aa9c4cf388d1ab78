"""Cross-layer equalization: a channel takes the same range in the layer that writes it and in those that read it."""

from __future__ import annotations

import torch
from torch import Tensor

from hwq.ptq.graph import Graph
from hwq.ptq.lower import Layer
from hwq.ptq.sites import Link, links
from hwq.ptq.transforms.base import Transform
from hwq.ptq.transforms.rewrite import input_range, rescale

__all__ = ["equalize", "read_range"]

_LEAST = 1e-9  # a channel of a smaller range is dead


def equalize(iterations: int = 20, alpha: float = 0.5, bias: bool = False) -> Transform:
    """s = range(W2)^(1 - alpha) / range(W1)^alpha of every channel between two layers, again and again.

    Nagel et al., arXiv 1906.04721, as Brevitas has it; the range is the largest magnitude, with `bias` that of the
    writer's bias too. Depthwise layers are links like others. What a ReLU6 ends, or anything but layers reads, stays.
    """

    def rewrite(graph: Graph, images: Tensor, layers: tuple[Layer, ...]) -> Graph:
        found = links(graph, "layers")
        for _ in range(iterations):
            for link in found:
                graph = rescale(graph, link, _factor(graph, link, alpha, bias))
        return graph

    return Transform(rewrite)


def _factor(graph: Graph, link: Link, alpha: float, bias: bool) -> Tensor:
    written = graph.state[link.source, "weight"].double().abs().flatten(1).amax(1)
    if bias:
        written = torch.maximum(written, graph.state[link.source, "bias"].double().abs())
    read = read_range(graph, link)
    alive = (written > _LEAST) & (read > _LEAST)
    return torch.where(alive, read ** (1 - alpha) / written**alpha, torch.ones_like(read))


def read_range(graph: Graph, link: Link) -> Tensor:
    """The largest magnitude [channels] by which any reader weighs a channel."""
    largest = torch.zeros(link.channels, dtype=torch.float64)
    for name, columns in link.targets:
        at = torch.tensor(columns)
        by_column = input_range(graph, name)
        largest.scatter_reduce_(0, at[at >= 0], by_column[at >= 0], "amax")
    return largest
