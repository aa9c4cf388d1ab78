"""`hwq calibrate`: a device file from real synthesis of the listed designs, or from rows that were measured before."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwq.cli.console import Device, check_folder, progress, table
from hwq.cli.kit import VENDOR, check_alike, kit_rows, write_kit
from hwq.errors import HwqError

if TYPE_CHECKING:
    from hwq.costmodel.calibrate import Measured
    from hwq.costmodel.score import Judged
    from hwq.datapath.device import Device as Prices
    from hwq.synth import Row

__all__ = ["measured_of", "read_rows", "register"]

From = Annotated[
    Path | None,
    typer.Option("--from", metavar="DIR", help="Take the rows in DIR/*.jsonl and a kit's reports there, run no tool."),
]
Rows = Annotated[Path, typer.Option("--rows", metavar="FILE", help="Where rows are kept as they are measured.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Not into the package; T3 rows go nowhere else.")
]
KitFolder = Annotated[
    Path | None,
    typer.Option("--kit", metavar="DIR", help="Write 40 designs with scripts for somebody who owns --tool; no fit."),
]
ToolName = Annotated[
    str,
    typer.Option(
        "--tool", metavar="T", help="Of --kit: vivado, quartus, radiant, diamond, yosys; default the device's."
    ),
]
PartName = Annotated[
    str, typer.Option("--part", metavar="PART", help="Of --kit: the part, instead of the tool's usual.")
]
Clock = Annotated[
    float | None,
    typer.Option("--clock", metavar="MHZ", help="Of --kit: the constraint in MHz; default above what most reach."),
]

Liberty = Annotated[
    list[Path] | None,
    typer.Option("--liberty", metavar="FILE", help="A Liberty file of --device; once for each, if it has several."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("calibrate")(calibrate)


def calibrate(
    device: Device,
    source: From = None,
    rows: Rows = Path("rows.jsonl"),
    output: Output = None,
    kit: KitFolder = None,
    tool: ToolName = "",
    part: PartName = "",
    clock: Clock = None,
    liberty: Liberty = None,
) -> None:
    """Fit a device's prices to synthesised designs; an interrupted run goes on where it was."""
    from hwq.costmodel.fabrics import FABRICS
    from hwq.synth.target import target

    target(device)
    if device not in FABRICS:
        raise HwqError(f"prices are fitted to {', '.join(sorted(FABRICS))}, not to {device}; hwq synth measures cells")
    if kit is not None:
        if source is not None:
            raise HwqError("--kit writes a kit and --from takes one back: give one of them, not both")
        _write_kit(kit, device, tool, part, clock)
        return
    if tool or part or clock:
        raise HwqError("--tool, --part and --clock must come with --kit, not alone; a kit's manifest knows them later")
    path = _path(device, output)
    measured = _measure(device, rows, liberty or []) if source is None else read_rows(source, device)
    check_alike(measured)
    if output is None and measured[0].level == VENDOR:
        raise HwqError("prices of a vendor's tool must go into a file of yours, not into the package; give -o FILE")
    text = _fit(measured, device)
    path.write_text(text, encoding="utf-8")
    print(f"{path}: prices of {device}; designs held out of their fit:\n")
    _print_score([measured_of(row, device) for row in measured], device, text)


def _write_kit(folder: Path, device: str, tool: str, part: str, clock: float | None) -> None:
    kit = write_kit(folder, device, tool, part, clock)
    where = shlex.quote(str(folder))
    print(f"{folder}: {len(kit.designs)} designs for {kit.by.title}, {kit.part or device} at {kit.clock_mhz:g} MHz")
    print(f"where {kit.by.program} is: sh {where}/run.sh; then here: hwq calibrate -d {device} --from {where} -o FILE")


def _path(device: str, output: Path | None) -> Path:
    """Where the prices go, if they can go there."""
    path = output or Path(__file__).parents[1] / "devices" / f"{device}.json"
    check_folder("--output", path)
    if output is None and not os.access(path if path.exists() else path.parent, os.W_OK):
        raise HwqError(f"the package's {path.name} must be writable, not read-only as here; give --output FILE")
    return path


def _fit(rows: list[Row], device: str) -> str:
    """The text of the device file; what is of a vendor's tool is of one level, its clock too."""
    from hwq.costmodel.calibrate import calibrate as fit

    text = fit([measured_of(row, device) for row in rows], device, rows[0].tools, rows[0].level)
    if rows[0].level != VENDOR:
        return text
    return json.dumps({**json.loads(text), "level": VENDOR}, indent=1, sort_keys=True) + "\n"


def _measure(device: str, rows: Path, liberty: list[Path]) -> list[Row]:
    """Synthesise every listed design; those listed for the clock are placed and routed, if that can be done.

    Of a cell library, with the efforts for area and with the one for delay.
    """
    from hwq.costmodel.calibrate import CLOCK, designs
    from hwq.datapath import Datapath
    from hwq.synth import AREA_EFFORTS, measure_designs
    from hwq.synth.efforts import FAST
    from hwq.synth.target import target

    found: list[Row] = []
    for part, groups in designs().items():
        routed = part == CLOCK
        if routed and not target(device).routed:
            continue
        wanted = [(Datapath.parse(text), "pe" if routed else part) for group in groups.values() for text in group]
        with progress(f"{device} {part}", len(wanted)) as tick:
            found += measure_designs(
                wanted,
                device,
                place_and_route=routed,
                liberty=liberty,
                efforts=(*AREA_EFFORTS, FAST),
                store=rows,
                on_row=lambda row: tick(),
            )
    return found


def _print_score(rows: list[Measured], device: str, text: str) -> None:
    """What the new prices say of the held-out designs; `ratio` is the median half-width over the median error."""
    from hwq.costmodel.score import score
    from hwq.datapath.device import read

    lines = []
    for one in score(_judged(rows, read(device, text))):
        ratio = f"{one.half_width / one.median_error:.2f}" if one.median_error else ""
        errors = (f"{one.mean_error:.2%}", f"{one.worst_error:.2%}")
        lines.append((one.part, one.field, one.designs, *errors, f"{one.inside} of {one.interval}", ratio))
    if not lines:
        print("none was measured")
        return
    table(["part", "field", "designs", "mean error", "worst", "inside interval", "ratio"], lines)


def _judged(rows: list[Measured], prices: Prices) -> list[Judged]:
    """The held-out figures; a design with what none of the fitted ones had has no price, and is named."""
    from hwq.costmodel.score import judge

    try:
        return judge(rows, prices)
    except HwqError:
        found: list[Judged] = []
        without: list[str] = []
        for row in rows:
            try:
                found += judge([row], prices)
            except HwqError as error:
                without.append(f"{row.part} of {row.datapath} has no price: {error}")
        print("\n".join([*without, ""]))
        return list(dict.fromkeys(found))


def read_rows(folder: Path, device: str) -> list[Row]:
    """The rows of a device in a folder's JSON lines, and those of the kit that the folder is, if it is one."""
    from hwq.synth import Row
    from hwq.synth.vendor import MANIFEST

    try:
        lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines()]
        entries = [json.loads(line) for line in lines]
        rows = [Row.from_json(json.dumps(entry.get("row", entry))) for entry in entries]
    except (ValueError, AttributeError) as error:
        reason = error if isinstance(error, HwqError) else f"{type(error).__name__}: {error}"
        raise HwqError(f"{folder}/*.jsonl must hold one measured row a line, not {reason}") from None
    found = [row for row in rows if row.device == device]
    if (folder / MANIFEST).is_file():
        more, missing = kit_rows(folder, device)
        found += more
        if missing:
            print(f"left out, since no report came of them: {', '.join(missing)}")
    if not found:
        raise HwqError(f"{folder}/*.jsonl must hold rows of {device}, not none")
    return found


def measured_of(row: Row, device: str) -> Measured:
    from hwq.costmodel.calibrate import Measured, designs
    from hwq.costmodel.fabrics import FABRICS

    part = next((p for p in designs() if row.module.endswith(f"_{p}")), "top")
    clock = None if row.fmax_mhz is None else row.fmax_mhz.value
    values = {field: row.figure(field) for field in FABRICS[device].fields}
    return Measured(row.design, part, values, row.ff, clock)
