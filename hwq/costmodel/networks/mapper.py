"""The search for a tiling: every halving of each loop in both orders, the best one by exact cycles, energy or traffic.

Tiles are a loop's size over a power of two, rounded up. Columns are cut only where a tile has one row; where one of the
loops has one tile, both orders are the same, and one is looked at. Totals of all candidates are found at once. Cycles,
which need a walk over the steps, are asked of one candidate after another, least bound first, until no bound is below
the best: the answer is that of walking all of them. Ties go to the smaller traffic, then to what comes first.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwq.costmodel.networks.accelerator import Accelerator
from hwq.costmodel.networks.energy import Moves, energy
from hwq.costmodel.networks.layers import Layer
from hwq.costmodel.networks.tiling import ORDERS, Tiling, Walk, along
from hwq.errors import HwqError

__all__ = ["GOALS", "best", "tilings"]

GOALS = ("latency", "energy", "traffic")
STEPS = 1 << 14  # of a group: finer tilings are not looked at
Counts = np.ndarray[Any, Any]


def halvings(size: int) -> list[int]:
    """size, and it over 2, 4, ... rounded up, down to 1."""
    return list(dict.fromkeys(-(-size // (1 << n)) for n in range(size.bit_length() + 1)))


@dataclass(frozen=True)
class _Loop:
    """Candidates of one loop: tile sizes, how many tiles, and what the last one has."""

    tile: Counts
    count: Counts
    last: Counts

    @classmethod
    def of(cls, size: int, tiles: list[int]) -> _Loop:
        tile = np.array(tiles, dtype=np.int64)
        count = -(-size // tile)
        return cls(tile, count, size - (count - 1) * tile)

    def __getitem__(self, places: Counts) -> _Loop:
        return _Loop(self.tile[places], self.count[places], self.last[places])

    def parts(self) -> Iterator[tuple[Counts, Counts]]:
        """(how many tiles, of what size), the last one apart where it is smaller in some candidate."""
        if (self.last == self.tile).all():
            yield self.count, self.tile
        else:
            yield self.count - 1, self.tile
            yield np.ones_like(self.count), self.last


@dataclass(frozen=True)
class _Totals:
    """Of every candidate: its tiling, bits of the operands moved, what its buffers hold, what the array does."""

    rows: _Loop
    cols: _Loop
    k: _Loop
    c: _Loop
    order: Counts
    input: Counts
    weight: Counts
    first: Counts  # bits of the first load
    fits: Counts
    work: tuple[Counts, Counts, Counts, Counts]

    def tiling(self, place: int) -> Tiling:
        rows, cols, k, c = (int(loop.tile[place]) for loop in (self.rows, self.cols, self.k, self.c))
        return Tiling(rows, cols, k, c, ORDERS[self.order[place]])


def tilings(layer: Layer, accelerator: Accelerator) -> list[Tiling]:
    """Every candidate that fits the buffers, in the order in which ties are decided."""
    found = _totals(layer, accelerator)
    return [found.tiling(place) for place in np.flatnonzero(found.fits).tolist()]


def best(layer: Layer, accelerator: Accelerator, minimise: str = "latency") -> Walk:
    """The best tiling of a layer, as a walk over its steps."""
    if minimise not in GOALS:
        raise HwqError(f"minimise must be one of {', '.join(GOALS)}, not {minimise!r}")
    if accelerator.offchip is None:  # all of it lies on the chip
        return _fitting(Walk(layer, Tiling.whole_layer(layer), accelerator))
    found = _totals(layer, accelerator)
    places = np.flatnonzero(found.fits)
    if not len(places):
        return _fitting(Walk(layer, Tiling(1, 1, 1, 1), accelerator))
    bits = found.input + found.weight
    if minimise != "latency":
        score = bits if minimise == "traffic" else _energy(layer, accelerator, found)
        places = places[score[places] == score[places].min()]
    bounds = _bounds(layer, accelerator, found)
    return _quickest(places, bounds, bits, lambda place: Walk(layer, found.tiling(place), accelerator))


def _fitting(walk: Walk) -> Walk:
    if walk.lacking:
        raise HwqError(f"{walk.lacking}; there is no smaller tiling, enlarge the buffer")
    return walk


def _quickest(places: Counts, bounds: Counts, bits: Counts, walk: Callable[[int], Walk]) -> Walk:
    """The candidate with the fewest cycles, then the fewest bits, then the first place."""
    ranked = places[np.lexsort((places, bits[places], bounds[places]))].tolist()
    chosen, made = None, walk(ranked[0])
    for place in ranked:
        if chosen is not None and (bounds[place], bits[place], place) >= chosen:
            break
        one = walk(place)
        key = one.cycles.total, bits[place], place
        if chosen is None or key < chosen:
            chosen, made = key, one
    return made


def _totals(layer: Layer, accelerator: Accelerator) -> _Totals:
    areas = [(rows, layer.out[1]) for rows in halvings(layer.out[0])]
    areas += [(1, cols) for cols in halvings(layer.out[1])[1:]]
    sides = [list(dict.fromkeys(side)) for side in zip(*areas, strict=True)]
    chosen = (np.array([sides[axis].index(area[axis]) for area in areas]) for axis in (0, 1))
    depths = halvings(layer.k), halvings(layer.c)
    grid = np.indices((len(ORDERS), len(areas), len(depths[0]), len(depths[1]))).reshape(4, -1)
    order, area, k, c = grid
    rows, cols = (at[area] for at in chosen)
    loops = [
        _Loop.of(size, tiles) for size, tiles in zip((*layer.out, layer.k, layer.c), (*sides, *depths), strict=True)
    ]
    each = [loop[at] for loop, at in zip(loops, (rows, cols, k, c), strict=True)]
    needed = [[along(layer, axis, tile)[1] for tile in sides[axis]] for axis in (0, 1)]
    picked = [
        np.array([[one.sum(), one.max(), one[0]] for one in found])[at].T
        for found, at in zip(needed, (rows, cols), strict=True)
    ]
    positions, largest, start = (high * wide for high, wide in zip(*picked, strict=True))
    return _joined(layer, accelerator, each, order, (positions * layer.batch, largest, start))


def _joined(
    layer: Layer, accelerator: Accelerator, loops: list[_Loop], order: Counts, needed: tuple[Counts, Counts, Counts]
) -> _Totals:
    """`needed` are positions of the input: of all tiles, of the largest and of the first one."""
    rows, cols, k, c = loops
    positions, largest, start = needed
    widths, taps = layer.widths, layer.taps
    p = rows.count * cols.count * layer.batch
    outputs_first = order == ORDERS.index("outputs")
    again = np.where(c.count > 1, k.count, np.where(outputs_first & (p > 1), k.count, 1))  # times the input is loaded
    often = np.where(c.count > 1, p, np.where(~outputs_first & (k.count > 1), p, 1))
    two = {name: np.where(n * layer.groups > 1, 2, 1) for name, n in (("i", p * c.count), ("w", k.count * c.count))}
    sums = np.where(p * k.count * layer.groups > 1, 2, 1) * rows.tile * cols.tile * k.tile
    held = {
        "input": two["i"] * largest * c.tile * widths.input,
        "weight": two["w"] * k.tile * c.tile * taps * widths.weight,
        "output": sums * max(widths.sum, widths.output),
    }
    fits = (p * k.count * c.count <= STEPS) & ~(outputs_first & ((p == 1) | (k.count == 1)))
    for buffer in accelerator.buffers:
        fits &= np.sum([held[name] for name in buffer.operands], axis=0) <= buffer.bits
    groups = layer.groups
    return _Totals(
        rows,
        cols,
        k,
        c,
        order,
        positions * layer.c * widths.input * again * groups,
        often * layer.k * layer.c * taps * widths.weight * groups,
        start * c.tile * widths.input + k.tile * c.tile * taps * widths.weight,
        fits,
        _work(layer, accelerator, loops),
    )


def _work(layer: Layer, accelerator: Accelerator, loops: list[_Loop]) -> tuple[Counts, Counts, Counts, Counts]:
    """What the array does in all tiles of all groups and images."""
    found = [np.zeros_like(loops[0].tile) for _ in range(4)]
    times = layer.groups * layer.batch
    for parts in itertools.product(*(loop.parts() for loop in loops)):
        (n_rows, rows), (n_cols, cols), (n_k, k), (n_c, c) = parts
        count = n_rows * n_cols * n_k * n_c * times
        for total, one in zip(found, accelerator.array.work(rows * cols, k, c, layer.taps), strict=True):
            total += count * one
    return found[0], found[1], found[2], found[3]


def _bounds(layer: Layer, accelerator: Accelerator, found: _Totals) -> Counts:
    """Cycles that no walk is below: all that one stage does, and what goes before and after it.

    The array waits for the first load, the vector unit for the first whole sum; after the last step of the array its
    outputs are stored, which no more than the outputs of two steps of the memory's are for.
    """
    memory, vector = accelerator.cycles_per_bit, accelerator.cycles_per_op
    first = found.rows.tile * found.cols.tile * found.k.tile
    last = found.rows.last * found.cols.last * found.k.last
    out, work = layer.widths.output, accelerator.array.work
    sum_first = sum(
        count * work(found.rows.tile * found.cols.tile, found.k.tile, size, layer.taps).cycles
        for count, size in found.c.parts()
    )
    sum_last = work(found.rows.last * found.cols.last, found.k.last, found.c.last, layer.taps).cycles
    load, store = _least(found.first, memory), _least(last * out, memory)
    passed, passed_last = (
        _least(np.array(layer.outputs * layer.vector_ops), vector),
        _least(last * layer.vector_ops, vector),
    )
    if accelerator.vector_overlaps:
        busy, after = found.work[0], np.maximum(store, passed_last)
    else:
        busy, after, sum_last = found.work[0] + passed, store, sum_last + passed_last
    moved = found.input + found.weight + layer.outputs * out
    stored = np.maximum(_least(moved, memory), _least(moved - (last + first) * out, memory) + sum_last + after)
    bounds: Counts = np.maximum(np.maximum(load + busy + after, stored), load + sum_first + passed)
    return bounds


def _least(amount: Counts, each: Any) -> Counts:
    found: Counts = -(-amount * each.numerator // each.denominator)
    return found


def _energy(layer: Layer, accelerator: Accelerator, found: _Totals) -> Counts:
    """pJ of every candidate; refused where a price is missing, since a search would go where nothing is counted."""
    moves = Moves(layer, found.input, found.weight, *found.work[1:])
    parts, missing = energy(accelerator, moves)
    if missing:
        raise HwqError(f"energy can be minimised only if all of it is priced, not without {'; '.join(missing)}")
    total: Counts = np.zeros(found.order.shape)
    for part in parts.values():
        total += part.value
    return total
