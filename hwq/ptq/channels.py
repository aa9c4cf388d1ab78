"""Where the channels of a value go: followed through views, pools and products of values up to the layers that read.

Every element of the value is labelled with its channel, and what moves codes moves the labels: no operator needs a
rule of its own. A label is the channel plus 1; 0 stands for a zero that was put in, -1 for what is of another value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hwq.ptq.graph import MOVES, WEIGHTED, Graph, Node, apply

__all__ = ["Path", "columns", "follow", "labelled", "moved"]

_FOREIGN = -1


@dataclass
class Path:
    """What was found: `readers` {layer: columns}, with the channel that each input column of a layer has, -1 for none.

    `held` are channels that something else reads, `via` the nodes between, `heads` the channels of each matrix that a
    product of two values takes as its second one, `shifts` whether a number added to a channel arrives as it is: not
    where zeros are put in, a rectifier cuts or a product weighs.
    """

    readers: dict[str, tuple[int, ...]] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)
    via: list[str] = field(default_factory=list)
    heads: list[tuple[int, ...]] = field(default_factory=list)
    shifts: bool = True


def labelled(shape: tuple[int, ...], axis: int) -> Tensor:
    """The labels of a value of `shape` with channels along `axis`."""
    wide = [1] * len(shape)
    wide[axis] = shape[axis]
    return torch.arange(1, shape[axis] + 1).reshape(wide).expand(shape)


def follow(graph: Graph, source: str, axis: int) -> Path:
    """The way of the channels of `source` along `axis`, through what treats each channel alone and knows no unit."""
    path, labels = Path(), {source: labelled(graph[source].shape, axis)}
    last = {name: node for node in graph.nodes for name in node.inputs}
    for node in graph.nodes:
        if not any(name in labels for name in node.inputs):
            continue
        made = _through(graph, node, labels, path)
        if made is not None:
            labels[node.name] = made
            path.via.append(node.name)
        for name in {*node.inputs} & {*labels}:
            if last[name] is node:
                del labels[name]
    _hold(path, *(labels.values()))  # the network's output
    return path


def _through(graph: Graph, node: Node, labels: dict[str, Tensor], path: Path) -> Tensor | None:
    """The labels of what a node makes; None where the way ends, at a layer or where a channel is held."""
    read = [labels.get(name) for name in node.inputs]
    known = [x for x in read if x is not None]
    if node.op in WEIGHTED:
        path.shifts &= not any(node.window.padding)
        found = columns(known[0], -1 if node.op == "linear" else 0)
        if found is not None:
            path.readers[node.name] = tuple(found.tolist())
        else:
            _hold(path, known[0])
        return None
    made = None
    if node.op in MOVES:
        made = moved(graph, node, [_foreign(graph, name) if x is None else x for name, x in _pairs(node, read)])
        path.shifts &= not bool((made == 0).any())
    elif node.op in ("avgpool", "maxpool", "relu") and node.most == math.inf:
        made = _pooled(node, known[0])
        path.shifts &= not (node.relu or node.op == "relu" or (node.op == "avgpool" and any(node.window.padding)))
    elif node.op == "matmul" and read[0] is None and node.most == math.inf:
        made = _weighed(node, known[0], path)
        path.shifts = False
    if made is None:
        _hold(path, *known)
    return made


def _pairs(node: Node, read: list[Tensor | None]) -> Iterator[tuple[str, Tensor | None]]:
    return zip(node.inputs, read, strict=True)


def _foreign(graph: Graph, name: str) -> Tensor:
    return torch.full(graph[name].shape, _FOREIGN)


def moved(graph: Graph, node: Node, read: list[Tensor]) -> Tensor:
    """What moves codes, on labels."""
    given = [x.unsqueeze(0) for x in read]
    if node.call is None:
        return apply(node, given, graph.ports(node), 1)[0]

    def held(port: str) -> Tensor:
        return graph.state[node.name, port]

    return node.call.move(given, held, 1)[0]


def columns(labels: Tensor, axis: int) -> Tensor | None:
    """The channel of every place along `axis`, -1 for none; None if a place has two, or one and another value."""
    rows = labels.movedim(axis, 0).reshape(labels.shape[axis], -1)
    high = rows.amax(1)
    alone = ((rows == high.unsqueeze(1)) | (rows == 0)).all(1) | (high <= 0)
    return (high.clamp(min=0) - 1) if bool(alone.all()) else None


def _pooled(node: Node, labels: Tensor) -> Tensor | None:
    if node.op == "relu":
        return labels
    found = columns(labels, 0)
    return None if found is None else _spread(found, labels).reshape(-1, 1, 1).expand(node.shape)


def _weighed(node: Node, labels: Tensor, path: Path) -> Tensor | None:
    """The labels of X @ V, of those of V [..., K, N]: every column of V stays a column."""
    high = labels.amax(-2, keepdim=True)
    if not bool(((labels == high) | (labels == 0)).all()):
        return None
    path.heads += [tuple(row) for row in (high.squeeze(-2).reshape(-1, high.shape[-1]) - 1).tolist()]
    return high.expand(node.shape)


def _spread(found: Tensor, labels: Tensor) -> Tensor:
    """Labels along the first axis again, of their channels."""
    foreign = (labels.flatten(1) == _FOREIGN).any(1)
    return torch.where(foreign, torch.full_like(found, _FOREIGN), found + 1)


def _hold(path: Path, *labels: Tensor) -> None:
    for x in labels:
        path.held |= {label - 1 for label in set(x.flatten().tolist()) if label > 0}
