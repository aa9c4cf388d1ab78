"""What a layer and a network take on an accelerator: cycles, traffic, energy, and which roof binds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import add
from typing import Any

from hwq.costmodel.cost import Quantity
from hwq.costmodel.networks.accelerator import Accelerator
from hwq.costmodel.networks.convert import Model, layers_of, left_out
from hwq.costmodel.networks.energy import Moves, accesses, energy
from hwq.costmodel.networks.layers import Layer
from hwq.costmodel.networks.mapper import best
from hwq.costmodel.networks.tiling import Cycles, Tiling, Walk
from hwq.errors import HwqError

__all__ = ["LayerCost", "NetworkCost", "Roofline", "price", "price_layer"]

UNMODELLED = (
    "bursts, pages and refresh of the DRAM, and conflicts in buffers",
    "instructions, control and the network between buffers and array",
    "leakage",
)


@dataclass(frozen=True)
class Roofline:
    """A layer under its roofs; a multiply-accumulate is two operations.

    `ops_per_byte` are those of a byte that moves to or from the DRAM under the tiling, None where none moves; `ridge`
    is what they must be to need all of the array. `gops` are those reached a second, in 1e9, `roof` the most there
    could be. `bound` is the stage that is busy for longest: compute, memory or vector.
    """

    ops_per_byte: float | None
    ridge: float | None
    gops: float
    roof: float
    bound: str


@dataclass(frozen=True)
class LayerCost:
    """A layer under a tiling. `cycles` are exact for the tiling as `tiling.py` states it; `stalls` are those in which
    the array does nothing, of which `fill` are before its first tile and after its last one.

    `traffic` is in bytes: {"DRAM": ..., name of a buffer: ...} -> {operand: bytes moved, both ways}. `energy_pj` has an
    interval where its prices have one, and is None if something of it has no price: `missing` says what.
    """

    layer: Layer
    tiling: Tiling
    clock_mhz: float
    cycles: Cycles
    utilisation: float
    traffic: Mapping[str, Mapping[str, float]]
    energy_parts: Mapping[str, Quantity]
    missing: tuple[str, ...]
    roofline: Roofline

    @property
    def stalls(self) -> int:
        """Cycles in which the array waits."""
        return self.cycles.total - self.cycles.compute

    @property
    def latency_ms(self) -> float:
        return self.cycles.total / (1e3 * self.clock_mhz)

    @property
    def energy_pj(self) -> Quantity | None:
        return None if self.missing else _sum(self.energy_parts.values())

    def json(self) -> dict[str, Any]:
        """A record of plain values."""
        return {
            "layer": self.layer.name,
            "macs": self.layer.macs,
            "tiling": {**vars(self.tiling)},
            "cycles": {**vars(self.cycles), "stalls": self.stalls},
            "utilisation": self.utilisation,
            "traffic_bytes": {level: dict(moved) for level, moved in self.traffic.items()},
            "energy_pj": None if self.energy_pj is None else self.energy_pj.json(),
            "roofline": vars(self.roofline),
        }


@dataclass(frozen=True)
class NetworkCost:
    """Layers one after another: each begins when the one before has stored its last output."""

    accelerator: Accelerator
    layers: tuple[LayerCost, ...]
    left_out: tuple[str, ...] = ()

    @property
    def macs(self) -> int:
        return sum(cost.layer.macs for cost in self.layers)

    @property
    def cycles(self) -> int:
        return sum(cost.cycles.total for cost in self.layers)

    @property
    def latency_ms(self) -> float:
        return self.cycles / (1e3 * self.accelerator.clock_mhz)

    @property
    def utilisation(self) -> float:
        """Multiply-accumulates over those that the array could have done meanwhile."""
        return self.macs / (self.cycles * self.accelerator.array.macs)

    @cached_property
    def traffic(self) -> dict[str, float]:
        """Bytes of each memory, both ways."""
        levels = self.layers[0].traffic
        return {level: sum(sum(cost.traffic[level].values()) for cost in self.layers) for level in levels}

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(note for cost in self.layers for note in cost.missing))

    @cached_property
    def energy_parts(self) -> dict[str, Quantity]:
        """pJ of each part that has a price."""
        names = dict.fromkeys(name for cost in self.layers for name in cost.energy_parts)
        return {name: _sum(c.energy_parts[name] for c in self.layers if name in c.energy_parts) for name in names}

    @property
    def energy_pj(self) -> Quantity | None:
        """None where something of it has no price: `unmodelled` says what."""
        return None if self.missing else _sum(self.energy_parts.values())

    @property
    def sources(self) -> tuple[str, ...]:
        """Where the energies are from."""
        own = self.accelerator
        found = [f"{buffer.name}: {buffer.source}" for buffer in own.buffers if buffer.source]
        if own.offchip is not None and own.offchip.source:
            found.append(f"DRAM: {own.offchip.source}")
        return (*found, *[f"multiply-accumulates: {own.mac_source}"] * bool(own.mac_source))

    @property
    def unmodelled(self) -> tuple[str, ...]:
        """What is not counted."""
        return (*[f"{name}: no product of a datapath" for name in self.left_out], *self.missing, *UNMODELLED)

    def json(self) -> dict[str, Any]:
        """A record of plain values."""
        return {
            "accelerator": self.accelerator.name,
            "array": self.accelerator.array.text,
            "clock_mhz": self.accelerator.clock_mhz,
            "macs": self.macs,
            "cycles": self.cycles,
            "latency_ms": self.latency_ms,
            "utilisation": self.utilisation,
            "traffic_bytes": self.traffic,
            "energy_pj": None if self.energy_pj is None else self.energy_pj.json(),
            "layers": [cost.json() for cost in self.layers],
            "sources": list(self.sources),
            "unmodelled": list(self.unmodelled),
        }


def price(network: Sequence[Layer] | Model, accelerator: Accelerator, minimise: str = "latency") -> NetworkCost:
    """A network, each layer by the tiling that is best for `minimise`: latency, energy or traffic.

    `network` is its layers, or a quantized model of `hwq.ptq`, whose operators that are no products are `left_out`.
    """
    layers, others = _read(network)
    if not layers:
        raise HwqError("a network must have at least one layer, not none")
    if accelerator.offchip is None:
        held = sum(layer.weights * layer.widths.weight for layer in layers)
        buffer = accelerator.buffer("weight")
        if held > buffer.bits:
            raise HwqError(
                f"{buffer.name} must hold all weights, {held} bits, where there is no DRAM, not {buffer.bits}; "
                "enlarge it, or give the accelerator a DRAM"
            )
    walks: dict[Layer, Walk] = {}  # by shape: networks repeat themselves
    for layer in layers:
        if layer.shape not in walks:
            walks[layer.shape] = best(layer, accelerator, minimise)
    costs = {shape: _cost(walk) for shape, walk in walks.items()}
    each = tuple(replace(costs[layer.shape], layer=layer) for layer in layers)
    return NetworkCost(accelerator, each, tuple(others))


def _read(network: Sequence[Layer] | Model) -> tuple[Sequence[Layer], list[str]]:
    """The layers of a network, and what it has that is none."""
    if not isinstance(network, Sequence) and hasattr(network, "layers"):
        return layers_of(network), left_out(network)
    if not isinstance(network, Sequence) or not all(isinstance(layer, Layer) for layer in network):
        raise HwqError(
            f"a network must be a list of Layer or a quantized model, not {network!r}; conv and gemm make them"
        )
    return network, []


def price_layer(layer: Layer, accelerator: Accelerator, tiling: Tiling) -> LayerCost:
    """A layer under a tiling that is stated; HwqError if the tiles do not fit the buffers."""
    walk = Walk(layer, tiling, accelerator)
    if walk.lacking:
        raise HwqError(f"{walk.lacking}; make the tiles smaller")
    return _cost(walk)


def _cost(walk: Walk) -> LayerCost:
    layer, accelerator, cycles = walk.layer, walk.accelerator, walk.cycles
    moved = walk.traffic()
    moves = Moves(layer, moved["input"], moved["weight"], *walk.passed)
    parts, missing = energy(accelerator, moves)
    used = {name: sum(ways) / 8 for name, ways in accesses(moves).items()}
    levels = {"DRAM": {name: bits / 8 for name, bits in moved.items()}}
    levels |= {buffer.name: {name: used[name] for name in buffer.operands} for buffer in accelerator.buffers}
    return LayerCost(
        layer,
        walk.tiling,
        accelerator.clock_mhz,
        cycles,
        layer.macs / (cycles.total * accelerator.array.macs),
        levels,
        parts,
        tuple(missing),
        _roofline(layer, accelerator, cycles, sum(moved.values()) / 8),
    )


def _roofline(layer: Layer, accelerator: Accelerator, cycles: Cycles, moved: float) -> Roofline:
    ghz = accelerator.clock_mhz / 1e3
    peak, gops = 2 * accelerator.array.macs * ghz, 2 * layer.macs * ghz / cycles.total
    busy = {"compute": cycles.compute, "memory": cycles.memory, "vector": cycles.vector}
    bound = max(busy, key=lambda stage: busy[stage])
    if accelerator.offchip is None or not moved:
        return Roofline(None, None, gops, peak, bound)
    dense = 2 * layer.macs / moved
    gb_s = accelerator.offchip.gb_s
    return Roofline(dense, peak / gb_s, gops, min(peak, dense * gb_s), bound)


def _sum(quantities: Any) -> Quantity:
    return reduce(add, quantities, Quantity.exact(0))
