"""Operands of a processing element, in runs: what an energy is told for.

| stream | a | w |
|---|---|---|
| `uniform` | each number's code alike | the same |
| `gaussian` | normal, four standard deviations fill the format | the same |
| `sparse` | the same, negative numbers made 0 (half of them: ReLU) | normal |

A format without negative numbers takes magnitudes. Codes of NaN and infinities are in none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hwq.datapath.draw import Codes, Draw
from hwq.datapath.structure import Datapath
from hwq.errors import HwqError
from hwq.formats import Format

__all__ = ["RUNS", "SEED", "STREAMS", "TERMS", "Beats", "beats", "codes"]

STREAMS = ("uniform", "gaussian", "sparse")
RUNS, TERMS, SEED = 32, 64, 1
SIGMAS = 4.0  # from 0 to the format's largest number
RESET = 2  # cycles


@dataclass(frozen=True)
class Beats:
    """What an element is shown in each clock cycle, after its rising edge; the first `warm` of them are not counted."""

    a: list[int]
    w: list[int]
    clear: list[int]
    rst: list[int]
    warm: int


def codes(dp: Datapath, stream: str, runs: int = RUNS, terms: int = TERMS, seed: int = SEED) -> tuple[Codes, Codes]:
    """Codes [runs, terms] of both operands."""
    if stream not in STREAMS:
        raise HwqError(f"a stream must be {', '.join(STREAMS)}, or codes that are given, not {stream!r}")
    if stream == "uniform":
        draw = Draw(dp.mac, seed)
        a, w = (draw.rng.choice(draw.finite[side], (runs, terms)) for side in "aw")
        return a, w
    rng = np.random.default_rng(seed)
    a, w = (rng.standard_normal((runs, terms)) for _ in "aw")
    a = np.maximum(a, 0) if stream == "sparse" else a
    return dp.mac.a.encode(_scaled(dp.mac.a, a)), dp.mac.w.encode(_scaled(dp.mac.w, w))


def _scaled(fmt: Format, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    least, most = (float(end) for end in fmt.extremes)
    return (x if least < 0 else np.abs(x)) * (max(most, -least) / SIGMAS)


def beats(a: Codes, w: Codes, depth: int, warm: int = 1) -> Beats:
    """Runs of codes [runs, terms] into an element of so many registers between its operands and its sum.

    One clear cycle stands before each run, as an array that never waits does it. The clear of a run comes when the last
    product of the run before it has been added: it meets the pipeline's one empty place. The first `warm` runs come
    before the count, with a reset before them; what is counted is whole runs.
    """
    if a.shape != w.shape or a.ndim != 2 or not a.size:
        raise HwqError(f"codes must be two arrays [runs, terms] of one shape, not {a.shape} and {w.shape}")
    period, late = a.shape[1] + 1, depth - 1
    start = RESET + warm * period
    total = start + late + len(a) * period
    shown = {}
    for side, x in (("a", a), ("w", w)):
        line = np.pad(x, ((0, 0), (0, 1)), mode="edge").ravel().tolist()
        beat = ([0] * RESET + line[-warm * period :] + line)[:total]
        shown[side] = beat + line[-1:] * (total - len(beat))
    clear = [int(at >= RESET and (at - RESET - late) % period == 0) for at in range(total)]
    return Beats(shown["a"], shown["w"], clear, [int(at < RESET) for at in range(total)], start + late)
