"""`hwq cost`: the price of a datapath on a device, from the rows it is made of, without a synthesis run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwq.cli.console import DatapathWords, Device, Json, parse_datapath, show, table

if TYPE_CHECKING:
    from hwq.costmodel import Cost
    from hwq.costmodel.parts import Fpga

__all__ = ["Clock", "register"]

Clock = Annotated[float | None, typer.Option("--clock", metavar="MHZ", help="Pick the cuts that reach this clock.")]
Plot = Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw the breakdown as PNG, SVG or PDF.")]

PartName = Annotated[
    str | None,
    typer.Option(
        "--part", metavar="NAME", help="Share of a part of the device, such as xc7z020; a wrong one lists them."
    ),
]

Prices = Annotated[
    Path | None,
    typer.Option("--prices", metavar="FILE", help="Your own prices of the device, of hwq calibrate -o FILE."),
]

Node = Annotated[
    int | None,
    typer.Option("--node", metavar="NM", help="A cell library's areas at another node; a wrong one lists them."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("cost")(cost)


def cost(
    words: DatapathWords,
    device: Device,
    clock: Clock = None,
    part: PartName = None,
    prices: Prices = None,
    node: Node = None,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Price a datapath on a device."""
    from hwq.costmodel import estimate
    from hwq.costmodel.parts import fpga, report
    from hwq.datapath import plan
    from hwq.datapath.device import load

    chip = None if part is None else fpga(part, device)
    dp = parse_datapath(words)
    found = estimate(
        dp if clock is None else plan(dp, device, clock).dp, device if prices is None else load(device, prices)
    )
    if node is not None:
        from hwq.costmodel.scaled import at_node

        found = at_node(found, node)
    if plot is not None:
        _plot(found, plot)
    if as_json:
        show(found.json() if chip is None else found.json() | {"part": report(found, chip)})
    else:
        _print(found, chip)


def _print(found: Cost, chip: Fpga | None) -> None:
    print(f"{found.datapath} on {found.device}; {found.level}: {found.source}\n")
    figures = [(name, q.value, q.low, q.high, found.level_of(name)) for name, q in found.figures.items()]
    table(["figure", "value", "low", "high", "level "], figures)
    names = list(dict.fromkeys(name for part in found.breakdown for name in part.figures))
    rows = [
        (part.name, part.count, *(part.figures[name].value if name in part.figures else None for name in names))
        for part in found.breakdown
    ]
    print()
    table(["part", "count", *(f"{name} each" for name in names)], rows)
    if chip is not None:
        _print_shares(found, chip)
    print("\nnot counted: " + "; ".join(found.unmodelled))


def _print_shares(found: Cost, chip: Fpga) -> None:
    from hwq.costmodel.parts import share, shares

    rows = [
        (
            kind,
            one.used.value,
            one.total,
            *(f"{100 * q:.2f} %" for q in (one.share.value, one.share.low, one.share.high)),
        )
        for kind, one in shares(found, chip).items()
    ]
    print()
    table([f"of {chip.name}", "used", "total", "share", "low", "high"], rows)
    largest = share(found, chip).value
    print(f"largest share {100 * largest:.2f} %;{' it does not fit;' * (largest > 1)} totals of {chip.source}")


def _plot(found: Cost, path: Path) -> None:
    """Shares of the area, the device's first figure."""
    from hwq.plot import cost_breakdown

    area = next(iter(found.figures))
    rows = [(f"{part.count} x {part.name}", part.count * part.figures[area].value) for part in found.breakdown]
    cost_breakdown(rows, path, unit=f"{area}, {found.level} {found.device}", title=found.datapath)
