"""Arrays composed from elements: each row of an array, synthesised whole, against its elements' estimate.

The rows are those of every array of integers and ternary weights in the experiment, fitted and held out. A row's module
is what the top repeats: elements and the registers between them, without the edge, the control and the read-out.
DEVICES names those to do.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.timing import Line
from hwq.costmodel import estimate
from hwq.costmodel.calibrate import designs
from hwq.costmodel.fabrics import FABRICS
from hwq.datapath import Datapath, plan
from hwq.datapath.plans import FIRST
from hwq.formats import Int, Ternary
from hwq.rtl import emit
from hwq.synth.job import Job
from hwq.synth.measure import measure_many

FPGAS = "xc7 xcup ecp5 ice40"


def arrays() -> list[Datapath]:
    """One array of each row that the integer tops of the experiment have."""
    tops = (Datapath.parse(text) for group in designs()["top"].values() for text in group)
    integer = (dp for dp in tops if all(isinstance(x, Int | Ternary) for x in (dp.mac.a, dp.mac.w)))
    return list({(dp.mac, dp.array.cols, dp.array.dataflow, dp.array.rows > 1): dp for dp in integer}.values())


def rows(dp: Datapath, device: str, folder: Path) -> Iterator[tuple[Job, float]]:
    """Each kind of row in an array, and what its elements come to; a weight-stationary array has a first one."""
    manifest, cost = emit(dp, folder, device), estimate(dp, device)
    files = [folder / file for file in manifest.files]
    figures = {piece.name: piece.figures[FABRICS[device].field].value for piece in cost.breakdown}
    made, cols = plan(dp, device), dp.array.cols
    for name, module in (("pe", f"{manifest.top}_row"), (FIRST, f"{manifest.top}_row_first")):
        if folder / f"{module}.v" in files:
            shared = made.blocks[name].register_kinds if made.rows.joined else 0  # a row has its joined enables once
            yield Job.of(files, module, device, design=str(dp)), cols * figures[name] - (cols - 1) * shared


def measure() -> Iterator[Line]:
    """How many rows have exactly the LUT of their elements, and the largest difference."""
    for device in os.environ.get("DEVICES", FPGAS).split():
        with tempfile.TemporaryDirectory() as name:
            wanted = [one for at, dp in enumerate(arrays()) for one in rows(dp, device, Path(name) / str(at))]
            found = measure_many([job for job, _ in wanted])
        off = [abs(told - row.lut) for (_, told), row in zip(wanted, found, strict=True)]
        yield Line(f"arrays: {device}, rows equal to their elements", off.count(0), "", note=f"of {len(off)}")
        yield Line(f"arrays: {device}, largest difference of a row", max(off), "LUT")
