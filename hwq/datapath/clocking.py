"""Which cuts reach a clock: the fewest registers whose slowest block is fast enough by the device's measured delays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from hwq.datapath.device import DEVICES, device
from hwq.datapath.plans import plan
from hwq.datapath.stages import output_stages, pe_stages, row_count
from hwq.datapath.structure import Datapath
from hwq.datapath.timing import critical_path, path_ns
from hwq.errors import HwqError

__all__ = ["cuts_for", "element_cuts"]


def cuts_for(dp: Datapath, target: str, clock: float) -> Datapath:
    """`dp` with cuts that reach `clock` (MHz) on the device; cuts already in its text stay."""
    _delays(target)
    if not 0 < clock < math.inf:
        raise HwqError(f"clock must be a finite positive number of MHz, not {clock:g}")
    if any(cell.op == "hard" for cell in plan(dp, target).blocks["pe"].cells):
        raise HwqError(
            f"clock= picks cuts by delays that the blocks of {target} have none of, not for {dp}; write cut="
        )
    period = 1000 / clock
    pe = _first(dp, "pe", element_cuts(dp, target), target, period)
    return _first(pe, "epilogue", _output_cuts(pe), target, period)


def _first(dp: Datapath, block: str, choices: Iterator[tuple[str, ...]], target: str, period: float) -> Datapath:
    """The first of the choices that is fast enough; refused by name if none is."""
    delays, best = _delays(target), float("inf")
    for cuts in choices:
        tried = replace(dp, cuts=(*dp.cuts, *cuts))
        ns = path_ns(critical_path(plan(tried, target).blocks[block], delays), delays)
        if ns <= period:
            return tried
        best = min(best, ns)
    raise HwqError(
        f"the {block} of {dp} reaches at most about {1000 / best:.0f} MHz, not {1000 / period:g}; ask for less"
    )


def _delays(target: str) -> Mapping[str, float]:
    found = device(target).delays
    if found is None:
        timed = ", ".join(n for n in DEVICES if device(n).delays is not None) or "none yet"
        raise HwqError(f"clock= needs a device with place and route ({timed}), not {target}")
    return found


def element_cuts(dp: Datapath, target: str) -> Iterator[tuple[str, ...]]:
    """From no cut to every cut: the product, the aligner, then registers every 3rd, 2nd row, all but the 1st, all."""
    rows = row_count(dp.mac)
    last = tuple(stage for stage in pe_stages(dp.mac) if stage == "align")
    aligned = last and any(c.op == "select" for c in plan(dp, target).blocks["pe"].cells)
    yield ()
    yield ("mul",)
    if aligned:
        yield ("mul", "align")
    spaced = [range(every, rows, every) for every in range(rows - 1, 0, -1)]
    # the first row adds to nothing: with the second it makes the shortest pair
    for chosen in [*spaced[:-1], range(2, rows), *spaced[-1:]]:
        inner = tuple(f"mul{j}" for j in chosen)
        yield (*inner, "mul")
        yield (*inner, "mul", *last)
    yield ("unpack", *(f"mul{j}" for j in range(1, rows)), "mul", *last)


def _output_cuts(dp: Datapath) -> Iterator[tuple[str, ...]]:
    stages = output_stages(dp.mac)
    yield ()
    if "requant" in stages:
        yield ("requant",)
    for count in range(1, len(stages) + 1):
        yield stages[:count]
