"""When things happen in an array, and how many cycles a product takes: the one place both rtl and sim look.

A tile of an output-stationary array or of dot-product units, rows x cols sums of K terms, L of them a beat, takes

    1 (clear) + ceil(K / L) (operands) + skew + 1 + cuts before the accumulator
      + rows (one beat of `cols` results each) + 1 + cuts after it (output register)

cycles, and tiles follow one another without overlap. The skew, (rows - 1) + (cols - 1), is that of operands which pass
from neighbour to neighbour; dot-product units have none. Sums that are loaded (`use=load`) have no cycle of clear.

A tile of a weight-stationary array, M x cols sums, takes

    1 (clear) + rows (weights) + M (operands) + skew + 3 + cuts (the last sum leaves its column, then the output)

cycles, a result for each operand beat. With two registers a weight (`use=double`) tiles overlap: weights are taken by
an element with its first operands, those of the next tile enter when the last element has taken its own, and operands
of the next tile follow those of this one, after no less than

    1 + wave + rows, of which the wave, the skew and a cut of the decoders, takes one cycle at least

cycles. Only the first tile waits for its weights, only the last one for its results.

Where a sum stands in B banks (`use=banks`), an output-stationary tile takes

    B (clear) + ceil(K / L) (operands) + B + 1 + cuts before the accumulator (the words of row 0)
      + (rows - 1) * max(B + 1, cols) (those of the others) + 1 + cuts after it + cols - 1 (the last column)

cycles: indices of banks follow the operands through the array, so that no skew is waited for but that of the columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from hwq.datapath.banks import banks
from hwq.datapath.stages import is_output
from hwq.datapath.variants import TILES
from hwq.errors import HwqError

if TYPE_CHECKING:
    from hwq.datapath.structure import Datapath

__all__ = [
    "beats",
    "behind",
    "cycles",
    "doubled",
    "flush",
    "latency",
    "longest",
    "output_depth",
    "parameter_times",
    "pe_depth",
    "results",
    "row_period",
    "skew",
    "start",
    "tail",
    "taking",
    "through",
    "tile",
    "tile_cycles",
    "turn",
    "wave",
    "waves",
    "words",
]

Size = TypeVar("Size", int, np.ndarray[Any, Any])


def pe_depth(dp: Datapath) -> int:
    """Clock edges from an operand at the array's edge to the register that holds the sum with its product."""
    return 2 + sum(not is_output(cut) for cut in dp.cuts)


def output_depth(dp: Datapath) -> int:
    """Clock edges from a finished sum to the output register that holds its result."""
    return 1 + sum(is_output(cut) for cut in dp.cuts)


def skew(dataflow: str, rows: Size, cols: Size) -> Size:
    """Cycles by which the last element's operands come after the first one's; of many arrays at once too."""
    far: Size = (rows - 1 + cols - 1) * (dataflow != "tree")
    return far


def tile(dp: Datapath) -> tuple[int, int]:
    """(rows, columns) of the array that one element serves."""
    return next((TILES[name] for name in dp.uses if name in TILES), (1, 1))


def words(dp: Datapath) -> int:
    """Words of a sum, which come out one a cycle and are cleared one a cycle."""
    return banks(dp.mac).count if "banks" in dp.uses else 1


def start(dp: Datapath) -> int:
    """Cycles in which sums are cleared before a tile's operands; none where the first products are loaded."""
    return 0 if "load" in dp.uses else words(dp)


def row_period(dp: Datapath) -> int:
    """Cycles from a row's finished sums to the next row's; where words come out, one in which none does is between."""
    return max(words(dp) + 1, dp.array.cols) if "banks" in dp.uses else 1


def tail(dp: Datapath) -> int:
    """Cycles from the last row's sums, of banks the first column's, to its results."""
    return output_depth(dp) + (dp.array.cols - 1) * ("banks" in dp.uses)


def flush(dp: Datapath) -> int:
    """Cycles from the last operand beat to the last element's sum: how long the array goes on without operands.

    In banks the first row's sums are waited for, of which the words have to come.
    """
    if "banks" in dp.uses:
        return words(dp) + pe_depth(dp) - 1
    down, across = tile(dp)
    return skew(dp.array.dataflow, dp.array.rows // down, dp.array.cols // across) + pe_depth(dp) - 1


def latency(dp: Datapath) -> int:
    """Cycles from the last accepted operands of a tile to its first result at the output; of a stream, to theirs."""
    return flush(dp) + 1 + tail(dp)


def beats(dp: Datapath, k: int) -> int:
    """Operand beats of sums of k terms; the last one is filled up with operands that add nothing."""
    return -(-k // dp.array.lanes)


def results(dp: Datapath, m: int) -> int:
    """Result beats of a tile: the array's rows, whatever is asked of them, or as many as operands came (ws)."""
    return m if dp.array.dataflow == "ws" else dp.array.rows


def doubled(dp: Datapath) -> bool:
    """Whether the weights of a tile enter while the tile before is in use."""
    return "double" in dp.uses


def wave(dp: Datapath) -> int:
    """`waves` of the datapath's own array."""
    return int(waves(dp, dp.array.rows, dp.array.cols))


def waves(dp: Datapath, rows: Size, cols: Size) -> Size:
    """Cycles from a tile's first operands until every element has taken its weight (use=double).

    No fewer than columns take parameters in, so that these are of one tile at a time: of cycles that are enabled, no
    more than these are between two tiles, as weights go on entering in the others.
    """
    taken = skew("ws", rows, cols) + (dp.decode == "edge" and "unpack" in dp.cuts)
    most: Any = max if isinstance(taken, int) else np.maximum
    found: Size = most(most(1, taken), cols - 1 + behind(dp))
    return found


def turn(dp: Datapath) -> int:
    """The fewest cycles between the first operands of two tiles (use=double)."""
    return 1 + wave(dp) + dp.array.rows


def parameter_times(dp: Datapath) -> tuple[int, int]:
    """`taking` of the datapath's own array."""
    first, last = taking(dp, dp.array.rows, dp.array.cols)
    return int(first), int(last)


def taking(dp: Datapath, rows: Size, cols: Size) -> tuple[Size, Size]:
    """(first, last) of the cycles after a tile's first operands in which a column takes parameters (use=double).

    It does a cycle before the tile's first sum is there; those behind a register of the output path a cycle later.
    """
    first: Size = pe_depth(dp) + rows - 2
    last: Size = first + cols - 1 + behind(dp)
    return first, last


def behind(dp: Datapath) -> int:
    """Cycles by which a result's multiplier and shift are needed later than its bias."""
    return int("bias" in dp.cuts and dp.mac.requant is not None)


def longest(dp: Datapath) -> int:
    """The longest of the waits that the control counts, in cycles."""
    if doubled(dp):
        return max(dp.array.rows, wave(dp))
    if dp.array.dataflow == "ws":
        return max(dp.array.rows, latency(dp))
    if "banks" in dp.uses:
        return max(flush(dp) + 1, row_period(dp), tail(dp))
    return max(flush(dp), dp.array.rows, output_depth(dp))


def tile_cycles(dp: Datapath, m: int, k: int) -> int:
    """Cycles of one tile: m rows of results of at most `dp.array.cols` columns, sums of k terms."""
    return through(dp, [m if dp.array.dataflow == "ws" else beats(dp, k)])


def through(dp: Datapath, operands: Sequence[int], times: int = 1) -> int:
    """Cycles of tiles one after another, of so many beats of `a` each; of all of them so many times over."""
    if doubled(dp):
        last, turns = operands[-1], sum(max(count, turn(dp)) for count in operands)
        return dp.array.rows + times * turns - max(0, turn(dp) - last) + latency(dp)
    if dp.array.dataflow == "ws":
        around = 1 + dp.array.rows + latency(dp)
    else:
        around = start(dp) + flush(dp) + 1 + (dp.array.rows - 1) * row_period(dp) + tail(dp)
    return times * (len(operands) * around + sum(operands))


def cycles(dp: Datapath, m: int, n: int, k: int) -> int:
    """Cycles of an M x K by K x N product, tile after tile, without stalls."""
    for name, size in (("M", m), ("N", n), ("K", k)):
        if size < 1:
            raise HwqError(f"{name} must be at least 1, not {size}")
    if k > dp.mac.k:
        raise HwqError(f"K must be at most k={dp.mac.k} of the datapath, not {k}")
    down = 1 if dp.array.dataflow == "ws" else -(-m // dp.array.rows)
    operands = m if dp.array.dataflow == "ws" else beats(dp, k)
    return through(dp, [operands], down * -(-n // dp.array.cols))
