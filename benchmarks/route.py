"""ECP5 after place and route: area with its clock, of elements, arrays, and of elements at every cut (T2, nextpnr).

Speed grade 6, out of context; an element is the median of three seeds, an array of those named. An array's
figures are of the whole top (control, edges, read-out, epilogues), divided by its elements. A clock is printed as its
period: a line holds if that is at most the bar's. `python -m benchmarks.route TEXT...` runs lines by their text,
`python -m benchmarks.route FILE.svg [TEXT...]` draws the curves of area over clock into a file.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.timing import Line
from hwq.datapath import Datapath, plan
from hwq.datapath.clocking import element_cuts
from hwq.plot.style import PALETTE, drawing
from hwq.synth import Route, Row, Spread, measure_designs


@dataclass(frozen=True)
class Bar:
    """A datapath, the clock its element is cut for, and what it must reach: MHz, COMB and flip-flops an element.

    In an array wires take a part of the clock that the element has alone, so that it is cut for more than its bar.
    """

    text: str
    clock: float
    mhz: float | None = None
    comb: float | None = None
    ff: float | None = None
    route: Route = field(default_factory=Route)
    seeds: tuple[int, ...] = (1,)


ELEMENTS = (
    Bar("int8*int8 +fixed(32)", 230, 230, 152, 144, seeds=(1, 2, 3)),
    Bar("int8*int8 +fixed(32) use=gated", 225, 230, 152, 144, seeds=(1, 2, 3)),
)
ARRAYS = (
    Bar("int8*int8 +fixed(32) @8x8", 200, 200, 152, 110, Route("25k", 210, placer="timing")),
    Bar("int8*int8 +fixed(32) @8x8 use=gated", 225, 200, 152, 110, Route("25k", 220, placer="timing")),
    Bar(
        "fp8_e4m3*fp8_e4m3 +fixed(48) @8x8 cut=unpack",
        180,
        150,
        route=Route("45k", 180, False, "timing"),
        seeds=(1, 2, 3),
    ),
    Bar("int8*int8 +fixed(32) @16x16", 150, route=Route("85k", 150, False, "static")),
    Bar("int4*int4 +fixed(16) @32x32", 150, route=Route("85k", 110, False, "static")),
)
CURVES = ("int8*int8 +fixed(32)", "fp8_e4m3*fp8_e4m3 +fixed(48)")


def measure(wanted: Collection[str] = ()) -> Iterator[Line]:
    """The bars of elements, the curves of area over clock, the arrays."""
    for bar in ELEMENTS:
        if not wanted or bar.text in wanted:
            yield from _lines(bar, "pe")
    for text in CURVES:
        if not wanted or f"curve {text}" in wanted:
            yield from _curve(Datapath.parse(text))
    for bar in ARRAYS:
        if not wanted or bar.text in wanted:
            yield from _lines(bar, "top")


def _lines(bar: Bar, part: str) -> Iterator[Line]:
    dp = plan(Datapath.parse(bar.text), "ecp5", bar.clock).dp
    row = _routed(dp, part, bar.seeds, bar.route)
    each = dp.array.rows * dp.array.cols
    assert row.comb_post_route is not None and row.ff_post_route is not None and row.fmax_mhz is not None
    title = f"ecp5 {part} {dp}"
    yield Line(f"{title}, COMB each", row.comb_post_route / each, "COMB", bar.comb, f"{row.comb_post_route} in all")
    yield Line(f"{title}, FF each", row.ff_post_route / each, "FF", bar.ff, f"{row.ff_post_route} in all")
    note = f"{row.fmax_mhz.low:.0f} to {row.fmax_mhz.high:.0f} MHz of {len(bar.seeds)} seed(s); slowest path of the "
    note += f"first: {row.critical}; {row.seconds:.0f} s on the {bar.route.chip} part"
    yield Line(f"{title}, period", 1000 / row.fmax_mhz.value, "ns", bar.mhz and 1000 / bar.mhz, note)


def _curve(dp: Datapath) -> Iterator[Line]:
    """COMB of an element at every choice of cuts, with its flip-flops and clock."""
    for row in _cut(dp):
        assert row.comb_post_route is not None and row.fmax_mhz is not None
        low, value, high = row.fmax_mhz.low, row.fmax_mhz.value, row.fmax_mhz.high
        note = f"{row.ff_post_route} FF, {value:.0f} MHz ({low:.0f}-{high:.0f})"
        yield Line(f"ecp5 curve {row.design}", row.comb_post_route, "COMB", None, note)


def _cut(dp: Datapath) -> Iterator[Row]:
    """The element at every choice of cuts, median of three seeds."""
    for cuts in dict.fromkeys(element_cuts(dp, "ecp5")):
        yield _routed(Datapath(dp.mac, dp.array, dp.decode, cuts, dp.uses), "pe", (1, 2, 3), Route())


def _routed(dp: Datapath, part: str, seeds: tuple[int, ...], route: Route) -> Row:
    (row,) = measure_designs([(dp, part)], "ecp5", place_and_route=True, seeds=seeds, route=route, workers=1)
    return row


def draw(curves: Mapping[str, Sequence[Row]], path: Path) -> None:
    """COMB (filled, with the clocks of the seeds) and flip-flops (hollow) over the clock, a colour a datapath.

    Only cuts that no other beats in all three.
    """
    with drawing(path, 8.0, 4.6) as figure:
        axes = figure.subplots()
        for colour, (text, rows) in zip(PALETTE, curves.items(), strict=False):
            found = sorted(_best(rows))
            clocks = [clock for clock, _, _, _ in found]
            sides = [[spread.value - spread.low for *_, spread in found], [s.high - s.value for *_, s in found]]
            axes.errorbar(clocks, [comb for _, comb, _, _ in found], xerr=sides, fmt="o-", color=colour, capsize=2)
            axes.plot(clocks, [ff for _, _, ff, _ in found], "o--", color=colour, markerfacecolor="white")
            axes.plot([], [], color=colour, label=text)
        axes.plot([], [], "o-", color="grey", label="COMB")
        axes.plot([], [], "o--", color="grey", markerfacecolor="white", label="flip-flops")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("clock of an element alone after place and route, MHz: median and range of three seeds")
        axes.set_ylabel("cells of an element")
        axes.set_title("Registers within the product buy the clock: ECP5, speed grade 6 (T2, nextpnr)")
        axes.grid(True)
        axes.legend(loc="upper left")


def _best(rows: Sequence[Row]) -> Iterator[tuple[float, int, int, Spread]]:
    """(MHz, COMB, flip-flops, range) of those that no other is at least as good as in all."""
    found = {
        (row.fmax_mhz.value, row.comb_post_route or 0, row.ff_post_route or 0): row for row in rows if row.fmax_mhz
    }
    for (clock, comb, ff), row in found.items():
        others = [other for other in found if other != (clock, comb, ff)]
        if row.fmax_mhz and not any(o[0] >= clock and o[1] <= comb and o[2] <= ff for o in others):
            yield clock, comb, ff, row.fmax_mhz


if __name__ == "__main__":
    from benchmarks.__main__ import text

    if sys.argv[1:] and sys.argv[1].endswith(".svg"):
        draw({curve: list(_cut(Datapath.parse(curve))) for curve in sys.argv[2:] or CURVES}, Path(sys.argv[1]))
        sys.exit()
    for line in measure(sys.argv[1:]):
        print(text(line), flush=True)
