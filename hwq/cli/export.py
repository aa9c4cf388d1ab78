"""`hwq export`: a datapath as a component of other people's cost models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwq.cli.console import DatapathWords, Device, Json, parse_datapath, show
from hwq.cli.cost import Clock

__all__ = ["register"]

Tool = Annotated[str, typer.Argument(metavar="TOOL", help="accelergy, hwcomponents or zigzag.")]
Folder = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where the files go.")]
Energy = Annotated[
    float | None, typer.Option("--energy-pj", metavar="PJ", help="State a multiply-accumulate's energy.")
]
Area = Annotated[float | None, typer.Option("--area-um2", metavar="UM2", help="State the whole array's area.")]
Leakage = Annotated[float | None, typer.Option("--leakage-nw", metavar="NW", help="State the whole array's leakage.")]
Fmax = Annotated[float | None, typer.Option("--fmax-mhz", metavar="MHZ", help="State the clock that it runs at.")]
Error = Annotated[float | None, typer.Option("--error", metavar="PERCENT", help="90 % half-width of what you state.")]
Source = Annotated[str | None, typer.Option("--source", metavar="TEXT", help="Where what you state is from.")]
Memories = Annotated[
    Path | None,
    typer.Option("--memories", metavar="FILE", help="For zigzag: a YAML file with the memories above the array."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    tool: Tool,
    words: DatapathWords,
    device: Device,
    folder: Folder,
    clock: Clock = None,
    energy: Energy = None,
    area: Area = None,
    leakage: Leakage = None,
    fmax: Fmax = None,
    error: Error = None,
    source: Source = None,
    memories: Memories = None,
    as_json: Json = False,
) -> None:
    """Write a datapath as a component for accelergy, hwcomponents or zigzag. What hwq does not know, you state."""
    from hwq.costmodel import estimate
    from hwq.datapath import plan
    from hwq.export import FIGURES, component, stated, write
    from hwq.export.write import check_tool

    check_tool(tool, memories)
    given = dict(zip(FIGURES, (energy, area, leakage, fmax), strict=True))
    own = stated({name: value for name, value in given.items() if value is not None}, error, source)
    dp = parse_datapath(words)
    dp = dp if clock is None else plan(dp, device, clock).dp
    made = component(dp, estimate(dp, device), own)
    paths = write(made, tool, folder, memories)
    if as_json:
        show(
            {"datapath": str(made.dp), "device": made.device, "tool": tool, "name": made.name, "macs": made.macs}
            | {"figures": {name: figure.json() for name, figure in made.figures.items()}}
            | {"files": [str(path) for path in paths], "unmodelled": made.left_out}
        )
        return
    print(f"{made.dp} on {made.device} for {tool}, component {made.name}")
    for path in paths:
        print(f"  {path}")
    if made.left_out:
        print("not counted: " + "; ".join(made.left_out))
