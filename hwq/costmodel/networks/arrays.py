"""What an array of multiply-accumulates takes for a tile that its buffers hold: cycles, and values that pass between.

`Compute` is what a network is priced on. Two are here; a kernel with cycles of its own is a third class with `macs` and
`work`, whose sizes may be whole numbers or arrays of them, one for each tile that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from hwq.datapath import Datapath
from hwq.datapath.checks import whole
from hwq.datapath.schedule import doubled, latency, through, turn
from hwq.errors import HwqError

__all__ = ["Compute", "Size", "Streaming", "Systolic", "Work"]

Size = Any  # a whole number, or an array of them
LEFT = 1 << 16


class Work(NamedTuple):
    """Of one tile: cycles; inputs and weights that the array reads, each as often; sums that it writes.

    A sum that is written for the second time was read before.
    """

    cycles: Size
    inputs: Size
    weights: Size
    sums: Size


class Compute(Protocol):
    """An array. A tile is `pixels` output positions of `outputs` channels, sums over `inputs` channels and `taps`."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates a cycle, when all of it works."""

    @property
    def text(self) -> str:
        """What it is, for a table."""

    def work(self, pixels: Size, outputs: Size, inputs: Size, taps: int) -> Work:
        """What a tile takes; each tile begins when the one before has ended."""


@dataclass(frozen=True)
class Systolic:
    """The array of a datapath as hwq emits it, `Datapath.cycles` a product: clears, skew, results and all.

    The terms of a sum are one axis (im2col). A sum of more terms than the Mac's k, or than a weight-stationary array
    holds, is several, added outside of the array.
    """

    dp: Datapath

    @property
    def macs(self) -> int:
        array = self.dp.array
        return array.rows * array.cols * array.lanes

    @property
    def text(self) -> str:
        return str(self.dp)

    def work(self, pixels: Size, outputs: Size, inputs: Size, taps: int) -> Work:
        array, terms = self.dp.array, inputs * taps
        across = _up(outputs, array.cols)
        if array.dataflow == "ws":
            parts = _up(terms, array.terms)
            cycles = _through(self.dp, pixels, across * parts)
            return Work(cycles, pixels * terms * across, outputs * terms, pixels * outputs * parts)
        most = self.dp.mac.k
        parts = _up(terms, most)
        beats = (parts - 1) * _up(most, array.lanes) + _up(terms - (parts - 1) * most, array.lanes)
        down = _up(pixels, array.rows)
        cycles = down * across * (parts * through(self.dp, [0]) + beats)
        return Work(cycles, pixels * terms * across, outputs * terms * down, pixels * outputs * parts)


@dataclass(frozen=True)
class Streaming:
    """An array that never lacks operands: `pixels` x `outputs` sums of `inputs` products a cycle, no cycle between.

    Taps follow one another, each in ceil(C / inputs) cycles; with `im2col` terms of all taps fill the lanes together.
    `held` says what stays in it: "sum" (weights are read for each turn of the pixels) or "weight" (read once a tile,
    sums leave after every turn of the terms). `start` are the cycles of a tile before it flows.
    """

    pixels: int
    outputs: int
    inputs: int
    im2col: bool = False
    held: str = "sum"
    start: int = 0

    def __post_init__(self) -> None:
        for name in ("pixels", "outputs", "inputs"):
            whole(f"{name} of an array", getattr(self, name), 1, LEFT)
        whole("start of an array", self.start, 0, LEFT)
        if self.held not in ("sum", "weight"):
            raise HwqError(f"held must be sum or weight, not {self.held!r}")

    @property
    def macs(self) -> int:
        return self.pixels * self.outputs * self.inputs

    @property
    def text(self) -> str:
        return f"{self.pixels} x {self.outputs} x {self.inputs}, streaming, {self.held}s held"

    def work(self, pixels: Size, outputs: Size, inputs: Size, taps: int) -> Work:
        terms, down, across = inputs * taps, _up(pixels, self.pixels), _up(outputs, self.outputs)
        beats = _up(terms, self.inputs) if self.im2col else taps * _up(inputs, self.inputs)
        weights, turns = (down, 1) if self.held == "sum" else (1, beats)
        return Work(
            self.start + down * across * beats,
            pixels * terms * across,
            outputs * terms * weights,
            pixels * outputs * turns,
        )


def _up(size: Size, by: int) -> Size:
    return -(-size // by)


def _through(dp: Datapath, operands: Size, tiles: Size) -> Size:
    """`schedule.through` of equal tiles one after another, of arrays of them too."""
    if not doubled(dp):
        return tiles * (through(dp, [0]) + operands)
    least: Callable[..., Any] = np.maximum
    turns = tiles * least(operands, turn(dp)) - least(0, turn(dp) - operands)
    return dp.array.rows + turns + latency(dp)
