"""Norms without gains and offsets: those move into the layers that read them."""

from __future__ import annotations

import torch
from torch import Tensor

from hwq.ptq.graph import Graph
from hwq.ptq.lower import Layer
from hwq.ptq.sites import Link, links
from hwq.ptq.transforms.base import Transform
from hwq.ptq.transforms.rewrite import affine, scale_inputs, taken_off, with_affine

__all__ = ["fold", "folded"]


def fold() -> Transform:
    """W <- W diag(gain), b <- b + W offset of every layer behind a norm (QuaRot, arXiv 2404.00456, fuses these)."""

    def rewrite(graph: Graph, images: Tensor, layers: tuple[Layer, ...]) -> Graph:
        return folded(graph)

    return Transform(rewrite)


def folded(graph: Graph) -> Graph:
    """`graph` with bare norms, where nothing else reads them; an offset that zeros meet on the way stays."""
    for link in links(graph, "norms"):
        graph = _folded(graph, link)
    return graph


def _folded(graph: Graph, link: Link) -> Graph:
    gain, offset = affine(graph, link)
    free = torch.zeros(link.channels, dtype=torch.bool)
    free[list(link.free)] = True
    if not link.shifts:
        free &= offset == 0
    moved, added = torch.where(free, gain, 1.0), torch.where(free, offset, 0.0)
    graph = scale_inputs(taken_off(graph, link, -added), link, moved)
    return with_affine(graph, link, torch.where(free, 1.0, gain), offset - added)
