"""What every style of ONNX export shares: layers in order, moves as gathers, and what cannot be written at all."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from hwq.datapath import Fixed, Mac
from hwq.errors import HwqError
from hwq.ptq.certify import needs
from hwq.ptq.constants import ratio_value
from hwq.ptq.exchange.grids import Grid, evenly, span_bits
from hwq.ptq.exchange.packed import code_format
from hwq.ptq.exchange.writer import Writer
from hwq.ptq.fake import highest
from hwq.ptq.lower import Layer
from hwq.ptq.quantized import QuantizedModel

__all__ = ["Style"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_WEIGHT_BITS = 16


class Style(ABC):
    """Writes one model. `values` has the tensor of every layer that is written; the input is called "input".

    The tensor of a layer carries the layer's name. A style says how a product is written, and how codes are stored.
    """

    domains: ClassVar[Mapping[str, int]] = {}

    def __init__(self, model: QuantizedModel) -> None:
        self.model = model
        self.layers = {layer.name: layer for layer in model.layers}
        self.writer = Writer()
        self.values: dict[str, str] = {}
        self._check()

    def write(self) -> Any:
        """The whole model as an ONNX protocol buffer."""
        for layer in self.model.layers:
            self.values[layer.name] = self._layer(layer)
        first, last = self.model.layers[0], self.model.layers[-1]
        self.writer.result(self.real(last))
        about = {"hwq.model": self.model.name, **{f"hwq.{key}": text for key, text in self.model.origin.items()}}
        return self.writer.model(first.node.shape, last.node.shape, about, self.domains)

    # ------------------------------------------------------------ what a style says

    @abstractmethod
    def enter(self, layer: Layer) -> str:
        """The codes of the images."""

    @abstractmethod
    def product(self, layer: Layer) -> str:
        """A product with its epilogue."""

    @abstractmethod
    def rectified(self, layer: Layer, codes: str) -> str:
        """A rectifier that stands alone."""

    @abstractmethod
    def stored(self, layer: Layer, codes: Ints) -> Any:
        """Numbers of a layer's grid as the style stores them."""

    @abstractmethod
    def real(self, layer: Layer) -> str:
        """The real numbers that a layer's value stands for."""

    # ------------------------------------------------------------ what they share

    def _layer(self, layer: Layer) -> str:
        if layer.op == "input":
            return self.enter(layer)
        if layer.datapath is not None:
            return self.product(layer)
        read = [self.values[name] for name in layer.node.inputs]
        match layer.op:
            case "constant":
                return self._constant(layer)
            case "relu":
                return self.rectified(layer, read[0])
            case "maxpool":
                return self.writer.add(
                    "MaxPool", read, layer.name, self.window(layer) | {"dilations": _dilation(layer)}
                )
            case "reshape":
                return self.shaped(read[0], layer.node.shape, layer.name)
        return self._moved(layer, read)

    def _constant(self, layer: Layer) -> str:
        held = self.writer.hold(self.stored(layer, self.numbers(layer, "value")), f"{layer.name}:value")
        batch = self.writer.add("Shape", ["input"], f"{layer.name}:batch", {"start": 0, "end": 1})
        rest = self.writer.hold(np.array(layer.node.shape, np.int64), f"{layer.name}:shape")
        shape = self.writer.add("Concat", [batch, rest], f"{layer.name}:size", {"axis": 0})
        return self.writer.add("Expand", [held, shape], layer.name)

    def shaped(self, x: str, shape: tuple[int, ...], name: str = "") -> str:
        """`x` as [N, *shape]."""
        sizes = self.writer.hold(np.array([-1, *shape], np.int64), f"{name or x}:shape")
        return self.writer.add("Reshape", [x, sizes], name)

    def _moved(self, layer: Layer, read: list[str]) -> str:
        """Any move of codes: each element is one of those read, or the fill, in a place that the move itself tells."""
        call, names = layer.node.call, layer.node.inputs
        assert call is not None
        sizes = [math.prod(self.layers[name].node.shape) for name in names]
        starts = np.cumsum([1, *sizes])  # place 0 is the fill
        places = [
            torch.arange(start, start + size).reshape(1, *self.layers[name].node.shape)
            for start, size, name in zip(starts, sizes, names, strict=False)
        ]
        ports = {port: held for (name, port), held in self.model.state.items() if name == layer.name}
        index = call.move(places, ports.__getitem__, 1).flatten().numpy()
        flat = [self.shaped(x, (size,), f"{layer.name}:flat") for x, size in zip(read, sizes, strict=True)]
        rows = flat[0] if len(flat) == 1 else self.writer.add("Concat", flat, f"{layer.name}:all", {"axis": 1})
        if bool((index == 0).any()):
            fill = self.writer.hold(self.stored(layer, np.zeros((), np.int64)), f"{layer.name}:fill")
            pads = self.writer.hold(np.array([0, 1, 0, 0], np.int64), f"{layer.name}:pads")
            rows = self.writer.add("Pad", [rows, pads, fill], f"{layer.name}:filled")
        else:
            index = index - 1
        picked = self.writer.hold(index.astype(np.int64), f"{layer.name}:places")
        taken = self.writer.add("Gather", [rows, picked], f"{layer.name}:taken", {"axis": 1})
        return self.shaped(taken, layer.node.shape, layer.name)

    def window(self, layer: Layer) -> dict[str, Any]:
        """Attributes of a window, in ONNX's words."""
        w = layer.node.window
        return {"kernel_shape": list(w.kernel), "strides": list(w.stride), "pads": [*w.padding, *w.padding]}

    def convolution(self, layer: Layer) -> dict[str, Any]:
        """Attributes of a convolution."""
        return self.window(layer) | {"dilations": _dilation(layer), "group": layer.node.window.groups}

    # ------------------------------------------------------------ numbers

    def grid(self, name: str) -> Grid:
        """The grid of a layer's value."""
        fmt = self.layers[name].fmt
        assert fmt is not None
        return evenly(fmt, f"values of {name!r}")

    def scale(self, name: str) -> float:
        """The real step of a layer's grid, a float32."""
        layer = self.layers[name]
        lsb = layer.fmt.lsb if layer.fmt is not None else 0
        return float(np.float32(math.ldexp(float(self.model.state[name, "scale"]), lsb)))

    def numbers(self, layer: Layer, port: str) -> Ints:
        """What a port's codes stand for, in units of its format's lsb."""
        form = code_format(layer, port)
        assert form is not None
        values = form.decode(self.model.state[layer.name, port]).double()
        return np.asarray(torch.ldexp(values, torch.tensor(-form.lsb)).numpy()).astype(np.int64)

    def weight(self, layer: Layer) -> Ints:
        """Weights as integers, of a format of any values."""
        return self.numbers(layer, "weight")

    def bias(self, layer: Layer) -> Ints:
        """The bias [N] on the grid of the sum, 0 where there is none."""
        found = (layer.name, "bias") in self.model.state
        return (
            self.numbers(layer, "bias") if found else np.zeros(layer.node.shape[0] if layer.op == "conv2d" else 1, int)
        )

    def ratio(self, layer: Layer) -> Floats | None:
        """What one unit of the sum's grid is of the value's, by channel [N] or for all [1]; None for a bare sum."""
        state, mac = self.model.state, _mac(layer)
        if (layer.name, "mul") not in state:
            return None
        assert layer.fmt is not None
        values = ratio_value(state[layer.name, "mul"], state[layer.name, "shift"])
        return np.asarray(torch.ldexp(values, torch.tensor(mac.product_lsb - layer.fmt.lsb)).numpy(), np.float64)

    def ends(self, layer: Layer) -> tuple[int | None, int | None]:
        """(least, most) of a layer's rectifier on its grid; None where there is none."""
        assert layer.fmt is not None
        if not layer.node.relu and layer.op != "relu":
            return None, None
        most = highest(layer, float(self.model.state[layer.name, "scale"]))
        return 0, None if math.isinf(most) else round(math.ldexp(most, -layer.fmt.lsb))

    # ------------------------------------------------------------ refusals

    def _check(self) -> None:
        """Refuse what no style can write: the host's operators, sums that lose bits, other roundings."""
        if hosted := [layer.name for layer in self.model.layers if layer.op == "host"]:
            raise HwqError(
                f"an exported network must run on datapaths alone, not leave {', '.join(hosted)} to the host"
            )
        needed = needs(self.model)
        for layer in self.model.layers:
            if layer.datapath is None:
                continue
            mac = layer.datapath.mac
            if mac.w.blocked or span_bits(*mac.w.integer_range) > _WEIGHT_BITS:
                most = f"integers of at most {_WEIGHT_BITS} bits"
                raise HwqError(f"weights of {layer.name!r} must be {most} to be exported, not {mac.w}")
            exact = isinstance(mac.acc, Fixed) and mac.acc_lsb == mac.product_lsb
            if not exact or needed.get(layer.name, 0) > mac.acc_bits or mac.round != "rne":
                raise HwqError(f"sums of {layer.name!r} must lose no bits to be exported, not as in {layer.datapath}")


def _mac(layer: Layer) -> Mac:
    assert layer.datapath is not None
    return layer.datapath.mac


def _dilation(layer: Layer) -> list[int]:
    return list(layer.node.window.dilation)
