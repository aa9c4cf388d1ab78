"""Accumulators as narrow as the actual weights allow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from hwq.datapath import Datapath, Fixed, Mac
from hwq.datapath.ranges import needed, places, reach, width
from hwq.ptq.binding import certified, is_exact, last_place
from hwq.ptq.graph import CODES, Graph
from hwq.ptq.lower import Layer
from hwq.ptq.quantized import QuantizedModel
from hwq.ptq.solved import Solved

__all__ = ["certify", "needs"]

_LEAST = 2  # bits of an accumulator, whose sums may all be 0


def certify(graph: Graph, layers: tuple[Layer, ...], solved: Mapping[str, Solved]) -> tuple[Layer, ...]:
    """The layers of `graph` with every exact accumulator replaced by one that no sum of their weights can leave.

    A value that had no format gets that of the sum. Layers of equal datapaths run on one instance, which gets the
    widest of their needs.
    """
    positive = _positive(layers)
    sums: dict[Datapath, list[tuple[int, int, int]]] = {}
    for layer in layers:
        if layer.datapath is not None and is_exact(layer.datapath.mac):
            found = solved[layer.name]
            reached = _sums(graph, layer, found.weight, found.bias, positive)
            sums.setdefault(layer.datapath, []).append((last_place(layer.datapath.mac, found.weight), *reached))
    needs = {datapath: _holding(datapath.mac, found) for datapath, found in sums.items()}
    made: dict[str, Layer] = {}
    for layer in layers:
        datapath = layer.datapath
        if datapath is not None and is_exact(datapath.mac):
            datapath = certified(datapath, *needs[datapath], layer.fmt is None)
        fmt = layer.fmt
        if fmt is None and not layer.outside:
            fmt = made[layer.node.inputs[0]].fmt if datapath is None else datapath.mac.output
        made[layer.name] = replace(layer, datapath=datapath, fmt=fmt)
    return tuple(made.values())


def needs(model: QuantizedModel) -> dict[str, int]:
    """{layer: bits} that no sum of its weights can leave, for every accumulator of fixed bits, certified or given.

    A bias that a narrow accumulator cut off is no larger than what its layer's products reach: they tell as much.
    """
    positive = _positive(model.layers)
    found = {}
    for layer in model.layers:
        if layer.datapath is None or not isinstance(layer.datapath.mac.acc, Fixed):
            continue
        mac = layer.datapath.mac
        weight, codes = (model.state.get((layer.name, port)) for port in ("weight", "bias"))
        bias = torch.zeros(1, dtype=torch.float64) if codes is None else mac.acc_format.decode(codes).double()
        low, high = _sums(model.graph, layer, weight, bias, positive)
        ((_, _, depth), *_) = model.graph.products(layer.node)
        spare = None if weight is None else places(weight, mac.w)
        rounded = spare is not None and mac.product_lsb + spare < mac.acc_lsb
        found[layer.name] = needed(mac, low, high, depth if rounded or weight is None else 0)
    return found


def _holding(mac: Mac, sums: list[tuple[int, int, int]]) -> tuple[int, int]:
    """(bits, lsb) of the narrowest accumulator for sums, each (last place, least, largest) in a product's lsb."""
    lsb = min(place for place, _, _ in sums)
    unit = lsb - mac.product_lsb
    return max(_LEAST, *(width(low >> unit, high >> unit) for _, low, high in sums)), lsb


def _sums(
    graph: Graph, layer: Layer, weight: Tensor | None, bias: Tensor, positive: Mapping[str, bool]
) -> tuple[int, int]:
    """The least and the largest sum of the layer, in units of the product's lsb; `bias` [N] are numbers."""
    assert layer.datapath is not None
    mac = layer.datapath.mac
    low, high = mac.a.integer_range
    read = (0, high) if positive[layer.node.inputs[0]] else (low, high)
    added = [int(b) for b in torch.ldexp(bias, torch.tensor(-mac.product_lsb)).tolist()]
    if weight is None:  # a product of two values: any code can meet any other
        other = max(abs(end) for end in mac.w.integer_range)
        ((_, _, depth), *_) = graph.products(layer.node)
        most = depth * other * max(abs(end) for end in read)
        return -most, most
    rows, added = weight.flatten(1), added * (len(weight) // len(added))
    if layer.op != "add":
        return reach(rows, mac.w, read, added)
    terms = [
        reach(rows[:, i : i + 1], mac.w, (0 if positive[name] else low, high), [] if i else added)
        for i, name in enumerate(layer.node.inputs)
    ]
    return sum(least for least, _ in terms), sum(most for _, most in terms)


def _positive(layers: tuple[Layer, ...]) -> dict[str, bool]:
    """Which values cannot be negative: rectified ones, and what sums, moves or compares only such."""
    found: dict[str, bool] = {}
    for layer in layers:
        inherits = layer.op in ("add", "avgpool", *CODES)
        inherited = inherits and bool(layer.node.inputs) and all(found[name] for name in layer.node.inputs)
        found[layer.name] = layer.node.relu or layer.op == "relu" or inherited
    return found
