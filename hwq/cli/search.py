"""`hwq search`: the front of accuracy against area and time over a space, in a file that survives a kill."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwq.cli.console import Device, Json, progress, show, table
from hwq.cli.ptq import ModelName
from hwq.cli.spaces import DEMO, space_of
from hwq.errors import HwqError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hwq.search import Axis, Point

__all__ = ["knee", "print_choice", "print_front", "register"]


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
    from hwq.cli.objectives import UNCOUNTED, Subject, measures
    from hwq.search import Study, report

    subject = Subject(zoo.load(model), recipe)
    found = measures(subject, device, images, objective)
    if plot is not None:
        from hwq.plot import check_picture

        check_picture(plot)
        if len(found) < 2:
            raise HwqError(f"a plot needs 2 objectives, not {found[0].name} alone; name another --objective")
    with Study(space_of(space), found, store, seed, fit or ()) as study:
        with progress("search", budget) as tick:
            study.run(budget, on_point=lambda point, done, total: tick())
        if plot is not None:
            from hwq.plot import front

            front(study, plot, x=study.axes[1].name, y=study.axes[0].name, title=f"{model} on {device}")
        if as_json:
            show({**report(study, instances=subject.instances), "unmodelled": [UNCOUNTED]})
            return
        points = study.front()
        print_front(points, study.axes)
        print(f"not counted: {UNCOUNTED}")
        if points and [axis.better for axis in study.axes[:2]] == ["high", "low"]:
            chosen = knee(points, study.axes[1].name, study.axes[0].name)
            print_choice(chosen, subject.instances(chosen.assignment))
        print(f"\n{len(study.points())} points evaluated, {len(points)} on the front; kept in {store}")


def print_front(points: Sequence[Point], axes: Sequence[Axis]) -> None:
    """The front as a table: the figures of each design, then what tells it from the others."""
    from hwq.plot import differences

    labels = differences([point.assignment for point in points])
    rows = [[*(_figure(point, axis.name) for axis in axes), label] for point, label in zip(points, labels, strict=True)]
    table([*(axis.name for axis in axes), "design "], rows)
    print("; ".join(axis.label for axis in axes))


def knee(points: Sequence[Point], cost: str, gain: str) -> Point:
    """The point farthest above the chord from the cheapest to the best one, cost on a logarithmic scale."""
    corners = [(math.log(point.values[cost]), point.values[gain]) for point in points]
    (x0, y0), (x1, y1) = min(corners), max(corners, key=lambda corner: (corner[1], -corner[0]))
    above = [(x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) for x, y in corners]
    return points[above.index(max(above))]


def print_choice(point: Point, built: Mapping[str, str]) -> None:
    """A point of the front, and what it builds: the texts that were priced, as `hwq rtl` takes them."""
    print("\nchosen, the knee of the front:")
    for role, text in point.assignment.items():
        print(f"  {role}: {text}")
    print("built as, with accumulators that its weights certify:")
    for name, text in built.items():
        print(f"  {name}: {text}")


def _figure(point: Point, name: str) -> str:
    value = point.values[name]
    low, high = point.intervals.get(name, (value, value))
    text = f"{value:.4f}" if 0 < value < 1 else f"{value:,.0f}"
    if low == high:
        return text
    return f"{text} [{low:.4f}, {high:.4f}]" if 0 < value < 1 else f"{text} [{low:,.0f}, {high:,.0f}]"
