"""From a graph and an assignment to layers: which format every value has, and which datapath computes it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from hwq.datapath import Datapath
from hwq.errors import HwqError
from hwq.formats import Format
from hwq.ptq.binding import for_layer, result_format
from hwq.ptq.call import Call, Layout, Value
from hwq.ptq.graph import CODES, PRODUCTS, REAL, WEIGHTED, Graph, Node

__all__ = ["Assignment", "Layer", "check_roles", "default_roles", "layer_graph", "lower", "parse_assignment", "present"]

Assignment = Mapping[str, str | Datapath]
PROBABILITIES = "probabilities"


@dataclass(frozen=True)
class Layer:
    """A node with its number formats.

    `datapath` is None where codes are only moved or compared, and on the host. `fmt` is the format of the value. None
    says that only the host reads it: as the sum on the accumulator's grid where that is the network's result, else as
    a `real` number, which a sum becomes by the scale of its channel. Values of one `group` share their scale.
    """

    node: Node
    role: str
    datapath: Datapath | None
    fmt: Format | None
    group: str = ""
    real: bool = False

    @property
    def name(self) -> str:
        """The name of the layer and of its value."""
        return self.node.name

    @property
    def op(self) -> str:
        """The operator."""
        return self.node.op

    @property
    def outside(self) -> bool:
        """True of what begins or stays outside of the hardware."""
        return self.datapath is None and (self.real or self.op in REAL)

    @property
    def reads_reals(self) -> bool:
        """True if real numbers enter, not codes."""
        return self.outside and bool(self.node.inputs)

    @property
    def relu_on_codes(self) -> bool:
        """True where a rectifier is left for the codes because the datapath has none."""
        return self.node.relu and self.datapath is not None and "relu" not in self.datapath.mac.steps


def default_roles(graph: Graph) -> dict[str, str]:
    """The first weighted layer is "first", the last one "last", the others "body"."""
    names = [node.name for node in graph.nodes if node.op in WEIGHTED]
    if not names:
        raise HwqError("a network must have a convolution or a linear layer, not none")
    return dict.fromkeys(names, "body") | {names[-1]: "last"} | {names[0]: "first"}


def check_roles(graph: Graph, roles: Mapping[str, str], named: Collection[str]) -> None:
    """Refuse an assignment to the roles `named`, unless they are all of `roles` and else only operators and layers.

    Operators are those of the graph, and "probabilities" the products that read what a softmax gives. A layer is named
    by itself or by a pattern ("*.values", as in file names) which one layer or more must match.
    """
    needed = dict.fromkeys(roles.values())
    others = [node for node in _products(graph) if node.name not in roles]
    operators = dict.fromkeys(kind for node in others for kind in _kinds(graph, node))
    patterns = [name for name in named if name not in needed and name not in operators]
    known = all(any(map(_matches(name), _products(graph))) for name in patterns)
    if not set(needed) <= set(named) or not known:
        may = f" and may have {', '.join(operators)}" if operators else ""
        raise HwqError(
            f"an assignment must have the roles {', '.join(needed)}{may} and names of layers, not {', '.join(named)}"
        )


def present(graph: Graph, roles: Mapping[str, str], assignment: Assignment) -> Assignment:
    """The part of an assignment that names what `graph` has, without what a transform has yet to put there."""
    given = _given(graph, roles)
    return {
        name: text for name, text in assignment.items() if name in given or any(map(_matches(name), _products(graph)))
    }


def _given(graph: Graph, roles: Mapping[str, str]) -> set[str]:
    """The names that are of roles and operators, not of layers."""
    return {*roles.values(), *(kind for node in graph.nodes for kind in _kinds(graph, node))}


def _products(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if node.op in PRODUCTS]


def _kinds(graph: Graph, node: Node) -> tuple[str, ...]:
    """The operator, after a name for what is particular about it: a product that reads the result of a softmax."""
    if node.op != "matmul":
        return (node.op,)
    read = graph[node.inputs[0]]
    while read.op in CODES:
        read = graph[read.inputs[0]]
    return (PROBABILITIES, "matmul") if read.call is not None and read.call.name.endswith("softmax") else ("matmul",)


def _matches(pattern: str) -> Callable[[Node], bool]:
    return lambda node: fnmatchcase(node.name, pattern)


def lower(graph: Graph, roles: Mapping[str, str], assignment: Assignment) -> tuple[Layer, ...]:
    """The layers of `graph` in order, with the conversions that the assignment needs.

    A value has the format that its first reader takes; a reader that takes another one reads it through a sum of one
    term, which converts. What the host makes for readers of several formats stays real, and is rounded for each. What
    only moves or compares codes takes the format of its own first reader. The value that the network returns has the
    format to which its datapath's text requantizes; where it says none, it is the sum on the accumulator's grid.
    """
    datapaths = parse_assignment(assignment)
    role = _node_roles(graph, roles, datapaths)
    formats = _formats(graph, role, datapaths)
    layers: dict[str, Layer] = {}
    for node in graph.nodes:
        datapath, inputs = datapaths[role[node.name]], []
        for name, fmt in zip(node.inputs, _ports(node, datapath, formats[node.name]), strict=True):
            written = formats[name]
            if fmt is not None and fmt != written:
                bridge = _bridge(graph[name], fmt, "add" if written else "host")
                bridging = for_layer(datapath, bridge, written, fmt) if written else None
                layers.setdefault(bridge.name, Layer(bridge, role[node.name], bridging, fmt))
                name = bridge.name
            inputs.append(name)
        made = replace(node, inputs=tuple(inputs))
        needed = for_layer(datapath, made, datapath.mac.a, formats[node.name]) if node.op in PRODUCTS else None
        layers[node.name] = Layer(made, role[node.name], needed, formats[node.name])
    return _with_groups(_with_reals(list(layers.values())))


def _bridge(node: Node, fmt: Format, op: str) -> Node:
    """What brings the value of `node` to `fmt`: a sum of one term, or the host that made it."""
    call = Call("clone.default", (("self", Value(0)),), (Layout(), Layout())) if op == "host" else None
    return Node(f"{node.name}:{fmt}", op, (node.name,), node.shape, call=call)


def layer_graph(graph: Graph, layers: tuple[Layer, ...]) -> Graph:
    """`graph` with the conversions among its nodes; its float function is unchanged."""
    return Graph(tuple(layer.node for layer in layers), graph.state)


def parse_assignment(assignment: Assignment) -> dict[str, Datapath]:
    """The datapath of every role."""
    if not assignment:
        raise HwqError("an assignment must give a datapath to 1 role or more, not to none")
    return {role: dp if isinstance(dp, Datapath) else Datapath.parse(dp) for role, dp in assignment.items()}


def _node_roles(graph: Graph, roles: Mapping[str, str], datapaths: Mapping[str, Datapath]) -> dict[str, str]:
    """Every node's role: the last name or pattern that matches it; else its own, else one named after its operator.

    A thin layer that a transform put beside one, NAME:down or NAME:up, else has the role of NAME. What has none of
    these has the role, without patterns, of the value that it reads first.
    """
    for name in roles:
        if all(node.name != name for node in graph.nodes):
            raise HwqError(f"a role must belong to a layer of the network, not to {name!r}")
    check_roles(graph, roles, datapaths)
    given = _given(graph, roles)
    patterns = [(name, _matches(name)) for name in reversed([*datapaths]) if name not in given]
    found: dict[str, str] = {}
    entry = next((roles[node.name] for node in graph.nodes if node.name in roles), next(iter(datapaths)))
    for node in graph.nodes:
        named = next((kind for kind in _kinds(graph, node) if kind in datapaths), None)
        inherited = found[node.inputs[0]] if node.inputs else entry
        beside = roles.get(node.name.rpartition(":")[0]) if node.op in WEIGHTED else None
        found[node.name] = roles.get(node.name) or named or beside or inherited
    matched = {node.name: next((name for name, match in patterns if match(node)), None) for node in _products(graph)}
    return found | {name: pattern for name, pattern in matched.items() if pattern}


def _ports(node: Node, datapath: Datapath, own: Format | None) -> tuple[Format | None, ...]:
    """The format that the node takes at each input; what moves codes takes that of its own value, the host any."""
    if node.op == "host":
        return (None,) * len(node.inputs)
    if node.op not in PRODUCTS:
        return (own,) * len(node.inputs)
    second = datapath.mac.w if node.op == "matmul" else datapath.mac.a
    return (datapath.mac.a, second)[: len(node.inputs)]


def _formats(graph: Graph, role: Mapping[str, str], datapaths: Mapping[str, Datapath]) -> dict[str, Format | None]:
    """The format of every value: what its first reader takes, else what it is made of, else what its product writes.

    None for what the host makes and readers take in several formats.
    """
    wishes: dict[str, list[Format]] = {node.name: [] for node in graph.nodes}
    for node in reversed(graph.nodes):
        own = next(iter(wishes[node.name]), None)
        for name, fmt in zip(node.inputs, _ports(node, datapaths[role[node.name]], own), strict=True):
            if fmt is not None:
                wishes[name].insert(0, fmt)
    found: dict[str, Format | None] = {}
    for node in graph.nodes:
        if node.op in PRODUCTS:
            unread = result_format(datapaths[role[node.name]])
        else:
            unread = found[node.inputs[0]] if node.op in CODES else None
        several = node.op == "host" and len({*wishes[node.name]}) > 1
        found[node.name] = wishes[node.name][0] if wishes[node.name] and not several else unread
    return found


def _with_reals(layers: list[Layer]) -> list[Layer]:
    """Mark the values without a format that an operator on the host makes or reads, through whatever moves them.

    Sums that are joined are among them, as each is in units of its own.
    """
    read: dict[str, bool] = {}
    for layer in reversed(layers):
        joins = layer.op in CODES and len(layer.node.inputs) > 1
        reads = layer.op == "host" or joins or (layer.op in CODES and read.get(layer.name, False))
        read |= {name: read.get(name, False) or reads for name in layer.node.inputs}
    real: dict[str, bool] = {}
    for layer in layers:
        made = layer.op in REAL or (layer.op in CODES and real[layer.node.inputs[0]])
        real[layer.name] = layer.fmt is None and (made or read.get(layer.name, False))
    return [replace(layer, real=real[layer.name]) for layer in layers]


def _with_groups(layers: list[Layer]) -> tuple[Layer, ...]:
    """Join the values that must share a scale: what codes are moved or compared into has the scale of those codes."""
    group: dict[str, str] = {}
    for layer in layers:
        group[layer.name] = layer.name
        if layer.op in CODES:
            first, *others = (group[name] for name in layer.node.inputs)
            group[layer.name] = first
            group |= {name: first for name, of in group.items() if of in others}
    return tuple(replace(layer, group=group[layer.name]) for layer in layers)
