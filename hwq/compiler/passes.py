"""The layers of a network in the order and the grouping in which a kernel runs them: each one pass over a tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hwq.errors import HwqError
from hwq.ptq.lower import Layer
from hwq.ptq.quantized import QuantizedModel

__all__ = ["Pass", "last_reads", "passes"]

RUNS = ("conv2d", "linear", "avgpool")  # what the units compute
KEEPS = ("reshape",)  # what leaves every code where it is


@dataclass(frozen=True, eq=False)
class Pass:
    """What one layer of the program computes: a product, and perhaps the sum that reads its result.

    `reads` and `other` name the values that are read, `name` that which is stored. `place`: which input of the sum
    the product is, 0 or 1.
    """

    product: Layer
    total: Layer | None
    reads: str
    other: str | None
    place: int = 0

    @property
    def last(self) -> Layer:
        """The layer whose value is stored."""
        return self.product if self.total is None else self.total

    @property
    def name(self) -> str:
        return self.last.name


def passes(network: QuantizedModel) -> tuple[Pass, ...]:
    """The passes of a network. What moves no code is the value that it reads, under that value's name."""
    same: dict[str, str] = {}
    sums: dict[str, Layer] = {}  # by the product that each waits for
    order = {layer.name: at for at, layer in enumerate(network.layers)}
    products = {layer.name: layer for layer in network.layers if layer.op in RUNS}
    readers = network.graph.readers()
    for layer in network.layers:
        if layer.op in KEEPS:
            same[layer.name] = same.get(layer.node.inputs[0], layer.node.inputs[0])
        elif layer.op == "add":
            values = [same.get(name, name) for name in layer.node.inputs]
            able = [name for name in values if name in products and readers[name] == 1 and not products[name].node.relu]
            sums[_waiting(layer, values, able, order)] = layer
        elif layer.op not in RUNS and layer.op != "input":
            raise HwqError(_unknown(layer))
    found: list[Pass] = []
    for layer in products.values():
        total, reads = sums.get(layer.name), same.get(layer.node.inputs[0], layer.node.inputs[0])
        if total is None:
            found.append(Pass(layer, None, reads, None))
            continue
        values = [same.get(name, name) for name in total.node.inputs]
        place = values.index(layer.name)
        found.append(Pass(layer, total, reads, values[1 - place], place))
    return tuple(sorted(found, key=lambda one: order[one.name]))


def _waiting(layer: Layer, values: Sequence[str], able: Sequence[str], order: Mapping[str, int]) -> str:
    """The product in whose pass a sum of two values is made: the last one of them that nobody else reads."""
    if len(values) != 2 or values[0] == values[1] or not able:
        raise HwqError(
            "a sum must be of two values, one of them a product that nothing else reads, to be compiled, "
            f"not {layer.name} of {', '.join(values)}"
        )
    return max(able, key=lambda name: order[name])


def _unknown(layer: Layer) -> str:
    what = layer.node.call.name if layer.node.call is not None else layer.op
    return f"a network must be of {', '.join(RUNS)}, add and reshape to be compiled, not {layer.name}, a {what}"


def last_reads(steps: Sequence[Pass]) -> dict[str, int]:
    """The index of the last pass that reads each value."""
    found: dict[str, int] = {}
    for at, step in enumerate(steps):
        found |= {name: at for name in (step.reads, step.other) if name is not None}
    return found
