"""How prices do where whole groups are left out of the fit, from the rows that the shipped prices were fitted to.

Leave one width out: of elements of two integers, all whose wider operand has so many bits. Leave one exponent out: of
elements whose first operand is a minifloat, all whose exponent has so many bits. Arrays from elements: tops, each shape
left out. Every time the device file is fitted again, by what `hwq calibrate` does. DEVICES names those to do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import mean

from benchmarks.timing import Line
from hwq.cli.calibrate import measured_of, read_rows
from hwq.costmodel.calibrate import Measured, calibrate
from hwq.costmodel.estimate import estimates
from hwq.costmodel.fabrics import FABRICS
from hwq.datapath import Datapath
from hwq.datapath.device import DEVICES, device, read
from hwq.formats import Int, MiniFloat

ROWS = Path(__file__).parents[1] / "tests" / "data" / "rows"
Group = Callable[[Datapath], object]


def width(dp: Datapath) -> object:
    """The bits of the wider operand, where both are integers."""
    return max(dp.mac.a.bits, dp.mac.w.bits) if isinstance(dp.mac.a, Int) and isinstance(dp.mac.w, Int) else None


def exponent(dp: Datapath) -> object:
    """The bits of the exponent of the first operand, a minifloat."""
    return dp.mac.a.exp if isinstance(dp.mac.a, MiniFloat) and dp.mac.floats is None else None


def shape(dp: Datapath) -> object:
    return (dp.array.rows, dp.array.cols)


SPLITS: dict[str, tuple[str, Group]] = {
    "one width": ("pe", width),
    "one exponent": ("pe", exponent),
    "one shape of an array": ("top", shape),
}


def errors(rows: Sequence[Measured], name: str, part: str, group: Group) -> list[float]:
    """Relative errors of the device's first figure, of each row when its group is left out."""
    field, found = FABRICS[name].field, []
    groups = [group(Datapath.parse(row.datapath)) if row.part == part else None for row in rows]
    for one in sorted({g for g in groups if g is not None}, key=str):
        kept = [row for row, g in zip(rows, groups, strict=True) if g != one]
        prices = read(name, calibrate(kept, name, {}, "T1"))
        for row in (row for row, g in zip(rows, groups, strict=True) if g == one):
            (cost,) = estimates([Datapath.parse(row.datapath)], prices)
            figures = cost.figures if part == "top" else cost.pe.figures
            found.append(abs(figures[field].value / row.values[field] - 1))
    return found


def measure() -> Iterator[Line]:
    """Mean error of each split on each device that has prices, and the 95th percentile."""
    wanted = os.environ.get("DEVICES", "").split() or [name for name in DEVICES if device(name).prices is not None]
    for name in wanted:
        measured = [measured_of(row, name) for row in read_rows(ROWS, name)]
        rows = list({(row.datapath, row.part): row for row in measured}.values())
        for title, (part, group) in SPLITS.items():
            found = sorted(errors(rows, name, part, group))
            late = found[min(len(found) - 1, int(0.95 * len(found)))]
            note = f"95 % within {100 * late:.1f} %, {len(found)} designs"
            yield Line(f"{name}: without {title}", 100 * mean(found), "%", note=note)
