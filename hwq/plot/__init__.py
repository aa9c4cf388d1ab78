"""Plots as PNG, SVG and PDF: fronts, cost breakdowns and trees, number formats. The same data give the same bytes."""

from hwq.plot.bars import cost_breakdown
from hwq.plot.formats import formats_compare
from hwq.plot.fronts import front
from hwq.plot.icicle import cost_tree
from hwq.plot.labels import differences
from hwq.plot.progress import progress
from hwq.plot.sheet import check_drawable, format_sheet
from hwq.plot.style import check_picture
from hwq.plot.tradeoff import format_tradeoff

__all__ = [
    "check_drawable",
    "check_picture",
    "cost_breakdown",
    "cost_tree",
    "differences",
    "format_sheet",
    "format_tradeoff",
    "formats_compare",
    "front",
    "progress",
]
