"""Writing a `Graph` while walking recorded operators: what each torch value became, and what holds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx

from hwq.errors import HwqError
from hwq.ptq.call import Batch, Call, Held, Layout, Value
from hwq.ptq.capture.recorded import BATCHES, Recording
from hwq.ptq.graph import Graph, Node, Window

__all__ = ["Builder", "Emit"]

_POINT = Window()
_PLACES = ("device", "layout", "memory_format", "pin_memory")  # say where a tensor lies, not what it is


class Builder:
    """Walks the recorded nodes; `alias` maps one to the graph node that holds its value."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.nodes: list[Node] = []
        self.state: dict[tuple[str, str], Tensor] = {}
        self.alias: dict[fx.Node, str] = {}
        self.names: set[str] = set()

    # ------------------------------------------------------------ asking

    def is_value(self, arg: Any) -> bool:
        """True if `arg` is computed from the images."""
        return isinstance(arg, fx.Node) and arg in self.alias

    def constant(self, arg: Any) -> Tensor | None:
        """The tensor of an argument that depends on no image."""
        found = self.recording.constants.get(arg) if isinstance(arg, fx.Node) else None
        return found.detach() if isinstance(found, Tensor) else None

    def layout(self, node: fx.Node) -> Layout:
        """Where torch has the images of a value."""
        found = self.recording.layout(node)
        if found is None:
            shape = list(self.recording.shape(node))
            raise HwqError(
                f"every value must have the images along one axis, not {_what(node)} at {node.name!r}: "
                f"{shape} for {BATCHES[1]} images"
            )
        return found

    def is_plain(self, *nodes: Any) -> bool:
        """True if every argument is a value with the images along the first axis alone."""
        return all(self.is_value(node) and self.layout(node) == Layout() for node in nodes)

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """The shape of the value in the graph, without the images."""
        return self.stored(self.recording.shape(node), self.layout(node))

    def stored(self, shape: tuple[int, ...], layout: Layout) -> tuple[int, ...]:
        """The graph's shape of a torch shape."""
        rest = shape[: layout.axis] + shape[layout.axis + 1 :]
        return (layout.times, *rest) if layout.times > 1 else rest

    def only_reader(self, x: fx.Node) -> bool:
        """True if the graph node behind `x` has but this one reader, so that it may be changed for it."""
        return all(len(node.users) == 1 for node, name in self.alias.items() if name == self.alias[x])

    def made(self, x: fx.Node) -> Node:
        """The graph node that holds the value of `x`."""
        return next(node for node in reversed(self.nodes) if node.name == self.alias[x])

    # ------------------------------------------------------------ writing

    def add(
        self,
        node: fx.Node,
        op: str,
        inputs: tuple[str, ...],
        shape: tuple[int, ...],
        window: Window = _POINT,
        name: str = "",
        call: Call | None = None,
    ) -> str:
        """Append a graph node and return its name: the given one, or the module's whose one operator it is, or torch's.

        The value of the recorded `node` is then that of the new one.
        """
        name = self._free(name or self._called(node), node)
        self.nodes.append(Node(name, op, inputs, shape, window, call=call))
        self.alias[node] = name
        return name

    def move(self, node: fx.Node, x: str, shape: tuple[int, ...], target: str, *arguments: tuple[str, Any]) -> str:
        """Append a move of the graph's value `x` that the recorded `node` implies."""
        call = Call(target, (("self", Value(0)), *arguments), (Layout(), Layout()))
        return self.add(node, "move", (x,), shape, name=f"{self._called(node)}:{call.name}", call=call)

    def host(self, node: fx.Node, inputs: tuple[str, ...], target: str, *arguments: tuple[str, Any]) -> str:
        """Append an operator on the host, with a result shaped like the first input, that the recorded `node` implies.

        An argument that is a tensor becomes a parameter of the new node.
        """
        made = [("self", Value(0)), *((p, Held(p) if isinstance(x, Tensor) else x) for p, x in arguments)]
        call = Call(target, tuple(made), (Layout(),) * (len(inputs) + 1))
        shape = next(other.shape for other in self.nodes if other.name == inputs[0])
        name = self.add(node, "host", inputs, shape, name=f"{self._called(node)}:{call.name}", call=call)
        self.state |= {(name, p): x for p, x in arguments if isinstance(x, Tensor)}
        return name

    def rectify(self, node: fx.Node, x: fx.Node, most: float) -> None:
        """Append a rectifier that ends at `most`."""
        name = self.add(node, "relu", (self.alias[x],), self.shape(node))
        self.nodes[-1] = replace(self.nodes[-1], most=most)
        self.alias[node] = name

    def reshape(self, node: fx.Node, x: str, shape: tuple[int, ...]) -> str:
        """Append a view of the graph's value `x`."""
        return self.add(node, "reshape", (x,), shape, name=f"{self._called(node)}:view")

    def keep(self, name: str, weight: Tensor, bias: Tensor | None) -> None:
        """The parameters of a weighted layer."""
        self.state[name, "weight"] = weight.detach().clone()
        self.state[name, "bias"] = weight.new_zeros(len(weight)) if bias is None else bias.detach().clone()

    def layer_name(self, node: fx.Node, weight: Any) -> str:
        """The name of a weighted layer: that of its weight without its last part, if it is a parameter."""
        named = self.recording.names.get(weight)
        return (named.rpartition(".")[0] or named) if named else ""

    def constant_node(self, arg: fx.Node, like: fx.Node) -> str | None:
        """The graph node of a constant, spread over the images and the shape of the value `like`; None if unlike."""
        held = self.constant(arg)
        if held is None or not held.is_floating_point():
            return None
        layout = self.layout(like)
        try:
            whole = layout.from_torch(held.expand(self.recording.shape(like)))
        except RuntimeError:
            return None
        return self._spread(arg, whole) if bool((whole == whole[:1]).all()) else None

    def _spread(self, arg: fx.Node, whole: Tensor) -> str:
        if arg in self.alias and self.made(arg).shape == tuple(whole.shape[1:]):
            return self.alias[arg]
        name = self._free(self.recording.names.get(arg, arg.name), arg)
        self.nodes.append(Node(name, "constant", (), tuple(whole.shape[1:])))
        self.state[name, "value"] = whole[0].clone()
        return name

    # ------------------------------------------------------------ operators as they are

    def call(self, node: fx.Node, op: str, source: fx.Node, given: dict[str, Any], pick: int | None = None) -> None:
        """Append the operator of `source` as recorded, result `pick` of it; `node` is then its value.

        On the host a constant argument is a parameter of the node; a move has it as an input, unless of whole numbers.
        """
        name = self._free(self._called(node), node)
        inputs: list[str] = []
        layouts: list[Layout] = []

        def take(arg: Any, twin: Any, port: str) -> Any:
            if self.is_value(arg):
                inputs.append(self.alias[arg])
                layouts.append(self.layout(arg))
                return Value(len(inputs) - 1)
            if isinstance(arg, fx.Node):
                held, layout = self.constant(arg), self.recording.layout(arg)
                if held is None:
                    raise HwqError(f"an argument of {_what(source)} at {source.name!r} must be a tensor, not {arg}")
                if op == "move" and held.is_floating_point() and layout is not None:
                    inputs.append(self._spread(arg, layout.from_torch(held)))
                    layouts.append(layout)
                    return Value(len(inputs) - 1)
                kept = held if layout is None else held.narrow(layout.axis, 0, layout.times)
                if layout is not None and not _repeats(kept, held, layout.axis):
                    raise HwqError(f"an argument of {_what(source)} at {source.name!r} must be alike for every image")
                self.state[name, port] = kept.clone()
                return Held(port, None if layout is None else layout.axis)
            if isinstance(arg, list | tuple):
                pairs = enumerate(zip(arg, twin, strict=True))
                return tuple(take(part, other, f"{port}.{i}") for i, (part, other) in pairs)
            if isinstance(arg, int) and arg != twin:
                return self._size(source, twin, arg)
            return arg

        twins = bound(self.recording.pairs[source])
        arguments = tuple((port, take(arg, twins[port], port)) for port, arg in given.items() if port not in _PLACES)
        macs = self.recording.macs.get(source, 0) // BATCHES[1]
        layouts.append(self.layout(node))
        target = str(source.target).removeprefix("aten.")
        if target in ("view.default", "_unsafe_view.default"):  # which need a memory layout that only torch's value has
            target, arguments = "reshape.default", (arguments[0], ("shape", arguments[1][1]))
        made = Call(target, arguments, tuple(layouts), pick, macs if op == "host" else 0)
        self.names.discard(name)
        self.add(node, op, tuple(inputs), self.shape(node), name=name, call=made)

    def _size(self, node: fx.Node, fewer: int, more: int) -> Batch:
        found = self.recording.size(fewer, more)
        if found is None:
            raise HwqError(f"sizes must be multiples of the images, not {_what(node)} at {node.name!r} with {more}")
        return found

    # ------------------------------------------------------------ names

    def _called(self, node: fx.Node) -> str:
        """The path of the module whose one operator this is, else torch's name of the node."""
        path = node.meta.get("custom", {}).get("path", "")
        same = [other for other in self.recording.nodes if other.meta.get("custom", {}).get("path") == path]
        alone = path and sum(other.op == "call_function" for other in same) == 1
        return str(path) if alone else node.name

    def _free(self, name: str, node: fx.Node) -> str:
        if name in self.names:
            name = f"{name}:{node.name}"
        while name in self.names:
            name += "'"
        self.names.add(name)
        return name

    # ------------------------------------------------------------ the end

    def finish(self, returned: Any) -> Graph:
        """The graph that ends at the returned value; nodes that nothing reads are dropped."""
        if not self.is_plain(returned):
            raise HwqError(f"a network must return one tensor [N, ...], not {returned}")
        needed = {self.alias[returned]}
        for made in reversed(self.nodes):
            if made.name in needed:
                needed.update(made.inputs)
        nodes = [made for made in self.nodes if made.name in needed]
        nodes.sort(key=lambda made: made.op != "input")  # constants may have been written before it
        if nodes[0].op != "input" or nodes[-1].name != self.alias[returned]:
            raise HwqError(f"a network must compute one tensor from one input, not return {returned}")
        return Graph(tuple(nodes), {key: t for key, t in self.state.items() if key[0] in needed})


def bound(node: fx.Node) -> dict[str, Any]:
    """The arguments of a recorded operator by the names of torch's schema, defaults filled in."""
    schema = node.target._schema  # type: ignore[union-attr]
    names = [argument.name for argument in schema.arguments]
    given = dict(zip(names, node.args, strict=False)) | node.kwargs
    return {a.name: given.get(a.name, a.default_value) for a in schema.arguments if a.name in given or _optional(a)}


def _repeats(part: Tensor, whole: Tensor, axis: int) -> bool:
    """True if `whole` is `part` again and again along an axis."""
    return torch.equal(torch.cat([part] * (whole.shape[axis] // part.shape[axis]), axis), whole)


def _optional(argument: Any) -> bool:
    return bool(argument.has_default_value())


def _what(node: fx.Node) -> str:
    return str(node.target).removeprefix("aten.").partition(".")[0]


# Writes a recorded operator with its arguments into the graph; False for options that the language lacks.
Emit = Callable[[Builder, fx.Node, dict[str, Any]], bool]
