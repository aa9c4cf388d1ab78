"""A stated tiling of a layer, and the exact cycles that it takes.

Buffers hold one tile of each operand and take the next one meanwhile. Groups follow one another; within a group the
loops over tiles run in one of two orders, outermost first,

    "pixels":  images, rows, columns of the output, output channels, input channels
    "outputs": output channels, images, rows, columns, input channels

so that sums stay in their buffer until they are whole. An operand's tile is loaded when it is not that of the step
before. Steps go through three stages, and every stage begins when all have ended:

    load tiles of step t  |  compute step t - 1  |  store the outputs of step t - 2, through the vector unit

The DRAM takes loads and stores in turn, so that a slot lasts as long as the longest of

    ceil(bits loaded and stored * cycles a bit),  cycles of the array,  ceil(operations * cycles an operation)

and the layer as long as its slots. A vector unit that does not overlap takes its cycles after the array's, in the same
slot. Bits are packed: codes lie side by side, no burst or page is filled up. Positions of the input that no product
reads (padding, what a stride leaves out) are not loaded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from hwq.costmodel.networks.accelerator import OPERANDS, Accelerator
from hwq.costmodel.networks.layers import Layer
from hwq.datapath.checks import whole
from hwq.errors import HwqError

__all__ = ["ORDERS", "Cycles", "Tiling", "Walk", "along", "spans"]

ORDERS = ("pixels", "outputs")
LAG = 2  # slots from a step's load to its store
MOST_STEPS = 1 << 22
Counts = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Tiling:
    """Sizes of a tile: rows and columns of the output, output channels k, input channels c; and the order of loops."""

    rows: int
    cols: int
    k: int
    c: int
    order: str = "pixels"

    def __post_init__(self) -> None:
        for name in ("rows", "cols", "k", "c"):
            whole(f"{name} of a tile", getattr(self, name), 1, 1 << 24)
        if self.order not in ORDERS:
            raise HwqError(f"order must be one of {', '.join(ORDERS)}, not {self.order!r}")

    @classmethod
    def whole_layer(cls, layer: Layer) -> Tiling:
        """The layer as one tile a group and image."""
        return cls(*layer.out, layer.k, layer.c)


@dataclass(frozen=True)
class Cycles:
    """Cycles of a layer: of all its slots, and what array, DRAM and vector unit were busy for."""

    total: int
    compute: int
    memory: int
    vector: int


def spans(size: int, tile: int) -> Counts:
    """Sizes of the tiles of a loop, the last one what is left."""
    count = -(-size // tile)
    found = np.full(count, min(tile, size), dtype=np.int64)
    found[-1] = size - (count - 1) * tile
    return found


def along(layer: Layer, axis: int, tile: int) -> tuple[Counts, Counts]:
    """Of each tile along rows (axis 0) or columns: positions of the output, and those of the input that it reads.

    Those of one tap that another tap of the same tile reads too, `ahead` places further on, are counted once.
    """
    stride, dilation, padding = layer.stride[axis], layer.dilation[axis], layer.padding[axis]
    shared = math.gcd(stride, dilation)
    apart, ahead = stride // shared, dilation // shared
    sizes = spans(layer.out[axis], tile)
    ends = np.cumsum(sizes)
    read = np.zeros_like(sizes)
    for tap in range(layer.kernel[axis]):
        first = ends - sizes if tap < apart else np.maximum(ends - sizes, ends - ahead)
        low = -(-(padding - tap * dilation) // stride)
        high = (layer.image[axis] - 1 + padding - tap * dilation) // stride + 1
        read += np.maximum(0, np.minimum(ends, high) - np.maximum(first, low))
    return sizes, read


@dataclass(frozen=True)
class Walk:
    """The steps of a layer under a tiling on an accelerator, with all that each of them moves."""

    layer: Layer
    tiling: Tiling
    accelerator: Accelerator

    def __post_init__(self) -> None:
        if math.prod(self.shape) > MOST_STEPS:
            raise HwqError(
                f"a tiling must have at most {MOST_STEPS} steps, not {math.prod(self.shape)}; make its tiles larger"
            )

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Tiles of pixels, of output channels, of input channels, in one group."""
        layer, tile = self.layer, self.tiling
        pixels = layer.batch * -(-layer.out[0] // tile.rows) * -(-layer.out[1] // tile.cols)
        return pixels, -(-layer.k // tile.k), -(-layer.c // tile.c)

    @cached_property
    def areas(self) -> tuple[Counts, Counts]:
        """(positions of the output, positions of the input) of each tile of pixels."""
        tile, batch = (self.tiling.rows, self.tiling.cols), self.layer.batch
        (rows, high), (cols, wide) = (along(self.layer, axis, tile[axis]) for axis in (0, 1))
        return np.tile(np.outer(rows, cols).ravel(), batch), np.tile(np.outer(high, wide).ravel(), batch)

    @cached_property
    def places(self) -> tuple[Counts, Counts, Counts]:
        """Which tile of pixels, of outputs and of inputs each step of a group takes, in order."""
        p, k, c = self.shape
        if self.tiling.order == "pixels":
            at = np.indices((p, k, c)).reshape(3, -1)
            return at[0], at[1], at[2]
        at = np.indices((k, p, c)).reshape(3, -1)
        return at[1], at[0], at[2]

    @cached_property
    def sizes(self) -> tuple[Counts, Counts, Counts, Counts]:
        """(positions of the output, of the input, output channels, input channels) of each step of a group."""
        (p, k, c), (outputs, inputs) = self.places, self.areas
        layer, tile = self.layer, self.tiling
        return outputs[p], inputs[p], spans(layer.k, tile.k)[k], spans(layer.c, tile.c)[c]

    @cached_property
    def moved(self) -> dict[str, Counts]:
        """Bits of each operand that each step of a group loads from the DRAM, or stores."""
        (p, k, c), (pixels, positions, outputs, inputs) = self.places, self.sizes
        widths, fresh = self.layer.widths, self._fresh
        return {
            "input": positions * inputs * widths.input * (fresh(p) | fresh(c)),
            "weight": outputs * inputs * self.layer.taps * widths.weight * (fresh(k) | fresh(c)),
            "output": pixels * outputs * widths.output * self.whole,
        }

    @cached_property
    def whole(self) -> Counts:
        """True for the steps that end a sum."""
        last: Counts = self.places[2] == self.shape[2] - 1
        return last

    @staticmethod
    def _fresh(places: Counts) -> Counts:
        """True where a step takes another tile than the step before; a group's first step does."""
        fresh: Counts = np.diff(places, prepend=-1) != 0
        return fresh

    @cached_property
    def held(self) -> dict[str, int]:
        """Bits that an operand takes in its buffer: its largest tile, twice if it has several; all without a DRAM."""
        if self.accelerator.offchip is None:
            return self.layer.bits
        pixels, positions, outputs, inputs = (int(sizes.max()) for sizes in self.sizes)
        (p, k, c), layer = self.shape, self.layer
        widths = layer.widths
        tiles = {
            "input": (positions * inputs * widths.input, p * c),
            "weight": (outputs * inputs * layer.taps * widths.weight, k * c),
            "output": (pixels * outputs * max(widths.sum, widths.output), p * k),
        }
        return {name: bits * (2 if count * layer.groups > 1 else 1) for name, (bits, count) in tiles.items()}

    @property
    def lacking(self) -> str:
        """The buffer that the tiles do not fit, or nothing."""
        for buffer in self.accelerator.buffers:
            need = sum(self.held[operand] for operand in buffer.operands)
            if need > buffer.bits:
                return f"{buffer.name} must have {need} bits for {self.layer.name}, not {buffer.bits}"
        return ""

    @cached_property
    def cycles(self) -> Cycles:
        """Of all groups. The third and all that follow are alike: nothing reaches back over more than `LAG` steps."""
        groups, few = self.layer.groups, LAG + 1
        if groups <= few:
            return self._of_groups(groups)
        less, more = _fields(self._of_groups(few - 1)), _fields(self._of_groups(few))
        return Cycles(*(m + (groups - few) * (m - n) for n, m in zip(less, more, strict=True)))

    def _of_groups(self, groups: int) -> Cycles:
        accelerator = self.accelerator
        load, store = (np.tile(bits, groups) for bits in (self.loaded, self.moved["output"]))
        compute, ops = np.tile(self.compute, groups), np.tile(self.operations, groups)
        memory = _ceil(_shift(load, 0) + _shift(store, LAG), accelerator.cycles_per_bit)
        vector = _ceil(ops, accelerator.cycles_per_op)
        if accelerator.vector_overlaps:
            slots = np.maximum(np.maximum(memory, _shift(compute, 1)), _shift(vector, LAG))
        else:
            slots = np.maximum(memory, _shift(compute + vector, 1))
        return Cycles(int(slots.sum()), int(compute.sum()), int(memory.sum()), int(vector.sum()))

    @cached_property
    def loaded(self) -> Counts:
        """Bits that each step of a group loads."""
        found: Counts = self.moved["input"] + self.moved["weight"]
        return found

    @cached_property
    def compute(self) -> Counts:
        """Cycles of the array in each step of a group."""
        pixels, _, outputs, inputs = self.sizes
        found = self.accelerator.array.work(pixels, outputs, inputs, self.layer.taps).cycles
        return np.broadcast_to(np.asarray(found, dtype=np.int64), pixels.shape)

    @property
    def passed(self) -> tuple[int, int, int]:
        """Values between buffers and array in all groups: inputs and weights read, sums written."""
        pixels, _, outputs, inputs = self.sizes
        work = self.accelerator.array.work(pixels, outputs, inputs, self.layer.taps)
        found = [int(np.broadcast_to(part, pixels.shape).sum()) * self.layer.groups for part in work[1:]]
        return found[0], found[1], found[2]

    @cached_property
    def operations(self) -> Counts:
        """Elementary operations of the vector unit for each step of a group."""
        found: Counts = self.sizes[0] * self.sizes[2] * self.whole * self.layer.vector_ops
        return found

    def traffic(self) -> dict[str, int]:
        """Bits of each operand between DRAM and buffers, in all groups; 0 without a DRAM."""
        times = self.layer.groups * (self.accelerator.offchip is not None)
        return {operand: int(self.moved[operand].sum()) * times for operand in OPERANDS}


def _fields(cycles: Cycles) -> tuple[int, int, int, int]:
    return cycles.total, cycles.compute, cycles.memory, cycles.vector


def _shift(steps: Counts, slots: int) -> Counts:
    """What each slot does of a stage that begins so many slots after the load."""
    found = np.zeros(len(steps) + LAG, dtype=np.int64)
    found[slots : slots + len(steps)] = steps
    return found


def _ceil(amount: Counts, each: Fraction) -> Counts:
    """ceil(amount * each), exactly."""
    found: Counts = -(-amount * each.numerator // each.denominator)
    return found
