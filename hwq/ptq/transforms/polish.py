"""LogNP: values with outliers are stored on a logarithmic scale, and brought back before a layer reads them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from hwq.ptq.call import Held, Value
from hwq.ptq.graph import MOVES, WEIGHTED, Graph, Node
from hwq.ptq.lower import Layer
from hwq.ptq.transforms.base import Transform
from hwq.ptq.transforms.rewrite import State, host
from hwq.ptq.transforms.statistics import samples

__all__ = ["polish"]

_ROWS = 4096
_LEAST = 1e-6


def polish(percentile: float = 95.0, above: float = 16.0) -> Transform:
    """QuartDepth's phi(x) = sign(x) log(|x| / a + 1), quantized, then a sign(y) (exp|y| - 1) (arXiv 2503.16709).

    a is the `percentile` of a channel's magnitudes. Reconstructed: the paper's code is not public, and neither is its
    choice of layers; here those whose input, after bias and rectifier, is somewhere `above` times its mean magnitude.
    Its base of 2 changes nothing but the scale. Ten small operators run on the host for each; between them stands a sum
    of one term, NAME:polished, which is where the value is quantized for storage: an assignment may name its format
    ("*:polished"), as what a layer multiplies is the value brought back, in the layer's own format, and wider.
    """

    def rewrite(graph: Graph, images: Tensor, layers: tuple[Layer, ...]) -> Graph:
        axes = {name: axis for name, axis in _inputs(graph).items() if graph[name].op != "input"}
        seen = samples(graph, images, axes.items(), _ROWS)
        for name, axis in axes.items():
            size = seen[name].abs()
            if float(size.max()) > above * float(size.mean()):
                middle = size.quantile(percentile / 100, 0)
                middle = torch.where(middle > _LEAST, middle, middle.mean().clamp(min=_LEAST))
                graph = _polished(graph, graph[name], axis, middle)
        return graph

    return Transform(rewrite)


def _inputs(graph: Graph) -> dict[str, int]:
    """The values that weighted layers read, before what only moves them, with the axis of their channels."""
    found: dict[str, int] = {}
    for node in graph.nodes:
        if node.op in WEIGHTED:
            name = node.inputs[0]
            axis = 0 if node.op == "conv2d" else len(graph[name].shape) - 1
            if graph[name].op not in MOVES:
                found.setdefault(name, axis)
    return found


def _polished(graph: Graph, node: Node, axis: int, middle: Tensor) -> Graph:
    """The value of `node` through the pair where weighted layers read it."""
    like = next(x for x in graph.state.values() if x.is_floating_point()).dtype
    a = middle.to(like).reshape([-1 if i == axis else 1 for i in range(len(node.shape))])
    name = f"{node.name}:polished"
    down = host(f"{node.name}:abs", node, "abs.default")
    part = host(f"{node.name}:part", down, "div.Tensor", ("other", Held("other")))
    log = host(f"{node.name}:log", part, "log1p.default")
    sign = host(f"{node.name}:sign", node, "sign.default")
    phi = host(f"{node.name}:phi", log, "mul.Tensor", ("other", Value(1)), reads=(log.name, sign.name))
    stored = Node(name, "add", (phi.name,), node.shape)
    up = host(f"{name}:abs", stored, "abs.default")
    power = host(f"{name}:exp", up, "expm1.default")
    whole = host(f"{name}:whole", power, "mul.Tensor", ("other", Held("other")))
    back_sign = host(f"{name}:sign", stored, "sign.default")
    back = host(f"{name}:back", whole, "mul.Tensor", ("other", Value(1)), reads=(whole.name, back_sign.name))
    made = (down, part, log, sign, phi, stored, up, power, whole, back_sign, back)
    nodes: list[Node] = []
    for other in graph.nodes:
        reads = other.op in WEIGHTED and node.name in other.inputs
        nodes.append(replace(other, inputs=(back.name,)) if reads else other)
        if other is node:
            nodes += made
    held: State = {(part.name, "other"): a, (whole.name, "other"): a}
    return Graph(tuple(nodes), dict(graph.state) | held)
