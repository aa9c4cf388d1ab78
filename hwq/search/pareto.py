"""Pareto dominance, the front and its exact hypervolume. All arrays are losses: lower is better in every column."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwq.errors import HwqError
from hwq.search.objective import Axis
from hwq.search.point import Point

__all__ = ["Hypervolume", "dominates", "front", "hypervolume"]

Losses = NDArray[np.float64]


@dataclass(frozen=True)
class Hypervolume:
    """The volume between a front and a reference point, in the product of the objectives' units."""

    value: float
    reference: dict[str, float]


def dominates(p: Point, q: Point, axes: Sequence[Axis]) -> bool:
    """Whether p is nowhere worse than q and somewhere better; equal points do not dominate each other."""
    pairs = [(axis.sign * p.values[axis.name], axis.sign * q.values[axis.name]) for axis in axes]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def front(points: Sequence[Point], axes: Sequence[Axis]) -> list[Point]:
    """The feasible points that no feasible point dominates, best in the first objective first.

    A point that is equal in one objective and worse in another is dominated and left out. Points with equal values in
    every objective are different designs of the same worth: all of them stay, in the order of their numbers.
    """
    valid = [point for point in points if point.feasible]
    losses = _losses(valid, axes)
    kept = [point for point, row in zip(valid, losses, strict=True) if not _dominated(row, losses)]
    return sorted(kept, key=lambda point: (*(axis.sign * point.values[axis.name] for axis in axes), point.number))


def hypervolume(
    points: Sequence[Point], axes: Sequence[Axis], reference: dict[str, float] | None = None
) -> Hypervolume:
    """The exact volume dominated by the feasible points and bounded by `reference`.

    Without a reference it is the worst value of each objective among the feasible points, so volumes of different
    studies compare only under a reference given by the caller. Points beyond the reference count for nothing.
    """
    valid = [point for point in points if point.feasible]
    if reference is None:
        reference = {axis.name: _worst(valid, axis) for axis in axes}
    elif set(reference) != {axis.name for axis in axes}:
        names = ", ".join(axis.name for axis in axes)
        raise HwqError(f"the reference must have the objectives {names}, not {', '.join(reference)}")
    bound = np.array([axis.sign * reference[axis.name] for axis in axes])
    losses = _losses(valid, axes)
    inside = losses[(losses < bound).all(axis=1)]
    return Hypervolume(_volume(inside, bound), reference)


def _losses(points: Sequence[Point], axes: Sequence[Axis]) -> Losses:
    rows = [[axis.sign * point.values[axis.name] for axis in axes] for point in points]
    return np.array(rows, dtype=np.float64).reshape(len(points), len(axes))


def _dominated(row: Losses, losses: Losses) -> bool:
    return bool(((losses <= row).all(axis=1) & (losses < row).any(axis=1)).any())


def _worst(points: Sequence[Point], axis: Axis) -> float:
    return axis.sign * max((axis.sign * point.values[axis.name] for point in points), default=0.0)


def _volume(losses: Losses, bound: Losses) -> float:
    """Hypervolume by slicing objectives: a sum over slabs of the last column of the volume of those below the slab.

    (While, Bradstreet, Barone: "A Fast Way of Calculating Exact Hypervolumes", 2012, section II.) Exact up to the
    rounding of float64 sums; the rows that another dominates cost time, never volume.
    """
    if not len(losses):
        return 0.0
    if losses.shape[1] == 1:
        return float(bound[0] - losses[:, 0].min())
    losses = np.unique(losses[np.argsort(losses[:, -1], kind="stable")], axis=0)
    losses = losses[np.array([not _dominated(row, losses) for row in losses])]
    losses = losses[np.argsort(losses[:, -1], kind="stable")]
    tops = np.append(losses[1:, -1], bound[-1])
    slabs = zip(tops - losses[:, -1], range(1, len(losses) + 1), strict=True)
    return sum(float(height) * _volume(losses[:count, :-1], bound[:-1]) for height, count in slabs if height > 0)
