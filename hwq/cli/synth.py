"""`hwq synth`: measured beside estimated, for one processing element and for the whole design."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwq.cli.console import DatapathWords, Device, Json, parse_datapath, show, table
from hwq.cli.cost import Clock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hwq.costmodel import Quantity
    from hwq.datapath import Datapath
    from hwq.synth import Row

__all__ = ["register"]

MEASURED = ("lut", "ge", "area_um2", "ff", "dsp", "bram", "comb_post_route", "ff_post_route", "logic_ns")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("synth")(synth)


def synth(
    words: DatapathWords,
    device: Device,
    clock: Clock = None,
    route: Annotated[bool, typer.Option("--route", help="Place and route too, as --clock does (ecp5).")] = False,
    liberty: Annotated[
        list[Path] | None,
        typer.Option("--liberty", metavar="FILE", help="A Liberty file of --device; once for each, if it has several."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Synthesise a datapath with open tools and print the measured figures beside the estimated ones."""
    from hwq.datapath import plan
    from hwq.synth import measure_designs

    dp = parse_datapath(words)
    dp = dp if clock is None else plan(dp, device, clock).dp
    parts = _estimated(dp, device)
    wanted = [(dp, part) for part in parts]
    routed = route or clock is not None
    rows = measure_designs(wanted, device, place_and_route=routed, liberty=liberty or ())
    records = {part: _record(row, parts[part]) for part, row in zip(parts, rows, strict=True)}
    if as_json:
        show({"datapath": str(dp), "device": device, **records})
        return
    print(f"{dp} on {device}\n")
    for part, record in records.items():
        _print(part, record)


def _estimated(dp: Datapath, name: str) -> dict[str, Mapping[str, Quantity]]:
    """The prices of a datapath's element and of the whole; none on a device that has no prices."""
    from hwq.costmodel import estimate
    from hwq.datapath.device import device

    if device(name).prices is None:
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
