"""Residual streams: values that norms read, with all that writes and reads them, so that their basis may be changed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from hwq.ptq.channels import labelled, moved
from hwq.ptq.graph import MOVES, WEIGHTED, Graph, Node
from hwq.ptq.transforms.rewrite import State

__all__ = ["Stream", "streams", "without_means"]

_NORMS = ("layer_norm", "rms_norm")


@dataclass(frozen=True)
class Stream:
    """All values in one basis of `width` channels, joined by sums, moves, means over places and bare norms.

    `writers` are layers that make a part of it, `readers` those that read it, `constants` are numbers that join it,
    tables of embeddings among them, as (name, port, axis of the channels). `centred` are layer norms in it, which must
    be told from RMS norms: they take off a mean.
    """

    width: int
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    constants: tuple[tuple[str, str, int], ...]
    centred: tuple[str, ...]


class _ObstacleError(Exception):
    """Why a stream cannot be rotated."""


def streams(graph: Graph) -> tuple[list[Stream], str]:
    """The streams of `graph`, and why the last one that is none is none."""
    found: list[Stream] = []
    obstacle, seen = "one without norms", set[str]()
    for node in graph.nodes:
        if not _is_norm(node) or node.name in seen:
            continue
        axes = {node.inputs[0]: len(graph[node.inputs[0]].shape) - 1}
        try:
            _grow(graph, axes)
            found.append(_stream(graph, axes))
        except _ObstacleError as error:
            obstacle = str(error)
        seen |= axes.keys()
    return found, obstacle


def _is_norm(node: Node) -> bool:
    return node.call is not None and node.op == "host" and node.call.name in _NORMS


def _is_table(node: Node) -> bool:
    return node.call is not None and node.op == "host" and node.call.name == "embedding"


def _grow(graph: Graph, axes: dict[str, int]) -> None:
    """Add what must share the basis of the values in `axes` {name: axis of the channels}, to the end."""
    waiting = list(axes)
    while waiting:
        name = waiting.pop()
        if name == graph.output.name:
            raise _ObstacleError("one that is the network's result")
        for node in (graph[name], *graph.consumers(name)):
            for other, axis in _joined(graph, node, axes).items():
                if other not in axes:
                    waiting.append(other)
                if axes.setdefault(other, axis) != axis:
                    raise _ObstacleError(f"one whose channels change places at {node.name!r}")


def _joined(graph: Graph, node: Node, axes: dict[str, int]) -> dict[str, int]:
    """The axes of the values that a node joins, of which one is in `axes`."""
    every = (*node.inputs, node.name)
    known = next(axes[name] for name in every if name in axes)
    if node.op in WEIGHTED:
        _check_layer(graph, node, axes)
        return {}
    if _is_table(node) and node.name in axes and axes[node.name] != len(node.shape) - 1:
        raise _ObstacleError(f"one that {node.name!r} writes along another axis")
    if node.op == "constant" or _is_table(node):
        return {}
    if _is_norm(node):
        _check_norm(graph, node)
        return dict.fromkeys(every, len(node.shape) - 1)
    if node.op in ("add", "avgpool") and not node.relu:
        return dict.fromkeys(every, known if node.op == "add" else 0)
    if node.op in MOVES:
        return _moved(graph, node, axes)
    raise _ObstacleError(f"one that {node.name!r} makes or reads")


def _check_layer(graph: Graph, node: Node, axes: dict[str, int]) -> None:
    """Refuse a layer that writes or reads along another axis than that of the channels, or rectifies."""
    written, read = (node.name in axes, node.inputs[0] in axes)
    at = 0 if node.op == "conv2d" else len(node.shape) - 1
    if written and (node.relu or axes[node.name] != at):
        raise _ObstacleError(f"one that {node.name!r} writes rectified or along another axis")
    if read and (node.window.groups > 1 or axes[node.inputs[0]] != at):
        raise _ObstacleError(f"one that {node.name!r} reads in groups or along another axis")


def _check_norm(graph: Graph, node: Node) -> None:
    assert node.call is not None
    if len(dict(node.call.arguments)["normalized_shape"]) != 1 or any(name == node.name for name, _ in graph.state):
        raise _ObstacleError(f"one whose norm {node.name!r} has gains that stay")


def _moved(graph: Graph, node: Node, axes: dict[str, int]) -> dict[str, int]:
    """The axis of the channels before and after a move."""
    shapes = [graph[name].shape for name in node.inputs]
    for before in range(len(shapes[0])):
        if any(axes.get(name, before) != before for name in node.inputs):
            continue
        labels = moved(graph, node, [labelled(shape, before) for shape in shapes])
        for after in range(len(node.shape)):
            same = node.shape[after] == shapes[0][before]
            if same and axes.get(node.name, after) == after:
                want = labelled(node.shape, after)
                if bool(((labels == want) | (labels == 0)).all()):
                    return dict.fromkeys(node.inputs, before) | {node.name: after}
    raise _ObstacleError(f"one whose channels change places at {node.name!r}")


def _stream(graph: Graph, axes: dict[str, int]) -> Stream:
    """The stream of the values in `axes`."""
    nodes = [node for node in graph.nodes if node.name in axes]
    norms = [node for node in nodes if _is_norm(node)]
    centred = tuple(node.name for node in norms if node.call is not None and node.call.name == "layer_norm")
    readers = [node for node in graph.nodes if node.op in WEIGHTED and node.inputs[0] in axes]
    if centred:
        raw = _raw(graph, nodes)
        for node in [*readers, *(norm for norm in norms if norm.name not in centred)]:
            if node.inputs[0] in raw:
                raise _ObstacleError(f"one that {node.name!r} reads with its mean")
    writers = tuple(node.name for node in nodes if node.op in WEIGHTED)
    constants = [(node.name, "value", axes[node.name]) for node in nodes if node.op == "constant"]
    constants += [(node.name, "weight", 1) for node in nodes if _is_table(node)]
    width = graph[nodes[0].name].shape[axes[nodes[0].name]]
    return Stream(width, writers, tuple(node.name for node in readers), tuple(constants), centred)


def _raw(graph: Graph, nodes: list[Node]) -> set[str]:
    """Values of a stream that no norm has brought to a mean of 0."""
    raw: set[str] = set()
    for node in nodes:
        made = node.op in WEIGHTED or node.op == "constant" or _is_table(node)
        if made or (not _is_norm(node) and any(name in raw for name in node.inputs)):
            raw.add(node.name)
    return raw


def without_means(graph: Graph, stream: Stream) -> Graph:
    """A stream whose every value has a mean of 0, so that its layer norms are RMS norms."""
    state: State = dict(graph.state)
    for name in stream.writers:
        for port in ("weight", "bias"):
            state[name, port] = _centred(state[name, port], 0)
    for name, port, axis in stream.constants:
        state[name, port] = _centred(state[name, port], axis)
    return Graph(tuple(_rms(node) if node.name in stream.centred else node for node in graph.nodes), state)


def _centred(x: Tensor, axis: int) -> Tensor:
    return (x.double() - x.double().mean(axis, keepdim=True)).to(x.dtype)


def _rms(node: Node) -> Node:
    assert node.call is not None
    given = dict(node.call.arguments)
    arguments = {name: given[name] for name in ("input", "normalized_shape", "weight", "eps")}
    return replace(node, call=replace(node.call, target="rms_norm.default", arguments=tuple(arguments.items())))
