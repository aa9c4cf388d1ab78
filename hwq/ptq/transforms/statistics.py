"""What transforms ask of the values of a network: the extremes and means of channels."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from hwq.ptq.graph import Graph
from hwq.ptq.moments import second_moment

__all__ = ["Extent", "by_channel", "extents", "samples", "second_moments"]

_BATCH = 32


@dataclass(frozen=True, eq=False)
class Extent:
    """Of each channel, over all images: least and largest, mean, and mean magnitude [channels], in double."""

    low: Tensor
    high: Tensor
    mean: Tensor
    size: Tensor

    @property
    def most(self) -> Tensor:
        """The largest magnitude [channels]."""
        return torch.maximum(self.high, -self.low)


@torch.no_grad()
def extents(graph: Graph, images: Tensor, axes: Iterable[tuple[str, int]]) -> dict[str, Extent]:
    """The extent of every value that is named with the axis of its channels."""
    wanted, found = dict(axes), dict[str, Extent]()
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH]
        for node, _, value in graph.walk(batch):
            if node.name in wanted:
                rows = by_channel(value, wanted[node.name])
                share = len(batch) / len(images)
                made = Extent(rows.amin(0), rows.amax(0), rows.mean(0) * share, rows.abs().mean(0) * share)
                found[node.name] = _joined(found[node.name], made) if node.name in found else made
    return found


@torch.no_grad()
def second_moments(graph: Graph, images: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
    """The second moment [groups, K, K] of what each of the weighted `layers` reads."""
    found: dict[str, Tensor] = {}
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH]
        for made, _, value in graph.walk(batch):
            for node in graph.consumers(made.name):
                if node.name in layers:
                    moment = second_moment(node, value) * (len(batch) / len(images))
                    found[node.name] = found[node.name] + moment if node.name in found else moment
    return found


@torch.no_grad()
def samples(graph: Graph, images: Tensor, axes: Iterable[tuple[str, int]], count: int) -> dict[str, Tensor]:
    """About `count` rows [rows, channels] of every value that is named with the axis of its channels."""
    wanted, found = dict(axes), dict[str, list[Tensor]]()
    share = max(1, count * _BATCH // max(len(images), _BATCH))
    for start in range(0, len(images), _BATCH):
        for node, _, value in graph.walk(images[start : start + _BATCH]):
            if node.name in wanted:
                rows = by_channel(value, wanted[node.name])
                found.setdefault(node.name, []).append(rows[:: max(1, len(rows) // share) | 1])
    return {name: torch.cat(parts) for name, parts in found.items()}


def by_channel(value: Tensor, axis: int) -> Tensor:
    """A value [N, ...] as rows [rows, channels] in double; `axis` counts without the images."""
    return value.movedim(axis if axis < 0 else axis + 1, -1).flatten(0, -2).double()


def _joined(one: Extent, other: Extent) -> Extent:
    low, high = torch.minimum(one.low, other.low), torch.maximum(one.high, other.high)
    return Extent(low, high, one.mean + other.mean, one.size + other.size)
