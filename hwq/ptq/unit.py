"""Consecutive layers that are improved together, as they run on what the quantized layers before them give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from hwq.ptq.fake import Held, Rounder, accumulate, finish, on_grid, outside
from hwq.ptq.graph import WEIGHTED, Graph, apply, rectify
from hwq.ptq.lower import Layer
from hwq.ptq.solved import Solved

__all__ = ["Unit", "step"]


@dataclass(frozen=True, eq=False)
class Unit:
    """A unit of layers with what enters and what should leave it.

    `read` are the values [N, ...] that enter, in units of their scales, `floats` what the float network has there and
    beside the unit, and `target` [N, ...] what it has where the unit ends. `graph` has the float weights, `solved` the
    constants of the products, `scales` those of all values that have one.
    """

    graph: Graph
    layers: tuple[Layer, ...]
    read: Mapping[str, Tensor]
    floats: Mapping[str, Tensor]
    target: Tensor
    scales: Mapping[str, Tensor]
    solved: Mapping[str, Solved]

    @cached_property
    def weighted(self) -> tuple[Layer, ...]:
        """The layers that have weights."""
        return tuple(layer for layer in self.layers if layer.op in WEIGHTED)

    @cached_property
    def held(self) -> dict[str, Held]:
        """What the products hold, as numbers."""
        return {layer.name: self.solved[layer.name].held(layer) for layer in self.layers if layer.name in self.solved}

    def of(self, index: Tensor, floats: bool = True) -> Unit:
        """The same unit with some of its images, and only the values that it reads; float ones where asked for."""
        names = dict.fromkeys(name for layer in self.layers for name in layer.node.inputs if name in self.read)
        read = {name: self.read[name][index] for name in names}
        real = {name: x[index] for name, x in self.floats.items()} if floats else {}
        return replace(self, read=read, floats=real, target=self.target[index])

    def run(
        self, read: Mapping[str, Tensor], held: Mapping[str, Held] | None = None, rounder: Rounder = on_grid
    ) -> Tensor:
        """The real value [N, ...] where the unit ends, differentiable in what the layers hold, given as `held`."""
        values, last = dict(read), self.layers[-1]
        for layer in self.layers:
            own = (self.held if held is None else held).get(layer.name)
            values[layer.name] = step(self.graph, layer, values, self.scales, own, rounder)
        return values[last.name] * self.scale(last)

    def tail(self, made: Tensor) -> Tensor:
        """The float network's output [N, ...], were `made` [N, ...] its value where the unit ends."""
        values, before = {**self.floats, self.layers[-1].name: made}, True
        for node in self.graph.nodes:
            if node.op == "constant" or not before:
                read = [values[name] for name in node.inputs]
                values[node.name] = rectify(node, apply(node, read, self.graph.ports(node), len(made)))
            before = before and node.name != self.layers[-1].name
        return values[self.graph.output.name]

    def scale(self, layer: Layer) -> float:
        """The scale of a layer's value, 1 where it is real."""
        made = self.solved.get(layer.name)
        return float(self.scales.get(layer.name, 1.0 if made is None else made.scale))


def step(
    graph: Graph,
    layer: Layer,
    values: Mapping[str, Tensor],
    scales: Mapping[str, Tensor],
    held: Held | None,
    rounder: Rounder = on_grid,
    total: Tensor | None = None,
) -> Tensor:
    """A layer's value in units of its scale, of those before it and what it holds; `total` are its sums, if known."""
    read, scale = [values[name] for name in layer.node.inputs], float(scales.get(layer.name, 1.0))
    if layer.datapath is not None:
        assert held is not None
        total = accumulate(layer, read, held.weight) if total is None else total
        return finish(layer, total, held, scale, rounder)
    if layer.reads_reals:
        inputs = zip(layer.node.inputs, read, strict=True)  # what has no scale is real, or whole
        read = [x * float(scales[name]) if name in scales else x for name, x in inputs]
    images = len(next(iter(values.values())))
    return outside(layer, read, scale, graph.ports(layer.node), images, rounder)
