"""A quantized network: layers with their datapaths, every tensor as codes, and the two evaluators."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from hwq.errors import HwqError
from hwq.ptq.constants import ratio_value
from hwq.ptq.exact import compute
from hwq.ptq.fake import Held, accumulate, by_channel, finish, on_grid, outside
from hwq.ptq.graph import Graph, Ports, apply, check_images, rectify, release
from hwq.ptq.lower import Layer

__all__ = ["Kind", "QuantizedModel"]

Kind = Literal["exact", "fake"]


@dataclass(frozen=True, eq=False)
class QuantizedModel:
    """A network in codes.

    `state` is keyed by (layer, port): "weight" codes [N, ...] with their real "weight_scale" [N]; "bias" codes [N] on
    the accumulator's grid; "mul" and "shift" [N], the requantizer's encoded ratios; "scale", the real step of the
    layer's value. Only the input's and the output's "scale" are used outside of the hardware, and those where the host
    computes; the others explain. A constant has a "value" [*shape], an operator on the host its arguments; a product
    that the host reads as real numbers has the "unit" [N] of its sums, and the scale of a real value is 1.
    `origin` says where the codes are from: the recipe, versions, a digest of the calibration inputs.
    """

    name: str
    layers: tuple[Layer, ...]
    state: Mapping[tuple[str, str], Tensor]
    reference: Graph | None = None
    origin: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def graph(self) -> Graph:
        """The layers as a graph; the weights in its state are codes."""
        return Graph(tuple(layer.node for layer in self.layers), self.state)

    @cached_property
    def assignment(self) -> dict[str, str]:
        """{role: datapath} of each role's first layer, with its certified accumulator."""
        found: dict[str, str] = {}
        for layer in self.layers:
            if layer.datapath is not None:
                found.setdefault(layer.role, str(layer.datapath))
        return found

    @cached_property
    def instances(self) -> dict[str, str]:
        """{name: datapath} of what has to be built to run the network: every distinct datapath, once.

        The name is the role of its first layer, with a number where the role has another one: "body", "body-2".
        """
        roles: dict[str, str] = {}
        for layer in self.layers:
            if layer.datapath is not None:
                roles.setdefault(str(layer.datapath), layer.role)
        named: dict[str, str] = {}
        for text, role in roles.items():
            count = 1 + sum(roles[other] == role for other in named.values())
            named[role if count == 1 else f"{role}-{count}"] = text
        return named

    def products(self) -> list[tuple[str, int, int, int]]:
        """(datapath, M, N, K) of every matrix product of one image, in order."""
        return [
            (str(layer.datapath), *product)
            for layer in self.layers
            if layer.datapath is not None
            for product in self.graph.products(layer.node)
        ]

    def fake(self, images: Tensor, weights: Mapping[str, Tensor] | None = None) -> Tensor:
        """The network's output [N, ...] in torch floats that stand on the grids; differentiable, straight-through.

        `weights` {layer: float weight} replaces codes by float weights, rounded to the layer's grid on the way.
        """
        *_, (layer, value) = self.walk_fake(images, weights)
        return value * float(self.state[layer.name, "scale"])

    def exact(self, images: Tensor) -> Tensor:
        """The network's output [N, ...] as float64: `scale` times the values of the codes that the hardware gives."""
        *_, (layer, codes) = self.walk_exact(images)
        return self.decode(layer, codes) * float(self.state[layer.name, "scale"])

    @cached_property
    def float_ops(self) -> list[dict[str, str | int]]:
        """What the host computes in float: {name, op, elements, macs} of one image each; copies are not computed."""
        return [
            {"name": x.name, "op": x.node.call.name, "elements": math.prod(x.node.shape), "macs": x.node.call.macs}
            for x in self.layers
            if x.op == "host" and x.node.call is not None and x.node.call.name != "clone"
        ]

    def decode(self, layer: Layer, codes: Tensor) -> Tensor:
        """The values of a layer's codes, in units of its scale; real numbers as they are."""
        if layer.real or layer.fmt is None:
            return codes.double() if codes.is_floating_point() else codes
        values: Tensor = layer.fmt.decode(codes)
        return values.double()

    def predict(self, images: Tensor, kind: Kind = "exact") -> Tensor:
        """The class [N] of every image: the place of its largest output, the first one on a tie."""
        made = self.outputs(images, kind)
        if made.dim() < 2:
            raise HwqError("classes must be of outputs [N, classes], not of one number an image; take outputs(images)")
        return made.argmax(1)

    def outputs(self, images: Tensor, kind: Kind = "exact") -> Tensor:
        """The network's output [N, ...] for all images, computed in batches."""
        check_images(self.graph, images)
        run = {"exact": self.exact, "fake": self.fake}.get(kind)
        if run is None:
            raise HwqError(f"kind must be exact or fake, not {kind!r}")
        with torch.no_grad():
            return torch.cat([run(batch) for batch in torch.split(images, self.graph.together)])

    def evaluate(self, images: Tensor, labels: Tensor, kind: Kind = "exact") -> float:
        """The share of images [N, ...] whose class is their label [N]."""
        if labels.shape != images.shape[:1]:
            raise HwqError(f"labels must be one an image, {len(images)}, not of shape {list(labels.shape)}")
        return float((self.predict(images, kind) == labels).double().mean())

    def walk_exact(self, images: Tensor) -> Iterator[tuple[Layer, Tensor]]:
        """Every layer with its codes [N, *shape], or with real numbers where it is `real`."""
        check_images(self.graph, images)
        values: dict[str, Tensor] = {}
        left = self.graph.readers()
        for layer in self.layers:
            values[layer.name] = self._exact(layer, self._read(layer, values) or [_single(images)], len(images))
            yield layer, values[layer.name]
            release(values, layer.node, left)

    def _exact(self, layer: Layer, read: list[Tensor], images: int) -> Tensor:
        if not layer.outside:
            codes = compute(layer, read, self.state)
            if not layer.real or layer.datapath is None:
                return codes
            unit = by_channel(self.state[layer.name, "unit"], layer.node)
            return rectify(layer.node, layer.datapath.mac.output.decode(codes).double() * unit)
        wide = [x.double() if x.is_floating_point() and layer.op == "host" else x for x in read]
        made = wide[0] if layer.op == "input" else apply(layer.node, wide, self._ports(layer, torch.float64), images)
        if layer.real or layer.fmt is None:
            return made
        encoded: Tensor = layer.fmt.encode(made / self.state[layer.name, "scale"].to(made.dtype))
        return encoded

    def walk_fake(self, images: Tensor, weights: Mapping[str, Tensor] | None = None) -> Iterator[tuple[Layer, Tensor]]:
        """Every layer with its value [N, *shape] in units of its scale; `weights` as in `fake`."""
        check_images(self.graph, images)
        values: dict[str, Tensor] = {}
        left = self.graph.readers()
        for layer in self.layers:
            read = self._read(layer, values, fake=True) or [_single(images)]
            if layer.datapath is None:
                made = outside(layer, read, self._scale(layer), self._ports(layer, torch.float32), len(images))
            else:
                weight = self._weight(layer, (weights or {}).get(layer.name))
                made = finish(layer, accumulate(layer, read, weight), self._held[layer.name], self._scale(layer))
            values[layer.name] = made
            yield layer, made
            release(values, layer.node, left)

    def _read(self, layer: Layer, values: Mapping[str, Tensor], fake: bool = False) -> list[Tensor]:
        """What a layer reads: codes, or their values in units of their scales, or real numbers where it takes those."""
        read = []
        for name in layer.node.inputs:
            source, x = self._layers[name], values[name]
            if layer.reads_reals and not source.real:
                x = (x if fake else self.decode(source, x)) * self._scale(source)
            read.append(x)
        return read

    def _scale(self, layer: Layer) -> float:
        return float(self.state[layer.name, "scale"])

    def _ports(self, layer: Layer, dtype: torch.dtype) -> Ports:
        """What an operator outside of the datapaths holds, as real numbers."""

        def get(port: str) -> Tensor | None:
            held = self.state.get((layer.name, port))
            if held is not None and port == "value" and layer.fmt is not None:
                held = self.decode(layer, held) * self._scale(layer)
            return held.to(dtype) if held is not None and held.is_floating_point() else held

        return get

    @cached_property
    def _layers(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}

    def _weight(self, layer: Layer, given: Tensor | None) -> Tensor | None:
        if given is None:
            return self._held[layer.name].weight
        assert layer.datapath is not None
        scale = self.state[layer.name, "weight_scale"].to(given.dtype).reshape(-1, *[1] * (given.dim() - 1))
        rows = (given / scale).flatten(1)  # blocks of a format lie along the products of an output
        return on_grid(rows, layer.datapath.mac.w).reshape(given.shape)

    @cached_property
    def _held(self) -> dict[str, Held]:
        """Every layer's constants as numbers."""
        held = {}
        for layer in self.layers:
            if layer.datapath is None:
                continue
            mac, port = layer.datapath.mac, {key[1]: t for key, t in self.state.items() if key[0] == layer.name}
            weight = mac.w.decode(port["weight"]).float() if "weight" in port else None
            bias = mac.acc_format.decode(port["bias"]).float() if "bias" in port else torch.zeros(1)
            ratio = ratio_value(port["mul"], port["shift"]).float() if "mul" in port else None
            held[layer.name] = Held(weight, bias, ratio, port["unit"].float() if "unit" in port else None)
        return held


def _single(images: Tensor) -> Tensor:
    """Images in the float32 that networks are calibrated in; whole numbers as they are."""
    return images.float() if images.is_floating_point() else images
