"""A whole network's constants: unit after unit, layer after layer, on what the quantized layers before give."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from hwq.ptq.calibrated import Calibrated
from hwq.ptq.fake import outside
from hwq.ptq.graph import WEIGHTED, Graph, apply, rectify, release
from hwq.ptq.lower import Layer, layer_graph
from hwq.ptq.progress import watch
from hwq.ptq.recipe import Recipe
from hwq.ptq.sites import units
from hwq.ptq.solve import Inputs, corrected, solve, solve_sum
from hwq.ptq.solved import Solved
from hwq.ptq.unit import Unit, step

__all__ = ["solve_network"]


@torch.no_grad()
def solve_network(
    calibrated: Calibrated, layers: tuple[Layer, ...], recipe: Recipe
) -> tuple[dict[str, Tensor], dict[str, Solved]]:
    """The scale of every value, and the constants of every product."""
    scales = calibrated.value_scales(layers, recipe.activations)
    graph = layer_graph(calibrated.graph, layers)
    values: dict[str, Tensor] = {}
    floats: dict[str, Tensor] = {}
    solved: dict[str, Solved] = {}
    left = graph.readers()
    cut = units(layers, recipe.unit)
    runs = recipe.looks_at_values  # else no image need pass
    with watch("reconstruct", sum(_has_weights(unit) for unit in cut) if recipe.reconstruction else 0) as tick:
        for unit in cut:
            entering, real = dict(values), dict(floats)
            for layer in unit:
                if recipe.looks_at_floats:
                    floats[layer.name] = _float(graph, layer, floats, calibrated.prefix)
                if layer.op == "input":
                    scale = float(scales.get(layer.name, 1.0))
                    values[layer.name] = outside(layer, [calibrated.prefix], scale, graph.ports(layer.node), 0)
                    continue
                total = None
                if layer.datapath is not None:
                    solved[layer.name], total = _solve_layer(calibrated, layer, values, floats, scales, recipe)
                if runs and (layer is not layers[-1] or recipe.reconstruction is not None):
                    values[layer.name] = _value(graph, layer, values, scales, solved, total)
            if recipe.reconstruction is not None and _has_weights(unit):
                own = {layer.name: solved[layer.name] for layer in unit if layer.name in solved}
                target = floats[unit[-1].name]
                solved |= recipe.reconstruction(Unit(graph, unit, entering, real, target, scales, own))
                tick(unit[-1].name)
                for layer in unit:
                    if recipe.bias_correction and layer.op in WEIGHTED:
                        solved[layer.name] = _correct(calibrated, layer, values, scales, solved[layer.name])
                    values[layer.name] = _value(graph, layer, values, scales, solved)
            for layer in unit if runs else ():
                release(values, layer.node, left)
            floats = {name: x for name, x in floats.items() if name in values}
    return scales, solved


def _has_weights(unit: tuple[Layer, ...]) -> bool:
    return any(layer.op in WEIGHTED for layer in unit)


def _value(
    graph: Graph,
    layer: Layer,
    values: Mapping[str, Tensor],
    scales: Mapping[str, Tensor],
    solved: Mapping[str, Solved],
    total: Tensor | None = None,
) -> Tensor:
    """The layer's value in units of its scale; `total` are its sums, where they are known."""
    made = solved.get(layer.name)
    return step(graph, layer, values, scales, None if made is None else made.held(layer), total=total)


def _correct(
    calibrated: Calibrated, layer: Layer, values: Mapping[str, Tensor], scales: Mapping[str, Tensor], made: Solved
) -> Solved:
    """The layer's constants with the bias for its new weights."""
    read = [values[name] for name in layer.node.inputs]
    target = calibrated.statistics.mean[layer.name]
    return corrected(layer, made, read, target, scales[layer.node.inputs[0]])


def _float(graph: Graph, layer: Layer, floats: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """What the float network has where the layer's value is."""
    node = layer.node
    if node.op == "input":
        return images
    return rectify(node, apply(node, [floats[name] for name in node.inputs], graph.ports(node), len(images)))


def _solve_layer(
    calibrated: Calibrated,
    layer: Layer,
    values: Mapping[str, Tensor],
    floats: Mapping[str, Tensor],
    scales: Mapping[str, Tensor],
    recipe: Recipe,
) -> tuple[Solved, Tensor | None]:
    """The layer's constants, and its sums where bias correction has made them."""
    out, entering = scales.get(layer.name), [scales[name] for name in layer.node.inputs]
    if layer.op not in WEIGHTED:
        return solve_sum(layer, entering, out), None
    assert layer.datapath is not None
    weight, bias = (calibrated.graph.state[layer.name, port] for port in ("weight", "bias"))
    fmt, first = layer.datapath.mac.a, layer.node.inputs[0]
    read = [values[first]] if recipe.looks_at_values else []
    inputs = Inputs(read, entering[0], max(fmt.max, -fmt.min), floats.get(first))
    return solve(layer, weight, bias, calibrated.statistics.mean[layer.name], inputs, out, recipe)
