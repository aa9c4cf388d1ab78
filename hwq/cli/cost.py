"""`hwq cost`: the price of a datapath on a device, from the rows it is made of, without a synthesis run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwq.cli.console import DatapathWords, Device, Json, parse_datapath, show, table

if TYPE_CHECKING:
    from hwq.costmodel import Cost

__all__ = ["Clock", "register"]

Clock = Annotated[float | None, typer.Option("--clock", metavar="MHZ", help="Pick the cuts that reach this clock.")]
Plot = Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw the breakdown as PNG, SVG or PDF.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("cost")(cost)


def cost(words: DatapathWords, device: Device, clock: Clock = None, plot: Plot = None, as_json: Json = False) -> None:
    """Price a datapath on a device."""
    from hwq.costmodel import estimate
    from hwq.datapath import plan

    dp = parse_datapath(words)
    found = estimate(dp if clock is None else plan(dp, device, clock).dp, device)
    if plot is not None:
        _plot(found, plot)
    if as_json:
        show(found.json())
    else:
        _print(found)


def _print(found: Cost) -> None:
    print(f"{found.datapath} on {found.device}; {found.level}: {found.source}\n")
    figures = [(name, q.value, q.low, q.high) for name, q in found.figures.items()]
    table(["figure", "value", "low", "high"], figures)
    names = list(dict.fromkeys(name for part in found.breakdown for name in part.figures))
    rows = [
        (part.name, part.count, *(part.figures[name].value if name in part.figures else None for name in names))
        for part in found.breakdown
    ]
    print()
    table(["part", "count", *(f"{name} each" for name in names)], rows)
    print("\nnot counted: " + "; ".join(found.unmodelled))


def _plot(found: Cost, path: Path) -> None:
    """Shares of the area, the device's first figure."""
    from hwq.plot import cost_breakdown

    area = next(iter(found.figures))
    rows = [(f"{part.count} x {part.name}", part.count * part.figures[area].value) for part in found.breakdown]
    cost_breakdown(rows, path, unit=f"{area}, {found.level} {found.device}", title=found.datapath)
