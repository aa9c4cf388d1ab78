"""Studies: evaluate the assignments of a space, keep every figure in a file, go on after any interruption."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Protocol

from hwq.errors import HwqError
from hwq.search import pareto
from hwq.search.objective import Axis, Interval, Limit, Objective
from hwq.search.pareto import Hypervolume
from hwq.search.point import Point
from hwq.search.space import Assignment, Space, assignment_key
from hwq.search.store import Store, Stored

__all__ = ["Progress", "Study"]

Progress = Callable[[Point, int, int], None]
"""Called after each newly evaluated point with (point, points finished, points wanted)."""


class Proposer(Protocol):
    """What decides the next assignment: a function of its seed and of the points it was told."""

    def ask(self, number: int, stored: Assignment | None) -> Assignment | None: ...
    def tell(self, point: Point) -> None: ...


class Study:
    """A search for the front of some objectives over a space.

    Every figure is filed under the assignment, the objective's description and key, and the version of hwq, in one
    transaction each. A study is a function of (space, objectives, limits, seed) and of the budgets of its runs: killed
    at any moment and run again, it ends with the same points, numbers and values as without the kill. Figures are
    shared by all studies of the file, so a new limit, seed or objective evaluates only what is missing.

    Members:
        space, axes (the objectives' descriptions), limits, seed
    """

    def __init__(
        self,
        space: Space,
        objectives: Sequence[Objective],
        store: Path | str,
        seed: int = 0,
        fit: Sequence[str | Limit] = (),
    ) -> None:
        """Open or create the store. `fit` holds hard limits such as "lut<=20000" on the objectives."""
        self.space = space
        self.seed = seed
        self.axes = tuple(Axis.of(objective) for objective in objectives)
        self.limits = tuple(limit if isinstance(limit, Limit) else Limit.parse(limit) for limit in fit)
        _check(self.axes, self.limits)
        self._objectives = tuple(objectives)
        self._version = version("hwq")
        self._keys = {axis.name: axis.digest(self._version) for axis in self.axes}
        self._store = Store(Path(store), space.digest, str(space))
        try:
            self._id = self._register()
        except BaseException:
            self.close()
            raise

    def run(self, budget: int, sampler: str = "auto", on_point: Progress | None = None) -> None:
        """Evaluate until the study has `budget` distinct points, those of earlier runs included.

        `sampler` is "exhaustive" (all of a space no larger than the budget, in its order), "nsga2", or "auto", which is
        exhaustive where that is possible. An evaluation that raises is kept as that point's error. What is not the
        point's own, KeyboardInterrupt, MemoryError or OSError, passes through with everything finished saved; the point
        it interrupted runs again under its number.
        """
        if budget < 1:
            raise HwqError(f"budget must be at least 1 point, not {budget}")
        trials = self._store.trials(self._id)
        if len(self.points()) == len(trials) >= budget:
            return
        proposer = self._proposer(sampler, budget)
        for number in range(max(len(trials), budget)):  # a trial beyond the budget may be unfinished
            stored = json.loads(trials[number]) if number < len(trials) else None
            assignment = proposer.ask(number, stored)
            if assignment is None:
                return
            if stored is None:
                self._store.add_trial(self._id, number, assignment_key(assignment))
            point, new = self._evaluated(number, assignment)
            if new and on_point:
                on_point(point, number + 1, budget)
            proposer.tell(point)

    def points(self) -> list[Point]:
        """All finished points by number: infeasible and failed ones too."""
        tables = {name: self._store.values(key) for name, key in self._keys.items()}
        found = []
        for number, text in enumerate(self._store.trials(self._id)):
            cells = {name: table[text] for name, table in tables.items() if text in table}
            if len(cells) == len(tables):
                found.append(_point(number, json.loads(text), cells, self.limits))
        return found

    def front(self) -> list[Point]:
        """The feasible points that no other dominates, best in the first objective first (see `pareto.front`)."""
        return pareto.front(self.points(), self.axes)

    def hypervolume(self, reference: dict[str, float] | None = None) -> Hypervolume:
        """The front's exact hypervolume; without a reference, down to the worst feasible value of each objective."""
        return pareto.hypervolume(self.points(), self.axes, reference)

    def rescore(self, points: Sequence[Point], objective: Objective, on_point: Progress | None = None) -> list[Point]:
        """The points with another objective's value added, or put in place of the value of the same name.

        For the final figures of a front: the same accuracy on more images, under its own key. Values are stored and
        resumed as in `run`. A point may turn out dominated by then: `front(points, axes)` says which are left.
        """
        axis = Axis.of(objective)
        key = axis.digest(self._version)
        scored = []
        for done, point in enumerate(points, start=1):
            text = assignment_key(point.assignment)
            stored = self._store.value(key, text)
            new = stored or self._measured(objective, key, point.assignment)
            scored.append(_rescored(point, axis.name, new, self.limits))
            if on_point and stored is None:
                on_point(scored[-1], done, len(points))
        return scored

    def forget_errors(self) -> int:
        """Let the failed evaluations run again, under their numbers; how many there were."""
        return self._store.forget_errors(tuple(self._keys.values()))

    def close(self) -> None:
        """Close the store; nothing is lost by not doing so."""
        self._store.close()

    def __enter__(self) -> "Study":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _register(self) -> str:
        description = json.dumps(
            {
                "space": self.space.digest,
                "objectives": list(self._keys.values()),
                "limits": [str(limit) for limit in self.limits],
                "seed": self.seed,
                "version": self._version,
            }
        )
        study = hashlib.sha256(description.encode()).hexdigest()
        self._store.add_study(study, description)
        return study

    def _proposer(self, sampler: str, budget: int) -> Proposer:
        if sampler not in ("auto", "exhaustive", "nsga2"):
            raise HwqError(f'sampler must be "auto", "exhaustive" or "nsga2", not {sampler!r}')
        if sampler != "nsga2" and self.space.at_most(budget):
            return _Exhaustive(self.space)
        if sampler == "exhaustive":
            size = len(self.space)
            raise HwqError(f"an exhaustive budget must cover the space's {size} points, not {budget}; use nsga2")
        from hwq.search.nsga2 import Nsga2  # loads Optuna

        return Nsga2(self.space, self.axes, self.limits, self.seed)

    def _evaluated(self, number: int, assignment: Assignment) -> tuple[Point, bool]:
        """The point, and whether any of its values was not stored yet."""
        cells, new = {}, False
        for axis, objective in zip(self.axes, self._objectives, strict=True):
            key = self._keys[axis.name]
            cell = self._store.value(key, assignment_key(assignment))
            new |= cell is None
            cells[axis.name] = cell or self._measured(objective, key, assignment)
        return _point(number, assignment, cells, self.limits), new

    def _measured(self, objective: Objective, key: str, assignment: Assignment) -> Stored:
        """Call the objective and keep what it says; a second process that was first has the last word."""
        text = assignment_key(assignment)
        try:
            stored = _figure(objective(assignment))
        except (MemoryError, OSError):
            raise
        except Exception as error:
            stored = Stored(None, None, None, _said(error))
        self._store.add_value(key, text, stored)
        return self._store.value(key, text) or stored


class _Exhaustive:
    """All assignments of a space in its order, after those that are stored."""

    def __init__(self, space: Space) -> None:
        self._rest = iter(space)
        self._seen: set[str] = set()

    def ask(self, number: int, stored: Assignment | None) -> Assignment | None:
        if stored is not None:
            self._seen.add(assignment_key(stored))
            return stored
        return next((found for found in self._rest if assignment_key(found) not in self._seen), None)

    def tell(self, point: Point) -> None:
        """Take in a point: the order does not depend on values."""


def _check(axes: Sequence[Axis], limits: Sequence[Limit]) -> None:
    names = [axis.name for axis in axes]
    if not names or len(set(names)) < len(names):
        raise HwqError(f"a study must have at least one objective, each of its own name, not [{', '.join(names)}]")
    for limit in limits:
        if limit.name not in names:
            raise HwqError(f"a limit must name one of the objectives {', '.join(names)}, not {limit.name!r}")


def _figure(result: float | Interval) -> Stored:
    """Value and bounds of an objective's result; HwqError unless they are finite and in order."""
    if isinstance(result, float | int):
        found = Stored(float(result), None, None, None)
    else:
        found = Stored(float(result.value), float(result.low), float(result.high), None)
    numbers = [number for number in (found.low, found.value, found.high) if number is not None]
    if not all(map(math.isfinite, numbers)) or numbers != sorted(numbers):
        raise HwqError(f"an objective's value must be finite, within its bounds, not {', '.join(map(str, numbers))}")
    return found


def _said(error: Exception) -> str:
    words = str(error).strip().split("\n")[0]
    return words if isinstance(error, HwqError) else f"{type(error).__name__}: {words}".removesuffix(": ")


def _point(number: int, assignment: Assignment, cells: dict[str, Stored], limits: Sequence[Limit]) -> Point:
    values = {name: cell.value for name, cell in cells.items() if cell.value is not None}
    bounds = {
        name: (cell.low, cell.high) for name, cell in cells.items() if cell.low is not None and cell.high is not None
    }
    error = next((f"{name}: {cell.error}" for name, cell in cells.items() if cell.error is not None), None)
    feasible = error is None and all(limit.holds(values) for limit in limits)
    return Point(number, assignment, values, bounds, error, feasible)


def _rescored(point: Point, name: str, new: Stored, limits: Sequence[Limit]) -> Point:
    """The point with one figure replaced; the others, and the error of another objective, stay."""
    cells = {old: _cell(point, old) for old in point.values}
    fresh = _point(point.number, point.assignment, {**cells, name: new}, limits)
    if point.error is not None and fresh.error is None:
        return replace(fresh, error=point.error, feasible=False)
    return fresh


def _cell(point: Point, name: str) -> Stored:
    low, high = point.intervals.get(name, (None, None))
    return Stored(point.values[name], low, high, None)
