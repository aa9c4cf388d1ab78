"""Rotations: outliers of few channels spread over all of them, by orthogonal matrices merged into the layers around."""

from __future__ import annotations

import torch
from torch import Tensor

from hwq.errors import HwqError
from hwq.ptq.graph import MOVES, WEIGHTED, Graph
from hwq.ptq.lower import Layer
from hwq.ptq.sites import Link, links
from hwq.ptq.transforms.base import Transform
from hwq.ptq.transforms.fold import folded
from hwq.ptq.transforms.rewrite import State
from hwq.ptq.transforms.streams import Stream, streams, without_means

__all__ = ["orthogonal", "rotate"]


def rotate(seed: int = 0, heads: bool = True) -> Transform:
    """QuaRot's merged rotations (arXiv 2404.00456): of the residual streams, and of the values of each head.

    Norms are folded first. What a layer norm reads is brought to a mean of 0 by the layers that write it, so that the
    norm is an RMS norm, which commutes with a rotation. Absent: the rotations that run online, before the last layer of
    an MLP and on queries and keys. A matrix is a Hadamard's with random signs; where the width is no power of two, its
    odd part is random. A stream that something else reads or writes is left alone; a network without any is refused.
    """

    def rewrite(graph: Graph, images: Tensor, layers: tuple[Layer, ...]) -> Graph:
        drawn = torch.Generator().manual_seed(seed)
        bare = folded(graph)
        found, obstacle = streams(bare)
        if not found:
            raise HwqError(f"a network must have a residual stream to rotate, not {obstacle}; leave rotate out")
        for stream in found:
            bare = without_means(bare, stream) if stream.centred else bare
            bare = _rotated(bare, stream, orthogonal(stream.width, drawn))
        return _heads(bare, drawn) if heads else bare

    return Transform(rewrite)


def orthogonal(width: int, drawn: torch.Generator) -> Tensor:
    """A Hadamard matrix [width, width] with random signs, times a random rotation of the odd part of the width."""
    odd = width
    made = torch.ones(1, 1, dtype=torch.float64)
    while odd % 2 == 0:
        odd //= 2
        made = torch.cat([torch.cat([made, made], 1), torch.cat([made, -made], 1)]) / 2**0.5
    if odd > 1:
        turned = torch.linalg.qr(torch.randn(odd, odd, dtype=torch.float64, generator=drawn)).Q
        made = torch.kron(made, turned.contiguous())
    signs = torch.randint(0, 2, (width,), generator=drawn).double() * 2 - 1
    return made * signs.unsqueeze(1)


def _rotated(graph: Graph, stream: Stream, matrix: Tensor) -> Graph:
    """Every value x of a stream as x @ matrix."""
    state: State = dict(graph.state)
    for name in stream.writers:
        _write(state, name, matrix.T)
    for name in stream.readers:
        weight = state[name, "weight"]
        turned = torch.tensordot(weight.double(), matrix, dims=([1], [0])).movedim(-1, 1)
        state[name, "weight"] = turned.to(weight.dtype)
    for name, port, axis in stream.constants:
        value = state[name, port]
        turned = torch.tensordot(value.double(), matrix, dims=([axis], [0])).movedim(-1, axis)
        state[name, port] = turned.to(value.dtype)
    return Graph(graph.nodes, state)


def _write(state: State, name: str, matrix: Tensor) -> None:
    """A layer's output y as matrix @ y."""
    for port in ("weight", "bias"):
        held = state[name, port]
        state[name, port] = torch.tensordot(matrix, held.double(), dims=([1], [0])).to(held.dtype)


def _heads(graph: Graph, drawn: torch.Generator) -> Graph:
    """The values of every head of an attention in another basis, in which the layer behind reads them."""
    for link in links(graph, "values"):
        if _is_linear(graph, link):
            (name, held), *_ = link.targets
            for head in link.heads:
                columns = [held.index(channel) for channel in head]
                graph = _turned(graph, link.source, list(head), name, columns, orthogonal(len(head), drawn))
    return graph


def _is_linear(graph: Graph, link: Link) -> bool:
    """True if each channel of a link is in one head and read once, and nothing on the way rectifies."""
    (name, held), *others = link.targets
    once = sorted(held) == sorted(link.free) == sorted(channel for head in link.heads for channel in head)
    between = [graph[link.source], *map(graph.__getitem__, link.via)]
    straight = all(node.op in (*WEIGHTED, "matmul", *MOVES) and not node.relu for node in between)
    return once and straight and not others and graph[name].op == "linear"


def _turned(graph: Graph, source: str, rows: list[int], name: str, columns: list[int], matrix: Tensor) -> Graph:
    """Some outputs y of a layer as y @ matrix, and the columns of another layer that read them."""
    state: State = {key: x.clone() if key[0] in (source, name) else x for key, x in graph.state.items()}
    for port in ("weight", "bias"):
        held = state[source, port]
        held[rows] = torch.tensordot(matrix.T, held[rows].double(), dims=([1], [0])).to(held.dtype)
    weight = state[name, "weight"]
    weight[:, columns] = (weight[:, columns].double() @ matrix).to(weight.dtype)
    return Graph(graph.nodes, state)
