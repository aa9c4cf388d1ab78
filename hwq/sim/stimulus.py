"""Operands and parameters of the tiles that a run sends through a design."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hwq.datapath import Datapath, Params
from hwq.datapath.draw import Codes, Draw

__all__ = ["Tiles", "exhaustive_tiles", "random_tiles"]

OUTPUTS = 512  # tiles for the epilogue alone
SHORT, LONG = 3, 512  # terms of a tile: a running sum that is looked at often, and one that grows
CANCELLING, GROWING = 0.1, 0.05  # shares of random tiles: each second product undoes one; all are as large as can be
SHAPES = 400  # of random tiles: of many, some share a length and the kinds of their operands


@dataclass(frozen=True, eq=False)
class Tiles:
    """Runs of the array of one shape: codes a [T, M, K] and w [T, N, K], and the parameters of each column [T * N]."""

    a: Codes
    w: Codes
    params: Params

    def __len__(self) -> int:
        return len(self.a)

    @property
    def rows(self) -> int:
        return int(self.a.shape[1])

    @property
    def terms(self) -> int:
        return int(self.a.shape[2])


def random_tiles(dp: Datapath, count: int, seed: int) -> Iterator[Tiles]:
    """Tiles of few and of many terms, each lane of a kind of its own."""
    draw, size = Draw(dp.mac, seed), max(1, count // SHAPES)
    for index, at in enumerate(range(0, count, size)):
        most = 300 if index % 100 == 50 else 40 if index % 10 == 5 else 12
        terms = min(dp.mac.k, 1 if index % 7 == 0 else int(draw.rng.integers(1, most + 1)))
        yield _drawn(draw, dp, min(size, count - at), _filled(draw, dp, terms))


def _drawn(draw: Draw, dp: Datapath, count: int, terms: int) -> Tiles:
    rows, cols = dp.array.rows, dp.array.cols
    if dp.array.dataflow == "ws":  # operands stream past the weights: as many rows as one likes
        rows = int(draw.rng.integers(1, 2 * dp.array.rows + 2))
    a, w = (
        draw.operand(side, (lanes, count * terms)).reshape(lanes, count, terms).transpose(1, 0, 2)
        for side, lanes in (("a", rows), ("w", cols))
    )
    kind = draw.rng.random()
    if kind < CANCELLING:  # what is left is small beside what the sum has held
        w[..., 1::2] = draw.opposite("w", w[..., : w.shape[-1] - 1 : 2])
        a[..., 1::2] = a[..., : a.shape[-1] - 1 : 2]
    elif kind < CANCELLING + GROWING:  # one sign: as far from zero as so many terms get
        a[:], w[:] = (draw.rng.choice(draw.finite[side][[0, -1]]) for side in "aw")
    return _with_params(draw, a, w)


def _filled(draw: Draw, dp: Datapath, terms: int) -> int:
    """Terms that fill whole beats, where no operand is a zero that could fill one."""
    zeros = [fmt.value(draw.zero(side)) == 0 for side, fmt in (("a", dp.mac.a), ("w", dp.mac.w))]
    at_once = dp.array.lanes * (dp.array.rows if dp.array.dataflow == "ws" else 1)
    return terms if any(zeros) else -(-terms // at_once) * at_once


def _with_params(draw: Draw, a: Codes, w: Codes) -> Tiles:
    columns = w.shape[0] * w.shape[1]
    return Tiles(a, w, draw.params(columns, a.shape[2]) if draw.words else Params())


def exhaustive_tiles(dp: Datapath, seed: int) -> Iterator[Tiles]:
    """Every pair of operand codes, in running sums: in seeded order, short sums and then long ones.

    A cleared accumulator would hide faults in its carries, and a sum of few terms those of its upper bits.
    """
    draw = Draw(dp.mac, seed)
    short, long = (_filled(draw, dp, min(dp.mac.k, terms)) for terms in (SHORT, LONG))
    for terms in (short, long):
        yield _permuted(draw, terms)
    yield _growing(draw, long)
    if dp.mac.epilogue:
        yield from _biases(draw, _filled(draw, dp, 1))


def _permuted(draw: Draw, terms: int) -> Tiles:
    """All pairs in seeded order; the first ones fill up the last tile."""
    a, w = (grid.ravel() for grid in np.meshgrid(draw.codes["a"], draw.codes["w"], indexing="ij"))
    order = draw.rng.permutation(a.size)
    pairs = np.resize(order, -(-a.size // terms) * terms)
    return _with_params(draw, a[pairs].reshape(-1, 1, terms), w[pairs].reshape(-1, 1, terms))


def _growing(draw: Draw, terms: int) -> Tiles:
    """Sums of one sign: the largest numbers against each other, in all four ways."""
    ends = {side: (draw.finite[side][0], draw.finite[side][-1]) for side in "aw"}
    pairs = np.array([(a, w) for a in ends["a"] for w in ends["w"]])
    a, w = (np.repeat(pairs[:, side, None, None], terms, axis=2) for side in (0, 1))
    return _with_params(draw, a, w)


def _biases(draw: Draw, terms: int) -> Iterator[Tiles]:
    """The epilogue alone: sums of every size, most of them just a bias, where small faults are seen."""
    for _ in range(OUTPUTS):
        largest = 1 << int(draw.rng.integers(draw.mac.acc_bits - 1))
        a = np.full((1, 1, terms), draw.zero("a"), dtype=draw.codes["a"].dtype)
        w = draw.rng.choice(draw.finite["w"] if draw.rng.random() < 0.9 else draw.corners["w"], (1, 1, terms))
        if draw.rng.random() < 0.3:
            a = draw.rng.choice(draw.corners["a"], (1, 1, terms))
        yield Tiles(a, w, draw.params(1, terms, largest))
