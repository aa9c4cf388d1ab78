"""Consecutive layers that are improved together, as they run on what the quantized layers before them give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from hwq.ptq.fake import accumulate, finish, outside
from hwq.ptq.graph import Graph
from hwq.ptq.lower import Layer
from hwq.ptq.solved import Solved

__all__ = ["Unit", "step"]


@dataclass(frozen=True, eq=False)
class Unit:
    """A unit of layers with what enters and what should leave it.

    `read` are the values [N, ...] that enter, in units of their scales, `floats` what the float network has there, and
    `target` [N, ...] what it has where the unit ends. `graph` has the float weights, `solved` the constants of the
    products, `scales` those of all values that have one.
    """

    graph: Graph
    layers: tuple[Layer, ...]
    read: Mapping[str, Tensor]
    floats: Mapping[str, Tensor]
    target: Tensor
    scales: Mapping[str, Tensor]
    solved: Mapping[str, Solved]

    def run(self, read: Mapping[str, Tensor], weights: Mapping[str, Tensor] | None = None) -> Tensor:
        """The real value [N, ...] where the unit ends; `weights` {layer: in units of its grid} replace the codes'."""
        values, last = dict(read), self.layers[-1]
        for layer in self.layers:
            given = (weights or {}).get(layer.name)
            values[layer.name] = step(self.graph, layer, values, self.scales, self.solved.get(layer.name), given)
        return values[last.name] * self.scale(last)

    def scale(self, layer: Layer) -> float:
        """The scale of a layer's value, 1 where it is real."""
        made = self.solved.get(layer.name)
        return float(self.scales.get(layer.name, 1.0 if made is None else made.scale))


def step(
    graph: Graph,
    layer: Layer,
    values: Mapping[str, Tensor],
    scales: Mapping[str, Tensor],
    solved: Solved | None,
    weight: Tensor | None = None,
    total: Tensor | None = None,
) -> Tensor:
    """A layer's value in units of its scale, of those before it; `weight` replaces that of the solved codes.

    `total` are its sums, where they are known.
    """
    read, scale = [values[name] for name in layer.node.inputs], float(scales.get(layer.name, 1.0))
    if layer.datapath is not None:
        assert solved is not None
        held = solved.held(layer)
        held = held if weight is None else replace(held, weight=weight)
        total = accumulate(layer, read, held.weight) if total is None else total
        return finish(layer, total, held, scale)
    if layer.reads_reals:
        inputs = zip(layer.node.inputs, read, strict=True)  # what has no scale is real, or whole
        read = [x * float(scales[name]) if name in scales else x for name, x in inputs]
    return outside(layer, read, scale, graph.ports(layer.node), len(next(iter(values.values()))))
