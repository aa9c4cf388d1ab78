"""Tiles as the beats of an array's streams, for every dataflow, and the pauses that a bench makes between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwq.datapath import Datapath
from hwq.datapath.draw import Codes
from hwq.datapath.operand import operands
from hwq.datapath.steps import parameters
from hwq.sim.stimulus import Tiles

__all__ = ["Beats", "as_bits", "drive", "operand_beats"]

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

# How often a stream pauses in a cycle; each stream draws a mood for each tile. Mostly none: free runs are tested too.
MOODS = (0.0, 0.0, 0.0, 0.0, 0.2, 0.6)
LONGEST = 254  # cycles of a pause: one more fits a byte


@dataclass(frozen=True, eq=False)
class Beats:
    """One stream: payloads [n, bytes], the lowest byte first; which beats end a tile [n]; pauses [n].

    A pause is how many cycles pass before a beat is offered; of results, how many before one is taken.
    """

    payload: Bytes
    last: Flags
    pause: Bytes

    def __len__(self) -> int:
        return len(self.last)

    @property
    def sizes(self) -> list[int]:
        """Beats of each tile."""
        ends: list[int] = np.diff(np.flatnonzero(self.last), prepend=-1).tolist()
        return ends

    def of_tiles(self, first: int, after: int) -> Beats:
        """Those of the tiles from `first` to the one before `after`."""
        ends = np.concatenate([[0], np.flatnonzero(self.last) + 1])
        chosen = slice(ends[first], ends[after])
        return Beats(self.payload[chosen], self.last[chosen], self.pause[chosen])


def drive(dp: Datapath, batches: Sequence[Tiles], seed: int) -> dict[str, Beats]:
    """The beats of the streams a, w and, where there are parameters, p; and of o, without a payload."""
    rng = np.random.default_rng([seed, 1])  # other numbers than those of the operands
    sides = zip(*(operand_beats(dp, tiles) for tiles in batches), strict=True)
    bits = {"a": dp.mac.a.bits, "w": dp.mac.w.bits}
    found = {name: _stream(beats, bits[name], rng) for name, beats in zip(bits, sides, strict=True)}
    if parameters(dp.mac):
        found["p"] = _stream([_parameters(dp, tiles) for tiles in batches], 1, rng)
    found["o"] = _stream([np.zeros((len(tiles), tiles.rows, 0), np.uint8) for tiles in batches], 0, rng)
    return found


def _stream(batches: Sequence[Codes], width: int, rng: np.random.Generator) -> Beats:
    """Codes [T, beats of a tile, codes of a beat] of so many bits each, batch after batch."""
    beats = [as_bits(codes, width).reshape(len(codes) * codes.shape[1], -1) for codes in batches]
    packed = np.concatenate([np.packbits(bits, axis=1, bitorder="little") for bits in beats])
    sizes = np.concatenate([np.full(len(codes), codes.shape[1]) for codes in batches])
    return Beats(packed, _ends(sizes), _pauses(sizes, rng))


def as_bits(codes: Codes, width: int) -> Bytes:
    """Each code's bits along a new last axis, the lowest first."""
    if codes.dtype.kind in "uV":
        raw = codes.astype(codes.dtype.newbyteorder("<"))[..., None].view(np.uint8)
    else:  # Python's integers: what no dtype holds
        size = (width + 7) // 8
        joined = b"".join(int(code).to_bytes(size, "little") for code in codes.flat)
        raw = np.frombuffer(joined, dtype=np.uint8).reshape(*codes.shape, size)
    return np.unpackbits(raw, axis=-1, count=width, bitorder="little")


def operand_beats(dp: Datapath, tiles: Tiles) -> tuple[Codes, Codes]:
    """Codes of a and of w, each [T, beats, codes of a beat]; zeros fill up the last beat."""
    array, stationary = dp.array, dp.array.dataflow == "ws"
    at_once = array.lanes * (array.rows if stationary else 1)
    sides = zip((tiles.a, tiles.w), operands(dp.mac), strict=True)
    a, w = (_filled(codes, operand.idle, at_once) for codes, operand in sides)
    if stationary:  # a beat of a is one output's operands; of weights, one row's
        return a, _side_by_side(w, array.lanes)
    return _side_by_side(a, array.lanes), _side_by_side(w, array.lanes)


def _filled(codes: Codes, idle: int, multiple: int) -> Codes:
    rest = -codes.shape[2] % multiple
    return np.pad(codes, ((0, 0), (0, 0), (0, rest)), constant_values=idle) if rest else codes


def _side_by_side(codes: Codes, lanes: int) -> Codes:
    """[T, edge, K] as [T, K / lanes, edge * lanes]."""
    count, edge, terms = codes.shape
    return codes.reshape(count, edge, terms // lanes, lanes).swapaxes(1, 2).reshape(count, terms // lanes, edge * lanes)


def _parameters(dp: Datapath, tiles: Tiles) -> Bytes:
    """Bits of each tile's one beat, [T, 1, bits]: column after column, the parameters of one together."""
    words = parameters(dp.mac)
    columns = [as_bits(np.asarray(getattr(tiles.params, name)), word.width) for name, word in words.items()]
    return np.concatenate(columns, axis=-1).reshape(len(tiles), 1, -1)


def _ends(sizes: np.ndarray[Any, Any]) -> Flags:
    """Which beats are the last of a tile, of the numbers of beats of each tile."""
    last = np.zeros(int(sizes.sum()), dtype=np.bool_)
    last[np.cumsum(sizes) - 1] = True
    return last


def _pauses(sizes: np.ndarray[Any, Any], rng: np.random.Generator) -> Bytes:
    """Cycles of pause before each beat: geometric, by the mood of the tile."""
    mood = np.repeat(rng.choice(MOODS, len(sizes)), sizes)
    found = np.zeros(len(mood), dtype=np.uint8)
    found[mood > 0] = np.minimum(rng.geometric(1 - mood[mood > 0]) - 1, LONGEST)
    return found
