"""A study as JSON and CSV."""

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from hwq.errors import HwqError
from hwq.search.objective import Axis
from hwq.search.point import Point
from hwq.search.space import Assignment
from hwq.search.study import Study

__all__ = ["Instances", "first_error", "report", "write"]


_COUNTED = 1 << 16
Instances = Callable[[Assignment], Mapping[str, str]]


def report(study: Study, final: Sequence[Point] | None = None, instances: Instances | None = None) -> dict[str, object]:
    """What `hwq search --json` prints: {evaluated, front: [{assignment, metrics}], hypervolume} and what explains them.

    `final` replaces the front, where it was scored again under other objectives. The hypervolume is the study's own.
    `space` is the number of assignments that the `rules` allow, None where there are too many combinations to try.
    `instances` says for each point of the front which datapaths it builds, {name: datapath}.
    """
    points = study.points()
    volume, rules = study.hypervolume(), list(study.space.rules)
    chosen = study.front() if final is None else final
    return {
        "evaluated": len(points),
        "failed": sum(point.error is not None for point in points),
        "first_error": first_error(points),
        "infeasible": sum(point.error is None and not point.feasible for point in points),
        "space": len(study.space) if not rules or study.space.combinations <= _COUNTED else None,
        "combinations": study.space.combinations,
        "rules": rules,
        "seed": study.seed,
        "fit": [str(limit) for limit in study.limits],
        "objectives": [asdict(axis) for axis in study.axes],
        "front": [
            {"number": point.number, "assignment": dict(point.assignment), "metrics": point.metrics()}
            | ({} if instances is None else {"instances": dict(instances(point.assignment))})
            for point in chosen
        ],
        "hypervolume": volume.value,
        "reference": volume.reference,
    }


def first_error(points: Sequence[Point]) -> str | None:
    """The error of the first point that failed."""
    return next((point.error for point in points if point.error is not None), None)


def write(study: Study, path: Path | str) -> None:
    """Write all points to a file: ".json" holds `report` and the points, ".csv" one line per point.

    The file appears whole or not at all, and has the same bytes for the same study.
    """
    path = Path(path)
    if path.suffix == ".json":
        text = json.dumps({**report(study), "points": [_record(point) for point in study.points()]}, indent=1) + "\n"
    elif path.suffix == ".csv":
        text = _csv(study.points(), study.front(), study.axes, list(study.space.roles))
    else:
        raise HwqError(f"a study is written to a .json or .csv file, not {path.name!r}")
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8", newline="")
    os.replace(partial, path)


def _record(point: Point) -> dict[str, object]:
    return {
        "number": point.number,
        "assignment": dict(point.assignment),
        "metrics": point.metrics(),
        "error": point.error,
        "feasible": point.feasible,
    }


def _csv(points: Sequence[Point], front: Sequence[Point], axes: Sequence[Axis], roles: Sequence[str]) -> str:
    """Columns: number, roles, then value, low, high of each objective, feasible, front (0 or 1), error."""
    names = [axis.name for axis in axes]
    columns = [column for name in names for column in (name, f"{name}_low", f"{name}_high")]
    best = {point.number for point in front}
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["number", *roles, *columns, "feasible", "front", "error"])
    for point in points:
        cells = point.metrics()
        figures = [cells[name][part] if name in cells else "" for name in names for part in ("value", "low", "high")]
        state = [int(point.feasible), int(point.number in best), point.error or ""]
        rows.writerow([point.number, *(point.assignment[role] for role in roles), *figures, *state])
    return text.getvalue()
