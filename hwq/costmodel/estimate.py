"""From a plan to a cost: blocks priced by their cells, counted by the array, with intervals where a price is fitted."""

from __future__ import annotations

import gc
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial, reduce
from typing import Any, overload

import numpy as np

from hwq.bits.cells import Block
from hwq.costmodel.cost import Cost, Figures, Part, Quantity, set_at_once
from hwq.costmodel.fabrics import FABRICS
from hwq.costmodel.features import AROUND, features
from hwq.costmodel.fit import family, lent, price, uncertain
from hwq.costmodel.networks import Accelerator, Layer, NetworkCost
from hwq.costmodel.networks import price as price_network
from hwq.costmodel.networks.convert import Model
from hwq.costmodel.unmodelled import ALONE, unmodelled
from hwq.datapath import Datapath, Plan, plan
from hwq.datapath.device import DEVICES, Device
from hwq.datapath.device import device as read_device
from hwq.datapath.fabric import Counts, modules, surroundings
from hwq.datapath.text import write_arrays
from hwq.datapath.timing import critical_path, path_ns
from hwq.errors import HwqError

__all__ = ["block_fmax", "coefficients", "counted", "estimate", "estimates", "kind_of", "priced"]

Figure = tuple[Any, Any, Any]  # value, half-width, what is known of it: numbers, or an array of each for many designs
OUTSIDE = 2.0  # how much wider the interval of a module is that has more of something than the fit ever saw


@overload
def estimate(what: Datapath | str | Mapping[str, str], device: str | Device) -> Cost: ...  # type: ignore[overload-overlap]
@overload
def estimate(what: Sequence[Datapath | str], device: str | Device) -> list[Cost]: ...
@overload
def estimate(what: Sequence[Layer] | Model, device: Accelerator) -> NetworkCost: ...
def estimate(what: Any, device: str | Device | Accelerator) -> Cost | list[Cost] | NetworkCost:
    """The cost of a datapath, of each of several, or of a network (role -> text; one instance a distinct text).

    `device` names one that has prices (`hwq cost --help` lists them), or is one with prices of your own, which
    `hwq.datapath.device.load` reads from what `hwq calibrate -o FILE` wrote. On an `Accelerator` of
    `hwq.costmodel.networks` it is the latency, traffic and energy of a network's layers, or of a quantized model.
    """
    if isinstance(device, Accelerator):
        return price_network(what, device)
    found = priced(device)
    if isinstance(what, Datapath):
        return estimates([what], found)[0]
    if isinstance(what, str):
        return estimates([Datapath.parse(what)], found)[0]
    if isinstance(what, Mapping):
        return _network(what, found)
    if not isinstance(what, Iterable):
        raise HwqError(f"estimate takes a datapath, its text, a list of these or {{role: text}}, not {what!r}")
    return estimates([dp if isinstance(dp, Datapath) else Datapath.parse(dp) for dp in what], found)


def priced(device: str | Device) -> Device:
    """A device that has prices, by its name or as it was loaded."""
    if not isinstance(device, str | Device):
        wanted = "a name such as 'xc7', or what hwq.datapath.device.load reads"
        raise HwqError(f"device must be {wanted}, not {device!r}; name one")
    found = read_device(device) if isinstance(device, str) else device
    if found.prices is None:
        usable = ", ".join(n for n in DEVICES if read_device(n).prices is not None) or "none yet"
        raise HwqError(f"device must have prices ({usable}), not {found.name!r}; choose one of these")
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
    if len(arrays) == 1:  # integers, which are faster than arrays of one
        pieces = _pieces(made, first.array.rows, first.array.cols, target)
    else:
        pieces = _pieces(made, np.array([a.rows for a in arrays]), np.array([a.cols for a in arrays]), target)
    names = dict.fromkeys(name for piece in pieces for name in piece.figures)
    columns = {name: _quantities(_sum(pieces, name), len(arrays)) for name in names}
    outside = [f"{p.beyond}: its interval is {OUTSIDE:g} times as wide" for p in pieces if p.beyond]
    if FABRICS[target.name].field == "lut":
        columns["bram"] = [Quantity.exact(0)] * len(arrays)
    blocks = any(cell.op == "hard" for cell in made.blocks["pe"].cells)
    if target.delays is not None and not blocks:
        columns["fmax_mhz"] = [_fmax(made.blocks, target)] * len(arrays)
    noted = (*unmodelled(first, blocks, target), *outside)
    several = noted + ALONE * ("fmax_mhz" in columns)  # of an array
    fields: dict[str, Any] = {"device": target.name, "level": target.level, "source": target.source, "counts_level": ""}
    for at, (text, *figures) in enumerate(zip(write_arrays(first, arrays), *columns.values(), strict=True)):
        fields["datapath"], fields["figures"] = text, Figures(zip(columns, figures, strict=True))
        fields["unmodelled"] = several if arrays[at].rows > 1 or arrays[at].cols > 1 else noted
        fields["parts"] = partial(_parts, pieces, at, len(arrays))
        yield set_at_once(fields.copy())


@dataclass(frozen=True)
class _Piece:
    """Equal pieces of designs: how many each has, and the figures of one."""

    name: str
    count: Counts
    figures: Mapping[str, Figure]
    beyond: str = ""


def _pieces(made: Plan, rows: Counts, cols: Counts, target: Device) -> list[_Piece]:
    blocks = [
        _Piece(name, count, _priced(made.blocks[name], target), beyond(made.blocks[name], target))
        for name, count in modules(made, rows, cols).items()
    ]
    added = surroundings(made, rows, cols).items()
    return blocks + [_Piece(name, 1, _figures(counts, AROUND, target)) for name, counts in added]


def _parts(pieces: Sequence[_Piece], at: int, number: int) -> tuple[Part, ...]:
    """The pieces of one of a number of designs."""
    return tuple(
        Part(
            piece.name,
            int(piece.count[at] if isinstance(piece.count, np.ndarray) else piece.count),
            {name: _quantities(figure, number)[at] for name, figure in piece.figures.items()},
        )
        for piece in pieces
    )


def _quantities(figure: Figure, number: int) -> list[Quantity]:
    """Values of a number of designs with their intervals: as far down as up in ratio, not below what is known."""
    value, half, known = figure
    if number == 1:
        return [Quantity(value, max(value - half * value / (value + half or 1), known), value + half)]
    most = value + half
    spans = (value, np.maximum(value - half * value / np.where(most == 0, 1, most), known), most)
    make = partial(tuple.__new__, Quantity)  # what Quantity._make does, without a call in Python for each
    return list(map(make, zip(*(np.broadcast_to(s, number).tolist() for s in spans), strict=True)))


def _sum(pieces: Sequence[_Piece], name: str) -> Figure:
    """A figure of all pieces: equal ones err together, different ones by themselves."""
    value = square = known = 0
    for piece in pieces:
        if name in piece.figures:
            one, half, sure = piece.figures[name]
            value, known = value + one * piece.count, known + sure * piece.count
            square = square + (half * piece.count) ** 2
    return value, square**0.5, known


def counted(
    pieces: Mapping[str, tuple[Mapping[str, Counts], str]], target: Device
) -> tuple[dict[str, Quantity], tuple[Part, ...]]:
    """The figures of pieces, (counts, kind) by name, and the pieces."""
    made = [_Piece(name, 1, _figures(counts, kind, target)) for name, (counts, kind) in pieces.items()]
    fields = dict.fromkeys(field for piece in made for field in piece.figures)
    return {field: _quantities(_sum(made, field), 1)[0] for field in fields}, _parts(made, 0, 1)


@lru_cache(maxsize=65536)
def _priced(block: Block, target: Device) -> dict[str, Figure]:
    figures = _figures(features(block, target.name), kind_of(block), target)
    wider = OUTSIDE if beyond(block, target) else 1.0
    return {name: (value, half * wider, known) for name, (value, half, known) in figures.items()}


def kind_of(block: Block) -> str:
    """The kind of a module among a device file's spreads: pe, decode or epilogue."""
    return block.name.partition("_")[0]


@lru_cache(maxsize=65536)
def beyond(block: Block, target: Device) -> str:
    """What of a block no design of the fit had so much of, in words; else nothing."""
    assert target.region is not None
    counts, field = features(block, target.name), FABRICS[target.name].field
    region = _of_family(target.region[field], kind_of(block), counts)
    known = {*FABRICS[target.name].exact, "ff", "dsp"}
    over = [name for name, count in counts.items() if name not in known and count > region.get(name, 0)]
    most = [" (the fit at most {:g})", *[" ({:g})"] * len(over)]  # it is said once what the number in brackets is
    each = [f"{counts[n]:g} of {n!r}{words.format(region.get(n, 0))}" for n, words in zip(over, most, strict=False)]
    return f"{block.name} has {', '.join(each)}" if each else ""


@lru_cache(maxsize=256)
def coefficients(field: str, name: str, target: Device) -> Mapping[str, float]:
    """Prices of a family of modules; what its experiment never met, another may have priced."""
    assert target.prices is not None
    return lent(target.prices[field], name, FABRICS[target.name].stated)


def _figures(counts: Mapping[str, Counts], kind: str, target: Device) -> dict[str, Figure]:
    """The figures of pieces with these counts: the coefficient of each count, times it, added.

    `kind` is that of the device file's spreads: pe, decode, epilogue or around.
    """
    fabric = FABRICS[target.name]
    ff, dsp = counts.get("ff", 0), counts.get("dsp", 0)
    figures = {field: _figure(field, counts, kind, target) for field in fabric.fields} | {"ff": (ff, 0, ff)}
    return figures | ({"dsp": (dsp, 0, dsp)} if fabric.field == "lut" else {})


def _figure(field: str, counts: Mapping[str, Counts], kind: str, target: Device) -> Figure:
    assert target.spread is not None and target.doubt is not None
    fabric, prices = FABRICS[target.name], coefficients(field, family(kind, counts), target)
    known = fitted = 0.0
    open_: Any = False  # whether anything of it is fitted
    for name, count in counts.items():
        if name == "dsp" or (name == "ff" and not fabric.ff) or not _some(count):
            continue
        amount = count * price({name: 1}, prices)
        if name in fabric.exact:
            known = known + amount
        else:
            fitted, open_ = fitted + amount, open_ | (count != 0)
    value, doubt = known + fitted, _of_family(target.doubt[field], kind, counts)
    wide = _of_family(target.spread[field], kind, counts)
    return value, wide * uncertain(fitted, value) * open_ + doubt * abs(known), known


def _of_family(each: Mapping[str, Any], kind: str, counts: Mapping[str, Counts]) -> Any:
    """What is known of a module's family, or else of its kind."""
    return each.get(family(kind, counts), each[kind])


def _some(count: Counts) -> bool:
    return bool(count.any() if isinstance(count, np.ndarray) else count)


def _fmax(blocks: Mapping[str, Block], target: Device) -> Quantity:
    """The clock of the slowest block."""
    assert target.spread is not None
    slowest = max(_block_ns(b, target) for b in blocks.values())
    return Quantity.within(1000 / slowest, target.spread["fmax_mhz"]["pe"])


def block_fmax(dp: Datapath, part: str, target: Device) -> Quantity:
    """The clock of one block of a datapath, in MHz."""
    return _fmax({part: plan(dp, target.name).blocks[part]}, target)


@lru_cache(maxsize=65536)
def _block_ns(block: Block, target: Device) -> float:
    assert target.delays is not None
    return path_ns(critical_path(block, target.delays), target.delays)


def _network(assignment: Mapping[str, str], target: Device) -> Cost:
    """One instance of every distinct text; figures add, the clock is the slowest's.

    A figure that one of them lacks the network lacks too, and says so.
    """
    costs = estimates(list(dict.fromkeys(map(Datapath.parse, assignment.values()))), target)
    if not costs:
        raise HwqError("an assignment must name at least one role, not none")
    lacking = {f: c.datapath for c in costs for f in {g for other in costs for g in other.figures} - {*c.figures}}
    totals = {f: _total(f, [c.figures[f] for c in costs]) for f in costs[0].figures if f not in lacking}
    parts = tuple(Part(c.datapath, 1, {k: q for k, q in c.figures.items() if k != "fmax_mhz"}) for c in costs)
    text = "; ".join(f"{role}: {t}" for role, t in assignment.items())
    unmodelled = [note for c in costs for note in c.unmodelled]
    unmodelled += [f"{field}: {text} has none" for field, text in sorted(lacking.items())]
    return Cost(text, target.name, target.level, target.source, totals, lambda: parts, tuple(dict.fromkeys(unmodelled)))


def _total(field: str, quantities: Sequence[Quantity]) -> Quantity:
    """A figure of several designs together."""
    if field == "fmax_mhz":
        return min(quantities, key=lambda q: q.value)
    return reduce(operator.add, quantities)
