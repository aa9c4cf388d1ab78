"""From a torch module to a `Graph`: traced, batch norms folded, rectifiers fused, operators brought to nine."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, fx, nn

from hwq.errors import HwqError
from hwq.ptq.building import BATCH, Builder, Seen
from hwq.ptq.emitters import EMITTERS
from hwq.ptq.graph import PRODUCTS, Graph, Node

__all__ = ["trace"]


def trace(net: nn.Module, example: Tensor) -> Graph:
    """The graph of `net` in eval mode for images shaped like `example` [N, ...]; its float function is that of `net`.

    An operator outside the language is refused by name, with its share of the multiply-accumulates.
    """
    if example.dim() < 2 or len(example) == 0:
        raise HwqError(f"an example must be a batch of 1 or more images [N, ...], not of shape {list(example.shape)}")
    was_training = net.training
    net.eval()
    try:
        module = fx.symbolic_trace(net)
        seen = Seen(module)
        with torch.no_grad():
            seen.run(example[:1].expand(BATCH, *example.shape[1:]))
    except HwqError:
        raise
    except Exception as error:  # tracing runs the user's forward: anything can come out
        reason = " ".join(str(error).split())
        raise HwqError(f"the network must trace with torch.fx, not fail with {reason}") from error
    finally:
        net.train(was_training)
    return _fuse(Builder(module, seen, EMITTERS).build())


def _fuse(graph: Graph) -> Graph:
    """Rectifiers join the product before them where they are its only reader."""
    renamed: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = tuple(renamed.get(name, name) for name in node.inputs)
        before = next((n for n in nodes if inputs and n.name == inputs[0]), None)
        if node.op == "relu" and before and before.op in PRODUCTS and len(graph.consumers(node.inputs[0])) == 1:
            nodes[nodes.index(before)] = replace(before, relu=True)
            renamed[node.name] = before.name
        else:
            nodes.append(replace(node, inputs=inputs))
    return Graph(tuple(nodes), graph.state)
