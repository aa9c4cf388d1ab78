"""Result beats against the emulator's codes, all at once: an unknown bit, or a beat that is missing, equals nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hwq.datapath import Mac
from hwq.sim.beats import as_bits
from hwq.sim.expected import expected
from hwq.sim.stimulus import Tiles

__all__ = ["compare"]

Array = np.ndarray[Any, Any]


def compare(mac: Mac, batches: Sequence[Tiles], ends: Array, results: Array) -> tuple[int, dict[str, Any] | None]:
    """How many codes, and `o_last`s, are wrong; and the first of them: tile, row and col, got and expected.

    `results`: characters [beats, 1 + bits], a beat's last and then its columns, the last one first.
    """
    at = wrong = 0
    first: dict[str, Any] | None = None
    lasts = results[:, 0] != ends[: len(results)] + ord("0")
    wrong = int(lasts.sum())
    for start, tiles in zip(_starts(batches), batches, strict=True):
        codes = expected(mac, tiles)
        beats = codes.reshape(-1, codes.shape[2])
        got = results[at : at + len(beats), 1:]
        differ = _differ(beats, got, mac.output.bits)
        wrong += int(differ.sum())
        if first is None and differ.any():
            beat, col = map(int, np.argwhere(differ)[0])
            tile, row = divmod(beat, tiles.rows)
            found = {"tile": start + tile, "row": row, "col": col}
            first = found | {"got": _code(got, beat, col, mac.output.bits), "expected": _integer(beats[beat, col])}
        at += len(beats)
    if first is None and wrong:
        ending = "o_last with a tile's last result"
        first = {"tile": None, "row": None, "col": None, "got": "o_last", "expected": ending}
    return wrong, first


def _starts(batches: Sequence[Tiles]) -> list[int]:
    """The number of the first tile of each batch."""
    return [0, *np.cumsum([len(tiles) for tiles in batches])[:-1].tolist()]


def _differ(codes: Array, got: Array, bits: int) -> Array:
    """Which codes [beats, cols] did not come."""
    differ = np.ones(codes.shape, dtype=np.bool_)
    came = codes[: len(got)]
    wanted = as_bits(came, bits)[:, ::-1, ::-1] + np.uint8(ord("0"))
    differ[: len(got)] = (got.reshape(wanted.shape) != wanted).any(axis=2)[:, ::-1]
    return differ


def _integer(code: Any) -> int:
    return int.from_bytes(code.tobytes(), "little")


def _code(got: Array, beat: int, col: int, bits: int) -> int | str | None:
    """A code, or the bits themselves if some are unknown, or None if no result came."""
    if beat >= len(got):
        return None
    text = got[beat].tobytes().decode("ascii")
    text = text[len(text) - (col + 1) * bits : len(text) - col * bits]
    return int(text, 2) if set(text) <= {"0", "1"} else text
