"""Channels of a norm brought to one range, so that one scale for all of them is as good as one for each."""

from __future__ import annotations

import torch
from torch import Tensor

from hwq.errors import HwqError
from hwq.ptq.graph import Graph
from hwq.ptq.lower import Layer
from hwq.ptq.scales import dual_clip
from hwq.ptq.sites import Link, links
from hwq.ptq.transforms.base import Transform
from hwq.ptq.transforms.rewrite import channel_weights, rescale, shift
from hwq.ptq.transforms.smooth import can_shift
from hwq.ptq.transforms.statistics import Extent, extents, samples

__all__ = ["common", "reparam"]

_LEAST = 1e-9
_CENTRES = ("mean", "median")
_ROWS = 1024


def reparam(centre: str = "mean", clip: int = 0) -> Transform:
    """RepQ-ViT's x' = x / r - t behind every norm (arXiv 2212.08254), W' = W diag(r), b' = b + W (r t).

    r is a channel's range over the `centre` of all: their mean, or their median as in DopQ-ViT (arXiv 2408.03291). Our
    formats have no zero point, so that the shared one is where ranges lie evenly round 0. Ranges are from the least to
    the largest value, or after `clip` steps those of least error of the products (RepQuant's dual clipping, where
    linear layers read the norm); absent: the search over percentiles. A norm without offsets is only scaled, by its
    magnitudes.
    """
    if centre not in _CENTRES:
        raise HwqError(f"the centre of ranges must be one of {', '.join(_CENTRES)}, not {centre!r}")

    def rewrite(graph: Graph, images: Tensor, layers: tuple[Layer, ...]) -> Graph:
        found = links(graph, "norms")
        seen = extents(graph, images, [(link.source, link.axis) for link in found])
        seen |= _clipped(graph, images, layers, found, clip) if clip else {}
        for link in found:
            at = seen[link.source]
            shifted = can_shift(graph, link)
            low = at.low if shifted else -at.most
            span = (at.high if shifted else at.most) - low
            free = span[list(link.free)]
            shared = free.mean() if centre == "mean" else free.median()
            ratio, offset = common(low, span, shared, -shared / 2)
            graph = rescale(graph, link, 1 / ratio)
            graph = shift(graph, link, -offset) if shifted else graph
        return graph

    return Transform(rewrite, sees_formats=clip > 0)


def _clipped(
    graph: Graph, images: Tensor, layers: tuple[Layer, ...], found: list[Link], steps: int
) -> dict[str, Extent]:
    """The extents of channels with learned ends, where every reader is linear and takes one signed format."""
    formats = {layer.name: layer.datapath.mac.a for layer in layers if layer.datapath is not None}
    chosen = [link for link in found if all(graph[name].op == "linear" for name, _ in link.targets)]
    rows = samples(graph, images, [(link.source, link.axis) for link in chosen], _ROWS)
    made = {}
    for link in chosen:
        x, fmt = rows[link.source], formats[link.targets[0][0]]
        if fmt.min < 0 and can_shift(graph, link):
            weights = torch.cat([channel_weights(graph, link, *target) for target in link.targets])
            low, high = dual_clip(x, weights, fmt, steps)
            made[link.source] = Extent(low, high, x.mean(0), x.abs().mean(0))
    return made


def common(low: Tensor, span: Tensor, shared: Tensor, floor: Tensor) -> tuple[Tensor, Tensor]:
    """(r, t) that bring channels from `low` [channels], `span` wide, to x / r - t from `floor`, `shared` wide."""
    ratio = torch.where(span > _LEAST, span / shared.clamp(min=_LEAST), torch.ones_like(span))
    return ratio, low / ratio - floor
