"""Operands, parameters and expected results of the tiles that a run sends through a design."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from hwq.datapath import Datapath, Mac, Params, matmul
from hwq.datapath.draw import Codes, Draw
from hwq.datapath.steps import SEED, parameters

__all__ = ["Tile", "exhaustive_tiles", "expected", "random_tiles"]

OUTPUTS = 512  # tiles for the epilogue alone
SHORT, LONG = 3, 512  # terms of a tile: a running sum that is looked at often, and one that grows


@dataclass(frozen=True, eq=False)
class Tile:
    """One run of the array: codes a [rows, K] and w [cols, K], and the parameters of each column."""

    a: Codes
    w: Codes
    params: Params

    @property
    def terms(self) -> int:
        return int(self.a.shape[1])


def expected(mac: Mac, tiles: Sequence[Tile]) -> list[Codes]:
    """Result codes [rows, cols] of each tile.

    A product of neighbours of one length costs little more than that of one: its other blocks are thrown away.
    """
    found: list[Codes] = []
    for _, alike in groupby(tiles, key=lambda tile: tile.terms):
        same = list(alike)
        # a channel's noise goes on from result to result: then a tile is a product of its own
        size = 1 if SEED in parameters(mac) else max(1, 32 // max(len(same[0].a), len(same[0].w)))
        for at in range(0, len(same), size):
            found += _products(mac, same[at : at + size])
    return found


def _products(mac: Mac, tiles: Sequence[Tile]) -> list[Codes]:
    rows, cols = len(tiles[0].a), len(tiles[0].w)
    params = Params(**{n: np.concatenate([getattr(tile.params, n) for tile in tiles]) for n in parameters(mac)})
    a, w = (np.concatenate([getattr(tile, side) for tile in tiles]) for side in "aw")
    codes = np.asarray(matmul(mac, a, w, params))
    return [codes[j * rows : (j + 1) * rows, j * cols : (j + 1) * cols] for j in range(len(tiles))]


def random_tiles(dp: Datapath, count: int, seed: int) -> Iterator[Tile]:
    """Tiles of few and of many terms, each lane of a kind of its own."""
    draw = Draw(dp.mac, seed)
    for index in range(count):
        most = 300 if index % 100 == 50 else 40 if index % 10 == 5 else 12
        terms = min(dp.mac.k, 1 if index % 7 == 3 else int(draw.rng.integers(1, most + 1)))
        a, w = draw.operand("a", (dp.array.rows, terms)), draw.operand("w", (dp.array.cols, terms))
        yield Tile(a, w, draw.params(dp.array.cols, terms))


def exhaustive_tiles(dp: Datapath, seed: int) -> Iterator[Tile]:
    """Every pair of operand codes, in running sums: in seeded order, short sums and then long ones.

    A cleared accumulator would hide faults in its carries, and a sum of few terms those of its upper bits.
    """
    draw = Draw(dp.mac, seed)
    for terms in (SHORT, LONG):
        yield from _permuted(draw, min(dp.mac.k, terms))
    yield from _growing(draw, min(dp.mac.k, LONG))
    if dp.mac.epilogue:
        yield from _biases(draw)


def _biases(draw: Draw) -> Iterator[Tile]:
    """The epilogue alone: sums of every size, most of them just a bias, where small faults are seen."""
    for _ in range(OUTPUTS):
        largest = 1 << int(draw.rng.integers(draw.mac.acc_bits - 1))
        a = np.full((1, 1), draw.zero("a"), dtype=draw.codes["a"].dtype)
        w = draw.rng.choice(draw.finite["w"] if draw.rng.random() < 0.9 else draw.corners["w"], (1, 1))
        if draw.rng.random() < 0.3:
            a = draw.rng.choice(draw.corners["a"], (1, 1))
        yield Tile(a, w, draw.params(1, 1, largest))


def _permuted(draw: Draw, terms: int) -> Iterator[Tile]:
    a, w = (grid.ravel() for grid in np.meshgrid(draw.codes["a"], draw.codes["w"], indexing="ij"))
    order = draw.rng.permutation(a.size)
    for at in range(0, a.size, terms):
        pairs = order[at : at + terms]
        yield Tile(a[pairs][None], w[pairs][None], draw.params(1, len(pairs)))


def _growing(draw: Draw, terms: int) -> Iterator[Tile]:
    """Sums of one sign: the largest numbers against each other, in all four ways."""
    ends = {side: (draw.finite[side][0], draw.finite[side][-1]) for side in "aw"}
    for a in ends["a"]:
        for w in ends["w"]:
            yield Tile(np.full((1, terms), a), np.full((1, terms), w), draw.params(1, terms))
