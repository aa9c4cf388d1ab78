"""`hwq calibrate`: a device file from real synthesis of the listed designs, or from rows that were measured before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwq.cli.console import Device, check_folder, progress, table
from hwq.errors import HwqError

if TYPE_CHECKING:
    from hwq.costmodel.calibrate import Measured
    from hwq.synth import Row

__all__ = ["measured_of", "read_rows", "register"]

From = Annotated[Path | None, typer.Option("--from", metavar="DIR", help="Take the rows in DIR/*.jsonl, run no tool.")]
Rows = Annotated[Path, typer.Option("--rows", metavar="FILE", help="Where rows are kept as they are measured.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Not into the package.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("calibrate")(calibrate)


def calibrate(device: Device, source: From = None, rows: Rows = Path("rows.jsonl"), output: Output = None) -> None:
    """Fit a device's prices to synthesised designs; an interrupted run goes on where it was."""
    from hwq.costmodel.calibrate import calibrate as fit
    from hwq.costmodel.fabrics import FABRICS
    from hwq.synth.target import target

    target(device)
    if device not in FABRICS:
        raise HwqError(f"prices are fitted to {', '.join(sorted(FABRICS))}, not to {device}; hwq synth measures cells")
    path = output or Path(__file__).parents[1] / "devices" / f"{device}.json"
    check_folder("--output", path)
    measured = _measure(device, rows) if source is None else read_rows(source, device)
    text = fit([measured_of(row, device) for row in measured], device, measured[0].tools, measured[0].level)
    path.write_text(text, encoding="utf-8")
    print(f"{path}: prices of {device}; designs held out of their fit:\n")
    _print_score([measured_of(row, device) for row in measured], device, text)


def _measure(device: str, rows: Path) -> list[Row]:
    """Synthesise every listed design; those listed for the clock are placed and routed, if that can be done."""
    from hwq.costmodel.calibrate import CLOCK, designs
    from hwq.datapath import Datapath
    from hwq.synth import measure_designs
    from hwq.synth.target import target

    found: list[Row] = []
    for part, groups in designs().items():
        routed = part == CLOCK
        if routed and not target(device).routed:
            continue
        wanted = [(Datapath.parse(text), "pe" if routed else part) for group in groups.values() for text in group]
        with progress(f"{device} {part}", len(wanted)) as tick:
            found += measure_designs(wanted, device, place_and_route=routed, store=rows, on_row=lambda row: tick())
    return found


def _print_score(rows: list[Measured], device: str, text: str) -> None:
    """What the new prices say of the held-out designs; `ratio` is the median half-width over the median error."""
    from hwq.costmodel.score import judge, score
    from hwq.datapath.device import read

    lines = []
    for one in score(judge(rows, read(device, text))):
        ratio = f"{one.half_width / one.median_error:.2f}" if one.median_error else ""
        errors = (f"{one.mean_error:.2%}", f"{one.worst_error:.2%}")
        lines.append((one.part, one.field, one.designs, *errors, f"{one.inside} of {one.interval}", ratio))
    if not lines:
        print("none was measured")
        return
    table(["part", "field", "designs", "mean error", "worst", "inside interval", "ratio"], lines)


def read_rows(folder: Path, device: str) -> list[Row]:
    """The rows of a device in a folder's JSON lines."""
    from hwq.synth import Row

    try:
        lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines()]
        entries = [json.loads(line) for line in lines]
        rows = [Row.from_json(json.dumps(entry.get("row", entry))) for entry in entries]
    except (ValueError, AttributeError) as error:
        reason = error if isinstance(error, HwqError) else f"{type(error).__name__}: {error}"
        raise HwqError(f"{folder}/*.jsonl must hold one measured row a line, not {reason}") from None
    found = [row for row in rows if row.device == device]
    if not found:
        raise HwqError(f"{folder}/*.jsonl must hold rows of {device}, not none")
    return found


def measured_of(row: Row, device: str) -> Measured:
    from hwq.costmodel.calibrate import Measured, designs
    from hwq.costmodel.fabrics import FABRICS

    part = next((p for p in designs() if row.module.endswith(f"_{p}")), "top")
    clock = None if row.fmax_mhz is None else row.fmax_mhz.value
    value = getattr(row, FABRICS[device].field)
    if value is None:
        raise HwqError(f"a row of {device} must have its {FABRICS[device].field}, not {row.module} without it")
    return Measured(row.design, part, value, row.ff, clock)
