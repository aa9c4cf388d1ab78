"""From a plan to a cost: blocks priced by their cells, counted by the array, with intervals where a price is fitted."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, overload

import numpy as np

from hwq.bits.cells import Block
from hwq.costmodel.cost import Cost, Part, Quantity
from hwq.costmodel.fabrics import FABRICS
from hwq.costmodel.features import AROUND, features
from hwq.costmodel.fit import price
from hwq.datapath import Datapath, Plan, plan
from hwq.datapath.device import DEVICES, Device, device
from hwq.datapath.fabric import Counts, modules, surroundings
from hwq.datapath.text import write_arrays
from hwq.datapath.timing import critical_path, path_ns
from hwq.errors import HwqError

__all__ = ["block_fmax", "estimate", "estimates"]

Figure = np.ndarray[Any, Any]  # [3, n]: value, low and high of n designs, or of one for all of them

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
        return estimates([what], found)[0]
    if isinstance(what, str):
        return estimates([Datapath.parse(what)], found)[0]
    if isinstance(what, Mapping):
        return _network(what, found)
    if not isinstance(what, Iterable):
        raise HwqError(f"estimate takes a datapath, its text, a list of these or {{role: text}}, not {what!r}")
    return estimates([dp if isinstance(dp, Datapath) else Datapath.parse(dp) for dp in what], found)


def priced(name: str) -> Device:
    """A device that has prices."""
    found = device(name)
    if found.prices is None:
        usable = ", ".join(n for n in DEVICES if device(n).prices is not None) or "none yet"
        raise HwqError(f"device must have prices ({usable}), not {name!r}; choose one of these")
    return found


def estimates(datapaths: Sequence[Datapath], target: Device) -> list[Cost]:
    """The cost of each. Datapaths that differ in their array alone are priced together."""
    alike: dict[object, list[int]] = {}
    for at, dp in enumerate(datapaths):
        # by identity, which texts of one Mac share: to hash it takes longer than to price one more array
        kind = dp.array.lanes, dp.array.dataflow
        alike.setdefault((id(dp.mac), dp.decode, dp.cuts, dp.uses, kind), []).append(at)
    found: dict[int, Cost] = {}
    with _no_collection():
        for places in alike.values():
            found.update(zip(places, _arrays([datapaths[at] for at in places], target), strict=True))
    return [found[at] for at in range(len(datapaths))]


_UNMEASURED = ("float sums: no such element was measured, and the interval is that of others",)
_BANKS = (
    "use=banks: no array of them was fitted, two of 8x8 measured 19 and 23 % more lut than this, outside the interval; "
    "ff counts some that a synthesiser finds to be constant",
)
_STREAMED = (
    "use=dsp in /ws: no array of them was fitted, two measured 12 and 29 lut more than this on xc7, 74 and 119 less on "
    "ecp5, outside the interval",
)
_UNTIMED = ("fmax_mhz: no multiplier block was placed and routed",)


@contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection meanwhile: everything made here is kept, looking through it is wasted."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _arrays(datapaths: Sequence[Datapath], target: Device) -> Iterator[Cost]:
    """The costs of datapaths that differ in the size of their array alone."""
    first, arrays = datapaths[0], [dp.array for dp in datapaths]
    made = plan(first, target.name)
    pieces = _pieces(made, np.array([a.rows for a in arrays]), np.array([a.cols for a in arrays]), target)
    totals: dict[str, Figure] = {}
    for piece in pieces:
        for name, figure in piece.figures.items():
            totals[name] = totals[name] + figure * piece.count if name in totals else figure * piece.count
    columns = {name: _quantities(figure) for name, figure in totals.items()}
    if target.name != "ge":
        columns["bram"] = [Quantity.exact(0)] * len(arrays)
    blocks = any(cell.op == "hard" for cell in made.blocks["pe"].cells)
    if target.delays is not None and not blocks:
        columns["fmax_mhz"] = [_fmax(made.blocks, target)] * len(arrays)
    for at, (text, *figures) in enumerate(zip(write_arrays(first, arrays), *columns.values(), strict=True)):
        yield Cost(
            text,
            target.name,
            target.level,
            target.source,
            dict(zip(columns, figures, strict=True)),
            partial(_parts, pieces, at),
            UNMODELLED[target.name]
            + _UNMEASURED * (first.mac.floats is not None)
            + _BANKS * ("banks" in first.uses)
            + _STREAMED * (blocks and first.array.dataflow == "ws")
            + _UNTIMED * (blocks and target.delays is not None),
        )


@dataclass(frozen=True)
class _Piece:
    """Equal pieces of many designs: how many each design has, [n], and the figures of one."""

    name: str
    count: Counts
    figures: Mapping[str, Figure]


def _pieces(made: Plan, rows: Counts, cols: Counts, target: Device) -> list[_Piece]:
    blocks = [_Piece(n, count, _priced(made.blocks[n], target)) for n, count in modules(made, rows, cols).items()]
    once = np.ones_like(rows)
    added = surroundings(made, rows, cols).items()
    return blocks + [_Piece(name, once, _figures(counts, AROUND, target)) for name, counts in added]


def _parts(pieces: Sequence[_Piece], at: int) -> tuple[Part, ...]:
    """The pieces of one of the designs."""
    return tuple(
        Part(
            piece.name,
            int(piece.count[at]),
            {name: _quantities(figure)[at % figure.shape[1]] for name, figure in piece.figures.items()},
        )
        for piece in pieces
    )


def _quantities(figure: Figure) -> list[Quantity]:
    return [Quantity(*column) for column in figure.T.tolist()]


@lru_cache(maxsize=65536)
def _priced(block: Block, target: Device) -> dict[str, Figure]:
    counts = {name: np.array([count]) for name, count in features(block, target.name).items()}
    return _figures(counts, block.name.partition("_")[0], target)


def _figures(counts: Mapping[str, Counts], kind: str, target: Device) -> dict[str, Figure]:
    """The figures of pieces with these counts, each [n]: the coefficient of each count, times it, added.

    `kind` is that of the device file's spreads: pe, decode, epilogue or around.
    """
    assert target.prices is not None and target.spread is not None
    field = FABRICS[target.name].field
    # what one experiment never met, the other may have priced
    first, second = ("logic", "pe") if kind == "pe" else ("pe", "logic")
    coefficients = {**target.prices[first], **target.prices[second]}
    value, fitted = np.zeros(1), np.array([field == "ge"])
    for name, count in counts.items():
        if count.any() and name != "dsp":
            value = value + count * price({name: 1}, coefficients)
            if name not in FABRICS[target.name].exact and name != "ff":
                fitted = fitted | (count != 0)
    error = np.where(fitted, target.spread[kind], 0.0)
    ff = counts.get("ff", np.zeros(1, dtype=int))
    dsp = counts.get("dsp", np.zeros(1, dtype=int))
    blocks = {"dsp": np.array([dsp, dsp, dsp])} if field == "lut" else {}
    return {field: np.array([value, value * (1 - error), value * (1 + error)]), "ff": np.array([ff, ff, ff]), **blocks}


def _fmax(blocks: Mapping[str, Block], target: Device) -> Quantity:
    """The clock of the slowest block."""
    assert target.spread is not None
    slowest = max(_block_ns(b, target) for b in blocks.values())
    return Quantity.within(1000 / slowest, target.spread["fmax_mhz"])


def block_fmax(dp: Datapath, part: str, target: Device) -> Quantity:
    """The clock of one block of a datapath, in MHz."""
    return _fmax({part: plan(dp, target.name).blocks[part]}, target)


@lru_cache(maxsize=65536)
def _block_ns(block: Block, target: Device) -> float:
    assert target.delays is not None
    return path_ns(critical_path(block, target.delays), target.delays)


def _network(assignment: Mapping[str, str], target: Device) -> Cost:
    """One instance of every distinct text; figures add, the clock is the slowest's."""
    costs = estimates(list(dict.fromkeys(map(Datapath.parse, assignment.values()))), target)
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
    return Cost(text, target.name, target.level, target.source, totals, lambda: parts, costs[0].unmodelled)
