"""`estimate` of distinct datapaths over more than 200 Macs, in fresh processes: nothing is cached but as said."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterable, Iterator

from benchmarks.timing import Line, seconds

ACTIVATIONS = ("int8", "int6", "int5", "int4", "uint8", "fp8_e4m3", "fp8_e5m2", "fp6_e2m3", "fp6_e3m2", "fp4_e2m1")
WEIGHTS = ("int8", "int6", "int4", "int3", "ternary", "fp8_e4m3", "fp6_e2m3", "fp4_e2m1")
ACCUMULATORS = ("exact", "fixed(24)", "fixed(32)")
SIDES = (1, 2, 4, 6, 8, 16, 32, 64, 128, 256)
DATAPATHS = 20_000
LIMIT_S = 1.0
MANY, TOGETHER_US = 190_000, 10.0  # in one call, their Macs known: 100,000 a second
FEW, ALONE_US = 3_000, 500.0  # in a call each, nothing known: 2,000 a second


def macs() -> list[str]:
    """More than 200 of them."""
    return [f"{a}*{w} +{acc}" for a, w, acc in itertools.product(ACTIVATIONS, WEIGHTS, ACCUMULATORS)]


def texts(number: int, sides: Iterable[int] = SIDES) -> list[str]:
    """So many datapaths: every Mac in several array sizes."""
    found = [f"{mac} @{rows}x{cols}" for rows in sides for cols in sides for mac in macs()]
    if len(macs()) < 200 or len(set(found)) < number:
        raise ValueError(f"needs 200 Macs and {number} datapaths, not {len(macs())} and {len(set(found))}")
    return found[-number:]


def cold() -> float:
    """Seconds of one call."""
    datapaths = [Datapath.parse(text) for text in texts(DATAPATHS)]
    return seconds(lambda: estimate(datapaths, "xc7"))


def together() -> float:
    """Microseconds of an estimate in one call, after one of each Mac."""
    datapaths = [Datapath.parse(text) for text in texts(MANY, range(1, 30))]
    estimate([Datapath.parse(mac) for mac in macs()], "xc7")
    return 1e6 * seconds(lambda: estimate(datapaths, "xc7")) / MANY


def alone() -> float:
    """Microseconds of an estimate in a call of its own."""
    datapaths = [Datapath.parse(text) for text in texts(FEW)]
    return 1e6 * seconds(lambda: [estimate(datapath, "xc7") for datapath in datapaths]) / FEW


def measure() -> Iterator[Line]:
    """Each in a process of its own; datapaths are parsed before."""
    yield Line(f"estimate {DATAPATHS:,} datapaths, cold", _fresh("cold"), "s", LIMIT_S)
    yield Line("an estimate of many in one call, Macs known", _fresh("together"), "us", TOGETHER_US)
    yield Line("an estimate in a call of its own, cold", _fresh("alone"), "us", ALONE_US)


def _fresh(name: str) -> float:
    command = [sys.executable, "-m", "benchmarks.estimate", name]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    from hwq.costmodel import estimate
    from hwq.datapath import Datapath

    print({"cold": cold, "together": together, "alone": alone}[sys.argv[1]]())
