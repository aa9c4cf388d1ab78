"""Accumulators as narrow as the actual weights allow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from hwq.datapath import Datapath
from hwq.ptq.binding import certified, is_exact
from hwq.ptq.constants import reach, width
from hwq.ptq.graph import PRODUCTS, Graph
from hwq.ptq.lower import Layer
from hwq.ptq.solve import Solved

__all__ = ["certify"]


def certify(graph: Graph, layers: tuple[Layer, ...], solved: Mapping[str, Solved]) -> tuple[Layer, ...]:
    """The layers of `graph` with every exact accumulator replaced by one that no sum of their weights can leave.

    A value that had no format gets that of the sum. Layers of equal datapaths run on one instance, which gets the
    widest of their needs.
    """
    positive = _positive(layers)
    needs: dict[Datapath, int] = {}
    for layer in layers:
        if layer.datapath is not None and is_exact(layer.datapath.mac):
            bits = _bits(graph, layer, solved[layer.name], positive)
            needs[layer.datapath] = max(needs.get(layer.datapath, 0), bits)
    made: dict[str, Layer] = {}
    for layer in layers:
        datapath = layer.datapath
        if datapath is not None and is_exact(datapath.mac):
            datapath = certified(datapath, needs[datapath], layer.fmt is None)
        fmt = layer.fmt or (made[layer.node.inputs[0]].fmt if datapath is None else datapath.mac.output)
        made[layer.name] = replace(layer, datapath=datapath, fmt=fmt)
    return tuple(made.values())


def _bits(graph: Graph, layer: Layer, solved: Solved, positive: Mapping[str, bool]) -> int:
    """Bits of the layer's largest sum, bias included."""
    assert layer.datapath is not None
    mac = layer.datapath.mac
    low, high = mac.a.integer_range
    read = (0, high) if positive[layer.node.inputs[0]] else (low, high)
    bias = [int(b) for b in torch.ldexp(solved.bias, torch.tensor(-mac.acc_lsb)).tolist()]
    if solved.weight is None:  # a product of two values: any code can meet any other
        other = max(abs(end) for end in mac.w.integer_range)
        ((_, _, depth), *_) = graph.products(layer.node)
        most = depth * other * max(abs(end) for end in read)
        return width(-most, most)
    return width(*reach(solved.weight.flatten(1), mac.w, read, bias))


def _positive(layers: tuple[Layer, ...]) -> dict[str, bool]:
    """Which values cannot be negative: rectified ones, and what sums, moves or compares only such."""
    found: dict[str, bool] = {}
    for layer in layers:
        inherits = layer.op in ("add", "avgpool") or layer.op not in PRODUCTS
        inherited = inherits and bool(layer.node.inputs) and all(found[name] for name in layer.node.inputs)
        found[layer.name] = layer.node.relu or layer.op == "relu" or inherited
    return found
