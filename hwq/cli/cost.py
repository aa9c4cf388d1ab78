"""`hwq cost`: the price of a datapath on a device, from the rows it is made of, without a synthesis run."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zipfile import BadZipFile, is_zipfile

import typer

from hwq.cli.console import DatapathWords, Device, Json, parse_datapath, show, table
from hwq.cli.tree import print_tree
from hwq.cli.whatif import print_what_if
from hwq.errors import HwqError

if TYPE_CHECKING:
    from hwq.costmodel import Cost
    from hwq.costmodel.energy import Energy
    from hwq.costmodel.parts import Fpga
    from hwq.costmodel.tree import Tree
    from hwq.datapath import Datapath
    from hwq.datapath.draw import Codes

__all__ = ["Clock", "register"]

Clock = Annotated[float | None, typer.Option("--clock", metavar="MHZ", help="Pick the cuts that reach this clock.")]
Plot = Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw the tree as PNG, SVG or PDF.")]
Deep = Annotated[bool, typer.Option("--tree", help="Down to what is counted: carry chains, digits, multiplexers.")]
Changes = Annotated[
    bool, typer.Option("--what-if", help="One change each: subnormals, accumulator, rounding, cuts; what it saves.")
]

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
    typer.Option(
        "--node", metavar="NM", help="A cell library's areas and energy at another node; a wrong one lists all."
    ),
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
    tree: Deep = False,
    changes: Changes = False,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Price a datapath on a device."""
    from hwq.costmodel import estimate
    from hwq.costmodel.energy import with_energy
    from hwq.costmodel.estimate import priced
    from hwq.costmodel.parts import fpga, report
    from hwq.costmodel.scaled import at_node
    from hwq.costmodel.tree import tree as tree_of
    from hwq.costmodel.whatif import what_if
    from hwq.datapath import plan
    from hwq.datapath.device import load

    if node is not None and (tree or changes or plot):
        raise HwqError("--tree, --what-if and --plot must be of measured cells, not of those at another --node")
    chip = None if part is None else fpga(part, device)
    dp, target = parse_datapath(words), priced(device) if prices is None else load(device, prices)
    dp = dp if clock is None else plan(dp, device, clock).dp
    told = None if energy is None else _energy(dp, device, energy)
    found = estimate(dp, target)
    top = tree_of(found, target) if tree or plot is not None else None
    if plot is not None and top is not None:
        _plot(found, top, plot)
    others = what_if(found.datapath, target) if changes else None
    found = found if told is None else with_energy(found, told)
    found = found if node is None else at_node(found, node)
    if as_json:
        record = found.json() | ({} if chip is None else {"part": report(found, chip)})
        record |= {"energy": told.json()} if told is not None else {}
        record |= {"tree": top.json()} if tree and top is not None else {}
        show(record | ({} if others is None else {"what_if": others.json()}))
    else:
        _print(found, chip, told, top if tree else None)
        if others is not None:
            print_what_if(others)


def _energy(dp: Datapath, device: str, stream: str) -> Energy:
    """The energy under a named stream, or under the codes of a file."""
    from hwq.costmodel.energy import energy

    return energy(dp, device, _codes(stream) if stream.endswith(".npz") else stream)


def _codes(path: str) -> tuple[Codes, Codes]:
    """The arrays a and w of an archive of numpy's."""
    import numpy as np

    if Path(path).is_file() and not is_zipfile(path):  # numpy would take it for an array, or for a pickle
        raise _no_codes(path, "a file of another kind")
    try:
        with np.load(path) as stored:
            return stored["a"], stored["w"]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, BadZipFile, zlib.error) as error:
        raise _no_codes(path, str(error).partition(" when allow_pickle")[0]) from None


def _no_codes(path: str, found: str) -> HwqError:
    wanted = "arrays a and w as numpy.savez writes them"
    return HwqError(f"{path} must hold {wanted}, not {found}; write it with savez(FILE, a=codes, w=codes)")


def _print(found: Cost, chip: Fpga | None, told: Energy | None, top: Tree | None) -> None:
    print(f"{found.datapath} on {found.device}; {found.level}: {found.source}")
    print("" if told is None else f"energy under {told.stream}: {told.source}\n")
    figures = [(name, q.value, q.low, q.high, found.level_of(name)) for name, q in found.figures.items()]
    table(["figure", "value", "low", "high", "level "], figures)
    names = list(dict.fromkeys(name for part in found.breakdown for name in part.figures))
    rows = [
        (part.name, part.count, *(part.figures[name].value if name in part.figures else None for name in names))
        for part in found.breakdown
        if any(any(q) for q in part.figures.values())  # what costs nothing is in the JSON alone
    ]
    print()
    if top is not None:
        print_tree(top)
    else:
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


def _plot(found: Cost, top: Tree, path: Path) -> None:
    """The tree of the area, the device's first figure."""
    from hwq.plot import cost_tree

    area, total = next(iter(found.figures.items()))
    ends = "exact" if total.is_exact else f"90 % interval {total.low:,.0f} to {total.high:,.0f}"
    unit = f"{area}, {found.level.partition(',')[0]} {found.device}; total {total.value:,.0f}, {ends}"
    cost_tree(top, path, unit, title=found.datapath)
