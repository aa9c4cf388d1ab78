"""Dot products with the codes that the emulator gives for them: random ones, corners, sums of one sign."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hwq.datapath import Mac, matmul
from hwq.datapath.draw import Codes, Draw
from hwq.datapath.steps import SEED, parameters
from hwq.formats.rounding import noise_states

__all__ = ["Block", "blocks", "lines"]

_SIDE = 100  # rows of either operand in a block, at most
_BLOCKS = 16  # in each so many the following
_MOST = {1: 1, 2: 1, 5: 40, 6: 40, 9: 300, 10: 300}  # terms of a sum, at most, by the block's place; 12 otherwise
_GROWING = (6, 10, 14)


@dataclass(frozen=True, eq=False)
class Block:
    """A product of codes a [m, K] and w [n, K] with parameters [n], and its result codes [m, n]."""

    a: Codes
    w: Codes
    params: dict[str, Codes]
    out: Codes

    @property
    def terms(self) -> int:
        return int(self.a.shape[1])

    def rows(self, name: str) -> Codes:
        """A parameter as each result [m, n] takes it: noise goes on from row to row."""
        given = self.params[name]
        if name == SEED:
            return noise_states(given.astype(np.int64), len(self.a))
        return np.broadcast_to(given, self.out.shape)


def blocks(mac: Mac, count: int, seed: int) -> Iterator[Block]:
    """At least `count` dot products in sixteen blocks or more; some have long sums, some a single term."""
    draw = Draw(mac, seed)
    side = min(max(math.isqrt(count // _BLOCKS), 1), _SIDE)
    for index in range(-(-count // side**2)):
        kind = index % _BLOCKS
        terms = min(mac.k, int(draw.rng.integers(1, _MOST.get(kind, 12) + 1)))
        operand = _growing if kind in _GROWING else Draw.operand
        a, w = (operand(draw, name, (side, terms)) for name in "aw")
        given = draw.params(side, terms)
        found = np.asarray(matmul(mac, a, w, given))
        params = {name: getattr(given, name) for name in parameters(mac)}
        yield Block(a, w, params, found)


def _growing(draw: Draw, side: str, shape: tuple[int, int]) -> Codes:
    """The least and the largest number, each over and over: sums that meet the accumulator's ends."""
    ends = draw.finite[side][[0, -1]]
    return np.repeat(draw.rng.choice(ends, shape[0])[:, None], shape[1], axis=1)


def lines(mac: Mac, count: int, seed: int) -> Iterator[str]:
    """`count` lines `k a.. w.. params.. out`, every number hexadecimal."""
    done = 0
    for block in blocks(mac, count, seed):
        rows = {name: block.rows(name) for name in block.params}
        for i, j in np.ndindex(*block.out.shape):
            if done == count:
                return
            numbers = [block.terms, *block.a[i].tolist(), *block.w[j].tolist()]
            numbers += [int(values[i, j]) for values in rows.values()] + [int(block.out[i, j])]
            yield " ".join(f"{n:x}" for n in numbers)
            done += 1
