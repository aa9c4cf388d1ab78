"""`hwq search`: the front of accuracy against area and time over a space, in a file that survives a kill."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwq.cli.console import Device, Json, progress, show, table
from hwq.cli.ptq import ModelName
from hwq.cli.spaces import DEMO, space_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hwq.search import Axis, Point

__all__ = ["print_front", "register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("search")(search)


def search(
    model: ModelName,
    device: Device,
    budget: Annotated[int, typer.Option("--budget", metavar="N", help="Distinct points, earlier ones included.")],
    store: Annotated[Path, typer.Option("--store", metavar="FILE", help="Where every figure is kept.")],
    fit: Annotated[list[str] | None, typer.Option("--fit", help="A hard limit, such as 'lut<=20000'.")] = None,
    space: Annotated[Path, typer.Option("--space", metavar="TOML", help="Templates for each role.")] = DEMO,
    recipe: Annotated[str, typer.Option("--recipe", metavar="R", help="How models are quantized.")] = "gptq+bc",
    images: Annotated[int, typer.Option("--images", metavar="N", help="Test images of each point.")] = 512,
    objective: Annotated[list[str] | None, typer.Option("--objective", help="Figures of the front.")] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="The sampler's seed.")] = 0,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw the front as PNG or SVG.")] = None,
    as_json: Json = False,
) -> None:
    """Search a space of datapaths for the front of a model's accuracy against cost."""
    from hwq import zoo
    from hwq.cli.objectives import Subject, measures
    from hwq.search import Study, report

    subject = Subject(zoo.load(model), recipe)
    found = measures(subject, device, images, objective)
    with Study(space_of(space), found, store, seed, fit or ()) as study:
        with progress("search", budget) as tick:
            study.run(budget, on_point=lambda point, done, total: tick())
        if plot is not None:
            from hwq.plot import front

            front(study, plot, x=study.axes[1].name, y=study.axes[0].name, title=f"{model} on {device}")
        if as_json:
            show(report(study))
        else:
            print_front(study.front(), study.axes)
            print(f"\n{len(study.points())} points evaluated, {len(study.front())} on the front; kept in {store}")


def print_front(points: Sequence[Point], axes: Sequence[Axis]) -> None:
    """The front as a table: the figures of each design, then what tells it from the others."""
    from hwq.plot import differences

    labels = differences([point.assignment for point in points])
    rows = [[*(_figure(point, axis.name) for axis in axes), label] for point, label in zip(points, labels, strict=True)]
    table([*(axis.name for axis in axes), "design "], rows)
    print("; ".join(axis.label for axis in axes))


def _figure(point: Point, name: str) -> str:
    value = point.values[name]
    low, high = point.intervals.get(name, (value, value))
    text = f"{value:.4f}" if 0 < value < 1 else f"{value:,.0f}"
    if low == high:
        return text
    return f"{text} [{low:.4f}, {high:.4f}]" if 0 < value < 1 else f"{text} [{low:,.0f}, {high:,.0f}]"
