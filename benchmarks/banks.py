"""Exact sums of minifloats in banks that the exponent chooses (`use=banks`): an element with its share of an array.

Counted are the element, with its operand and product registers, flags and memory, and of what clears and drains the
banks a row's part: the foot that adds a column's words, the choice among the rows, and the control of the whole array.
The decoders at the edge and the epilogues are as in every array. tests/test_banks.py shows that the bits are right.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.timing import Line
from hwq.datapath import Datapath
from hwq.datapath.banks import banks
from hwq.rtl import emit
from hwq.synth import measure as synthesised

TEXTS = ("fp8_e4m3*fp8_e4m3 +fixed(48)", "fp8_e5m2*fp8_e5m2 +fixed(80)")
LIMIT = 85
SIDE = 8  # rows, and columns


def measure() -> Iterator[Line]:
    """A line each for an element with its registers around the product."""
    for text in TEXTS:
        dp = Datapath.parse(f"{text} @{SIDE}x{SIDE} cut=mul use=banks")
        of, area = banks(dp.mac), _areas(dp)
        share = area["pe"] + (area["pe_foot"] + area["readout"]) / SIDE + area["control"] / SIDE**2
        parts = ", ".join(f"{name} {lut}" for name, lut in area.items())
        note = f"{of.count} banks of {of.width} bits; {parts}; {dp.cycles(SIDE, SIDE, 1024)} cycles for K = 1024"
        yield Line(f"xc7 {dp}", share, "LUT", LIMIT, note)


def _areas(dp: Datapath) -> dict[str, int]:
    """LUT of the modules that an element has a share of."""
    with tempfile.TemporaryDirectory() as name:
        manifest = emit(dp, name, "xc7")
        files = [Path(name) / file for file in manifest.files]
        names = ("pe", "pe_foot", "readout", "control")
        return {part: synthesised(files, f"{manifest.top}_{part}", "xc7").lut or 0 for part in names}
