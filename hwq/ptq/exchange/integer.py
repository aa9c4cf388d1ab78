"""Integer nodes: products as ConvInteger and MatMulInteger, the requantizer as Mul, Div and comparisons of int64.

A runtime has no rounding left to choose, so that its codes are those of the hardware.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from hwq.errors import HwqError
from hwq.ptq.exchange.grids import span_bits
from hwq.ptq.exchange.qdq import Qdq
from hwq.ptq.exchange.style import Ints
from hwq.ptq.lower import Layer

__all__ = ["Integer"]

_HALF = 128  # operands travel as unsigned bytes: signed ones saturate on processors without VNNI
_WORD = 62  # bits of a product before it is shifted


class Integer(Qdq):
    """Values are stored codes, a sum that is not requantized is int64."""

    def stored(self, layer: Layer, codes: Ints) -> Any:
        return codes if self.is_sum(layer) else super().stored(layer, codes)

    def real(self, layer: Layer) -> str:
        if not self.is_sum(layer):
            return self.read(layer.name)
        made = layer
        while made.datapath is None:
            made = self.layers[made.node.inputs[0]]
        x = self.writer.add("Cast", [self.values[layer.name]], f"{layer.name}:float", {"to": TensorProto.FLOAT})
        unit = np.float32(np.ldexp(float(self.model.state[made.name, "scale"]), made.datapath.mac.product_lsb))
        return self.writer.add("Mul", [x, self.writer.hold(unit, f"{layer.name}:unit")], f"{layer.name}:real")

    def rectified(self, layer: Layer, codes: str) -> str:
        numbers = self._cast(codes, TensorProto.INT64)
        zero = self.grid(layer.name).zero
        return self._clipped(layer, self._plus(numbers, -zero))

    def product(self, layer: Layer) -> str:
        read = layer.node.inputs
        if layer.op == "conv2d":
            total = self._conv(layer, self.weight(layer))
        elif layer.op == "linear":
            total = self._matmul(layer, self._bytes(read[0]), self._byte_weight(layer, self.weight(layer).T))
        elif layer.op == "matmul":
            total = self._matmul(layer, self._bytes(read[0]), self._bytes(read[1]))
        elif layer.op == "avgpool":
            one = int(self.weight(layer).flat[0])
            channels = layer.node.shape[0]
            total = self._conv(layer, np.full((channels, 1, *layer.node.window.kernel), one, np.int64), channels)
        else:
            total = self._sum(layer)
        bias = self.bias(layer)
        if bias.any():
            total = self._plus(total, bias.reshape(-1, 1, 1) if layer.op == "conv2d" else bias)
        return self._requantized(layer, total)

    # ------------------------------------------------------------ sums

    def _bytes(self, name: str) -> tuple[str, int]:
        """The codes of a value as unsigned bytes, and the one that stands for 0."""
        grid = self.grid(name)
        if grid.bits > 8:
            raise HwqError(f"values of {name!r} must have at most 8 bits for integer nodes, not {grid.bits}; use qdq")
        if not grid.signed:
            return self.values[name], grid.zero
        wide = self._cast(self.values[name], TensorProto.INT32)
        moved = self.writer.add("Add", [wide, self.writer.hold(np.int32(_HALF), f"{name}:half")], f"{name}:moved")
        return self._cast(moved, TensorProto.UINT8), _HALF

    def _byte_weight(self, layer: Layer, codes: Ints) -> tuple[str, int]:
        if span_bits(min(int(codes.min()), -1), int(codes.max())) > 8:
            raise HwqError(f"weights of {layer.name!r} must be integers of at most 8 bits for integer nodes; use qdq")
        return self.writer.hold((codes + _HALF).astype(np.uint8), f"{layer.name}:weight"), _HALF

    def _terms(self, layer: Layer, x: tuple[str, int], weight: tuple[str, int]) -> list[str]:
        zeros = [self.writer.hold(np.uint8(zero), f"{layer.name}:zero") for _, zero in (x, weight)]
        return [x[0], weight[0], *zeros]

    def _conv(self, layer: Layer, codes: Ints, groups: int | None = None) -> str:
        terms = self._terms(layer, self._bytes(layer.node.inputs[0]), self._byte_weight(layer, codes))
        attributes = self.convolution(layer) | ({} if groups is None else {"group": groups})
        return self._cast(self.writer.add("ConvInteger", terms, f"{layer.name}:sum", attributes), TensorProto.INT64)

    def _matmul(self, layer: Layer, x: tuple[str, int], weight: tuple[str, int]) -> str:
        total = self.writer.add("MatMulInteger", self._terms(layer, x, weight), f"{layer.name}:sum")
        return self._cast(total, TensorProto.INT64)

    def _sum(self, layer: Layer) -> str:
        total = ""
        for name, weight in zip(layer.node.inputs, self.weight(layer).flatten().tolist(), strict=True):
            numbers = self._plus(self._cast(self.values[name], TensorProto.INT64), -self.grid(name).zero)
            term = self._times(numbers, weight)
            total = self.writer.add("Add", [total, term]) if total else term
        return total

    # ------------------------------------------------------------ the epilogue

    def _requantized(self, layer: Layer, total: str) -> str:
        """`total * m * 2**-s`, rounded half to even by what a division of whole numbers leaves over."""
        if self.is_sum(layer):
            return self.writer.add("Identity", [total], layer.name)
        assert layer.datapath is not None and layer.fmt is not None
        mac, state = layer.datapath.mac, self.model.state
        assert mac.requant is not None
        product = mac.acc_bits + mac.requant.bits
        if product > _WORD - 1:
            raise HwqError(f"products of {layer.name!r} must have at most {_WORD - 1} bits for integer nodes")
        m = state[layer.name, "mul"].long().numpy()
        s = state[layer.name, "shift"].numpy() + layer.fmt.lsb - mac.product_lsb
        m, s = m << np.maximum(-s, 0), np.clip(s, 0, min(_WORD, product + 1))  # beyond, all is 0
        shape = (-1, 1, 1) if layer.op == "conv2d" else (-1,)
        unit = np.left_shift(1, s.astype(np.int64)).reshape(shape)
        least = np.left_shift(1, np.maximum(product - s, 0).astype(np.int64)).reshape(shape)  # makes all of it positive
        scaled = self._plus(self._times(total, m.reshape(shape)), least * unit)
        whole = self.writer.add("Div", [scaled, self._held(unit)], f"{layer.name}:floor")
        back = self.writer.add("Mul", [whole, self._held(unit)])
        twice = self._times(self.writer.add("Sub", [scaled, back]), 2)
        above = self._cast(self.writer.add("Greater", [twice, self._held(unit)]), TensorProto.INT64)
        tie = self.writer.add("Equal", [twice, self._held(unit)])
        odd = self._cast(self.writer.add("Mod", [whole, self._held(np.int64(2))]), TensorProto.BOOL)
        up = self._cast(self.writer.add("And", [tie, odd]), TensorProto.INT64)
        rounded = self.writer.add("Add", [self.writer.add("Add", [whole, above]), up])
        return self._clipped(layer, self._plus(rounded, -least))

    def _clipped(self, layer: Layer, numbers: str) -> str:
        """Numbers of the layer's grid within its ends, as stored codes."""
        grid, (least, most) = self.grid(layer.name), self.ends(layer)
        low = grid.low if least is None else max(least, grid.low)
        high = grid.high if most is None else min(most, grid.high)
        ends = [self._held(np.int64(end)) for end in (low, high)]
        held = self.writer.add("Clip", [numbers, *ends])
        kind = TensorProto.INT8 if grid.signed else TensorProto.UINT8
        return self.writer.add("Cast", [self._plus(held, grid.zero)], layer.name, {"to": kind})

    def _held(self, number: Any) -> str:
        return self.writer.hold(np.asarray(number, np.int64), "integer")

    def _plus(self, x: str, number: Any) -> str:
        return self.writer.add("Add", [x, self._held(number)]) if np.any(number) else x

    def _times(self, x: str, number: Any) -> str:
        return x if np.all(np.asarray(number) == 1) else self.writer.add("Mul", [x, self._held(number)])

    def _cast(self, x: str, kind: int) -> str:
        return self.writer.add("Cast", [x], attributes={"to": kind})
