"""What calibration keeps of the float network: a sample of every value, and the means that bias correction aims at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hwq.ptq.graph import WEIGHTED, Graph, check_images

__all__ = ["Statistics", "observe"]

_SAMPLE = 1 << 15
_BATCH = 64


@dataclass(frozen=True, eq=False)
class Statistics:
    """Of each float value a `sample` [S], extremes among it; of each weighted layer the `mean` [N] before its relu."""

    sample: dict[str, Tensor]
    mean: dict[str, Tensor]


@torch.no_grad()
def observe(graph: Graph, images: Tensor, for_means: int) -> Statistics:
    """Run `graph` over `images`; the means are over the first `for_means` of them."""
    check_images(graph, images, "calibration images")
    parts: dict[str, list[Tensor]] = {node.name: [] for node in graph.nodes}
    sums: dict[str, Tensor] = {}
    quota = max(1, _SAMPLE * _BATCH // max(len(images), _BATCH))
    for start in range(0, len(images), _BATCH):
        means = max(0, min(_BATCH, for_means - start))
        for node, before, value in graph.walk(images[start : start + _BATCH]):
            if not value.is_floating_point():  # tokens and masks, which only the host reads
                continue
            flat = value.flatten()
            # A stride that shares no factor with the shape would be better still; an odd one avoids every even period.
            stride = max(1, len(flat) // quota) | 1
            parts[node.name].append(torch.cat([flat[::stride], flat.min().reshape(1), flat.max().reshape(1)]))
            if node.op in WEIGHTED and means:
                total = channel_means(before[:means], node.op) * means
                sums[node.name] = sums.get(node.name, torch.zeros_like(total)) + total
    count = min(for_means, len(images))
    return Statistics(
        {name: torch.cat(kept) for name, kept in parts.items() if kept},
        {name: total / count for name, total in sums.items()},
    )


def channel_means(value: Tensor, op: str) -> Tensor:
    """The mean [C] of a layer's output: [N, C, H, W] of a convolution, [..., C] of a linear layer.

    A convolution's is taken in the order in which it lies in memory, which is nine times as fast as by rows.
    """
    if op == "conv2d":
        return value.mean((2, 3), dtype=torch.float64).mean(0)
    return value.flatten(0, -2).mean(0, dtype=torch.float64)
