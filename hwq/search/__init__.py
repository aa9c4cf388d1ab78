"""Search: spaces of datapaths, resumable studies, Pareto fronts. What is measured comes in as objectives."""

from hwq.search.objective import Axis, Better, Interval, Limit, Measure, Objective
from hwq.search.pareto import Hypervolume, dominates, front, hypervolume
from hwq.search.point import Point
from hwq.search.space import Assignment, Choices, Rule, Space, assignment_key, choices
from hwq.search.study import Progress, Study
from hwq.search.table import Instances, first_error, report, write

__all__ = [
    "Assignment",
    "Axis",
    "Better",
    "Choices",
    "Hypervolume",
    "Instances",
    "Interval",
    "Limit",
    "Measure",
    "Objective",
    "Point",
    "Progress",
    "Rule",
    "Space",
    "Study",
    "assignment_key",
    "choices",
    "dominates",
    "first_error",
    "front",
    "hypervolume",
    "report",
    "write",
]
