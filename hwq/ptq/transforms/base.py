"""What a transform is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from hwq.errors import HwqError
from hwq.ptq.graph import Graph
from hwq.ptq.lower import Layer

__all__ = ["Transform"]

_TOLERANCE = 1e-3  # what is kept in float32 is rounded; a wrong rewrite misses by far more
_IMAGES = 2


@dataclass(frozen=True)
class Transform:
    """A way to rewrite a graph: of it, images [N, ...] and its layers with their formats, where it `sees_formats`.

    The float function of the new graph is the same to 1e-10 of the largest output, in double precision. That it is
    the same to 1e-3 as it is kept is checked on two images each time.
    """

    rewrite: Callable[[Graph, Tensor, tuple[Layer, ...]], Graph]
    sees_formats: bool = False

    def __call__(self, graph: Graph, images: Tensor, layers: tuple[Layer, ...]) -> Graph:
        """`graph` rewritten."""
        made = self.rewrite(graph, images, layers)
        want, found = (each.run(images[:_IMAGES]) for each in (graph, made))
        off, most = float((found - want).abs().max()), float(want.abs().max())
        if not off <= _TOLERANCE * most:
            raise HwqError(f"a transform must keep what the network computes, not miss up to {most:.3g} by {off:.3g}")
        return made
