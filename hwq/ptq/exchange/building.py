"""Layers and constants of an imported network: codes, scales and zero points of the file, ratios of a requantizer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwq.datapath import Datapath
from hwq.errors import HwqError
from hwq.formats import Format, Int, parse_format
from hwq.ptq.binding import for_layer
from hwq.ptq.call import Call
from hwq.ptq.constants import encode_ratio
from hwq.ptq.engine import assemble
from hwq.ptq.exchange import shapes
from hwq.ptq.exchange.grids import span_bits
from hwq.ptq.exchange.parts import Array, Move, Sum, Term
from hwq.ptq.graph import WEIGHTED, Graph, Node, Window
from hwq.ptq.lower import Layer
from hwq.ptq.quantized import QuantizedModel
from hwq.ptq.solved import Solved

__all__ = ["Building"]

_POINT = Window()
_TERM_BITS = 24  # of the weights of a sum whose scales are no powers of two apart, at most


@dataclass
class Building:
    """A network as it grows. `requant` is the format of multipliers, `array` the text of an array's size."""

    requant: str
    array: str
    layers: list[Layer] = field(default_factory=list)
    state: dict[tuple[str, str], Tensor] = field(default_factory=dict)
    solved: dict[str, Solved] = field(default_factory=dict)
    scales: dict[str, Tensor] = field(default_factory=dict)
    ratios: dict[str, Tensor] = field(default_factory=dict)
    rounded: dict[str, int] = field(default_factory=dict)

    # ------------------------------------------------------------ asking

    def layer(self, name: str) -> Layer:
        """A layer by its name."""
        return next(layer for layer in self.layers if layer.name == name)

    def fmt(self, name: str) -> Format:
        """The format of a layer's value."""
        found = self.layer(name).fmt
        if found is None:
            raise HwqError(f"{name!r} must be quantized where it is read")
        return found

    def shape(self, name: str) -> tuple[int, ...]:
        """The sizes of a layer's value."""
        return self.layer(name).node.shape

    def scale(self, name: str) -> float:
        """The scale of a layer's value."""
        return float(self.scales[name])

    # ------------------------------------------------------------ adding

    def add(
        self,
        op: str,
        inputs: tuple[str, ...],
        name: str,
        scale: float,
        fmt: Format,
        shape: tuple[int, ...] | None = None,
        window: Window = _POINT,
        call: Call | None = None,
        most: float = np.inf,
    ) -> str:
        """A layer without a datapath: the images, a constant, or codes that are moved or compared."""
        node = Node(name, op, inputs, shape or (), window, op == "relu", most, call)
        node = node if shape is not None else replace(node, shape=self._shape(node))
        self.layers.append(Layer(node, "body", None, fmt, name))
        self.scales[name] = torch.tensor(scale, dtype=torch.float64)
        return name

    def call(self, inputs: tuple[str, ...], name: str, call: Call) -> str:
        """A move of codes, which all have the scale and the format of the first."""
        return self.add("move", inputs, name, self.scale(inputs[0]), self.fmt(inputs[0]), call=call)

    def moved(self, name: str, moves: tuple[Move, ...], output: str) -> str:
        """A value after moves, the last of which is called `output`."""
        for left, move in zip(range(len(moves) - 1, -1, -1), moves, strict=True):
            called = f"{output}:{left}" if left else output
            self.state |= {(called, port): tensor for port, tensor in move.held.items()}
            layer = self.layer(name)
            op = "maxpool" if move.window else "move" if move.call else "reshape"
            sizes = shapes.moved(layer.node.shape, move, called)
            node = Node(called, op, (name,), sizes, move.window or _POINT, call=move.call)
            self.layers.append(Layer(node, "body", None, layer.fmt, called, layer.real))
            self.scales[called] = self.scales[name]
            name = called
        return name

    def rectified(self, s: Sum, name: str, fmt: Format, scale: float) -> str:
        """A rectifier of codes as they are; empty where a product has to be made."""
        alone = s.op == "add" and len(s.terms) == 1 and s.relu
        if not alone or s.terms[0].scale != scale or self.fmt(s.terms[0].name) != fmt:
            return ""
        return self.add("relu", (s.terms[0].name,), name, scale, fmt, most=s.most)

    def alike(self, term: Term, fmt: Format, scale: float, name: str = "") -> str:
        """A value in another format or at another scale: itself where both are its own, else a sum of one term."""
        if self.fmt(term.name) == fmt and term.scale == scale:
            return term.name
        name = name or f"{term.name}:{fmt}" + (f":{scale:.6g}" if term.scale != scale else "")
        if all(layer.name != name for layer in self.layers):
            self.product(Sum("add", (term,)), name, fmt, scale)
        return name

    def product(self, s: Sum, name: str, fmt: Format | None, scale: float | None) -> str:
        """A product whose result has a format and a scale, or neither where it stays a number."""
        match s.op:
            case "conv2d" | "linear":
                self._weighted(s, name, fmt, scale)
            case "matmul":
                left, right = s.terms
                self._put(
                    s, name, (self.fmt(left.name), self.fmt(right.name)), None, left.scale * right.scale, fmt, scale
                )
            case "avgpool":
                (term,) = s.terms
                ones = np.ones((1, s.window.size), np.int64)
                self._put(s, name, (self.fmt(term.name), Int(2)), ones, term.scale / s.window.size, fmt, scale)
            case _:
                self._sum(s, name, fmt, scale)
        return name

    def _weighted(self, s: Sum, name: str, fmt: Format | None, scale: float | None) -> None:
        assert s.weight is not None and s.fmt is not None
        (term,) = s.terms
        unit = np.broadcast_to(s.scale * term.scale, len(s.weight))
        self._put(s, name, (self.fmt(term.name), s.fmt), s.weight, unit, fmt, scale)

    def _sum(self, s: Sum, name: str, fmt: Format | None, scale: float | None) -> None:
        """Terms of any scales: small weights where these are powers of two apart, else as long as a multiplier is."""
        terms = [term.scale for term in s.terms]
        top = (1 << (min(parse_format(self.requant).bits, _TERM_BITS) - 1)) - 1
        weights = _powers(terms) or [round(t / max(terms) * top) for t in terms]
        formats = [self.fmt(term.name) for term in s.terms]
        read = formats[0]
        inputs = s.terms
        if any(other != read for other in formats):
            read = _common(formats)
            own = [self.scale(t.name) for t in s.terms]
            inputs = tuple(
                Term(self.alike(Term(t.name, step), read, step), t.scale) for t, step in zip(s.terms, own, strict=True)
            )
        row = np.array([weights], np.int64)
        unit = max(terms) / max(weights)
        self._put(replace(s, terms=inputs), name, (read, Int(span_bits(-1, max(weights)))), row, unit, fmt, scale)

    def _put(
        self,
        s: Sum,
        name: str,
        read: tuple[Format, Format],
        weight: Array | None,
        unit: Any,
        fmt: Format | None,
        scale: float | None,
    ) -> None:
        """Append the layer of a product: `weight` numbers [N, ...], `unit` [N] of its sum in real numbers."""
        most = s.most if s.relu else np.inf
        node = Node(name, s.op, tuple(term.name for term in s.terms), (), s.window, s.relu, most)
        units = torch.as_tensor(np.array(unit, np.float64)).reshape(-1)
        codes = None if weight is None else read[1].encode(torch.from_numpy(weight.astype(np.float64)))
        if codes is not None:
            self.state[name, "weight"] = codes
        node = replace(
            node, shape=shapes.product(replace(s, weight=weight), name, [self.shape(t.name) for t in s.terms])
        )
        depth = max((k for _, _, k in self._graph(node).products(node)), default=1)
        length = max(1 << (depth - 1).bit_length(), 4096)
        text = f"{read[0]}*{read[1]} ->{fmt or read[0]}[bias,requant({self.requant}),relu] {self.array} k={length}"
        datapath = for_layer(Datapath.parse(text), node, read[0], fmt)
        bias = self._bias(s, name, units)
        steps = units / s.terms[0].scale
        one = bool((units == units[0]).all())
        if fmt is None or scale is None:
            real = not one
            own = torch.ones((), dtype=torch.float64) if real else units[0]
            made = Solved(codes, steps, bias, None, None, own, units if real else None)
            self.layers.append(Layer(node, "body", datapath, None, name, real))
        else:
            assert datapath.mac.requant is not None
            self.ratios[name] = units / scale
            mul, shift = encode_ratio(units / scale, datapath.mac.requant, name)
            own = torch.tensor(scale, dtype=torch.float64)
            made = Solved(codes, steps, bias, mul, shift, own)
            self.layers.append(Layer(node, "body", datapath, fmt, name))
        self.solved[name], self.scales[name] = made, own

    def _bias(self, s: Sum, name: str, units: Tensor) -> Tensor:
        """The bias on the grid of the sum; what had to be rounded to it is counted."""
        if s.bias is None:
            return torch.zeros(len(units), dtype=torch.float64)
        if np.size(s.bias) not in (1, len(units)):
            raise HwqError(f"the bias of {name!r} must be {len(units)} numbers, not {np.size(s.bias)}")
        exact = torch.as_tensor(np.asarray(s.bias, np.float64)).reshape(-1) / units
        whole = exact.round()
        off = int(((exact - whole).abs() > 1e-3 + 1e-6 * whole.abs()).sum())  # scales are float32
        self.rounded |= {name: off} if off else {}
        return whole

    # ------------------------------------------------------------ shapes and the end

    def _shape(self, node: Node) -> tuple[int, ...]:
        held = {port: tensor for (name, port), tensor in self.state.items() if name == node.name}
        return shapes.applied(node, [self.layer(name).node.shape for name in node.inputs], held)

    def _graph(self, node: Node) -> Graph:
        return Graph((*(layer.node for layer in self.layers), node), self.state)

    def finish(self, name: str, output: str, origin: dict[str, str]) -> QuantizedModel:
        """The network that ends at the layer `output`, its accumulators certified."""
        needed = {output}
        for layer in reversed(self.layers):
            if layer.name in needed:
                needed.update(layer.node.inputs)
        weighted = [layer.name for layer in self.layers if layer.op in WEIGHTED]
        roles = dict.fromkeys(weighted[-1:], "last") | dict.fromkeys(weighted[:1], "first")
        kept = [replace(x, role=roles.get(x.name, x.role)) for x in self.layers if x.name in needed]
        kept.sort(key=lambda layer: (layer.op != "input", layer.name == output))
        if not kept or kept[0].op != "input":
            raise HwqError("an imported network must quantize its input, not compute its output from constants")
        graph = Graph(tuple(layer.node for layer in kept), self.state)
        return assemble(name, graph, tuple(kept), self.solved, self.scales, origin)


def _powers(scales: list[float]) -> list[int] | None:
    """Weights of terms whose scales are powers of two apart; None of others."""
    found = [scale / min(scales) for scale in scales]
    whole = [round(x) for x in found]
    near = all(abs(x - n) <= 1e-7 * n and n & (n - 1) == 0 for x, n in zip(found, whole, strict=True))
    return whole if near and max(whole) < 1 << (_TERM_BITS - 1) else None


def _common(formats: list[Format]) -> Format:
    """A signed format that has every number of the given ones."""
    low, high = min(f.integer_range[0] for f in formats), max(f.integer_range[1] for f in formats)
    return Int(span_bits(min(low, -1), high))
