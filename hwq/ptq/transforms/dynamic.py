"""Ranges found for each token while the network runs, by the host that made the values."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from hwq.ptq.call import Held, Value
from hwq.ptq.graph import Graph, Node
from hwq.ptq.lower import Layer
from hwq.ptq.transforms.base import Transform
from hwq.ptq.transforms.rewrite import State, after, host, unrectified

__all__ = ["dynamic"]

_LEAST = 1e-9


def dynamic() -> Transform:
    """y = (W (x / a)) a + b with a = max|x| of each token: scales per token, as SmoothQuant's O1 has them.

    Of linear layers that read what the host makes, as behind norms and GELU, but for the network's last one. The host
    divides, and multiplies and adds the bias to what the datapath sums: six small operators, on numbers that it reads
    and writes in float. x / a reaches from -1 to 1, so that one fixed scale is the right one for every token.
    """

    def rewrite(graph: Graph, images: Tensor, layers: tuple[Layer, ...]) -> Graph:
        sources = [node.name for node in graph.nodes if node.op == "host" and _readers(graph, node)]
        for name in sources:
            readers = _readers(graph, graph[name])
            graph = _divided(graph, graph[name], readers)
            for reader in readers:
                graph = _multiplied(graph, graph[reader], f"{name}:most")
        return graph

    return Transform(rewrite)


def _readers(graph: Graph, node: Node) -> list[str]:
    """The linear layers that read a value, but for the last one."""
    return [each.name for each in graph.consumers(node.name) if each.op == "linear" and each is not graph.output]


def _divided(graph: Graph, node: Node, readers: list[str]) -> Graph:
    """The value of `node` over its largest magnitude of each token, where `readers` read it."""
    size = host(f"{node.name}:abs", node, "abs.default")
    largest = host(f"{node.name}:largest", size, "amax.default", ("dim", (-1,)), ("keepdim", True))
    largest = replace(largest, shape=(*node.shape[:-1], 1))
    most = host(f"{node.name}:most", largest, "clamp_min.default", ("min", _LEAST))
    unit = host(f"{node.name}:unit", node, "div.Tensor", ("other", Value(1)), reads=(node.name, most.name))
    nodes: list[Node] = []
    for other in graph.nodes:
        nodes.append(replace(other, inputs=(unit.name,)) if other.name in readers else other)
        if other is node:
            nodes += (size, largest, most, unit)
    return Graph(tuple(nodes), graph.state)


def _multiplied(graph: Graph, node: Node, most: str) -> Graph:
    """A layer's sum times what its input was divided by, and its bias after that."""
    bias = graph.state[node.name, "bias"]
    scaled = host(f"{node.name}:scaled", node, "mul.Tensor", ("other", Value(1)), reads=(node.name, most))
    biased = host(f"{node.name}:biased", scaled, "add.Tensor", ("other", Held("other")))
    made = [scaled, biased]
    if node.relu:
        made.append(Node(f"{node.name}:relu", "relu", (biased.name,), node.shape, most=node.most))
    state: State = {(node.name, "bias"): bias.new_zeros(bias.shape), (biased.name, "other"): bias}
    return unrectified(after(graph, node.name, tuple(made), state), node.name)
