"""`hwq synth`: measured beside estimated, for one processing element and for the whole design."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwq.cli.console import DatapathWords, Device, Json, parse_datapath, show, table
from hwq.cli.kit import VENDOR, synthesise
from hwq.errors import HwqError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hwq.costmodel import Quantity
    from hwq.datapath import Datapath
    from hwq.synth import Row
    from hwq.synth.vendor import Kit

__all__ = ["register"]

OPEN = "yosys"  # the tool that comes with this package

MEASURED = ("lut", "ge", "area_um2", "ff", "dsp", "bram", "comb_post_route", "ff_post_route", "logic_ns")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("synth")(synth)


def synth(
    words: DatapathWords,
    device: Device,
    clock: Annotated[
        float | None,
        typer.Option(
            "--clock",
            metavar="MHZ",
            help="Pick the cuts that reach this clock; with another --tool the constraint in MHz, the design as it is.",
        ),
    ] = None,
    route: Annotated[bool, typer.Option("--route", help="Place and route too, as --clock does (ecp5).")] = False,
    liberty: Annotated[
        list[Path] | None,
        typer.Option("--liberty", metavar="FILE", help="A Liberty file of --device; once for each, if it has several."),
    ] = None,
    tool: Annotated[
        str,
        typer.Option("--tool", metavar="T", help="yosys, or yours: vivado, quartus, radiant, diamond, genus, dc."),
    ] = OPEN,
    part: Annotated[
        str, typer.Option("--part", metavar="PART", help="Of another --tool: the part, instead of the usual one.")
    ] = "",
    folder: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Of another --tool: where Verilog, scripts and reports go."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Synthesise a datapath with open tools, or one of yours, and print the measured figures beside the estimated."""
    dp = parse_datapath(words)
    if tool == OPEN:
        if part or folder:
            raise HwqError("--part and --output must come with another --tool, not with yosys, which runs by itself")
        _by_yosys(dp, device, clock, route, liberty or [], as_json)
        return
    if route:
        raise HwqError(f"--route must come with yosys, not with {tool}, which always places and routes where it can")
    _by_vendor(dp, device, tool, part, clock, folder, liberty or [], as_json)


def _by_yosys(dp: Datapath, device: str, clock: float | None, route: bool, liberty: list[Path], as_json: bool) -> None:
    from hwq.datapath import plan
    from hwq.synth import measure_designs

    dp = dp if clock is None else plan(dp, device, clock).dp
    parts = _estimated(dp, device)
    wanted = [(dp, part) for part in parts]
    routed = route or clock is not None
    rows = measure_designs(wanted, device, place_and_route=routed, liberty=liberty)
    if not _fitted_to(device, rows[0]):
        parts = {key: {} for key in parts}
    _show(dp, device, dict(zip(parts, rows, strict=True)), parts, as_json)


def _fitted_to(name: str, row: Row) -> bool:
    """Whether a device's prices are of the cell library that a row is of; FPGAs have none."""
    from hwq.datapath.device import device
    from hwq.synth.target import target

    source = device(name).source
    files = [f"{tool} {version}" for tool, version in row.tools.items() if tool != "pyosys"]
    return not target(name).liberty or all(file in source for file in files)


def _by_vendor(
    dp: Datapath,
    device: str,
    tool: str,
    part: str,
    clock: float | None,
    folder: Path | None,
    liberty: list[Path],
    as_json: bool,
) -> None:
    """Run the tool where it is; where it is not, say what to run."""
    from hwq.datapath.names import top_name

    place = folder or Path(f"{top_name(dp)}_{tool}")
    kit, rows = synthesise(dp, device, tool, part, clock, place, liberty)
    if rows:
        found = {entry.block: row for entry, row in zip(kit.designs, rows, strict=True)}
        _show(dp, device, found, _estimated(dp, device, VENDOR), as_json)
    else:
        _ask(dp, kit, place, as_json)


def _ask(dp: Datapath, kit: Kit, folder: Path, as_json: bool) -> None:
    run = f"sh {shlex.quote(str(folder))}/run.sh"
    if as_json:
        asked = {"tool": kit.tool, "part": kit.part, "clock_mhz": kit.clock_mhz, "folder": str(folder), "run": run}
        show({"datapath": str(dp), "device": kit.device, **asked, "level": "not checked"})
        return
    print(f"not checked: {kit.by.program} is not on PATH; its scripts are in {folder}: {run}, then this command again")


def _show(
    dp: Datapath,
    device: str,
    rows: Mapping[str, Row],
    estimated: Mapping[str, Mapping[str, Quantity]],
    as_json: bool,
) -> None:
    records = {part: _record(row, estimated[part]) for part, row in rows.items()}
    if as_json:
        show({"datapath": str(dp), "device": device, **records})
        return
    print(f"{dp} on {device}\n")
    for part, record in records.items():
        _print(part, record)


def _estimated(dp: Datapath, name: str, level: str = "") -> dict[str, Mapping[str, Quantity]]:
    """The prices of a datapath's element and of the whole; none on a device that has none, or none of that level."""
    from hwq.costmodel import estimate
    from hwq.datapath.device import device

    if device(name).prices is None or not device(name).level.startswith(level):
        return {"pe": {}, "top": {}}
    cost = estimate(dp, name)
    return {"pe": cost.pe.figures, "top": cost.figures}


def _record(row: Row, estimated: Mapping[str, Quantity]) -> dict[str, Any]:
    """{measured, estimated, error, tool, level} of one module; `error` is (estimated - measured) / measured."""
    measured: dict[str, Any] = {name: value for name in MEASURED if (value := getattr(row, name)) is not None}
    if row.points:
        measured["points"] = [point._asdict() for point in row.points]
    if row.fmax_mhz is not None:
        measured["fmax_mhz"] = row.fmax_mhz.value
    error = {name: quantity.value / measured[name] - 1 for name, quantity in estimated.items() if measured.get(name)}
    return {
        "measured": measured,
        "estimated": {name: quantity.json() for name, quantity in estimated.items()},
        "error": error,
        "tool": ", ".join(f"{name} {version}" for name, version in row.tools.items()),
        "level": row.level,
    }


def _print(part: str, record: dict[str, Any]) -> None:
    measured = {name: value for name, value in record["measured"].items() if name != "points"}
    names = dict.fromkeys([*measured, *record["estimated"]])
    rows = []
    for name in names:
        error = record["error"].get(name)
        quantity = record["estimated"].get(name, {})
        percent = "" if error is None else f"{error:+.1%}"
        rows.append((name, measured.get(name), *(quantity.get(k) for k in ("value", "low", "high")), percent))
    table([part, "measured", "estimated", "low", "high", "error"], rows)
    print(f"{record['level']}, {record['tool']}\n")
