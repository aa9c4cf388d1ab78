"""`hwq cost`: the price of a datapath on a device, from the rows it is made of, without a synthesis run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zipfile import BadZipFile

import typer

from hwq.cli.console import DatapathWords, Device, Json, parse_datapath, show, table
from hwq.errors import HwqError

if TYPE_CHECKING:
    from hwq.costmodel import Cost
    from hwq.costmodel.energy import Energy
    from hwq.costmodel.parts import Fpga
    from hwq.datapath import Datapath

__all__ = ["Clock", "register"]

Clock = Annotated[float | None, typer.Option("--clock", metavar="MHZ", help="Pick the cuts that reach this clock.")]
Plot = Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw the breakdown as PNG, SVG or PDF.")]

PartName = Annotated[
    str | None,
    typer.Option(
        "--part", metavar="NAME", help="Share of a part of the device, such as xc7z020; a wrong one lists them."
    ),
]
Stream = Annotated[
    str | None,
    typer.Option(
        "--energy",
        metavar="STREAM",
        help="Energy of an element's product under uniform, gaussian or sparse operands, or under the codes a and w "
        "[runs, terms] of a file.npz.",
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
    energy: Stream = None,
    prices: Prices = None,
    node: Node = None,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Price a datapath on a device."""
    from hwq.costmodel import estimate
    from hwq.costmodel.energy import with_energy
    from hwq.costmodel.parts import fpga, report
    from hwq.datapath import plan
    from hwq.datapath.device import load

    chip = None if part is None else fpga(part, device)
    dp = parse_datapath(words)
    dp = dp if clock is None else plan(dp, device, clock).dp
    if energy is not None and node is not None:
        raise HwqError("--energy is told at the library's own node, not at another; leave out --node")
    told = None if energy is None else _energy(dp, device, energy)
    found = estimate(dp, device if prices is None else load(device, prices))
    if told is not None:
        found = with_energy(found, told)
    if node is not None:
        from hwq.costmodel.scaled import at_node

        found = at_node(found, node)
    if plot is not None:
        _plot(found, plot)
    if as_json:
        more = {} if told is None else {"energy": told.json()}
        show(found.json() | more | ({} if chip is None else {"part": report(found, chip)}))
    else:
        _print(found, chip, told)


def _energy(dp: Datapath, device: str, stream: str) -> Energy:
    """The energy under a named stream, or under the codes of a file."""
    import numpy as np

    from hwq.costmodel.energy import energy

    if not stream.endswith(".npz"):
        return energy(dp, device, stream)
    try:
        with np.load(stream) as stored:
            codes = stored["a"], stored["w"]
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise HwqError(f"{stream} must hold arrays a and w as numpy.savez writes them, not {error}") from None
    return energy(dp, device, codes)


def _print(found: Cost, chip: Fpga | None, told: Energy | None) -> None:
    print(f"{found.datapath} on {found.device}; {found.level}: {found.source}")
    print("" if told is None else f"energy under {told.stream}: {told.source}\n")
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
