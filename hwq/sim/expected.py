"""What every tile must give: the emulator's text of a step, compiled, with all results side by side.

`matmul` multiplies all rows by all columns; of many small tiles that would be mostly products of one with another. Here
each result has its own row and its own column, whatever the accumulator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from hwq.bits import Word, variable
from hwq.bits.loops import array_dtype, compile_map
from hwq.datapath import Align, Mac
from hwq.datapath.draw import Codes
from hwq.datapath.operand import operands
from hwq.datapath.params import columns
from hwq.datapath.steps import SEED, finish, parameters, product, state, step
from hwq.formats.rounding import noise_states
from hwq.sim.stimulus import Tiles

__all__ = ["expected"]

Run = Callable[..., list[np.ndarray[Any, Any]]]


def expected(mac: Mac, tiles: Tiles) -> Codes:
    """Result codes [T, M, N]: unsigned, or little-endian bytes (V) where they have more than 63 bits."""
    (count, rows, terms), cols = tiles.a.shape, tiles.w.shape[1]
    shape, lanes = (count, rows, cols), _lanes(mac)
    words = state(mac).words
    found = [np.zeros(shape, array_dtype(word)) for word in words.values()]
    a, w = (
        _filled(codes, operand.idle, lanes) for codes, operand in zip((tiles.a, tiles.w), operands(mac), strict=True)
    )
    run = _step(mac)
    for at in range(0, terms, lanes):
        pairs = [(a[:, :, None, k], w[:, None, :, k]) for k in range(at, at + lanes)]
        found = run([*found, *(np.broadcast_to(side, shape) for pair in pairs for side in pair)])
    given = columns(mac, tiles.params, count * cols)
    own = [_each(name, codes, shape) for name, codes in given.items()]
    (codes,) = _finish(mac)([*found, *own])
    return codes


def _lanes(mac: Mac) -> int:
    """Products of one step."""
    return mac.acc.lanes if isinstance(mac.acc, Align) else 1


def _filled(codes: Codes, idle: int, lanes: int) -> Codes:
    """Codes [T, edge, K] in the dtype of an operand, filled up with what adds nothing."""
    rest = -codes.shape[2] % lanes
    return np.pad(codes.astype(np.int32), ((0, 0), (0, 0), (0, rest)), constant_values=idle)


def _each(name: str, codes: Codes, shape: tuple[int, int, int]) -> Codes:
    """A parameter [T * N] of each result; a seed goes on from row to row."""
    count, rows, cols = shape
    if name == SEED:
        return noise_states(codes, rows).reshape(rows, count, cols).swapaxes(0, 1)
    return np.broadcast_to(codes.reshape(count, 1, cols), shape)


@lru_cache(maxsize=64)
def _step(mac: Mac) -> Run:
    """The states after a step, of the states before it and the codes of each lane."""
    before, sides = state(mac), operands(mac)
    codes = [
        [variable(f"{side}{lane}", 0, (1 << o.bits) - 1) for side, o in zip("aw", sides, strict=True)]
        for lane in range(_lanes(mac))
    ]
    terms = [product(mac, *(o.decode(code) for o, code in zip(sides, pair, strict=True))) for pair in codes]
    after = step(mac, before, *terms).words
    dtypes = _dtypes(before.words)
    inputs = dtypes | {str(code.attr): np.dtype(np.int32) for pair in codes for code in pair}
    return compile_map([after[name] for name in before.words], inputs, list(dtypes.values()))


@lru_cache(maxsize=64)
def _finish(mac: Mac) -> Run:
    """The result code of a state and of its column's parameters."""
    words = state(mac).words
    code = finish(mac, state(mac), parameters(mac))
    bits = mac.output.bits
    dtype = mac.output.code_dtype if bits <= 64 else array_dtype(variable("code", 0, (1 << bits) - 1))
    return compile_map([code], _dtypes(words | parameters(mac)), [dtype])


def _dtypes(words: Mapping[str, Word]) -> dict[str, np.dtype[Any]]:
    return {name: array_dtype(word) for name, word in words.items()}
