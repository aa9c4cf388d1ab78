"""Writing a `Graph` while walking a traced module: what has been seen, and what each fx node became."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, fx, nn
from torch.utils.flop_counter import FlopCounterMode

from hwq.errors import HwqError
from hwq.ptq.graph import PRODUCTS, Graph, Node, Window

__all__ = ["BATCHES", "Builder", "Emit", "Seen"]

_POINT = Window()
BATCHES = (2, 3)  # with one image a squeezed batch axis would go unseen, with one size a constant equal to it


class Seen(fx.Interpreter):
    """Runs the traced module on batches and keeps, by fx node: the output's shape, whether its first axis is the batch
    in every run, the multiply-accumulates, and where told to the value.
    """

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}
        self.batched: dict[fx.Node, bool] = {}
        self.macs: dict[fx.Node, int] = {}
        self.values: dict[fx.Node, Tensor] = {}
        self.batch, self.keeps = 0, False

    def run_batch(self, images: Tensor, keeps: bool = False) -> None:
        """Run on `images` [N, ...]; `keeps` the values, which may be many."""
        self.batch, self.keeps = len(images), keeps
        self.run(images)

    def run_node(self, n: fx.Node) -> Any:
        with FlopCounterMode(display=False) as counter:
            value = super().run_node(n)
        self.macs[n] = counter.get_total_flops() // 2
        if isinstance(value, Tensor):
            shape = tuple(value.shape[1:])
            same = value.shape[:1] == (self.batch,) and self.shapes.get(n, shape) == shape
            self.batched[n] = same and self.batched.get(n, True)
            self.shapes[n] = shape
            if self.keeps:
                self.values[n] = value.clone()  # an operator in place may change it yet
        return value

    def share(self, node: fx.Node) -> float:
        """The node's part of all multiply-accumulates."""
        return self.macs[node] / max(1, sum(self.macs.values()))


class Builder:
    """Walks the fx nodes and writes graph nodes; `alias` maps an fx node to the graph node that holds its value."""

    def __init__(self, module: fx.GraphModule, seen: Seen, emitters: Mapping[Any, Emit]) -> None:
        self.emitters = emitters
        self.modules: dict[str, nn.Module] = dict(module.named_modules())
        self.fx_nodes = list(module.graph.nodes)
        self.seen = seen
        self.nodes: list[Node] = []
        self.state: dict[tuple[str, str], Tensor] = {}
        self.alias: dict[fx.Node, str] = {}

    def build(self) -> Graph:
        """The graph up to the returned value."""
        for node in self.fx_nodes:
            if node.op == "output":
                return self._finish(node)
            if node in self.seen.shapes and node.op != "get_attr":
                self._visit(node)
        raise HwqError("a network must return a value, not nothing")

    def _finish(self, node: fx.Node) -> Graph:
        """End at the returned value; nodes that nothing reads are dropped."""
        out = node.args[0]
        if not isinstance(out, fx.Node) or out not in self.alias:
            raise HwqError(f"a network must return one tensor, not {out}")
        needed = {self.alias[out]}
        for made in reversed(self.nodes):
            if made.name in needed:
                needed.update(made.inputs)
        nodes = [made for made in self.nodes if made.name in needed]
        if nodes[-1].name != self.alias[out] or nodes[0].op != "input":
            raise HwqError(f"a network must compute one tensor from one input, not return {out}")
        return Graph(tuple(nodes), {key: t for key, t in self.state.items() if key[0] in needed})

    def _visit(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            if self.nodes:
                raise HwqError(f"a network must have one input, not a second one {node.name!r}")
            self.add(node, "input", ())
            return
        target: Any = type(self.modules[str(node.target)]) if node.op == "call_module" else node.target
        emit = self.emitters.get(target)
        if emit is None or not self.seen.batched[node] or not emit(self, node):
            what = getattr(target, "__name__", str(target))
            raise HwqError(
                f"every operator must be one of {', '.join(PRODUCTS)}, maxpool, relu, reshape and batch norm, "
                f"not {what} at {node.name!r} with {self.seen.share(node):.1%} of the MACs"
            )

    def value(self, name: str) -> Tensor:
        """The value kept for a graph node: of the last fx node that it stands for."""
        return self.seen.values[max((x for x, held in self.alias.items() if held == name), key=self.fx_nodes.index)]

    def module(self, node: fx.Node) -> nn.Module:
        """The submodule that the node calls."""
        return self.modules[str(node.target)]

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """The shape of the node's value, batch left out."""
        return self.seen.shapes[node]

    def held(self, node: fx.Node) -> bool:
        """True if the node's value is computed from the images."""
        return node in self.alias

    def reads(self, node: fx.Node, count: int) -> list[fx.Node] | None:
        """The node's first `count` arguments where all are values of the graph."""
        args = [*node.args, *node.kwargs.values()][:count]
        found = [arg for arg in args if isinstance(arg, fx.Node) and self.held(arg)]
        return found if len(found) == count else None

    def add(self, node: fx.Node, op: str, inputs: tuple[fx.Node, ...], window: Window = _POINT) -> str:
        """Append a graph node under the module's path, or the fx name where that is taken; the name."""
        name = str(node.target) if node.op == "call_module" else node.name
        if name in {made.name for made in self.nodes}:
            name = f"{name}:{node.name}"
        self.nodes.append(Node(name, op, tuple(self.alias[x] for x in inputs), self.shape(node), window))
        self.alias[node] = name
        return name


# Writes an fx node into the graph; False for options that the language lacks.
Emit = Callable[[Builder, fx.Node], bool]
