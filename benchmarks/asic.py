"""Area against delay in standard cells: our elements beside `synth -booth` of a plain description at equal delay.

Both have the same ports and registers and go through one flow, with the same efforts from the area end to the delay end
(`hwq.synth.EFFORTS`): T1, clock gates included, longest path by ABC's `stime` between registers and ports, without
wires. Ours is the front of both structures of `hwq.bits.compress`, its last row left to Yosys or a prefix adder.
Libraries that are not here (see `hwq.synth.LIBRARIES`) are named and left out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.timing import Line
from hwq.bits.sums import bits_of
from hwq.datapath import Datapath, Plan, plan
from hwq.errors import ToolError
from hwq.rtl import leaves
from hwq.synth import EFFORTS, LIBRARIES, Job, Point, measure_many, pareto
from hwq.synth.liberty import library_files

TEXTS = ("int8*int8 +fixed(32)", "int4*int4 +fixed(16)", "fp8_e4m3*fp8_e4m3 +fixed(48)")
AREA_BARS = {("nangate45", TEXTS[0]): 712.0, ("nangate45", TEXTS[2]): 957.0}  # um2
LEAST_POINTS = 6  # of a curve


def measure() -> Iterator[Line]:
    """Two lines a library and datapath: the area end, and the largest ratio of our area to theirs at equal delay."""
    for device in LIBRARIES:
        try:
            library_files(device)
        except ToolError as missing:
            yield Line(device, 0, "files", None, f"not measured: {missing}")
            continue
        for text in TEXTS:
            yield from _compared(device, Datapath.parse(text))


def _compared(device: str, dp: Datapath) -> Iterator[Line]:
    row, prefix, booth = curves(device, dp)
    ours, theirs = pareto([*row, *prefix]), pareto(booth)
    for curve in (row, prefix, booth):
        if len({point[1:] for point in curve}) < LEAST_POINTS:
            raise ValueError(f"a curve of {dp} on {device} must have {LEAST_POINTS} points, not {curve}")
    yield Line(f"{device} {dp}, area end", ours[0].area_um2, "um2", AREA_BARS.get((device, str(dp))), _shown(ours))
    worst = max(ratio(ours, point) for point in theirs)
    yield Line(f"{device} {dp}, over synth -booth at equal delay", worst, "x", 1.0, f"booth {_shown(theirs)}")


def ratio(ours: Sequence[Point], theirs: Point) -> float:
    """Our smallest area that is as fast as a point of theirs, over its area."""
    return min((p.area_um2 for p in ours if p.delay_ps <= theirs.delay_ps), default=float("inf")) / theirs.area_um2


def curves(device: str, dp: Datapath) -> tuple[tuple[Point, ...], ...]:
    """Points of our two structures and of the plain description."""
    plans_of_ours = [_planned(dp, device, prefix) for prefix in (False, True)]
    modules = [leaves(one, "hwq")["pe"].text for one in plans_of_ours] + [plain(plans_of_ours[0])]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{at}.v" for at in range(len(modules))]
        for file, text in zip(files, modules, strict=True):
            file.write_text(text, encoding="utf-8")
        jobs = [Job.of([file], "hwq_pe", device, design=str(dp), efforts=tuple(EFFORTS)) for file in files]
        return tuple(row.points for row in measure_many(jobs, workers=1))


def _planned(dp: Datapath, device: str, prefix: bool) -> Plan:
    return plan(replace(dp, uses=("prefix",)) if prefix else dp, device)


def plain(of: Plan) -> str:
    """A first draft of the same element: `*`, a shift by the exponents, a sum, a sticky flag."""
    block, at, fields = of.blocks["pe"], {"a": 0, "w": 0}, {}
    for net in block.inputs:
        side = net.name[0]
        fields[net.name] = f"{side}_q[{at[side] + net.width - 1}:{at[side]}]"
        at[side] += net.width
    shift = f" <<< ({{1'b0, {fields['a_exp']}}} + {{1'b0, {fields['w_exp']}}})" if "a_exp" in fields else ""
    widths = {state.q.name: state.q.width for state in block.states}
    outputs = "".join(f", output reg {'signed ' * (w > 1)}[{w - 1}:0] {name}" for name, w in widths.items())
    sticky = f"nan | {fields['a_nan']} | {fields['w_nan']}" if "nan" in widths else ""
    lines = [
        f"module hwq_pe(input clk, input rst, input en, input clear, input [{at['a'] - 1}:0] a,",
        f"  input [{at['w'] - 1}:0] w{outputs}, output reg [{at['a'] - 1}:0] a_q, output reg [{at['w'] - 1}:0] w_q);",
        f"  wire signed [{bits_of(*of.dp.mac.product_range) - 1}:0] term = $signed({fields['a_sig']})"
        f" * $signed({fields['w_sig']}){shift};",
        "  always @(posedge clk) if (rst) a_q <= 0; else if (en) a_q <= a;",
        "  always @(posedge clk) if (rst) w_q <= 0; else if (en) w_q <= w;",
        "  always @(posedge clk) if (clear) acc <= 0; else if (en) acc <= acc + term;",
        f"  always @(posedge clk) if (clear) nan <= 0; else if (en) nan <= {sticky};" if sticky else "",
        "endmodule",
    ]
    return "\n".join([*lines, ""])


def _shown(points: Sequence[Point]) -> str:
    return " ".join(f"{point.area_um2:.4g}@{point.delay_ps:.0f}ps" for point in points)
