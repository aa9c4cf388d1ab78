"""What transforms do to a graph: rescale and shift channels, give norms other gains, put nodes in between."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from hwq.ptq.call import Call, Held, Layout, Value
from hwq.ptq.graph import Graph, Node
from hwq.ptq.sites import Link

__all__ = [
    "affine",
    "after",
    "at_columns",
    "by_input",
    "channel_weights",
    "host",
    "input_range",
    "rescale",
    "scale_inputs",
    "shift",
    "taken_off",
    "unrectified",
    "with_affine",
]

State = dict[tuple[str, str], Tensor]


def rescale(graph: Graph, link: Link, factor: Tensor) -> Graph:
    """The channels of a link times `factor` [channels] at their source, and divided by it where they are read.

    Channels that something else reads stay as they are.
    """
    kept = torch.ones_like(factor)
    kept[list(link.free)] = factor[list(link.free)]
    return _at_source(scale_inputs(graph, link, 1 / kept), link, kept, torch.zeros_like(kept))


def scale_inputs(graph: Graph, link: Link, factor: Tensor) -> Graph:
    """The weights by which layers read the channels of a link, times `factor` [channels]."""
    state = dict(graph.state)
    for name, columns in link.targets:
        weight = state[name, "weight"]
        by_column = by_input(graph, name, at_columns(factor, columns, 1.0))
        state[name, "weight"] = (weight.double() * by_column).to(weight.dtype)
    return Graph(graph.nodes, state)


def shift(graph: Graph, link: Link, offset: Tensor) -> Graph:
    """The channels of a link plus `offset` [channels] at their source, which the biases of what reads them take off.

    The link must say that it `shifts`.
    """
    kept = torch.zeros_like(offset)
    kept[list(link.free)] = offset[list(link.free)]
    return _at_source(taken_off(graph, link, kept), link, torch.ones_like(kept), kept)


def taken_off(graph: Graph, link: Link, offset: Tensor) -> Graph:
    """The biases of what reads a link, less what `offset` [channels] gives there."""
    state = dict(graph.state)
    for name, columns in link.targets:
        by_column = by_input(graph, name, at_columns(offset, columns, 0.0))
        added = (state[name, "weight"].double() * by_column).flatten(1).sum(1)
        bias = state[name, "bias"]
        state[name, "bias"] = (bias.double() - added).to(bias.dtype)
    return Graph(graph.nodes, state)


def at_columns(values: Tensor, columns: tuple[int, ...], none: float) -> Tensor:
    """`values` [channels] at the input columns of a layer, `none` where a column has no channel."""
    at = torch.tensor(columns)
    return torch.where(at >= 0, values[at.clamp(min=0)], torch.full((), none, dtype=values.dtype))


def by_input(graph: Graph, name: str, values: Tensor) -> Tensor:
    """Numbers of a layer's input columns [inputs], shaped to meet its weight: each group has those that it reads."""
    weight, groups = graph.state[name, "weight"], graph[name].window.groups
    by_row = values.reshape(groups, 1, -1).expand(groups, len(weight) // groups, -1).flatten(0, 1)
    return by_row.reshape(*by_row.shape, *[1] * (weight.dim() - 2))


def channel_weights(graph: Graph, link: Link, name: str, columns: tuple[int, ...]) -> Tensor:
    """A linear layer's weight [N, channels] in double, of the columns that have a channel of a link."""
    at, weight = torch.tensor(columns), graph.state[name, "weight"].double()
    wide = weight.new_zeros(len(weight), link.channels)
    return wide.index_add(1, at[at >= 0], weight[:, at >= 0])


def input_range(graph: Graph, name: str) -> Tensor:
    """The largest magnitude [inputs] by which a layer weighs an input column."""
    weight, groups = graph.state[name, "weight"].double().abs(), graph[name].window.groups
    return weight.reshape(*weight.shape[:2], -1).amax(2).reshape(groups, -1, weight.shape[1]).amax(1).flatten()


def _at_source(graph: Graph, link: Link, factor: Tensor, offset: Tensor) -> Graph:
    """What the source of a link gives, times `factor` and plus `offset` [channels]."""
    if link.kind == "norms":
        gain, added = affine(graph, link)
        return with_affine(graph, link, gain * factor, added * factor + offset)
    state = dict(graph.state)
    weight, bias = state[link.source, "weight"], state[link.source, "bias"]
    by_row = factor.reshape(-1, *[1] * (weight.dim() - 1))
    state[link.source, "weight"] = (weight.double() * by_row).to(weight.dtype)
    state[link.source, "bias"] = (bias.double() * factor + offset).to(bias.dtype)
    return Graph(graph.nodes, state)


def affine(graph: Graph, link: Link) -> tuple[Tensor, Tensor]:
    """The gains and offsets [channels] of the norm where a link begins, in double."""
    held = graph.state.get((link.source, _gain_port(graph[link.source])))
    offset = graph.state.get((link.source, "bias"))
    gain = torch.ones(link.channels) if held is None else held.flatten()
    return gain.double(), (torch.zeros(link.channels) if offset is None else offset.flatten()).double()


def with_affine(graph: Graph, link: Link, gain: Tensor, offset: Tensor) -> Graph:
    """The norm where a link begins with other gains and offsets; those of a norm that needs none are taken away."""
    node, state = graph[link.source], dict(graph.state)
    assert node.call is not None
    port = _gain_port(node)
    given = dict(node.call.arguments)
    like = next((x for (_, p), x in state.items() if p == "weight"), gain)
    for name, values, nothing in ((port, gain, 1.0), ("bias", offset, 0.0)):
        if port == "weight" and bool((values == nothing).all()):
            state.pop((node.name, name), None)
            given |= {name: None} if name in given else {}
        elif name in given:
            old = state.get((node.name, name))
            state[node.name, name] = values.to(like.dtype) if old is None else values.reshape(old.shape).to(old.dtype)
            given[name] = given[name] if isinstance(given[name], Held) else Held(name)
    made = replace(node, call=replace(node.call, arguments=tuple(given.items())))
    return Graph(tuple(made if other is node else other for other in graph.nodes), state)


def _gain_port(node: Node) -> str:
    """The port of a norm's gains; of a product that ends a norm, the argument that is held."""
    assert node.call is not None
    arguments = dict(node.call.arguments)
    if node.call.name != "mul":
        return "weight"
    return next(port for port in ("other", "self") if isinstance(arguments[port], Held))


def host(name: str, like: Node, target: str, *arguments: tuple[str, object], reads: tuple[str, ...] = ()) -> Node:
    """A node on the host with a value shaped like `like`, which it reads unless told what it `reads`."""
    read = reads or (like.name,)
    call = Call(target, (("self", Value(0)), *arguments), (Layout(),) * (len(read) + 1))
    return Node(name, "host", read, like.shape, call=call)


def after(graph: Graph, source: str, made: tuple[Node, ...], state: State) -> Graph:
    """`graph` with the nodes `made` after the node `source`, whose readers read the last one of them."""
    nodes: list[Node] = []
    for node in graph.nodes:
        swapped = tuple(made[-1].name if name == source else name for name in node.inputs)
        nodes.append(replace(node, inputs=swapped) if source in node.inputs else node)
        if node.name == source:
            nodes += made
    return Graph(tuple(nodes), dict(graph.state) | state)


def unrectified(graph: Graph, name: str) -> Graph:
    """`graph` with the rectifier taken off the node `name`, for what was put behind it to rectify."""
    bare = replace(graph[name], relu=False, most=math.inf)
    return Graph(tuple(bare if node.name == name else node for node in graph.nodes), graph.state)
