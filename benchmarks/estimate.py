"""`estimate` of 20,000 distinct datapaths over more than 200 distinct Macs, in a fresh process: nothing is cached."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.timing import Line, seconds

ACTIVATIONS = ("int8", "int6", "int5", "int4", "uint8", "fp8_e4m3", "fp8_e5m2", "fp6_e2m3", "fp6_e3m2", "fp4_e2m1")
WEIGHTS = ("int8", "int6", "int4", "int3", "ternary", "fp8_e4m3", "fp6_e2m3", "fp4_e2m1")
ACCUMULATORS = ("exact", "fixed(24)", "fixed(32)")
SIDES = (1, 2, 4, 6, 8, 16, 32, 64, 128, 256)
DATAPATHS = 20_000
LIMIT_S = 1.0


def texts() -> list[str]:
    """20,000 datapaths: every Mac in about 80 array sizes."""
    macs = [f"{a}*{w} +{acc}" for a, w, acc in itertools.product(ACTIVATIONS, WEIGHTS, ACCUMULATORS)]
    found = [f"{mac} @{rows}x{cols}" for rows in SIDES for cols in SIDES for mac in macs]
    if len(macs) < 200 or len(set(found)) < DATAPATHS:
        raise ValueError(f"needs 200 Macs and {DATAPATHS} datapaths, not {len(macs)} and {len(set(found))}")
    return found[-DATAPATHS:]


def measure() -> Iterator[Line]:
    """The time of one cold call, datapaths parsed before."""
    command = [sys.executable, "-m", "benchmarks.estimate"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    yield Line(f"estimate {DATAPATHS:,} datapaths, cold", float(shown.stdout), "s", LIMIT_S)


if __name__ == "__main__":
    from hwq.costmodel import estimate
    from hwq.datapath import Datapath

    datapaths = [Datapath.parse(text) for text in texts()]
    print(seconds(lambda: estimate(datapaths, "xc7")))
