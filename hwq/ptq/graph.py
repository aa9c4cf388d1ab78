"""The small language that networks are brought to: a dozen operators, each with its float function."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as fn

from hwq.errors import HwqError
from hwq.ptq.call import Call

__all__ = ["Graph", "Node", "Pair", "Ports", "Product", "Window", "apply", "check_images", "rectify", "release"]

Pair = tuple[int, int]
Product = tuple[int, int, int]
Ports = Callable[[str], "Tensor | None"]

WEIGHTED = ("conv2d", "linear")
SUMS = ("add", "avgpool")
PRODUCTS = (*WEIGHTED, "matmul", *SUMS)  # what runs on a Mac
MOVES = ("reshape", "move")  # what only moves codes
CODES = ("relu", "maxpool", *MOVES)  # what only compares or moves codes
REAL = ("input", "constant", "host")  # what begins with real numbers
_MOST_IMAGES, _MOST_NUMBERS = 128, 2**25


@dataclass(frozen=True)
class Window:
    """Where a convolution or a pool looks: all sizes as (rows, columns)."""

    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    @property
    def size(self) -> int:
        """Positions of one window."""
        return self.kernel[0] * self.kernel[1]


@dataclass(frozen=True)
class Node:
    """One operator; `shape` is the output's, batch left out.

    `relu` says that a rectifier follows inside the node, one that ends at `most`. `call` is what a node that moves, or
    that the host computes, runs. `whole` says of an input that it is of whole numbers, as tokens are.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    window: Window = Window()
    relu: bool = False
    most: float = math.inf
    call: Call | None = None
    whole: bool = False


@dataclass(frozen=True)
class Graph:
    """A network as nodes in order of execution, its tensors keyed by (node, port).

    Ports are "weight" and "bias" of a layer, "value" of a constant, and the names of arguments of a call. The first
    node is the input, the last one the output.
    """

    nodes: tuple[Node, ...]
    state: Mapping[tuple[str, str], Tensor] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Node:
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def _readers(self) -> dict[str, list[Node]]:
        found: dict[str, list[Node]] = {node.name: [] for node in self.nodes}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found[name].append(node)
        return found

    @property
    def input(self) -> Node:
        """The node that stands for the images."""
        return self.nodes[0]

    @property
    def output(self) -> Node:
        """The node whose value the network returns."""
        return self.nodes[-1]

    @cached_property
    def together(self) -> int:
        """Images that run at once: 128, fewer where all of one value would be more than 2**25 numbers."""
        return max(1, min(_MOST_IMAGES, _MOST_NUMBERS // max(math.prod(node.shape) for node in self.nodes)))

    def consumers(self, name: str) -> list[Node]:
        """Every node that reads the value of `name`."""
        return list(self._readers[name])

    def products(self, node: Node) -> list[Product]:
        """The node as matrix products (M, N, K) of one image: one a group of a convolution, one a batched matrix.

        A sum of two values is [elements, 2] x [2, 1], a pool [elements, window] x [window, 1].
        """
        elements, width = math.prod(node.shape), node.shape[-1]
        match node.op:
            case "conv2d":
                groups, outputs = node.window.groups, node.shape[0]
                depth = self.state[node.name, "weight"][0].numel()
                return [(elements // outputs, outputs // groups, depth)] * groups
            case "linear":
                return [(elements // width, width, self.state[node.name, "weight"].shape[1])]
            case "matmul":
                rows = node.shape[-2]
                return [(rows, width, self[node.inputs[0]].shape[-1])] * (elements // (rows * width))
            case "avgpool":
                return [(elements, 1, node.window.size)]
            case "add":
                return [(elements, 1, len(node.inputs))]
        return []

    def macs(self, node: Node) -> int:
        """Multiply-accumulates of the node for one image; 0 where it only moves or compares codes."""
        return sum(map(math.prod, self.products(node))) + (node.call.macs if node.call else 0)

    def walk(self, images: Tensor) -> Iterator[tuple[Node, Tensor, Tensor]]:
        """Every node with its float value [N, *shape] before and after its rectifier, in order.

        A value is dropped after its last reader.
        """
        left = self.readers()
        values: dict[str, Tensor] = {}
        for node in self.nodes:
            read = [values[name] for name in node.inputs]
            before = images if node.op == "input" else apply(node, read, self.ports(node), len(images))
            values[node.name] = rectify(node, before)
            yield node, before, values[node.name]
            release(values, node, left)

    def ports(self, node: Node) -> Callable[[str], Tensor | None]:
        """What the node holds, by port."""
        return lambda port: self.state.get((node.name, port))

    def readers(self) -> dict[str, int]:
        """How many nodes read each value."""
        return {name: len(nodes) for name, nodes in self._readers.items()}

    def run(self, images: Tensor) -> Tensor:
        """The network's float output [N, ...]."""
        *_, (_, _, value) = self.walk(images)
        return value


def release(values: dict[str, Tensor], node: Node, left: dict[str, int]) -> None:
    """Drop what `node` was the last to read; `left` counts down the readers to come."""
    for name in dict.fromkeys(node.inputs):
        left[name] -= 1
        if left[name] == 0:
            del values[name]


def rectify(node: Node, x: Tensor) -> Tensor:
    """`x` after the node's rectifier."""
    return x.clamp(0, node.most) if node.relu else x


def apply(node: Node, read: list[Tensor], held: Ports, images: int) -> Tensor:
    """What `node` computes of `read` in torch's arithmetic, for any meaning of the numbers; `held` gives its tensors.

    A rectifier inside the node is left out.
    """
    w, weight = node.window, held("weight")
    match node.op:
        case "constant":
            value = held("value")
            assert value is not None
            return value.expand(images, *value.shape)
        case "conv2d" if weight is not None:
            return fn.conv2d(read[0], weight, held("bias"), w.stride, w.padding, w.dilation, w.groups)
        case "linear" if weight is not None:
            return fn.linear(read[0], weight, held("bias"))
        case "matmul":
            return read[0] @ read[1]
        case "add":
            return sum(read[1:], start=read[0])
        case "avgpool":
            return fn.avg_pool2d(read[0], w.kernel, w.stride, w.padding)
        case "maxpool":
            return fn.max_pool2d(read[0], w.kernel, w.stride, w.padding, w.dilation)
        case "relu":
            return read[0].clamp(0, node.most)
        case "reshape":
            return read[0].reshape(-1, *node.shape)
        case "move" | "host" if node.call is not None:
            return node.call.run(read, _there(held), images)
    raise HwqError(f"an operator must be one of {', '.join((*PRODUCTS, *CODES, *REAL))}, not {node.op!r}")


def _there(held: Ports) -> Callable[[str], Tensor]:
    def get(port: str) -> Tensor:
        found = held(port)
        assert found is not None
        return found

    return get


def check_images(graph: Graph, images: Tensor, what: str = "images") -> None:
    """Refuse what cannot be an input of `graph`: no images, another shape, nan or inf."""
    shape = list(graph.input.shape)
    whole = graph.input.whole
    if not isinstance(images, Tensor) or images.is_floating_point() == whole:
        kind, wanted = str(getattr(images, "dtype", type(images).__name__)), "an integer" if whole else "a float"
        raise HwqError(f"{what} must be {wanted} tensor [N, {', '.join(map(str, shape))}], not {kind}")
    if list(images.shape[1:]) != shape:
        raise HwqError(f"{what} must have the shape [N, {', '.join(map(str, shape))}], not {list(images.shape)}")
    if len(images) == 0:
        raise HwqError(f"{what} must be 1 or more, not 0")
    if not bool(torch.isfinite(images).all()):
        raise HwqError(f"{what} must be finite, not with nan or inf among them")
