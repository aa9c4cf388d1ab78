"""The engine: calibrates a traced network once, then quantizes it for any assignment and recipe in about a second."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cached_property, lru_cache
from hashlib import sha256
from importlib.metadata import version
from typing import Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from hwq.datapath import Datapath
from hwq.errors import HwqError
from hwq.formats import Format
from hwq.ptq.calibrated import Calibrated
from hwq.ptq.certify import certify
from hwq.ptq.graph import Graph
from hwq.ptq.lower import Assignment, Layer, check_roles, default_roles, layer_graph, lower, parse_assignment, present
from hwq.ptq.network import solve_network
from hwq.ptq.quantized import QuantizedModel
from hwq.ptq.recipe import DEFAULT_RECIPE, Recipe
from hwq.ptq.sharing import share
from hwq.ptq.solved import Solved
from hwq.ptq.tracing import trace
from hwq.ptq.transforms import Transform
from hwq.ptq.weights import Fixed, Weights

State = dict[tuple[str, str], Tensor]

__all__ = ["CALIBRATION", "Quantizer", "Subject", "assemble", "quantize", "quantizer"]

CALIBRATION = 512  # images at most, where the caller does not say
_KEPT_CONSTANTS = 64  # solved networks, each a copy of the weights
_KEPT_TRANSFORMED = 4


class Subject(Protocol):
    """What can be quantized: a network with a name, and calibration inputs [N, ...]."""

    @property
    def name(self) -> str: ...
    @property
    def net(self) -> nn.Module: ...
    def calibration(self) -> Tensor: ...


class Quantizer:
    """A calibrated network. Its float statistics serve every assignment; `quantize` is the inner loop of a search.

    Members: `name`, `images` it was calibrated on, `graph` (traced, batch norms folded), `roles` {layer: role},
    `calibrated` with the statistics of its float values.
    """

    def __init__(
        self, net: nn.Module, calibration: Tensor, roles: Mapping[str, str] | None = None, name: str = "network"
    ) -> None:
        if len(calibration) == 0:
            raise HwqError("calibration images must be 1 or more, not 0")
        for held in (calibration, *net.parameters()):
            if isinstance(held, Tensor) and held.is_floating_point() and held.dtype != torch.float32:
                raise HwqError(f"a network and its images must be in float32, not {held.dtype}; give .float() of both")
        self.name, self.images = name, len(calibration)
        self.graph = trace(net, calibration)
        self.roles = default_roles(self.graph) if roles is None else dict(roles)
        self.calibrated = Calibrated(self.graph, calibration)
        self._images = calibration
        self._folded = _folded(self.graph, dict(net.named_parameters()))
        self._transformed = lru_cache(maxsize=_KEPT_TRANSFORMED)(self._transform)
        self._allocated = lru_cache(maxsize=_KEPT_TRANSFORMED)(self._allocate)
        self._constants = lru_cache(maxsize=_KEPT_CONSTANTS)(solve_network)

    def check_roles(self, named: Collection[str]) -> None:
        """Refuse an assignment to the roles `named` unless it has the network's, and else only its operators."""
        check_roles(self.graph, self.roles, named)

    def products(
        self, assignment: Assignment, recipe: str | Recipe = DEFAULT_RECIPE
    ) -> list[tuple[str, int, int, int]]:
        """(datapath, M, N, K) of every matrix product of one image; accumulators as the assignment writes them."""
        calibrated, lowered = self._prepared(assignment, Recipe.parse(recipe) if isinstance(recipe, str) else recipe)
        layers = share(lowered)
        graph = layer_graph(calibrated.graph, layers)
        return [
            (str(layer.datapath), *product)
            for layer in layers
            if layer.datapath is not None
            for product in graph.products(layer.node)
        ]

    @torch.no_grad()
    def quantize(
        self,
        assignment: Assignment,
        recipe: str | Recipe = DEFAULT_RECIPE,
        weights: Mapping[str, Weights] | None = None,
    ) -> QuantizedModel:
        """The network in the formats of `assignment` {role: datapath}, made by `recipe`, layer after layer.

        Every layer is solved on what the quantized layers before it give. Where a datapath accumulates exactly, its
        accumulator gets the width that the layer's weights certify, one width for all layers of one datapath. The size
        of an array and its cuts change no constant, which are solved once for all of them. Layers of `weights` keep
        the codes that they are given, in whose format their datapaths then read weights.
        """
        origin = self._origin(recipe)
        recipe = Recipe.parse(recipe) if isinstance(recipe, str) else recipe
        if weights:
            every = {name: name if name in weights else name.partition(":")[0] for name in self.roles}  # NAME:2 is NAME
            given = {name: weights[own] for name, own in every.items() if own in weights}
            rows = {name: held.rows() for name, held in (given | dict(weights)).items()}
            assignment, recipe = self._with_weights(assignment, rows), recipe.with_weights(Fixed(rows))
        calibrated, layers = self._prepared(assignment, recipe)
        scales, solved = self._constants(calibrated, tuple(map(_numerics, layers)), replace(recipe, allocation=None))
        return assemble(self.name, layer_graph(calibrated.graph, layers), layers, solved, scales, origin)

    def _prepared(self, assignment: Assignment, recipe: Recipe) -> tuple[Calibrated, tuple[Layer, ...]]:
        """The network after the transforms of `recipe`, and its layers after its allocation."""
        if recipe.allocation is not None:
            assignment = self._allocated(tuple(assignment.items()), recipe)
        calibrated = self.calibrated
        if recipe.transforms:
            looks = any(made.sees_formats for made in recipe.transforms)
            known = present(self.graph, self.roles, assignment) if looks else {}
            seen = tuple(map(_numerics, lower(self.graph, self.roles, known))) if looks else ()
            calibrated = self._transformed(recipe.transforms, seen)
        return calibrated, lower(calibrated.graph, self.roles, assignment)

    def _allocate(self, assignment: tuple[tuple[str, str | Datapath], ...], recipe: Recipe) -> Assignment:
        """The assignment with what the allocation of `recipe` gives single layers."""
        assert recipe.allocation is not None
        return recipe.allocation(self, dict(assignment), replace(recipe, allocation=None, reconstruction=None))

    def _with_weights(self, assignment: Assignment, weights: Mapping[str, Weights]) -> Assignment:
        """`assignment` with a datapath of its own for each layer whose weights are given."""
        if others := [name for name in weights if name not in self.roles]:
            raise HwqError(f"weights must be given of layers of the network, {', '.join(self.roles)}; not {others[0]}")
        if others := [name for name in weights if name in self._folded]:
            raise HwqError(f"weights must be given of layers without a norm folded into them, not of {others[0]!r}")
        datapaths = parse_assignment(assignment)
        named = {layer.name: datapaths[layer.role] for layer in lower(self.graph, self.roles, assignment)}
        return {**datapaths, **{name: _reading(named[name], held.fmt) for name, held in weights.items()}}

    def _origin(self, recipe: str | Recipe) -> dict[str, str]:
        """Where a quantization is from, for whoever finds its file."""
        named = recipe if isinstance(recipe, str) else "a Recipe of Python"
        versions = {name: version(name) for name in ("hwq", "torch")}
        return {"recipe": named, **versions, "calibration images": str(self.images), "calibration sha256": self._digest}

    @cached_property
    def _digest(self) -> str:
        held = self._images.detach().cpu().contiguous()
        return sha256(f"{held.dtype} {list(held.shape)} ".encode() + held.numpy().tobytes()).hexdigest()

    @torch.no_grad()
    def _transform(self, transforms: tuple[Transform, ...], layers: tuple[Layer, ...]) -> Calibrated:
        """The network after `transforms`, calibrated; `layers` where one of them looks at formats."""
        graph = self.graph
        for transform in transforms:
            graph = transform(graph, self.calibrated.prefix, layers)
        return Calibrated(graph, self._images)


def _folded(graph: Graph, held: Mapping[str, Tensor]) -> frozenset[str]:
    """The layers of `graph` whose weights are not as the network holds them."""
    weights = [
        (name, x.flatten(), held.get(f"{name}.weight")) for (name, port), x in graph.state.items() if port == "weight"
    ]
    return frozenset(name for name, x, own in weights if own is not None and not torch.equal(x, own.detach().flatten()))


def _reading(datapath: Datapath, weight: Format) -> Datapath:
    """`datapath` with weights of another format."""
    return replace(datapath, mac=replace(datapath.mac, w=weight))


def _numerics(layer: Layer) -> Layer:
    """The layer without the structure of its array."""
    return layer if layer.datapath is None else replace(layer, datapath=Datapath(layer.datapath.mac))


def assemble(
    name: str,
    graph: Graph,
    layers: tuple[Layer, ...],
    solved: Mapping[str, Solved],
    scales: Mapping[str, Tensor],
    origin: Mapping[str, str],
) -> QuantizedModel:
    """Certify the accumulators and put every tensor under its (layer, port)."""
    final = certify(graph, share(layers), solved)
    state: dict[tuple[str, str], Tensor] = {}
    for layer in final:
        made = solved.get(layer.name)
        if made is None or layer.datapath is None:
            state |= _outside(graph, layer, scales, state)
            continue
        ports = {"weight": made.weight, "weight_scale": made.weight_scale, "mul": made.mul, "shift": made.shift}
        ports |= {"unit": made.unit}
        state |= {(layer.name, port): tensor for port, tensor in ports.items() if tensor is not None}
        if "bias" in layer.datapath.mac.steps:
            state[layer.name, "bias"] = layer.datapath.mac.acc_format.encode(made.bias)
        state[layer.name, "scale"] = made.scale
    return QuantizedModel(name, final, state, graph, origin)


def _outside(graph: Graph, layer: Layer, scales: Mapping[str, Tensor], made: State) -> State:
    """The scale of a value without a datapath, and what its operator holds; a constant with a format as codes."""
    if layer.real:
        scale = torch.ones((), dtype=torch.float64)
    else:  # else codes of a sum that are only moved
        known = layer.name in scales
        scale = scales[layer.name] if known else made[layer.node.inputs[0], "scale"]
    found = {key: held for key, held in graph.state.items() if key[0] == layer.name} | {(layer.name, "scale"): scale}
    if layer.op == "constant" and layer.fmt is not None:
        found[layer.name, "value"] = layer.fmt.encode(found[layer.name, "value"] / scale.float())
    return found


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
        made = kept.get(count) or Quantizer(subject.net, held[:count], name=subject.name)
        kept |= {images: made, count: made}
    return kept[images]


_KEPT: WeakKeyDictionary[Subject, dict[int | None, Quantizer]] = WeakKeyDictionary()
