"""Operands of a processing element, in runs: what an energy is measured under.

| stream | a | w |
|---|---|---|
| `uniform` | each number's code alike | the same |
| `gaussian` | normal, four standard deviations fill the format | the same |
| `sparse` | the same, negative numbers made 0 (half of them: ReLU) | normal |

A format without negative numbers takes magnitudes. Codes of NaN and infinities are in none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hwq.datapath import Datapath, Plan
from hwq.datapath.draw import Codes, Draw
from hwq.errors import HwqError
from hwq.formats import Format
from hwq.synth.waves import Stimulus

__all__ = ["STREAMS", "codes", "stimulus"]

STREAMS = ("uniform", "gaussian", "sparse")
SIGMAS = 4.0  # from 0 to the format's largest number
RESET = 2  # cycles
_PORTS = {"clk", "rst", "en", "clear", "a", "w"}


def codes(dp: Datapath, stream: str, runs: int, terms: int, seed: int) -> tuple[Codes, Codes]:
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


def stimulus(plan: Plan, ports: Sequence[str], a: Codes, w: Codes, warm: int = 1) -> Stimulus:
    """Runs of codes [runs, terms] into an element, one clear cycle before each, as an array that never waits does it.

    The clear of a run comes when the last product of the run before it has been added: it meets the pipeline's one
    empty place. The first `warm` runs come before the count, with a reset before them; what is counted is whole runs.
    """
    if set(ports) != _PORTS or plan.dp.array.lanes > 1 or plan.blocks["decode_a"].depth:
        raise HwqError(
            f"energy is measured of an element with {', '.join(sorted(_PORTS))} and one product a cycle, "
            f"not {', '.join(sorted(ports))} of {plan.dp}; leave out its lanes, cut=unpack and use="
        )
    if a.shape != w.shape or a.ndim != 2 or not a.size:
        raise HwqError(f"codes must be two arrays [runs, terms] of one shape, not {a.shape} and {w.shape}")
    period, late = a.shape[1] + 1, plan.blocks["pe"].depth - 1
    values = {side: np.pad(x, ((0, 0), (0, 1)), mode="edge").ravel().tolist() for side, x in (("a", a), ("w", w))}
    start = RESET + warm * period
    total = start + late + a.size // a.shape[1] * period
    beats = {side: ([0] * RESET + line[-warm * period :] + line)[:total] for side, line in values.items()}
    beats = {side: line + line[-1:] * (total - len(line)) for side, line in beats.items()}
    clear = [int(at >= RESET and (at - RESET - late) % period == 0) for at in range(total)]
    return Stimulus(
        {"rst": [int(at < RESET) for at in range(total)], "en": [1] * total, "clear": clear, **beats}, start + late
    )
