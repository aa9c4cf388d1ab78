"""When things happen: the closed forms that the control unit, the bench and the cost model share.

A tile of `rows` x `cols` results with K terms takes, without stalls,

    1 (clear) + K (operands) + (rows - 1) + (cols - 1) (skew) + 1 + cuts before the accumulator
      + rows (one beat of `cols` results each) + 1 + cuts after it (output register)

cycles, and tiles follow one another without overlap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from hwq.datapath.stages import OUTPUT
from hwq.errors import HwqError

if TYPE_CHECKING:
    from hwq.datapath.spec import Datapath

__all__ = ["cycles", "flush", "latency", "output_depth", "pe_depth", "skew", "tile_cycles"]

Size = TypeVar("Size", int, np.ndarray[Any, Any])


def pe_depth(dp: Datapath) -> int:
    """Clock edges from an operand at the array's edge to the accumulator that holds its product."""
    return 2 + sum(cut not in OUTPUT for cut in dp.cuts)


def output_depth(dp: Datapath) -> int:
    """Clock edges from a selected accumulator to the output register that holds its result."""
    return 1 + sum(cut in OUTPUT for cut in dp.cuts)


def skew(rows: Size, cols: Size) -> Size:
    """Cycles by which the last processing element's operands come after the first one's; of many arrays at once too."""
    far: Size = rows - 1 + cols - 1
    return far


def flush(dp: Datapath) -> int:
    """Cycles between the last operand beat and the first drained row."""
    return skew(dp.array.rows, dp.array.cols) + pe_depth(dp) - 1


def latency(dp: Datapath) -> int:
    """Cycles from the last accepted operands of a tile to its first result at the output."""
    return flush(dp) + 1 + output_depth(dp)


def tile_cycles(dp: Datapath, k: int) -> int:
    return 1 + k + flush(dp) + dp.array.rows + output_depth(dp)


def cycles(dp: Datapath, m: int, n: int, k: int) -> int:
    """Cycles of an M x K by K x N product, tile after tile, without stalls."""
    for name, size in (("M", m), ("N", n), ("K", k)):
        if size < 1:
            raise HwqError(f"{name} must be at least 1, not {size}")
    if k > dp.mac.k:
        raise HwqError(f"K must be at most k={dp.mac.k} of the datapath, not {k}")
    tiles = -(-m // dp.array.rows) * -(-n // dp.array.cols)
    return tiles * tile_cycles(dp, k)
