"""`hwq search`: the front of accuracy against area and time over a space, in a file that survives a kill."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwq.cli.console import Device, Json, fail, progress, show, table
from hwq.cli.objectives import UNCOUNTED
from hwq.cli.ptq import Calibration, ModelName
from hwq.cli.spaces import DEMO, space_of
from hwq.errors import HwqError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hwq.cli.objectives import Subject
    from hwq.search import Axis, Instances, Point

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
    space: Annotated[
        Path, typer.Option("--space", metavar="TOML", help="Templates for each role.", show_default="the demo's")
    ] = DEMO,
    recipe: Annotated[str, typer.Option("--recipe", metavar="R", help="How models are quantized.")] = "gptq+bc",
    images: Annotated[int, typer.Option("--images", metavar="N", help="Test images of each point.")] = 512,
    calibration: Calibration = None,
    objective: Annotated[list[str] | None, typer.Option("--objective", help="Figures of the front.")] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="The sampler's seed.")] = 0,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw the front: PNG, SVG, PDF.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Let points that failed before run again.")] = False,
    as_json: Json = False,
) -> None:
    """Search a space of datapaths for the front of a model's accuracy against cost."""
    from hwq import zoo
    from hwq.cli.objectives import Subject, measures
    from hwq.search import Study, first_error, report

    subject = Subject(zoo.load(model), recipe, calibration)
    found = measures(subject, device, images, objective)
    if plot is not None:
        from hwq.plot import check_picture

        check_picture(plot)
        if len(found) < 2:
            raise HwqError(f"a plot needs 2 objectives, not {found[0].name} alone; name another --objective")
    described = space_of(space)
    subject.engine.check_roles(described.roles)
    with Study(described, found, store, seed, fit or ()) as study:
        if retry:
            study.forget_errors()
        with progress("search", budget) as tick:
            study.run(budget, on_point=lambda point, done, total: tick())
        points = study.points()
        failed = sum(point.error is not None for point in points)
        if plot is not None and failed < len(points):
            from hwq.plot import front

            front(study, plot, x=study.axes[1].name, y=study.axes[0].name, title=f"{model} on {device}")
        if as_json:
            show({**report(study, instances=subject.instances), "unmodelled": [UNCOUNTED]})
        else:
            _print(study.front(), study.axes, subject)
            print(f"\n{len(points)} points evaluated, {len(study.front())} on the front; kept in {store}")
            if failed:
                print(f"{failed} points failed; the first: {first_error(points)}; --retry runs them again")
    if failed == len(points):
        raise fail()


def _print(points: Sequence[Point], axes: Sequence[Axis], subject: Subject) -> None:
    """The front, what it does not count, and its knee."""
    print_front(points, axes, subject.instances)
    print(f"not counted: {UNCOUNTED}")
    if points and [axis.better for axis in axes[:2]] == ["high", "low"]:
        chosen = knee(points, axes[1].name, axes[0].name)
        print_choice(chosen, subject.instances(chosen.assignment))


def print_front(points: Sequence[Point], axes: Sequence[Axis], instances: Instances) -> None:
    """The front as a table: the figures of each design, then what tells it from the others; and what it builds."""
    from hwq.plot import differences

    labels = differences([point.assignment for point in points])
    rows = [
        [point.number, *(_figure(point, axis) for axis in axes), label]
        for point, label in zip(points, labels, strict=True)
    ]
    table(["point", *(axis.name for axis in axes), "design "], rows)
    print("; ".join(axis.label + (f", [{axis.interval} interval]" if axis.interval else "") for axis in axes))
    built = [(point.number, *pair) for point in points for pair in instances(point.assignment).items()]
    print("\ninstances of each point, with accumulators that its weights certify: what is priced, as hwq rtl takes it")
    table(["point", "instance ", "datapath "], built)


def knee(points: Sequence[Point], cost: str, gain: str) -> Point:
    """The point farthest above the chord from the cheapest to the best one, cost on a logarithmic scale.

    Of equally far ones it is the cheapest.
    """
    corners = [(math.log(point.values[cost]), point.values[gain]) for point in points]
    (x0, y0), (x1, y1) = min(corners), max(corners, key=lambda corner: (corner[1], -corner[0]))
    above = [(x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) for x, y in corners]
    return points[max(range(len(points)), key=lambda at: (above[at], -corners[at][0]))]


def print_choice(point: Point, built: Mapping[str, str]) -> None:
    """A point of the front, and what it builds: the texts that were priced, as `hwq rtl` takes them."""
    print(f"\nchosen, the knee of the front, point {point.number}:")
    for role, text in point.assignment.items():
        print(f"  {role}: {text}")
    print("built as, with accumulators that its weights certify:")
    for name, text in built.items():
        print(f"  {name}: {text}")


def _figure(point: Point, axis: Axis) -> str:
    value = point.values[axis.name]
    return axis.text(value, *point.intervals.get(axis.name, (value, value)))
