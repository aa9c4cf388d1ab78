"""Functions with a least value, as GELU has, lifted to 0 where they are quantized, so that an unsigned format fits."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from hwq.ptq.call import Layout
from hwq.ptq.graph import Graph, Node
from hwq.ptq.lower import Layer
from hwq.ptq.sites import Link, links
from hwq.ptq.transforms.base import Transform
from hwq.ptq.transforms.rewrite import after, host, taken_off

__all__ = ["lift"]

_LOW, _POINTS, _PLACES = -8.0, 1 << 17, 1e6


def lift() -> Transform:
    """AdaLog's bias reparameterization (arXiv 2407.12951): GELU + 0.16997..., of which W's part leaves the bias.

    The host adds the number to what it computes anyway, in a node of its own. SiLU, Hardswish and Mish are lifted too,
    which the paper does not. It is of use where an activation format is unsigned.
    """

    def rewrite(graph: Graph, images: Tensor, layers: tuple[Layer, ...]) -> Graph:
        for link in links(graph, "functions"):
            if link.shifts and len(link.free) == link.channels:
                graph = _lifted(graph, link)
        return graph

    return Transform(rewrite)


def _lifted(graph: Graph, link: Link) -> Graph:
    node = graph[link.source]
    number = -least(node)
    added = host(f"{node.name}:lifted", node, "add.Scalar", ("other", number))
    graph = taken_off(graph, link, torch.full((link.channels,), number, dtype=torch.float64))
    return after(graph, node.name, (added,), {})


def least(node: Node) -> float:
    """The least value of a function, rounded down at the sixth decimal; that of GELU is -0.16997124."""
    assert node.call is not None
    places = torch.linspace(_LOW, 0, _POINTS, dtype=torch.float64).unsqueeze(0)
    values = replace(node.call, layouts=(Layout(), Layout())).run([places], _nothing, 1)
    return math.floor(float(values.min()) * _PLACES - 0.5) / _PLACES


def _nothing(port: str) -> Tensor:
    raise KeyError(port)
