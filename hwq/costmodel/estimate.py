"""From a plan to a cost: blocks priced by their cells, counted by the array, with intervals where a price is fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import overload

from hwq.bits.cells import Block
from hwq.costmodel.cost import Cost, Part, Quantity
from hwq.costmodel.features import EXACT, FIELD, features
from hwq.costmodel.fit import price
from hwq.datapath import Datapath, plan
from hwq.datapath.device import DEVICES, Device, device
from hwq.datapath.fabric import around, structure
from hwq.datapath.timing import critical_path, path_ns
from hwq.errors import HwqError

__all__ = ["estimate"]

UNMODELLED = {
    "xc7": (
        "fmax_mhz: no open place and route; not checked against Vivado",
        "energy_pj_per_mac: not measured on this device",
    ),
    "ecp5": ("energy_pj_per_mac: not measured on this device",),
    "ge": (
        "fmax_mhz: no library",
        "energy_pj_per_mac: not measured on this device",
        "area_um2: multiply ge by a library's NAND2",
    ),
}


@overload
def estimate(what: Datapath | str | Mapping[str, str], target: str) -> Cost: ...  # type: ignore[overload-overlap]
@overload
def estimate(what: Sequence[Datapath | str], target: str) -> list[Cost]: ...
def estimate(what: Datapath | str | Mapping[str, str] | Sequence[Datapath | str], target: str) -> Cost | list[Cost]:
    """The cost of a datapath, of each of several, or of a network (role -> text; one instance a distinct text).

    `target` names a device: `xc7`, `ecp5` or `ge`.
    """
    found = priced(target)
    if isinstance(what, Datapath):
        return _estimate(what, found)
    if isinstance(what, str):
        return _estimate(Datapath.parse(what), found)
    if isinstance(what, Mapping):
        return _network(what, found)
    return [_estimate(dp if isinstance(dp, Datapath) else Datapath.parse(dp), found) for dp in what]


def priced(name: str) -> Device:
    """A device that has prices."""
    found = device(name)
    if found.prices is None:
        usable = ", ".join(n for n in DEVICES if device(n).prices is not None) or "none yet"
        raise HwqError(f"device must have prices ({usable}), not {name!r}; hwq calibrate --device {name} makes them")
    return found


def _estimate(dp: Datapath, target: Device) -> Cost:
    made = plan(dp, target.name)
    field = FIELD[target.name]
    parts: list[Part] = []
    totals: dict[str, Quantity] = {}
    parts += [Part(name, count, _priced_block(block, target)) for name, count, block in structure(made)]
    parts += [Part(name, 1, _priced_structure(name, counts, target)) for name, counts in around(dp)]
    for part in parts:
        for key, q in part.figures.items():
            totals[key] = totals[key] + q * part.count if key in totals else q * part.count
    for absent in ("dsp", "bram"):
        if target.name != "ge":
            totals[absent] = Quantity.exact(0)
    if target.delays is not None:
        totals["fmax_mhz"] = _fmax(made.blocks, target)
    order = [f for f in (field, "ff", "dsp", "bram", "fmax_mhz") if f in totals]
    return Cost(
        str(dp),
        target.name,
        target.level,
        target.source,
        {f: totals[f] for f in order},
        tuple(parts),
        UNMODELLED[target.name],
    )


@lru_cache(maxsize=65536)
def _priced_block(block: Block, target: Device) -> dict[str, Quantity]:
    return _figures(features(block, target.name), "pe" if block.states else "logic", target)


@lru_cache(maxsize=65536)
def _structure_key(name: str, items: tuple[tuple[str, float], ...], target: Device) -> dict[str, Quantity]:
    return _figures(dict(items), "logic", target)


def _priced_structure(name: str, counts: Mapping[str, float], target: Device) -> dict[str, Quantity]:
    return _structure_key(name, tuple(counts.items()), target)


def _figures(counts: Mapping[str, float], kind: str, target: Device) -> dict[str, Quantity]:
    assert target.prices is not None and target.spread is not None
    field = FIELD[target.name]
    other = {"pe": "logic", "logic": "pe"}[kind]  # what one experiment never met, the other may have priced
    value = price(counts, {**target.prices[other], **target.prices[kind]})
    known = all(n in EXACT[target.name] or n == "ff" or not c for n, c in counts.items()) and field != "ge"
    figures = {field: Quantity.exact(value) if known else Quantity.within(value, target.spread[kind])}
    return figures | {"ff": Quantity.exact(counts.get("ff", 0))}


def _fmax(blocks: Mapping[str, Block], target: Device) -> Quantity:
    """The clock of the slowest block."""
    assert target.delays is not None and target.spread is not None
    slowest = max(_block_ns(b, target) for b in blocks.values())
    return Quantity.within(1000 / slowest, target.spread["fmax_mhz"])


@lru_cache(maxsize=65536)
def _block_ns(block: Block, target: Device) -> float:
    assert target.delays is not None
    return path_ns(critical_path(block, target.delays), target.delays)


def _network(assignment: Mapping[str, str], target: Device) -> Cost:
    """One instance of every distinct text; figures add, the clock is the slowest's."""
    costs = [_estimate(dp, target) for dp in dict.fromkeys(Datapath.parse(t) for t in assignment.values())]
    if not costs:
        raise HwqError("an assignment must name at least one role, not none")
    totals = {}
    for field in costs[0].figures:
        values = [c.figures[field] for c in costs]
        if field == "fmax_mhz":
            totals[field] = min(values, key=lambda q: q.value)
        else:
            total = values[0]
            for q in values[1:]:
                total = total + q
            totals[field] = total
    parts = tuple(Part(c.datapath, 1, {k: q for k, q in c.figures.items() if k != "fmax_mhz"}) for c in costs)
    text = "; ".join(f"{role}: {t}" for role, t in assignment.items())
    return Cost(text, target.name, target.level, target.source, totals, parts, costs[0].unmodelled)
