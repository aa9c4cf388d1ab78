"""Plots as PNG and SVG: fronts, cost breakdowns, number formats. The same data give the same bytes."""

from hwq.plot.bars import cost_breakdown
from hwq.plot.formats import formats_compare
from hwq.plot.fronts import front
from hwq.plot.labels import differences
from hwq.plot.progress import progress
from hwq.plot.style import check_picture

__all__ = ["check_picture", "cost_breakdown", "differences", "formats_compare", "front", "progress"]
