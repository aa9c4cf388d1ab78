"""Places in a network: which layers are improved together, which may share out a channel's unit, what is quantized."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hwq.errors import HwqError
from hwq.ptq.channels import Path, follow
from hwq.ptq.graph import CODES, PRODUCTS, WEIGHTED, Graph, Node
from hwq.ptq.lower import Layer

__all__ = ["KINDS", "LEVELS", "Link", "Site", "links", "sites", "units"]

LEVELS = ("layer", "block", "net")
KINDS = ("layers", "values", "norms", "functions")
_NORMS = {"layer_norm": -1, "rms_norm": -1, "group_norm": 0}  # the axis of their channels
_FUNCTIONS = ("gelu", "silu", "hardswish", "mish")


@dataclass(frozen=True)
class Link:
    """A value of the node `source` whose `channels` along `axis` reach nothing but inputs of weighted layers.

    `targets` are those layers as (name, columns): the channel that each of its input columns has, -1 for none. `via`
    are the nodes between. `free` are the channels that nothing else reads: only those may be changed. `heads` are the
    channels of each head of an attention's values. `shifts` says that a number added to a channel arrives as it is.
    """

    kind: str
    source: str
    axis: int
    channels: int
    targets: tuple[tuple[str, tuple[int, ...]], ...]
    via: tuple[str, ...]
    free: tuple[int, ...]
    heads: tuple[tuple[int, ...], ...] = ()
    shifts: bool = False


@dataclass(frozen=True)
class Site:
    """A place where a number format is needed: the `port` of `node`, of a kind.

    A "weight" is the port of a layer; an "activation" the input, by number, of what runs on a Mac; a "probability" such
    an input that a softmax made; an "output" the network's value.
    """

    node: str
    port: str
    kind: str


def links(graph: Graph, kind: str) -> list[Link]:
    """Where channels may be rescaled without changing the network, in order.

    "layers" begin at a weighted layer and reach others through rectifiers, pools and moves; "values" at one that gives
    an attention its values, through their product; "norms" at a norm's gains, or
    at a product with them that ends a norm; "functions" at a GELU and its like, which
    can only be shifted. A rectifier that ends (ReLU6) is not of one piece under scaling: it holds its channels.
    """
    if kind not in KINDS:
        raise HwqError(f"a link must be one of {', '.join(KINDS)}, not {kind!r}")
    found = []
    for node in graph.nodes:
        for axis in _axes(graph, node, kind):
            path = follow(graph, node.name, axis)
            link = _link(kind, node, axis, path)
            if link.free and link.targets and (kind not in KINDS[:2] or bool(path.heads) == (kind == "values")):
                found.append(link)
                break
    return found


def sites(graph: Graph) -> list[Site]:
    """Every place of `graph` where a number format is needed, in order."""
    found = []
    for node in graph.nodes:
        if node.op in WEIGHTED:
            found.append(Site(node.name, "weight", "weight"))
        if node.op in PRODUCTS:
            found += [Site(node.name, str(i), _made_as(graph, name)) for i, name in enumerate(node.inputs)]
    return [*found, Site(graph.output.name, "value", "output")]


def _made_as(graph: Graph, name: str) -> str:
    while graph[name].op in CODES:
        name = graph[name].inputs[0]
    call = graph[name].call
    return "probability" if call is not None and call.name.endswith("softmax") else "activation"


def _axes(graph: Graph, node: Node, kind: str) -> tuple[int, ...]:
    """The axes that may be a node's channels, if a link of `kind` may begin there."""
    if kind in ("layers", "values"):
        axis = {"conv2d": 0, "linear": -1}.get(node.op)
        return () if axis is None or (node.relu and node.most < math.inf) else (axis,)
    if node.op != "host" or node.call is None or not node.shape:
        return ()
    if kind == "functions":
        return (-1, 0) if node.call.name in _FUNCTIONS else ()
    arguments = dict(node.call.arguments)
    if node.call.name in _NORMS:
        return (_NORMS[node.call.name],) if len(arguments.get("normalized_shape", (0,))) == 1 else ()
    gain = graph.state.get((node.name, "other"), graph.state.get((node.name, "self")))
    last = node.call.name == "mul" and gain is not None and len(node.inputs) == 1 and gain.dim() > 0
    return (-1,) if last and gain is not None and gain.numel() == node.shape[-1] == gain.shape[-1] else ()


def _link(kind: str, node: Node, axis: int, path: Path) -> Link:
    channels = node.shape[axis]
    free = tuple(c for c in range(channels) if c not in path.held)
    shifts = path.shifts and not node.relu
    targets, via, heads = tuple(path.readers.items()), tuple(path.via), tuple(dict.fromkeys(path.heads))
    return Link(kind, node.name, axis, channels, targets, via, free, heads, shifts)


def units(layers: tuple[Layer, ...], level: str) -> list[tuple[Layer, ...]]:
    """The layers in order, cut where a unit ends.

    At the level "layer" each weighted layer ends one, with what follows it up to the next product; at "block" a unit
    ends where but one value is read by what comes after, as after every residual sum; "net" is all of them. The input
    is a unit of its own.
    """
    if level not in LEVELS:
        raise HwqError(f"a unit must be one of {', '.join(LEVELS)}, not {level!r}")
    ends = [i for i in range(len(layers) - 1) if _ends(layers, i, level)] + [len(layers) - 1]
    starts = [0, *(i + 1 for i in ends[:-1])]
    return [layers[start : end + 1] for start, end in zip(starts, ends, strict=True)]


def _ends(layers: tuple[Layer, ...], i: int, level: str) -> bool:
    if i == 0:
        return True
    if level == "layer":
        return layers[i].op in WEIGHTED or layers[i + 1].op in WEIGHTED
    return level == "block" and _live(layers, i) == {layers[i].name}


def _live(layers: tuple[Layer, ...], i: int) -> set[str]:
    """The values made up to layer i that later layers read; constants can be had at any time."""
    made = {layer.name for layer in layers[: i + 1] if layer.op != "constant"}
    return {name for layer in layers[i + 1 :] for name in layer.node.inputs if name in made}
