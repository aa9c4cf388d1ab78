"""Operands, parameters and expected results of the tiles that a run sends through a design."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from typing import Any

import numpy as np

from hwq.datapath import Datapath, Mac, Params, matmul
from hwq.datapath.spec import MAX_SHIFT
from hwq.datapath.steps import parameters
from hwq.formats import Format, Special

__all__ = ["Tile", "exhaustive_tiles", "expected", "random_tiles"]

Codes = np.ndarray[Any, Any]

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
        size = max(1, 32 // max(len(same[0].a), len(same[0].w)))
        for at in range(0, len(same), size):
            found += _products(mac, same[at : at + size])
    return found


def _products(mac: Mac, tiles: Sequence[Tile]) -> list[Codes]:
    rows, cols = len(tiles[0].a), len(tiles[0].w)
    params = Params(**{n: np.concatenate([getattr(tile.params, n) for tile in tiles]) for n in parameters(mac)})
    a, w = (np.concatenate([getattr(tile, side) for tile in tiles]) for side in "aw")
    codes = np.asarray(matmul(mac, a, w, params))
    return [codes[j * rows : (j + 1) * rows, j * cols : (j + 1) * cols] for j in range(len(tiles))]


class Draw:
    """Random and corner values for one Mac."""

    def __init__(self, mac: Mac, seed: int) -> None:
        self.mac = mac
        self.rng = np.random.default_rng(seed)
        self.codes = {"a": mac.a.codes(), "w": mac.w.codes()}
        self.corners = {"a": _corners(mac.a), "w": _corners(mac.w)}
        self.finite = {"a": _finite(mac.a), "w": _finite(mac.w)}
        self.words = parameters(mac)

    def operand(self, side: str, shape: tuple[int, int]) -> Codes:
        """Codes of a lane each: any code, or corners, or finite numbers, or nothing but zero."""
        kinds = (self.codes, self.finite, self.finite, self.corners)
        rows = [self.rng.choice(kinds[self.rng.integers(len(kinds))][side], shape[1]) for _ in range(shape[0])]
        if self.rng.random() < 0.1:
            rows[self.rng.integers(shape[0])][:] = self.zero(side)
        return np.stack(rows)

    def zero(self, side: str) -> int:
        fmt = self.mac.a if side == "a" else self.mac.w
        return int(np.asarray(fmt.encode(np.zeros(1, np.float32)))[0])

    def params(self, columns: int, terms: int, largest: int = 0) -> Params:
        """Parameters of each column: extremes now and then, else such that results fall inside the output's range.

        `largest` is the sum's expected magnitude, by default that of so many products.
        """
        largest = largest or max(map(abs, self.mac.product_range)) * min(terms, 64)
        found: dict[str, list[int]] = {name: [] for name in self.words}
        for _ in range(columns):
            for name, value in self._column(largest).items():
                if name in found:
                    found[name].append(value)
        return Params(**{name: np.array(values, dtype=object) for name, values in found.items()})

    def _column(self, largest: int) -> dict[str, int]:
        mac, rng = self.mac, self.rng
        reach = largest if rng.random() < 0.8 else 1 << (mac.acc_bits - 1)
        bias = _within(rng, min(reach, (1 << (mac.acc_bits - 1)) - 1))
        if rng.random() < 0.1:
            bias = int(rng.choice([0, 1, -1])) * ((1 << (mac.acc_bits - 1)) - 1)
        found = {"bias": bias & ((1 << mac.acc_bits) - 1)}
        if mac.requant is not None:
            bits = mac.requant.bits
            top = 1 << (bits - 1)
            corner = rng.random() < 0.2
            found["mul"] = int(rng.choice([top, 2 * top - 1])) if corner else top + int(rng.integers(top))
            centre = _shift_to(mac, largest << (bits - 1))
            spread = int(rng.integers(-4, 5)) if rng.random() < 0.85 else int(rng.integers(-MAX_SHIFT, MAX_SHIFT + 1))
            found["shift"] = min(max(centre + spread, 0), MAX_SHIFT)
        return found


def _within(rng: np.random.Generator, reach: int) -> int:
    """A number of random magnitude, at most `reach`, of either sign; of any size."""
    bits = int(rng.integers(reach.bit_length() + 1))
    value = min(int.from_bytes(rng.bytes(bits // 8 + 1), "little") & ((1 << bits) - 1), reach)
    return -value if rng.random() < 0.5 else value


def _shift_to(mac: Mac, largest: int) -> int:
    """The shift that brings the largest scaled sum to the output's largest value."""
    assert mac.out is not None, "only an output is requantized"
    ratio = largest * Fraction(2) ** mac.acc_lsb / Fraction(mac.out.max)
    return max(0, int(ratio).bit_length() - 1)


def _corners(fmt: Format) -> Codes:
    """Codes of the extremes, the specials, the zeros and the numbers next to zero."""
    codes, order = fmt.codes(), _finite(fmt)
    middle = int(np.abs(fmt.decode(order)).argmin())
    specials = np.setdiff1d(codes, order)
    return np.unique(np.concatenate([order[:2], order[-2:], order[max(0, middle - 2) : middle + 3], specials]))


def _finite(fmt: Format) -> Codes:
    """Codes of numbers, the least first."""
    values = {int(code): fmt.value(int(code)) for code in fmt.codes()}
    numbers = {code: value for code, value in values.items() if not isinstance(value, Special)}
    return np.array(sorted(numbers, key=numbers.__getitem__), dtype=fmt.codes().dtype)


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
