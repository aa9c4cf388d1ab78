"""The engine: calibrates a traced network once, then quantizes it for any assignment and recipe in about a second."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import repeat
from typing import Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from hwq.datapath import Datapath
from hwq.errors import HwqError
from hwq.formats import Format
from hwq.ptq.certify import certify
from hwq.ptq.fake import accumulate, finish, on_grid
from hwq.ptq.graph import WEIGHTED, Graph, apply, release
from hwq.ptq.lower import Assignment, Layer, check_roles, default_roles, layer_graph, lower
from hwq.ptq.quantized import QuantizedModel
from hwq.ptq.recipe import DEFAULT_RECIPE, Recipe
from hwq.ptq.scales import Calibrator, check_finite
from hwq.ptq.sharing import share
from hwq.ptq.solve import Inputs, Solved, solve, solve_sum
from hwq.ptq.statistics import observe
from hwq.ptq.sums import aligned, families
from hwq.ptq.tracing import trace
from hwq.ptq.weights import CROSS

__all__ = ["CALIBRATION", "Quantizer", "Subject", "quantize", "quantizer"]

CALIBRATION = 512  # images at most, where the caller does not say
_KEPT_CONSTANTS = 64  # solved networks, each a copy of the weights
_PREFIX_IMAGES = 256  # run through the quantized prefix for Hessians and bias correction


class Subject(Protocol):
    """What can be quantized: a network with a name, calibration images [N, ...] and the role of each weighted layer."""

    @property
    def name(self) -> str: ...
    @property
    def net(self) -> nn.Module: ...
    def calibration(self) -> Tensor: ...
    def roles(self) -> Mapping[str, str]: ...


class Quantizer:
    """A calibrated network. Its float statistics serve every assignment; `quantize` is the inner loop of a search.

    Members: `name`, `images` it was calibrated on, `graph` (traced, batch norms folded), `roles` {layer: role},
    `statistics` of the float values.
    """

    def __init__(
        self, net: nn.Module, calibration: Tensor, roles: Mapping[str, str] | None = None, name: str = "network"
    ) -> None:
        if len(calibration) == 0:
            raise HwqError("calibration images must be 1 or more, not 0")
        self.name, self.images = name, len(calibration)
        self.graph = trace(net, calibration)
        self.roles = default_roles(self.graph) if roles is None else dict(roles)
        self._prefix = calibration[:_PREFIX_IMAGES]
        self.statistics = observe(self.graph, calibration, len(self._prefix))
        self._scales: dict[tuple[str, Format, Calibrator], Tensor] = {}
        self._constants = lru_cache(maxsize=_KEPT_CONSTANTS)(self._solve)

    def check_roles(self, named: Collection[str]) -> None:
        """Refuse an assignment to the roles `named` unless it has the network's, and else only its operators."""
        check_roles(self.graph, self.roles, named)

    def products(self, assignment: Assignment) -> list[tuple[str, int, int, int]]:
        """(datapath, M, N, K) of every matrix product of one image; accumulators as the assignment writes them."""
        layers = share(lower(self.graph, self.roles, assignment))
        graph = layer_graph(self.graph, layers)
        return [
            (str(layer.datapath), *product)
            for layer in layers
            if layer.datapath is not None
            for product in graph.products(layer.node)
        ]

    @torch.no_grad()
    def quantize(self, assignment: Assignment, recipe: str | Recipe = DEFAULT_RECIPE) -> QuantizedModel:
        """The network in the formats of `assignment` {role: datapath}, made by `recipe`, layer after layer.

        Every layer is solved on what the quantized layers before it give. Where a datapath accumulates exactly, its
        accumulator gets the width that the layer's weights certify, one width for all layers of one datapath. The size
        of an array and its cuts change no constant, which are solved once for all of them.
        """
        recipe = Recipe.parse(recipe) if isinstance(recipe, str) else recipe
        layers = lower(self.graph, self.roles, assignment)
        scales, solved = self._constants(tuple(map(_numerics, layers)), recipe)
        return _assemble(self.name, layer_graph(self.graph, layers), layers, solved, scales)

    def _value_scales(self, layers: tuple[Layer, ...], rule: Calibrator) -> dict[str, Tensor]:
        """The scale of every value that has a format."""
        members: dict[str, list[Layer]] = {}
        for layer in layers:
            if layer.fmt is not None:
                members.setdefault(layer.group, []).append(layer)
        samples = {group: self._sample(tuple(map(self._observed, made))) for group, made in members.items()}
        formats = {group: made[0].fmt for group, made in members.items() if made[0].fmt is not None}
        scales = {group: self._scale(group, samples[group], fmt, rule) for group, fmt in formats.items()}
        for family, spread in families(layers):
            scales |= aligned(family, spread, scales, formats, samples)
        return {layer.name: scales[group] for group, made in members.items() for layer in made}

    def _observed(self, layer: Layer) -> str:
        """The name under which the layer's value was observed; a conversion has the value that it converts."""
        return layer.name if layer.name in self.statistics.sample else layer.node.inputs[0]

    def _sample(self, names: tuple[str, ...]) -> Tensor:
        return torch.cat([self.statistics.sample[name] for name in names]).unsqueeze(0)

    def _scale(self, name: str, sample: Tensor, fmt: Format, rule: Calibrator) -> Tensor:
        key = (name, fmt, rule)
        if key not in self._scales:
            check_finite(sample, f"values of {name!r}")
            if fmt.min >= 0 and float(sample.min()) < 0:
                raise HwqError(
                    f"values of {name!r} must be 0 or more for {fmt}, not down to {float(sample.min()):.3g}; give the "
                    f"layers that read them a signed activation format"
                )
            self._scales[key] = rule(sample, fmt)[0]
        return self._scales[key]

    def _solve(self, layers: tuple[Layer, ...], recipe: Recipe) -> tuple[dict[str, Tensor], dict[str, Solved]]:
        """The scale of every value, and the constants of every product on what the layers before it give."""
        scales = self._value_scales(layers, recipe.activations)
        graph = layer_graph(self.graph, layers)
        values: dict[str, Tensor] = {}
        solved: dict[str, Solved] = {}
        left = graph.readers()
        floats = self._float_inputs(graph) if CROSS in recipe.needs else repeat(None)
        for layer, before in zip(layers, floats, strict=False):
            read = [values[name] for name in layer.node.inputs]
            if layer.op == "input":
                assert layer.fmt is not None
                values[layer.name] = on_grid(self._prefix / scales[layer.name].float(), layer.fmt)
            elif layer.datapath is None:
                values[layer.name] = apply(layer.node, read)
            else:
                made, total = self._solve_layer(layer, read, before, scales, recipe)
                held = made.held(layer)
                solved[layer.name] = made
                if layer is not layers[-1]:
                    total = accumulate(layer, read, held.weight) if total is None else total
                    values[layer.name] = finish(layer, total, held)
            release(values, layer.node, left)
        return scales, solved

    def _float_inputs(self, graph: Graph) -> Iterator[Tensor | None]:
        """What every node of `graph` reads first in the float network, node after node."""
        left, values = graph.readers(), dict[str, Tensor]()
        for node, _, value in graph.walk(self._prefix):
            yield values[node.inputs[0]] if node.inputs else None
            values[node.name] = value
            release(values, node, left)

    def _solve_layer(
        self, layer: Layer, read: list[Tensor], before: Tensor | None, scales: dict[str, Tensor], recipe: Recipe
    ) -> tuple[Solved, Tensor | None]:
        out = scales.get(layer.name)
        entering = [scales[name] for name in layer.node.inputs]
        if layer.op not in WEIGHTED:
            return solve_sum(layer, entering, out), None
        assert layer.datapath is not None
        weight, bias = self.graph.state[layer.name, "weight"], self.graph.state[layer.name, "bias"]
        fmt = layer.datapath.mac.a
        inputs = Inputs(read, entering[0], max(fmt.max, -fmt.min), before)
        return solve(layer, weight, bias, self.statistics.mean[layer.name], inputs, out, recipe)


def _numerics(layer: Layer) -> Layer:
    """The layer without the structure of its array."""
    return layer if layer.datapath is None else replace(layer, datapath=Datapath(layer.datapath.mac))


def _assemble(
    name: str, graph: Graph, layers: tuple[Layer, ...], solved: dict[str, Solved], scales: dict[str, Tensor]
) -> QuantizedModel:
    """Certify the accumulators and put every tensor under its (layer, port)."""
    final = certify(graph, share(layers), solved)
    state: dict[tuple[str, str], Tensor] = {}
    for layer in final:
        made = solved.get(layer.name)
        if made is None or layer.datapath is None:
            known = layer.name in scales  # else codes of a sum that are only moved
            state[layer.name, "scale"] = scales[layer.name] if known else state[layer.node.inputs[0], "scale"]
            continue
        ports = {"weight": made.weight, "weight_scale": made.weight_scale, "mul": made.mul, "shift": made.shift}
        state |= {(layer.name, port): tensor for port, tensor in ports.items() if tensor is not None}
        if "bias" in layer.datapath.mac.steps:
            state[layer.name, "bias"] = layer.datapath.mac.acc_format.encode(made.bias)
        state[layer.name, "scale"] = made.scale
    return QuantizedModel(name, final, state)


def quantize(
    subject: Subject, assignment: Assignment, recipe: str | Recipe = DEFAULT_RECIPE, images: int | None = None
) -> QuantizedModel:
    """`subject` in the formats of `assignment`, calibrated on its first `images` calibration images, 512 by default.

    The calibrated network is kept while `subject` lives, so that a sweep over assignments calibrates once.
    """
    return quantizer(subject, images).quantize(assignment, recipe)


def quantizer(subject: Subject, images: int | None = None) -> Quantizer:
    """The calibrated network of `subject`, made once for every number of images; 512 or all it has by default."""
    kept = _KEPT.setdefault(subject, {})
    if images not in kept:
        held = subject.calibration()
        if images is not None and not 1 <= images <= len(held):
            raise HwqError(f"calibration images of {subject.name} must be 1..{len(held)}, not {images}")
        count = min(CALIBRATION, len(held)) if images is None else images
        made = kept.get(count) or Quantizer(subject.net, held[:count], subject.roles(), subject.name)
        kept |= {images: made, count: made}
    return kept[images]


_KEPT: WeakKeyDictionary[Subject, dict[int | None, Quantizer]] = WeakKeyDictionary()
