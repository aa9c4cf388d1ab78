"""What a transform is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from hwq.ptq.graph import Graph
from hwq.ptq.lower import Layer

__all__ = ["Transform"]


@dataclass(frozen=True)
class Transform:
    """A way to rewrite a graph: of it, images [N, ...] and its layers with their formats, where it `sees_formats`.

    The float function of the new graph is the same to 1e-10 of the largest output, in double precision.
    """

    rewrite: Callable[[Graph, Tensor, tuple[Layer, ...]], Graph]
    sees_formats: bool = False

    def __call__(self, graph: Graph, images: Tensor, layers: tuple[Layer, ...]) -> Graph:
        """`graph` rewritten."""
        return self.rewrite(graph, images, layers)
