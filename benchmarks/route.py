"""ECP5 after place and route: area with its clock, of elements, arrays, and of elements at every cut (T2, nextpnr).

Speed grade 6, out of context; an element is the median of three seeds, an array one seed. An array's figures are of the
whole top (control, edges, read-out, epilogues), divided by its elements. A clock is printed as its period: the line
holds if the period is at most the bar's. `python -m benchmarks.route TEXT...` runs the lines whose text is named.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from benchmarks.timing import Line
from hwq.datapath import Datapath, plan
from hwq.datapath.clocking import _pe_cuts as element_cuts
from hwq.synth import Row, measure_designs


@dataclass(frozen=True)
class Bar:
    """A datapath, the clock it is cut for, and what it must reach: MHz, COMB and flip-flops an element."""

    text: str
    clock: float
    mhz: float | None = None
    comb: float | None = None
    ff: float | None = None
    chip: str = "25k"


ELEMENTS = (Bar("int8*int8 +fixed(32)", 230, 230, 152, 144),)
ARRAYS = (
    Bar("int8*int8 +fixed(32) @8x8", 200, 200, 152, 110),
    Bar("fp8_e4m3*fp8_e4m3 +fixed(48) @8x8", 150, 150),
    Bar("int8*int8 +fixed(32) @16x16", 150, chip="85k"),
    Bar("int4*int4 +fixed(16) @32x32", 150, chip="85k"),
)
CURVES = ("int8*int8 +fixed(32)", "fp8_e4m3*fp8_e4m3 +fixed(48)")


def measure(wanted: Collection[str] = ()) -> Iterator[Line]:
    """The bars of elements, the curves of area over clock, the arrays."""
    for bar in ELEMENTS:
        if not wanted or bar.text in wanted:
            yield from _lines(bar, "pe", (1, 2, 3))
    for text in CURVES:
        if not wanted or f"curve {text}" in wanted:
            yield from _curve(Datapath.parse(text))
    for bar in ARRAYS:
        if not wanted or bar.text in wanted:
            yield from _lines(bar, "top", (1,))


def _lines(bar: Bar, part: str, seeds: tuple[int, ...]) -> Iterator[Line]:
    dp = plan(Datapath.parse(bar.text), "ecp5", bar.clock).dp
    row = _routed(dp, part, seeds, bar.chip)
    each = dp.array.rows * dp.array.cols
    assert row.comb_post_route is not None and row.ff_post_route is not None and row.fmax_mhz is not None
    title = f"ecp5 {part} {dp}"
    yield Line(f"{title}, COMB each", row.comb_post_route / each, "COMB", bar.comb, f"{row.comb_post_route} in all")
    yield Line(f"{title}, FF each", row.ff_post_route / each, "FF", bar.ff, f"{row.ff_post_route} in all")
    note = f"{row.fmax_mhz.value:.0f} MHz; {row.critical}; {row.seconds:.0f} s on the {bar.chip} part"
    yield Line(f"{title}, period", 1000 / row.fmax_mhz.value, "ns", bar.mhz and 1000 / bar.mhz, note)


def _curve(dp: Datapath) -> Iterator[Line]:
    """COMB of an element at every choice of cuts, with its flip-flops and clock."""
    for cuts in dict.fromkeys(element_cuts(dp)):
        cut = Datapath(dp.mac, dp.array, dp.decode, cuts, dp.uses)
        row = _routed(cut, "pe", (1, 2, 3), "25k")
        assert row.comb_post_route is not None and row.fmax_mhz is not None
        low, value, high = row.fmax_mhz.low, row.fmax_mhz.value, row.fmax_mhz.high
        note = f"{row.ff_post_route} FF, {value:.0f} MHz ({low:.0f}-{high:.0f})"
        yield Line(f"ecp5 curve {cut}", row.comb_post_route, "COMB", None, note)


def _routed(dp: Datapath, part: str, seeds: tuple[int, ...], chip: str) -> Row:
    (row,) = measure_designs([(dp, part)], "ecp5", place_and_route=True, seeds=seeds, chip=chip, workers=1)
    return row


if __name__ == "__main__":
    from benchmarks.__main__ import text

    for line in measure(sys.argv[1:]):
        print(text(line), flush=True)
