"""Places texts beside points so that nothing overlaps, or says that it cannot."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.transforms import Bbox

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

from hwq.plot.style import FAINT, INK

__all__ = ["place"]

DIRECTIONS = (90, 135, 45, 180, 0, 315, 270, 225, 112, 67, 157, 22, 338, 292)
"""Angles in degrees at which a text may stand off its point, the preferred first: above and left of a front is free."""
DISTANCES = (9.0, 16.0, 26.0, 40.0, 58.0, 80.0)
"""Distances in typographic points between a point and the nearest edge of its text."""
CROWDED = 1.0e3
"""Cost of covering one obstacle, or of standing nearer to another point than to one's own."""

Pixel = tuple[float, float]
"""(x, y) on the canvas."""


def place(
    axes: Axes, anchors: Sequence[tuple[float, float]], texts: Sequence[str], obstacles: Sequence[Bbox], size: float
) -> bool:
    """Write each text near its anchor (data coordinates) and return True; or write nothing and return False.

    `obstacles` are boxes in pixels, to be avoided where possible; other texts and the edge of the axes always are. A
    text that stands far off is tied to its point by a thin line.
    """
    inside = axes.get_window_extent()
    points = [(float(x), float(y)) for x, y in map(axes.transData.transform, anchors)]
    pixels = axes.get_figure(root=True).dpi / 72  # type: ignore[union-attr]  # drawn axes have a figure
    taken: list[Bbox] = []
    written: list[Annotation] = []
    for anchor, point, text in zip(anchors, points, texts, strict=True):
        note = axes.annotate(text, anchor, (0, 0), textcoords="offset points", fontsize=size, color=INK, zorder=6)
        note.set_horizontalalignment("center")
        note.set_verticalalignment("center")
        extent = note.get_window_extent()
        best = _best(point, points, extent, pixels, inside, taken, obstacles)
        written.append(note)
        if best is None:
            for old in written:
                old.remove()
            return False
        box, offset, far = best
        note.set_position(offset)
        if far:
            _tie(axes, anchor, box)
        taken.append(box)
    return True


def _best(
    point: Pixel,
    points: Sequence[Pixel],
    extent: Bbox,
    pixels: float,
    inside: Bbox,
    taken: Sequence[Bbox],
    obstacles: Sequence[Bbox],
) -> tuple[Bbox, Pixel, bool] | None:
    """Box in pixels, offset in points and whether it is far, of the cheapest free place for the text of `point`."""
    found, least = None, math.inf
    for (rank, distance), (turn, angle) in itertools.product(enumerate(DISTANCES), enumerate(DIRECTIONS)):
        dx, dy = _offset(extent, distance * pixels, math.radians(angle))
        box = Bbox.from_bounds(point[0] + dx - extent.width / 2, point[1] + dy - extent.height / 2, *extent.size)
        if not _contains(inside, box) or any(_overlap(box, other, 2 * pixels) for other in taken):
            continue
        crowd = sum(_overlap(box, other, pixels) for other in obstacles)
        nearest = min(_gap(box, other) for other in points)
        astray = 0.8 * _gap(box, point) > nearest
        cost = CROWDED * (crowd + astray) + 10 * rank + turn
        if cost < least:
            found, least = (box, (dx / pixels, dy / pixels), rank >= 2), cost
    return found


def _gap(box: Bbox, point: Pixel) -> float:
    """Distance in pixels between a box and a point."""
    dx = max(box.x0 - point[0], 0.0, point[0] - box.x1)
    dy = max(box.y0 - point[1], 0.0, point[1] - box.y1)
    return math.hypot(dx, dy)


def _offset(extent: Bbox, distance: float, angle: float) -> Pixel:
    """Centre of the text relative to its point, so that the gap between point and box is `distance`."""
    return (
        math.cos(angle) * (distance + extent.width / 2),
        math.sin(angle) * (distance + extent.height / 2),
    )


def _contains(outer: Bbox, inner: Bbox) -> bool:
    return bool(outer.x0 <= inner.x0 and outer.y0 <= inner.y0 and inner.x1 <= outer.x1 and inner.y1 <= outer.y1)


def _overlap(one: Bbox, two: Bbox, margin: float) -> bool:
    return bool(
        one.x0 - margin < two.x1 and two.x0 < one.x1 + margin and one.y0 - margin < two.y1 and two.y0 < one.y1 + margin
    )


def _tie(axes: Axes, anchor: tuple[float, float], box: Bbox) -> None:
    x, y = axes.transData.transform(anchor)
    near = (min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1))
    end = axes.transData.inverted().transform(near)
    axes.plot(
        [anchor[0], end[0]], [anchor[1], end[1]], color=FAINT, linewidth=0.7, zorder=3, scalex=False, scaley=False
    )
