"""Published facts about the area of multiply-accumulate units beside our own, by synthesis: docs/anchors.md tells both.

Ours are processing elements as hwq emits them, with their operand registers, start, clock enable and flags, T1: cells
of the pinned Yosys, the smallest of its efforts for area, and, where a line says "equal delay", of all efforts those
that are as fast as the slower of the two can be. One structure is not ours: `unit` writes down a published description
again, in plain Verilog, so that a difference can be told apart: of the structure, or of the library and the tools.
No limit stands on these lines: where a figure is outside of what was published, the page says so and why.

`python -m benchmarks.anchors` prints a Markdown table of them, `python -m benchmarks anchors` lines. Libraries that are
not here (see `hwq.synth.LIBRARIES`) are left out.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf
from pathlib import Path

import numpy as np

from benchmarks.timing import Line
from hwq.datapath import Datapath
from hwq.errors import ToolError
from hwq.synth import AREA_EFFORTS, EFFORTS, LIBRARIES, Job, Row, measure_designs, measure_many
from hwq.synth.liberty import flip_flops, library_files, library_text

WORKERS = 2
TERMS = 4608  # of the longest sum of ResNet-18, as in arXiv 2311.12359

VERSAL = "Damsgaard et al., IEEE TCAD 44(6) 2025, abstract"
QUALCOMM = "van Baalen et al., arXiv 2303.17951, abstract"
ICS55 = "SayatAbdikul/precision_exploration, ics55-integer-accwidth-2026-10-01"
INT_FP = "Chen et al., arXiv 2510.25602, table 5"
KULISCH = "our reference, from the width of the sum"


@dataclass(frozen=True)
class Fact:
    """One figure of ours on a device, the least and the most that was published, and by whom."""

    anchor: str
    device: str
    what: str
    value: float
    low: float
    high: float
    source: str

    @property
    def verdict(self) -> str:
        """Where our figure is."""
        if self.value < self.low:
            return "below"
        return "above" if self.value > self.high else "within"

    @property
    def published(self) -> str:
        """The published figure or band, as text."""
        if self.high == inf:
            return f"more than {self.low:g}"
        return f"{self.low:g}" if self.low == self.high else f"{self.low:g} to {self.high:g}"


def measure() -> Iterator[Line]:
    """A line a figure."""
    for fact in (fact for make in ANCHORS for fact in make()):
        note = f"published {fact.published} ({fact.source}): {fact.verdict}"
        yield Line(f"{fact.anchor} {fact.device} {fact.what}", fact.value, "x", None, note)


# a. minifloats beside integers of equal width, exact sums

SPLITS = ((2, 1), (2, 2), (3, 1), (2, 3), (3, 2), (2, 4), (3, 3), (4, 2), (2, 5), (3, 4), (4, 3), (5, 2))


def minifloats() -> Iterator[Fact]:
    """Elements with exact sums in LUTs and in cells, for the band of Versal; fp8 in cells, for that of gates."""
    pairs = {f"fp({e},{m})": f"int({e + m + 1})" for e, m in SPLITS}
    for device, lanes in (("xc7", 1), ("nangate45", 1), ("xc7", 4)):
        rows = synthesised(device, [_exact(name, lanes) for name in (*pairs, *pairs.values())])
        for mine, other in pairs.items():
            ratio = area(rows[_exact(mine, lanes)]) / area(rows[_exact(other, lanes)])
            yield Fact("a", device, f"{mine} over {other}, exact, lanes: {lanes}", ratio, 1.2, 2.8, VERSAL)
    yield from _gates()


def _exact(name: str, lanes: int = 1) -> str:
    return f"{name}*{name}{f' @1x1x{lanes}' * (lanes > 1)} k={TERMS}"


def _gates() -> Iterator[Fact]:
    integer, exact, rounded = _exact("int8"), _exact("fp8_e4m3"), "fp8_e4m3*fp8_e4m3 +fp32"
    for device in ("nangate45", "ge"):
        rows = synthesised(device, [integer, exact, rounded], tuple(EFFORTS))
        for title, text in (("exact", exact), ("+fp32", rounded)):
            what = f"fp8_e4m3 {title} over int8 exact"
            yield Fact("a", device, what, area(rows[text]) / area(rows[integer]), 1.5, 2.8, QUALCOMM)
            if rows[text].points:
                yield Fact("a", device, f"{what}, equal delay", equal(rows[text], rows[integer]), 1.5, 2.8, QUALCOMM)


# b, c. an integer unit by the widths of its operands and of its sum

WIDTHS, SUMS = (4, 5, 6, 8), (16, 20, 24, 28, 32, 40, 48, 56, 64)
ELEMENTS = {"element": "int{0}*int{0} +fixed({1})", "element, saturating": "int{0}*int{0} +fixed({1},sat)"}
UNIT = "their structure"


def integers() -> Iterator[Fact]:
    """int4 over int8, both with sums of 32 bits."""
    for device in (*libraries(), "ge"):
        for title, found in _grids(device, (4, 8), (32,)).items():
            yield Fact("b", device, f"int4 over int8, {title}", found[4, 32] / found[8, 32], 0.727, 0.727, ICS55)


def slopes() -> Iterator[Fact]:
    """A bit of the sum, by the slope over all its widths, over a bit of the operands, by the slope over theirs at 32.

    As the source has it: straight lines by least squares, one over the widths of the sum for each width of operands.
    """
    for title, found in _grids("nangate45", WIDTHS, SUMS).items():
        step = slope(WIDTHS, [found[width, 32] for width in WIDTHS])
        for width in WIDTHS:
            bit = slope(SUMS, [found[width, bits] for bits in SUMS])
            what = f"a bit of the sum of int{width}, {bit:.3g} um2, over one of the operands, {step:.3g}, {title}"
            yield Fact("c", "nangate45", what, bit / step, 0.335, 0.426, ICS55)


def slope(at: Sequence[int], areas: Sequence[float]) -> float:
    """Of the straight line by least squares."""
    return float(np.polyfit(at, areas, 1)[0])


def _grids(device: str, widths: Sequence[int], sums: Sequence[int]) -> dict[str, dict[tuple[int, int], float]]:
    """{structure: {(bits of an operand, bits of the sum): area}}."""
    places = [(width, bits) for width in widths for bits in sums]
    found = {}
    for title, text in ELEMENTS.items():
        texts = {place: text.format(*place) for place in places}
        rows = synthesised(device, list(texts.values()))
        found[title] = {place: area(rows[text]) for place, text in texts.items()}
        if device in LIBRARIES:  # the unit's operand registers are not counted, so what ours take is told apart
            one = flip_flop(device, rows[next(iter(texts.values()))])
            found[f"{title}, without operand registers"] = {at: of - 2 * at[0] * one for at, of in found[title].items()}
    found[UNIT] = dict(zip(places, map(area, _units(device, places)), strict=True))
    return found


def _units(device: str, places: Sequence[tuple[int, int]]) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        jobs = []
        for width, bits in places:
            file = Path(folder) / f"{width}_{bits}.v"
            file.write_text(unit(width, bits), encoding="utf-8")
            jobs.append(Job.of([file], "unit", device, design=f"{UNIT} {width} {bits}"))
        return measure_many(jobs, workers=WORKERS)


def unit(width: int, bits: int) -> str:
    """What the report of the integer grid describes, without its operand registers, which it does not count either.

    A product, a sum that saturates, then a bias and the same again, into a register of its own.
    """
    top = bits - 1
    lines = [
        "module unit(input clk, input rst, input valid, input first, input last,",
        f"  input signed [{width - 1}:0] a, input signed [{width - 1}:0] w, input signed [{top}:0] bias,",
        f"  output reg done, output reg signed [{top}:0] result);",
        f"  reg signed [{top}:0] acc;",
        f"  wire signed [{2 * width - 1}:0] product = a * w;",
        f"  wire signed [{top}:0] base = acc & {{{bits}{{~first}}}};",
        f"  wire signed [{bits}:0] sum = base + product;",
        f"  wire signed [{top}:0] kept = {_saturated('sum', bits)};",
        f"  wire signed [{bits}:0] biased = kept + bias;",
        f"  wire signed [{top}:0] total = {_saturated('biased', bits)};",
        "  always @(posedge clk) done <= ~rst & valid & last;",
        "  always @(posedge clk) if (rst) acc <= 0; else if (valid) acc <= kept;",
        "  always @(posedge clk) if (rst) result <= 0; else if (valid & last) result <= total;",
        "endmodule",
        "",
    ]
    return "\n".join(lines)


def _saturated(name: str, bits: int) -> str:
    top = bits - 1
    return f"{name}[{bits}] == {name}[{top}] ? {name}[{top}:0] : {{{name}[{bits}], {{{top}{{~{name}[{bits}]}}}}}}"


# d. elements of MX blocks, without their common scale

LANES = (8, 16)
DOTS = {  # of int8, of fp8
    "sums of fp32": ("int8*int8 +fp32 @1x1x{0} order=tree({0})", "fp8_e4m3*fp8_e4m3 +fp32 @1x1x{0} order=tree({0})"),
    "sums of fp32, fp8 aligned to 25 bits": (
        "int8*int8 +fp32 @1x1x{0} order=tree({0})",
        "fp8_e4m3*fp8_e4m3 +align({0},25,rtz) @1x1x{0}",
    ),
}


def blocks() -> Iterator[Fact]:
    """A dot product of int8 over one of fp8_e4m3."""
    for lanes in LANES:
        rows = synthesised("nangate45", [text.format(lanes) for pair in DOTS.values() for text in pair])
        for title, pair in DOTS.items():
            integer, minifloat = (area(rows[text.format(lanes)]) for text in pair)
            what = f"int8 over fp8_e4m3, {lanes} lanes, {title}"
            yield Fact("d", "nangate45", what, integer / minifloat, 0.79, 0.79, INT_FP)


# e. which format of 8 bits costs most with an exact sum

E5M2 = "fp8_e5m2"
EXACT = ("int8", "fp(2,5)", "fp(3,4)", "fp8_e4m3", "power(8)", "log(8,1/16)", "log(8,1/8)", "p3109_k8p2", "fp(6,1)")


def dearest() -> Iterator[Fact]:
    """fp8_e5m2 over each of the others."""
    for device in (*libraries(), "ge"):
        rows = synthesised(device, [_exact(name) for name in (*EXACT, E5M2)])
        most = area(rows[_exact(E5M2)])
        for name in EXACT:
            ratio = most / area(rows[_exact(name)])
            yield Fact("e", device, f"{E5M2} over {name}, exact", ratio, 1.0, inf, KULISCH)


# what is measured


def libraries() -> list[str]:
    """The cell libraries whose files are here."""
    found = []
    for device in LIBRARIES:
        try:
            library_files(device)
        except ToolError:
            continue
        found.append(device)
    return found


def area(row: Row) -> float:
    """um2 of cells, gate equivalents or LUTs, as the device has them."""
    found = next((value for value in (row.area_um2, row.ge, row.lut) if value is not None), 0)
    if not found:
        raise ValueError(f"an element must have cells, not none: {row.design} on {row.device}")
    return found


def flip_flop(device: str, row: Row) -> float:
    """um2 of the flip-flop that an element is made of, as its library has it."""
    files = library_files(device)
    name = max(flip_flops(files), key=lambda cell: row.breakdown.get(cell, 0))
    text = "".join(library_text(path) for path in files)
    found = re.search(rf'\bcell\s*\(\s*"?{name}"?\s*\).*?\barea\s*:\s*"?([0-9.]+)', text, re.DOTALL)
    if found is None:
        raise ValueError(f"a library must state the area of {name}, not leave it out as that of {device} does")
    return float(found[1])


def equal(one: Row, other: Row) -> float:
    """Ratio of the areas at the shortest delay that both reach."""
    delay = max(min(point.delay_ps for point in row.points) for row in (one, other))
    least = [min(point.area_um2 for point in row.points if point.delay_ps <= delay) for row in (one, other)]
    return least[0] / least[1]


def synthesised(device: str, texts: Sequence[str], efforts: tuple[str, ...] = AREA_EFFORTS) -> Mapping[str, Row]:
    """The element of each datapath on a device, by its text."""
    return _synthesised(device, tuple(dict.fromkeys(texts)), efforts)


@cache
def _synthesised(device: str, texts: tuple[str, ...], efforts: tuple[str, ...]) -> Mapping[str, Row]:
    designs = [(Datapath.parse(text), "pe") for text in texts]
    return dict(zip(texts, measure_designs(designs, device, efforts=efforts, workers=WORKERS), strict=True))


ANCHORS = (minifloats, integers, slopes, blocks, dearest)


def main(wanted: Sequence[str]) -> int:
    """Print a Markdown table, of the functions of this file that are named, or of all."""
    print("| | device | of ours | ours | published | |\n| --- | --- | --- | --- | --- | --- |")
    for make in ANCHORS:
        for fact in make() if not wanted or make.__name__ in wanted else ():
            cells = [fact.anchor, fact.device, fact.what, f"{fact.value:.3f}", fact.published, fact.verdict]
            print(f"| {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
