"""Tiles as the beats of an array's streams: what each dataflow takes together, and what fills a beat up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hwq.datapath import Datapath
from hwq.datapath.draw import Codes
from hwq.datapath.operand import operands
from hwq.datapath.schedule import beats, results
from hwq.datapath.steps import parameters
from hwq.sim.stimulus import Tile

__all__ = ["counts", "operand_beats", "parameter_beats"]

Ints = np.ndarray[Any, Any]


def counts(dp: Datapath, tiles: Sequence[Tile]) -> dict[str, Ints]:
    """How many beats of each stream a tile has, [tiles]: the last of them is marked."""
    terms = [(len(tile.a), beats(dp, tile.terms)) for tile in tiles]
    streaming = dp.array.dataflow == "ws"
    found = {
        "a": [m if streaming else k for m, k in terms],
        "w": [dp.array.rows if streaming else k for _, k in terms],
        "o": [results(dp, m) for m, _ in terms],
    }
    found |= {"p": [1] * len(tiles)} if parameters(dp.mac) else {}
    return {stream: np.array(numbers) for stream, numbers in found.items()}


def operand_beats(dp: Datapath, tile: Tile) -> tuple[Codes, Codes]:
    """The codes of each beat, [beats, codes], of a and of w: K is filled up with codes of zero."""
    array = dp.array
    at_once = array.terms
    a, w = (
        _filled(codes, operand.idle, at_once if array.dataflow == "ws" else array.lanes)
        for codes, operand in zip((tile.a, tile.w), operands(dp.mac), strict=True)
    )
    if array.dataflow == "ws":  # a beat is one output's operands; of weights, one row's
        return a, w.reshape(array.cols, array.rows, array.lanes).swapaxes(0, 1).reshape(array.rows, -1)
    return _side_by_side(a, array.lanes), _side_by_side(w, array.lanes)


def _filled(codes: Codes, idle: int, multiple: int) -> Codes:
    rest = -codes.shape[1] % multiple
    return np.pad(codes, ((0, 0), (0, rest)), constant_values=idle) if rest else codes


def _side_by_side(codes: Codes, lanes: int) -> Codes:
    """[edge, K] as [K / lanes, edge * lanes]."""
    edge, terms = codes.shape
    return codes.reshape(edge, terms // lanes, lanes).swapaxes(0, 1).reshape(terms // lanes, edge * lanes)


def parameter_beats(dp: Datapath, tile: Tile) -> list[int]:
    """A tile's parameters: those of a column together."""
    names = parameters(dp.mac)
    return [getattr(tile.params, name)[col] for col in range(dp.array.cols) for name in names]
