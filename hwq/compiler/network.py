"""A quantized network as the program of a streaming kernel, with the codes that each of its layers must give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from hwq.compiler.engine import engine
from hwq.compiler.passes import KEEPS, Pass, passes
from hwq.compiler.places import places
from hwq.datapath import Datapath, Plan
from hwq.datapath.operand import zero_code
from hwq.errors import HwqError
from hwq.kernel import Codes, Entry, Join, Kernel, Program, as_words, program_cycles, units, utilisation
from hwq.kernel import Layer as KernelLayer
from hwq.kernel import Tensor as Stored
from hwq.ptq.fake import highest
from hwq.ptq.lower import Layer
from hwq.ptq.quantized import QuantizedModel

__all__ = ["Compiled", "compile_network"]


@dataclass(frozen=True, eq=False)
class Compiled:
    """A network on a kernel: what is built, what it runs, and where each of its values comes from."""

    network: QuantizedModel
    steps: tuple[Pass, ...]
    kernel: Kernel
    program: Program
    plan: Plan

    @cached_property
    def macs(self) -> int:
        """Products of one image: those of convolutions, linear layers, pools and sums."""
        return sum(m * n * k for _, m, n, k in self.network.products())

    @property
    def cycles(self) -> int:
        """Cycles from image to image."""
        return program_cycles(self.plan, self.program, self.kernel.share)

    @property
    def utilisation(self) -> float:
        """The share of the multipliers' cycles that the network's own products take; sums are added elsewhere."""
        sums = {step.total.name for step in self.steps if step.total is not None}
        layers = [layer for layer in self.network.layers if layer.datapath is not None and layer.name not in sums]
        macs = sum(m * n * k for layer in layers for m, n, k in self.network.graph.products(layer.node))
        return utilisation(self.plan, self.program, macs, self.kernel.share)

    def images(self, images: Tensor) -> list[Codes]:
        """The codes [channels, height, width] that the kernel is given of images [N, ...]."""
        (_, codes), *_ = self.network.walk_exact(images)
        entry = self.kernel.entry
        return [np.asarray(one).reshape(entry.channels, entry.height, entry.width) for one in codes]

    def expected(self, images: Tensor) -> list[list[Codes]]:
        """Of each image and pass, the words [n, lanes] that are stored, by the exact evaluator."""
        stored = {step.name: at for at, step in enumerate(self.steps)}
        zero = zero_code(self.kernel.datapath.mac.a) or 0
        found: list[list[Codes]] = [[np.empty(0)] * len(stored) for _ in images]
        for layer, codes in self.network.walk_exact(images):
            if layer.name in stored:
                for image, one in enumerate(codes):
                    shaped = np.asarray(one).reshape(_shape(layer))
                    found[image][stored[layer.name]] = as_words(shaped, self.kernel.lanes, zero)
        return found


def compile_network(
    network: QuantizedModel,
    lanes: int = 16,
    device: str = "portable",
    clock: float | None = None,
    cuts: tuple[str, ...] = (),
    share: int = 1,
) -> Compiled:
    """The smallest kernel of `lanes` channels by `lanes` products a cycle that runs a network, and what it runs.

    An epilogue serves `share` columns. `clock` in MHz picks the cuts, as `hwq.datapath.plan` does; `cuts` else.
    """
    steps = passes(network)
    products = [layer for step in steps for layer in (step.product, step.total) if layer is not None]
    dp = engine(products, lanes, cuts)
    plan = units(dp, device, clock)
    dp = plan.dp
    maker = _Maker(network, steps, dp)
    program = Program(maker.entry, tuple(maker.layers()))
    return Compiled(network, steps, Kernel.of(dp, program, share), program, plan)


def _shape(layer: Layer) -> tuple[int, int, int]:
    """(channels, height, width) of a value; a vector is one pixel."""
    shape = layer.node.shape
    if len(shape) == 1:
        return shape[0], 1, 1
    if len(shape) != 3:
        raise HwqError(f"a value must be [channels, height, width] or [channels] to be compiled, not {list(shape)}")
    return shape[0], shape[1], shape[2]


class _Maker:
    """Program layers of the passes of a network."""

    def __init__(self, network: QuantizedModel, steps: Sequence[Pass], dp: Datapath) -> None:
        self.network, self.steps, self.dp = network, steps, dp
        self.lanes, self.mac = dp.array.lanes, dp.mac
        self.shapes = {layer.name: _shape(layer) for layer in network.layers if layer.op not in KEEPS}
        self.input = network.layers[0].name
        sizes = {name: self._words(c) * h * w for name, (c, h, w) in self.shapes.items()}
        self.places = places(steps, sizes)

    def _words(self, channels: int) -> int:
        return -(-channels // self.lanes)

    @cached_property
    def entry(self) -> Entry:
        """How images come; windows of a row where the first layer alone reads them and its kernel's row fits a word."""
        channels, height, width = self.shapes[self.input]
        readers = [step for step in self.steps if self.input in (step.reads, step.other)]
        if channels > self.lanes:
            raise HwqError(f"an image must have at most as many channels as a word, {self.lanes}, not {channels}")
        first = readers[0].product
        w = first.node.window
        fits = w.kernel[1] * channels <= self.lanes and w.padding[1] < w.kernel[1] and w.groups == 1
        if len(readers) > 1 or first.op != "conv2d" or not fits or w.dilation[1] > 1 or w.stride[1] & w.stride[1] - 1:
            return Entry(channels, height, width)
        return Entry(channels, height, width, w.kernel[1], w.padding[1], w.stride[1])

    def layers(self) -> Iterator[KernelLayer]:
        for at, step in enumerate(self.steps):
            channels, height, width = self.shapes[step.name]
            target = None
            if at < len(self.steps) - 1:
                target = Stored(*self.places[step.name], height, width, self._words(channels))
            yield self._layer(step, target, channels, height, width)

    def _layer(self, step: Pass, target: Stored | None, channels: int, height: int, width: int) -> KernelLayer:
        node, w = step.product.node, step.product.node.window
        source, weight = self._source(step.reads), self._weights(step)
        stride, padding, dilation = w.stride, w.padding, w.dilation
        diagonal = weight.shape[1] == 1 and source.words > 1
        if step.reads == self.input and self.entry.taps > 1:
            weight = self._windows(weight)
            stride, padding = (w.stride[0], 1), (w.padding[0], 0)
        if node.op == "linear":
            stride, padding, dilation = (1, 1), (0, 0), (1, 1)
        return KernelLayer(
            step.name,
            source,
            target,
            height,
            width,
            self._words(channels),
            weight,
            self._parameters(step.product, channels),
            stride,
            padding,
            dilation,
            diagonal,
            self._relu(step.product),
            self._join(step) if step.total is not None else None,
        )

    def _source(self, name: str) -> Stored:
        channels, height, width = self.shapes[name]
        if name == self.input:
            return Stored(0, 0, height, self.entry.places if self.entry.taps > 1 else width, 1)
        return Stored(*self.places[name], height, width, self._words(channels))

    def _weights(self, step: Pass) -> Codes:
        """Codes [cols, words of the source, rows, columns, lanes]; [cols, 1, ...] where each channel reads its own."""
        layer, zero = step.product, zero_code(self.mac.w)
        assert zero is not None
        codes = np.asarray(self.network.state[layer.name, "weight"]).astype(np.int64)
        channels, height, width = self.shapes[step.reads]
        outputs = self._words(self.shapes[layer.name][0]) * self.lanes
        w = layer.node.window
        own = layer.op == "avgpool" or w.groups == channels == self.shapes[layer.name][0] and w.groups > 1
        if own:
            rows, cols = w.kernel
            spread = np.broadcast_to(codes.reshape(-1, rows, cols), (channels, rows, cols))
            found = np.full((outputs, 1, rows, cols, self.lanes), zero, np.int64)
            for channel in range(channels):
                found[channel, 0, :, :, channel % self.lanes] = spread[channel]
            return found
        if layer.op == "linear":
            codes = codes.reshape(len(codes), channels, height, width)
        dense = np.full((outputs, self._words(channels) * self.lanes, *codes.shape[2:]), zero, np.int64)
        each, of = codes.shape[1], len(codes) // w.groups
        for group in range(w.groups):
            rows_, cols_ = slice(group * of, group * of + of), slice(group * each, group * each + each)
            dense[rows_, cols_] = codes[rows_]
        return dense.reshape(outputs, -1, self.lanes, *codes.shape[2:]).transpose(0, 1, 3, 4, 2)

    def _windows(self, weight: Codes) -> Codes:
        """The weights for words that hold a row of a window: tap after tap, of each its channels."""
        channels, taps = self.entry.channels, self.entry.taps
        zero = zero_code(self.mac.w)
        found = np.full((len(weight), 1, weight.shape[2], 1, self.lanes), zero, np.int64)
        for tap in range(taps):
            found[:, 0, :, 0, tap * channels : (tap + 1) * channels] = weight[:, 0, :, tap, :channels]
        return found

    def _parameters(self, layer: Layer, channels: int) -> Codes:
        """Codes [cols, bias, mul, shift]; a channel that only fills a word has weights of zero, and gives zero."""
        found = np.zeros((self._words(channels) * self.lanes, 3), np.int64)
        requant = self.mac.requant
        assert requant is not None
        found[:, 1] = 1 << requant.bits - 1
        found[:channels] = np.stack([np.broadcast_to(self._codes(layer, port), channels) for port in _PORTS], 1)
        return found

    def _codes(self, layer: Layer, port: str) -> Codes:
        """A parameter's codes; a bias in the width of the kernel's accumulator, its sign extended."""
        codes = np.asarray(self.network.state[layer.name, port]).astype(np.int64)
        if port != "bias":
            return codes
        assert layer.datapath is not None
        own, bits = layer.datapath.mac.acc_bits, self.mac.acc_bits
        signed = codes - ((codes >> own - 1 & 1) << own)
        return signed & (1 << bits) - 1

    def _join(self, step: Pass) -> Join:
        assert step.total is not None and step.other is not None
        total = step.total
        weights = np.asarray(self.network.state[total.name, "weight"]).reshape(-1)
        parameters = tuple(int(self._codes(total, port).reshape(-1)[0]) for port in _PORTS)
        own, other = (int(weights[place]) for place in (step.place, 1 - step.place))
        return Join(self._source(step.other), (own, other), parameters, self._relu(total))

    def _relu(self, layer: Layer) -> bool:
        """Whether the layer's codes are rectified."""
        if layer.node.relu and layer.fmt is not None:
            scale = float(self.network.state[layer.name, "scale"])
            if highest(layer, scale) < layer.fmt.max:
                raise HwqError(
                    f"a rectifier must not end below its format's range to be compiled, not that of {layer.name}"
                )
        return layer.node.relu


_PORTS = ("bias", "mul", "shift")
