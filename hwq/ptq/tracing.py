"""From a torch module to a `Graph`: recorded, norms folded, rectifiers fused, operators brought to a dozen."""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from hwq.errors import HwqError
from hwq.ptq.capture import ALIASES, BATCHES, EMITTERS, MOVES, Builder, Recording, bound, record
from hwq.ptq.graph import PRODUCTS, Graph, Node

__all__ = ["trace"]

_TOLERANCE = 1e-3


def trace(net: nn.Module | ExportedProgram, example: Tensor) -> Graph:
    """The graph of `net` in eval mode for images shaped like `example` [N, ...]; its float function is that of `net`.

    That is checked on images of the example, to 1e-3 of the largest output. An operator outside the language stays as
    it is: what only moves numbers becomes a move of codes, and everything else is left to the host, in float.
    """
    if example.dim() < 2 or len(example) == 0:
        raise HwqError(f"an example must be a batch of 1 or more images [N, ...], not of shape {list(example.shape)}")
    module = net.module() if isinstance(net, ExportedProgram) else net
    training = {part: part.training for part in module.modules()}
    if not isinstance(net, ExportedProgram):
        module.eval()
    try:
        recording = record(module, lambda size: _batch(example, size))
        graph, alias = _graph(recording)
        with torch.no_grad():
            _check(module, graph, recording, alias, _batch(example, BATCHES[-1]))
    except HwqError:
        raise
    except Exception as error:  # tracing runs the user's forward: anything can come out
        reason = " ".join(str(error).split())
        raise HwqError(f"the network must run where torch records it, not fail with {reason}") from error
    finally:
        for part, was in training.items():
            part.training = was
    return _fuse(graph)


def _batch(example: Tensor, size: int) -> Tensor:
    """So many of the images [N, ...], from the first one again where there are fewer."""
    return example[torch.arange(size) % len(example)]


def _graph(recording: Recording) -> tuple[Graph, dict[fx.Node, str]]:
    """The graph, and which of its nodes holds the value of each recorded one."""
    builder = Builder(recording)
    for node in recording.nodes:
        if node.op == "output":
            returned: Any = node.args[0]
            alone = isinstance(returned, list | tuple) and len(returned) == 1
            return builder.finish(returned[0] if alone else returned), builder.alias
        _visit(builder, node)
    raise HwqError("a network must return a value, not nothing")


def _visit(b: Builder, node: fx.Node) -> None:
    """Write one recorded node, unless it depends on no image."""
    if node.op == "placeholder":
        if b.nodes:
            raise HwqError(f"a network must have one input, not a second one {node.name!r}")
        b.add(node, "input", (), b.shape(node), name="x")
        b.nodes[0] = replace(b.nodes[0], whole=not b.recording.is_float(node))
    elif node.op != "call_function" or node in b.recording.constants:
        return
    elif node.target is operator.getitem:
        source, pick = node.args
        assert isinstance(source, fx.Node)
        b.call(node, "move" if _packet(source) in MOVES else "host", source, bound(source), int(str(pick)))
    elif isinstance(node.meta.get("val"), Tensor):
        _write(b, node)


def _write(b: Builder, node: fx.Node) -> None:
    packet, arguments = _packet(node), bound(node)
    emit = EMITTERS.get(packet)
    if packet in ALIASES or (packet in ("to", "_to_copy") and _stays_float(b, node)):
        b.alias[node] = b.alias[next(read for read in node.all_input_nodes if b.is_value(read))]
    elif emit is None or not emit(b, node, arguments):
        b.call(node, "move" if packet in MOVES else "host", node, arguments)


def _stays_float(b: Builder, node: fx.Node) -> bool:
    return all(b.recording.is_float(x) for x in (node, *node.all_input_nodes))


def _packet(node: fx.Node) -> str:
    return str(node.target).removeprefix("aten.").partition(".")[0]


def _check(net: Any, graph: Graph, recording: Recording, alias: dict[fx.Node, str], images: Tensor) -> None:
    """Refuse a graph whose outputs are not those of `net`, by the first of its values that is another."""
    want, found = net(images), graph.run(images)
    if not _near(found, want):
        where = _first(graph, recording, alias, images)
        raise HwqError(f"the graph of a network must compute its outputs, not {_miss(found, want)}; {where}")


def _first(graph: Graph, recording: Recording, alias: dict[fx.Node, str], images: Tensor) -> str:
    """Where a graph leaves the recorded operators, in words; these are the network unless it changes by itself."""
    held = recording.values(images)
    last = {name: node for node, name in alias.items()}  # of those that became one node
    for node, _, value in graph.walk(images):
        recorded = last.get(node.name)
        want = None if recorded is None else held.get(recorded)
        if recorded is not None and isinstance(want, Tensor) and not _near(value, recording.apart(recorded, want)):
            return f"{node.name!r} ({node.op}) is the first value that differs"
    return "no value differs from what was recorded, so that the network must change from call to call"


def _near(found: Tensor, want: Tensor) -> bool:
    """True if values agree to 1e-3 of the largest: folding norms in float32 costs about 1e-6."""
    if found.shape != want.shape:
        return False
    finite = want.isfinite()
    most = float(want[finite].abs().max()) if bool(finite.any()) else 0.0
    return torch.allclose(found, want, rtol=0, atol=_TOLERANCE * most, equal_nan=True)


def _miss(found: Tensor, want: Tensor) -> str:
    if found.shape != want.shape:
        return f"{list(found.shape)} for {list(want.shape)}"
    return f"miss those of up to {float(want.abs().max()):.3g} by {float((found - want).abs().max()):.3g}"


def _fuse(graph: Graph) -> Graph:
    """Rectifiers join the product before them where they are its only reader."""
    renamed: dict[str, str] = {}
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        inputs = tuple(renamed.get(name, name) for name in node.inputs)
        before = nodes.get(inputs[0]) if inputs else None
        alone = node.op == "relu" and len(graph.consumers(node.inputs[0])) == 1
        if alone and before is not None and before.op in PRODUCTS and not before.relu:
            nodes[before.name] = replace(before, relu=True, most=node.most)
            renamed[node.name] = before.name
        else:
            nodes[node.name] = replace(node, inputs=inputs)
    return Graph(tuple(nodes.values()), graph.state)
