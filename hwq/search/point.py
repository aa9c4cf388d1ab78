"""A point of a study: one assignment with its values."""

from collections.abc import Mapping
from dataclasses import dataclass

from hwq.search.space import Assignment

__all__ = ["Point"]


@dataclass(frozen=True)
class Point:
    """One evaluated assignment.

    Members:
        number: place in the order of evaluation, from 0, without gaps.
        assignment: {role: datapath text}.
        values: {objective: value}, without the objectives that failed.
        intervals: {objective: (low, high)} of the objectives that state bounds.
        error: "objective: message" of the first objective that failed, or None.
        feasible: no error, and every limit of the study holds.
    """

    number: int
    assignment: Assignment
    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    error: str | None
    feasible: bool

    def metrics(self) -> dict[str, dict[str, float]]:
        """{objective: {value, low, high}} for JSON; an exact value has low = value = high."""
        bounds = {name: self.intervals.get(name, (value, value)) for name, value in self.values.items()}
        return {name: {"value": self.values[name], "low": low, "high": high} for name, (low, high) in bounds.items()}
