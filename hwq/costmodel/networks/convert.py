"""Layers of a quantized network, whoever quantized it: what it must offer is said by the protocols, as hwq.ptq does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

from hwq.costmodel.networks.layers import Layer, Widths, gemm
from hwq.datapath import Datapath

__all__ = ["Model", "layers_of", "left_out"]

Pair = tuple[int, int]
CODES = ("input", "constant", "reshape", "move")  # what has nothing to compute


class Window(Protocol):
    """Where a convolution or a pool looks: sizes as (rows, columns)."""

    @property
    def kernel(self) -> Pair: ...
    @property
    def stride(self) -> Pair: ...
    @property
    def padding(self) -> Pair: ...
    @property
    def dilation(self) -> Pair: ...
    @property
    def groups(self) -> int: ...


class Node(Protocol):
    """One operator; `shape` is its output's of one image: [C, H, W] of maps, [..., width] of the rest."""

    @property
    def name(self) -> str: ...
    @property
    def op(self) -> str: ...
    @property
    def inputs(self) -> tuple[str, ...]: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def window(self) -> Window: ...


class Quantized(Protocol):
    """An operator with the datapath that computes it, None if none does."""

    @property
    def node(self) -> Node: ...
    @property
    def datapath(self) -> Datapath | None: ...


class Model(Protocol):
    """A network in order of execution, such as `hwq.ptq.QuantizedModel`."""

    @property
    def layers(self) -> Sequence[Quantized]: ...


def layers_of(model: Model) -> list[Layer]:
    """The products of one image: convolutions, linear layers, products of two values, average pools and sums.

    Each has the operand widths of its datapath, whose output path does all that follows: `vector_ops` are 0.
    """
    return list(_layers(model))


def left_out(model: Model) -> list[str]:
    """What computes but is no product of a datapath, as "name (operator)": max pools, rectifiers, the host's."""
    return [f"{x.node.name} ({x.node.op})" for x in model.layers if x.datapath is None and x.node.op not in CODES]


def _layers(model: Model) -> Iterator[Layer]:
    shapes = {layer.node.name: layer.node.shape for layer in model.layers}
    for layer in model.layers:
        if layer.datapath is not None:
            node = layer.node
            yield _layer(node, shapes[node.inputs[0]], Widths.of(layer.datapath.mac))


def _layer(node: Node, read: tuple[int, ...], widths: Widths) -> Layer:
    """`read` is the shape of the first input."""
    elements, width = math.prod(node.shape), node.shape[-1]
    match node.op:
        case "conv2d":
            return _window(node, read, widths, node.window.groups)
        case "avgpool":
            return _window(node, read, widths, read[0])
        case "add":
            return gemm(node.name, widths, elements, 1, len(node.inputs))
        case "matmul":
            rows = node.shape[-2]
            return gemm(node.name, widths, rows, width, read[-1], elements // (rows * width))
    return gemm(node.name, widths, elements // width, width, read[-1])


def _window(node: Node, read: tuple[int, ...], widths: Widths, groups: int) -> Layer:
    window, (outputs, rows, cols), (inputs, high, wide) = node.window, node.shape, read
    return Layer(
        node.name,
        widths,
        outputs // groups,
        inputs // groups,
        (rows, cols),
        (high, wide),
        window.kernel,
        window.stride,
        window.padding,
        window.dilation,
        groups,
    )
