"""QDQ: every value quantized and dequantized again, as ONNX Runtime, TensorRT and others take integer networks.

Activations keep their scales. Ratios of scales are those of the requantizer: they are put into the scales of weights,
and where a layer has none (sums, pools, products of values) into those at which it reads its inputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwq.errors import HwqError
from hwq.ptq.exchange.grids import CONTAINERS, Grid, span_bits
from hwq.ptq.exchange.style import Ints, Style
from hwq.ptq.lower import Layer

__all__ = ["Qdq"]


class Qdq(Style):
    """Values are stored codes; a sum that is not requantized is a float."""

    def enter(self, layer: Layer) -> str:
        return self.quantize(layer, "input")

    def stored(self, layer: Layer, codes: Ints) -> Any:
        if self.is_sum(layer):
            return codes.astype(np.float32)
        grid = self.grid(layer.name)
        return (codes + grid.zero).astype(grid.dtype)

    def real(self, layer: Layer) -> str:
        return self.values[layer.name] if self.is_sum(layer) else self.read(layer.name)

    def is_sum(self, layer: Layer) -> bool:
        """True of a value that no format has rounded."""
        while layer.datapath is None and layer.node.inputs:
            layer = self.layers[layer.node.inputs[0]]
        return layer.datapath is not None and (layer.name, "mul") not in self.model.state

    # ------------------------------------------------------------ between codes and numbers

    def quantize(self, layer: Layer, x: str) -> str:
        """The codes of real numbers; a format with fewer than its container saturates before."""
        grid, name = self.grid(layer.name), layer.name
        scale = np.float32(self.scale(name))
        if not grid.is_full:
            ends = [self.writer.hold(scale * np.float32(end), f"{name}:end") for end in (grid.low, grid.high)]
            x = self.writer.add("Clip", [x, *ends], f"{name}:held")
        step = self.writer.hold(scale, f"{name}:scale")
        return self.writer.add("QuantizeLinear", [x, step, self.zero(grid, name)], name)

    def zero(self, grid: Grid, name: str) -> str:
        """The zero point as a constant, which also says the type."""
        return self.writer.hold(np.array(grid.zero, grid.dtype), f"{name}:zero")

    def read(self, name: str, scale: float | None = None) -> str:
        """The value of a layer as real numbers, by its own scale or another one."""
        grid = self.grid(name)
        step = self.writer.hold(np.float32(self.scale(name) if scale is None else scale), f"{name}:step")
        return self.writer.add("DequantizeLinear", [self.values[name], step, self.zero(grid, name)], f"{name}:real")

    # ------------------------------------------------------------ layers

    def rectified(self, layer: Layer, codes: str) -> str:
        return self.quantize(layer, self.rectify(layer, self.read(layer.node.inputs[0])))

    def rectify(self, layer: Layer, x: str) -> str:
        """`x` after the layer's rectifier, if it has one."""
        if not layer.node.relu and layer.op != "relu":
            return x
        _, most = (None, None) if self.is_sum(layer) else self.ends(layer)
        if most is None:
            return self.writer.add("Relu", [x], f"{layer.name}:rectified")
        ends = [self.writer.hold(np.float32(end * self.scale(layer.name)), f"{layer.name}:most") for end in (0, most)]
        return self.writer.add("Clip", [x, *ends], f"{layer.name}:rectified")

    def product(self, layer: Layer) -> str:
        if layer.op in ("conv2d", "linear"):
            x = self._weighted(layer)
        elif layer.op == "matmul":
            x = self.writer.add("MatMul", self._both(layer), f"{layer.name}:sum")
        elif layer.op == "avgpool":
            ((step,), size) = self._steps(layer), layer.node.window.size
            read = self.read(layer.node.inputs[0], step * size)
            attributes = self.window(layer) | {"count_include_pad": 1}
            x = self.writer.add("AveragePool", [read], f"{layer.name}:sum", attributes)
        else:
            terms = [self.read(name, step) for name, step in zip(layer.node.inputs, self._steps(layer), strict=True)]
            x = terms[0]
            for term in terms[1:]:
                x = self.writer.add("Add", [x, term], f"{layer.name}:sum")
        x = self.rectify(layer, x)
        return x if self.is_sum(layer) else self.quantize(layer, x)

    def _weighted(self, layer: Layer) -> str:
        first, conv = layer.node.inputs[0], layer.op == "conv2d"
        x, scales = self.read(first), self.weight_scales(layer)
        codes = self.weight(layer)
        codes = codes if conv else codes.T
        weight = self.constant(codes, scales, f"{layer.name}:weight", 0 if conv else 1)
        bias = self.bias(layer)
        if conv:
            added = self.constant(bias, scales * self.scale(first), f"{layer.name}:bias", 0, CONTAINERS[-1] * 2)
            return self.writer.add("Conv", [x, weight, added], f"{layer.name}:sum", self.convolution(layer))
        total = self.writer.add("MatMul", [x, weight], f"{layer.name}:product")
        if not bias.any():
            return total
        wide = np.broadcast_to(bias, scales.shape)
        added = self.constant(wide, scales * self.scale(first), f"{layer.name}:bias", 0, CONTAINERS[-1] * 2)
        return self.writer.add("Add", [total, added], f"{layer.name}:sum")

    def constant(self, codes: Ints, scales: Any, name: str, axis: int, bits: int = 0) -> str:
        """Constant integers of `bits`, by default of as few as hold them, dequantized by one scale a channel."""
        low, high = int(codes.min()), int(codes.max())
        least = span_bits(min(low, -1), high)
        bits = bits or next(n for n in CONTAINERS if n >= least)
        if least > bits:
            raise HwqError(f"constants {name!r} must be integers of at most {bits} bits, not from {low} to {high}")
        held = self.writer.hold(codes.astype(f"i{max(8, bits) // 8}"), f"{name}:codes", bits)
        steps = self.writer.hold(scales.astype(np.float32), f"{name}:scale")
        return self.writer.add("DequantizeLinear", [held, steps], name, {"axis": axis})

    def weight_scales(self, layer: Layer) -> Any:
        """The scale [N] of each channel's weights: sum times scale is exactly what the requantizer makes of it."""
        ratio, first, outputs = self.ratio(layer), layer.node.inputs[0], self.weight(layer).shape[0]
        if ratio is None:
            own = self.model.state[layer.name, "weight_scale"].double().numpy()
            return np.ldexp(np.broadcast_to(own, (outputs,)), layer.datapath.mac.w.lsb if layer.datapath else 0)
        return np.broadcast_to(ratio, (outputs,)) * self.scale(layer.name) / self.scale(first)

    def _steps(self, layer: Layer) -> list[float]:
        """The scale at which a sum reads each term, or a pool its input."""
        unit = self._unit(layer)
        return [float(weight) * unit for weight in self.weight(layer).flatten()[: len(layer.node.inputs)]]

    def _unit(self, layer: Layer) -> float:
        """What one unit of a sum without weights of its own stands for."""
        ratio = self.ratio(layer)
        if ratio is not None:
            return float(ratio.item()) * self.scale(layer.name)
        assert layer.datapath is not None
        return float(np.ldexp(float(self.model.state[layer.name, "scale"]), layer.datapath.mac.product_lsb))

    def _both(self, layer: Layer) -> list[str]:
        left, right = layer.node.inputs
        return [self.read(left, self._unit(layer) / self.scale(right)), self.read(right)]
