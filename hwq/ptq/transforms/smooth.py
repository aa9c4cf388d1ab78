"""SmoothQuant: a channel's outliers move from the activations into the weights that read them; with a shift, SQ-b."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hwq.ptq.graph import Graph
from hwq.ptq.lower import Layer
from hwq.ptq.sites import Link, links
from hwq.ptq.transforms.base import Transform
from hwq.ptq.transforms.equalize import read_range
from hwq.ptq.transforms.rewrite import rescale, shift
from hwq.ptq.transforms.statistics import Extent, extents

__all__ = ["smooth", "smooth_shifted"]

_LEAST = 1e-5


def smooth(alpha: float = 0.5, kinds: Sequence[str] = ("norms",)) -> Transform:
    """s = max|x|^alpha / max|W|^(1 - alpha) of every channel; x is divided by it, W multiplied.

    SmoothQuant (arXiv 2211.10438), both maxima at least 1e-5, that of W over all layers that read the channel. `kinds`
    are those of the links: the paper's are norms.
    """
    return _smoothing(alpha, kinds, shifted=False)


def smooth_shifted(alpha: float = 0.5, kinds: Sequence[str] = ("norms",)) -> Transform:
    """SQ-b of MPTQ-ViT (arXiv 2401.14895): the mean of every channel is taken off first, then `smooth`.

    From notes on the paper; its alpha is not known. A norm without offsets is only scaled.
    """
    return _smoothing(alpha, kinds, shifted=True)


def _smoothing(alpha: float, kinds: Sequence[str], shifted: bool) -> Transform:
    chosen = tuple(kinds)

    def rewrite(graph: Graph, images: Tensor, layers: tuple[Layer, ...]) -> Graph:
        found = [link for kind in chosen for link in links(graph, kind)]
        seen = extents(graph, images, [(link.source, link.axis) for link in found])
        for link in found:
            graph = _smoothed(graph, link, seen[link.source], alpha, shifted)
        return graph

    return Transform(rewrite)


def _smoothed(graph: Graph, link: Link, seen: Extent, alpha: float, shifted: bool) -> Graph:
    largest = seen.most
    if shifted and can_shift(graph, link):
        graph = shift(graph, link, -seen.mean)
        largest = torch.maximum(seen.high - seen.mean, seen.mean - seen.low)
    read = read_range(graph, link).clamp(min=_LEAST)
    return rescale(graph, link, read ** (1 - alpha) / largest.clamp(min=_LEAST) ** alpha)


def can_shift(graph: Graph, link: Link) -> bool:
    """True if the source of a link has offsets, and they arrive as they are."""
    call = graph[link.source].call
    return link.shifts and (call is None or "bias" in dict(call.arguments))
