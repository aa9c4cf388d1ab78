"""From a torch module to a `Graph`: traced, batch norms folded, rectifiers fused, operators brought to nine."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, fx, nn

from hwq.errors import HwqError
from hwq.ptq.building import BATCHES, Builder, Seen
from hwq.ptq.emitters import EMITTERS
from hwq.ptq.graph import PRODUCTS, Graph, Node

__all__ = ["trace"]

_TOLERANCE = 1e-3


def trace(net: nn.Module, example: Tensor) -> Graph:
    """The graph of `net` in eval mode for images shaped like `example` [N, ...]; its float function is that of `net`.

    That is checked on images of the example, to 1e-3 of the largest output.
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
            for size in BATCHES:
                seen.run_batch(_batch(example, size))
            builder = Builder(module, seen, EMITTERS)
            graph = builder.build()
            _check(net, graph, builder, _batch(example, BATCHES[-1]))
    except HwqError:
        raise
    except Exception as error:  # tracing runs the user's forward: anything can come out
        reason = " ".join(str(error).split())
        raise HwqError(f"the network must trace with torch.fx, not fail with {reason}") from error
    finally:
        net.train(was_training)
    return _fuse(graph)


def _batch(example: Tensor, size: int) -> Tensor:
    """So many of the images [N, ...], from the first one again where there are fewer."""
    return example[torch.arange(size) % len(example)]


def _check(net: nn.Module, graph: Graph, builder: Builder, images: Tensor) -> None:
    """Refuse a graph whose outputs are not those of `net`: hooks of its modules are not in it, for one."""
    want, found = net(images), graph.run(images)
    if _near(found, want):
        return
    builder.seen.run_batch(images, keeps=True)
    first = next((n.name for n, _, x in graph.walk(images) if not _near(x, builder.value(n.name))), None)
    where = f"{first!r} is the first node that differs" if first else "all of its nodes do what torch.fx saw"
    raise HwqError(f"the graph of a network must compute its outputs, not {_miss(found, want)}; {where}")


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
