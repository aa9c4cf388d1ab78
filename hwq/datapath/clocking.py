"""Which cuts reach a clock: the fewest registers whose slowest block is fast enough by the device's measured delays."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace

from hwq.bits.cells import Block
from hwq.datapath.device import DEVICES, device
from hwq.datapath.plans import plan
from hwq.datapath.stages import SCALED, output_stages, pe_stages, row_count, scaled_rows
from hwq.datapath.structure import Datapath
from hwq.datapath.timing import critical_path, path_ns
from hwq.errors import HwqError

__all__ = ["cuts_for", "element_cuts"]


Blocks = Callable[[Datapath, str], Mapping[str, Block]]


def _planned(dp: Datapath, target: str) -> Mapping[str, Block]:
    return plan(dp, target).blocks


def cuts_for(
    dp: Datapath, target: str, clock: float, blocks: Blocks = _planned, ends: Collection[str] = ("epilogue",)
) -> Datapath:
    """`dp` with cuts that reach `clock` (MHz) on the device; cuts already in its text stay.

    `blocks` makes what stands on the datapath's path, "pe" and `ends`, those of its output path.
    """
    _delays(target)
    if not 0 < clock < math.inf:
        raise HwqError(f"clock must be a finite positive number of MHz, not {clock:g}")
    if any(cell.op == "hard" for cell in plan(dp, target).blocks["pe"].cells):
        raise HwqError(
            f"clock= picks cuts by delays that the blocks of {target} have none of, not for {dp}; write cut="
        )
    period = 1000 / clock
    pe = _first(dp, ("pe",), element_cuts(dp, target), target, period, blocks)
    return _first(pe, ends, _output_cuts(pe), target, period, blocks)


def _first(
    dp: Datapath, names: Collection[str], choices: Iterator[tuple[str, ...]], target: str, period: float, blocks: Blocks
) -> Datapath:
    """The first of the choices with which these blocks are fast enough; refused by name if none is."""
    delays, best = _delays(target), float("inf")
    for cuts in choices:
        tried = replace(dp, cuts=(*dp.cuts, *cuts))
        made = blocks(tried, target)
        ns = max(path_ns(critical_path(made[name], delays), delays) for name in names)
        if ns <= period:
            return tried
        best = min(best, ns)
    slow = f"the {' and '.join(names)} of {dp} reaches"
    raise HwqError(f"{slow} at most about {1000 / best:.0f} MHz, not {1000 / period:g}; ask for less")


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
    """From no cut to every cut: the scaled sum, then from the front; then every 4th of its rows, every 3rd, ..."""
    rows = [f"{SCALED}{j}" for j in range(1, scaled_rows(dp.mac))]
    stages = tuple(stage for stage in output_stages(dp.mac) if stage not in rows)
    yield ()
    if "requant" in stages:
        yield ("requant",)
    for count in range(1, len(stages) + 1):
        yield stages[:count]
    for every in range(4, 0, -1):
        yield (*rows[every - 1 :: every], *stages)
