"""LoRC and the SVD branch: two thin layers beside a layer, and a sum, which carry what its rounded weights miss."""

from __future__ import annotations

from torch import Tensor

from hwq.errors import HwqError
from hwq.ptq.compensate import svd_branch
from hwq.ptq.graph import WEIGHTED, Graph, Node, Window
from hwq.ptq.lower import Layer
from hwq.ptq.scales import CALIBRATORS
from hwq.ptq.transforms.awq import rounded_weight
from hwq.ptq.transforms.base import Transform
from hwq.ptq.transforms.rewrite import after, unrectified

__all__ = ["branch"]


def branch(rank: int = 8, turns: int = 0, weights: str = "fpcs") -> Transform:
    """W x as (W - U V) x + U (V x), U V [N, K] of `rank` being the best for W less its nearest codes.

    LoRC of ZeroQuant-V2 (arXiv 2303.08302); with `turns` the branch and the codes of the rest are found in turn, as in
    Brevitas' svd_quant. Scales are found by the rule `weights`: W - U V lies so near to the points of one that a coarse
    search misses it. NAME:down is V, NAME:up is U and NAME:sum adds: layers of the network that have datapaths of their
    own ("*:down" in an assignment, the role of NAME without it), are computed exactly and priced. Codes are those of
    W - U V, to which at one scale none of W can be nearer. The first layer, the last one and those of several groups
    have no branch, nor do those that have fewer inputs or outputs than twice the rank.
    """
    rule = CALIBRATORS[weights]

    def rewrite(graph: Graph, images: Tensor, layers: tuple[Layer, ...]) -> Graph:
        by_name = {layer.name: layer for layer in layers}
        names = [node.name for node in graph.nodes if node.op in WEIGHTED]
        if twice := [name for name in names if f"{name}:down" in names]:
            raise HwqError(f"{twice[0]!r} must have one branch, not two; leave one of lorc and svd-branch out")
        for name in names[1:-1]:
            thin = 2 * rank <= min(graph.state[name, "weight"].flatten(1).shape)
            graph = _branched(graph, graph[name], by_name[name]) if thin and graph[name].window.groups == 1 else graph
        return graph

    def _branched(graph: Graph, node: Node, layer: Layer) -> Graph:
        weight = graph.state[node.name, "weight"]

        def rounded(rows: Tensor) -> Tensor:
            return rounded_weight(rows.reshape(weight.shape), layer, rule).flatten(1)

        found = svd_branch(weight.flatten(1).double(), rounded, rank, turns)
        return _put(graph, node, found.out.to(weight.dtype), found.into.to(weight.dtype))

    return Transform(rewrite, sees_formats=True)


def _put(graph: Graph, node: Node, out: Tensor, into: Tensor) -> Graph:
    """`node` less the product of out [N, r] and into [r, K], which stands beside it as layers and a sum."""
    weight, rank = graph.state[node.name, "weight"], len(into)
    rest = weight.double() - (out.double() @ into.double()).reshape(weight.shape)
    convolves = node.op == "conv2d"
    thin = (rank, *node.shape[1:]) if convolves else (*node.shape[:-1], rank)
    down = Node(f"{node.name}:down", node.op, node.inputs, thin, node.window)
    up = Node(f"{node.name}:up", node.op, (down.name,), node.shape, Window())
    both = Node(f"{node.name}:sum", "add", (node.name, up.name), node.shape, relu=node.relu, most=node.most)
    state = {
        (node.name, "weight"): rest.to(weight.dtype),
        (down.name, "weight"): into.reshape(rank, *weight.shape[1:]),
        (down.name, "bias"): weight.new_zeros(rank),
        (up.name, "weight"): out.reshape(len(out), rank, *[1] * (weight.dim() - 2)),
        (up.name, "bias"): weight.new_zeros(len(out)),
    }
    return unrectified(after(graph, node.name, (down, up, both), state), node.name)
