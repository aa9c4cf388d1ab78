"""The picture of a search: every evaluated point, the front as a step line, and what its points are."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwq.errors import HwqError
from hwq.plot.labels import columns, differences
from hwq.plot.style import BLUE, FAINT, INK, ORANGE, drawing, is_wide, set_log, thousands
from hwq.search import Axis, Limit, Point, Study
from hwq.search import front as pareto_front

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

__all__ = ["front"]

LABEL_SIZE = 8.0
LONGEST_LABEL = 26
"""Characters; longer texts, or more than MOST_LABELS of them, go into a numbered key beside the plot."""
MOST_LABELS = 10
KEY_SIZE, KEY_INCHES = 8.0, 0.068
"""Points of the key's font and the width of one of its characters."""
MOST_KEY_LINES = 27


def front(
    study: Study, path: Path | str, x: str, y: str, title: str = "", final: tuple[Sequence[Point], Axis] | None = None
) -> None:
    """Draw two objectives of a study, x and y by name, to a .png, .svg or .pdf file.

    Feasible points are faint dots, infeasible ones crosses, limits dashed lines. The step line runs through the front
    of these two objectives; points that owe their place on the study's front to a third objective are open circles.
    `final` are front points scored again and the axis of their new figure, drawn in place of the front.
    """
    axes = {axis.name: axis for axis in study.axes}
    for name in (x, y):
        if name not in axes:
            raise HwqError(f"a plot's axis must be one of the objectives {', '.join(axes)}, not {name!r}")
    points = [point for point in study.points() if point.error is None]
    best = list(final[0]) if final else study.front()
    if not points:
        raise HwqError("a plot needs at least one evaluated point without an error, not 0")
    before = ""
    if final:
        before = f", {axes[final[1].name].unit}" if final[1].name in (x, y) else ""
        axes[final[1].name] = final[1]
    with drawing(path, 8.0, 5.0) as figure:
        _Picture(axes[x], axes[y], points, best, study.limits, before).draw(figure, title)


class _Picture:
    """The points of one plot, and the drawing of each kind.

    `before` is the unit of the points that were not scored again, where the axis has another.
    """

    def __init__(
        self, x: Axis, y: Axis, points: Sequence[Point], best: Sequence[Point], limits: Sequence[Limit], before: str
    ) -> None:
        self.x, self.y, self.limits, self.before = x, y, limits, before
        self.best = sorted(best, key=lambda point: (point.values[x.name], point.values[y.name]))
        steps = {point.number for point in pareto_front(self.best, (x, y))}
        self.steps = [point for point in self.best if point.number in steps]
        self.others = [point for point in self.best if point.number not in steps]
        numbers = {point.number for point in best}
        self.rest = [point for point in points if point.feasible and point.number not in numbers]
        self.outside = [point for point in points if not point.feasible]

    def draw(self, figure: Figure, title: str) -> None:
        axes = figure.subplots()
        self._frame(axes, title)
        self._points(axes)
        self._limits(axes)
        figure.legend(loc="outside lower left", ncols=5, handletextpad=0.4, columnspacing=1.6)
        texts = differences([point.assignment for point in self.best])
        figure.draw_without_rendering()
        short = len(texts) <= MOST_LABELS and max(map(len, texts), default=0) <= LONGEST_LABEL
        if short and self._labels(axes, texts):
            return
        numbers = [str(point.number) for point in self.best]  # as tables and JSON name the points
        key = _key(numbers, columns([point.assignment for point in self.best]))
        figure.set_size_inches(8.0 + KEY_INCHES * max(map(len, key)), 5.0)
        size = KEY_SIZE * min(1.0, MOST_KEY_LINES / len(key))
        mono = {"family": "DejaVu Sans Mono", "fontsize": size, "linespacing": 1.5}
        axes.text(1.03, 1.0, "\n".join(key), transform=axes.transAxes, va="top", fontdict=mono)
        figure.draw_without_rendering()
        self._labels(axes, numbers)

    def _frame(self, axes: Axes, title: str) -> None:
        """Scales, ranges, names of the axes, and which corner is the good one."""
        shown = [*self.rest, *self.best, *self.outside]
        for axis, column in ((axes.xaxis, self.x), (axes.yaxis, self.y)):
            values = [point.values[column.name] for point in shown]
            bounds = [bound for point in self.best for bound in point.intervals.get(column.name, ())]
            if is_wide(values):
                set_log(axes, axis, min(values), max(values))
            else:
                axis.set_major_formatter(thousands)
            axes.update_datalim([(low, low) for low in bounds], updatex=axis is axes.xaxis, updatey=axis is axes.yaxis)
        axes.margins(0.08)
        axes.set_xlabel(self.x.label)
        axes.set_ylabel(self.y.label)
        axes.set_title(title)
        axes.grid(True)
        side = "left" if self.x.better == "low" else "right"
        edge = "lower" if self.y.better == "low" else "upper"
        arrow = {"upper left": "\u2196", "upper right": "\u2197", "lower left": "\u2199", "lower right": "\u2198"}
        place = (0.012 if side == "left" else 0.988, 0.02 if edge == "lower" else 0.98)
        axes.text(
            *place,
            f"{arrow[f'{edge} {side}']} better",
            transform=axes.transAxes,
            ha=side,
            va="bottom" if edge == "lower" else "top",
            color=FAINT,
            fontsize=9,
        )

    def _points(self, axes: Axes) -> None:
        if self.outside:
            name = f"beyond a limit ({len(self.outside)})"
            axes.plot(*self._columns(self.outside), "x", color=FAINT, markersize=4.5, zorder=2, label=name)
        if self.rest:
            look: dict[str, Any] = {"color": BLUE, "alpha": 0.35, "markeredgewidth": 0.0, "markersize": 4.8}
            axes.plot(
                *self._columns(self.rest), "o", zorder=2, label=f"evaluated ({len(self.rest)}{self.before})", **look
            )
        if self.others:
            ring: dict[str, Any] = {
                "markerfacecolor": "white",
                "markeredgecolor": ORANGE,
                "markeredgewidth": 1.4,
                "markersize": 6.0,
            }
            name = f"front, by another objective ({len(self.others)})"
            axes.plot(*self._columns(self.others), "o", zorder=4, label=name, **ring)
        if self.steps:
            xs, ys = self._columns(self.steps)
            style = "steps-post" if self.x.better == "low" else "steps-pre"
            axes.plot(xs, ys, drawstyle=style, color=ORANGE, linewidth=1.6, zorder=3)
            name = f"front ({len(self.steps)})"
            axes.plot(xs, ys, "o", color=ORANGE, markeredgecolor="white", markersize=7.5, zorder=5, label=name)
        self._errors(axes)

    def _errors(self, axes: Axes) -> None:
        """Bars from low to high, and for each direction what they are."""
        shown: dict[str, bool] = {}
        for point in self.best:
            x, y = point.values[self.x.name], point.values[self.y.name]
            for name, along in ((self.x.name, "x"), (self.y.name, "y")):
                low, high = point.intervals.get(name, (0.0, 0.0))
                if low < high:
                    pair = ([low, high], [y, y]) if along == "x" else ([x, x], [low, high])
                    axes.plot(*pair, color=ORANGE, alpha=0.45, linewidth=1.4, zorder=3, solid_capstyle="butt")
                    shown[along] = True
        for (along, mark), column in zip({"x": "_", "y": "|"}.items(), (self.x, self.y), strict=True):
            if along in shown:
                name = f"{column.interval} interval of {column.name}".lstrip()
                axes.plot([], [], mark, color=ORANGE, alpha=0.45, markersize=11, markeredgewidth=1.4, label=name)

    def _limits(self, axes: Axes) -> None:
        """Dashed lines, drawn without stretching the axes where a limit is far off."""
        for limit in self.limits:
            line = {self.x.name: axes.axvline, self.y.name: axes.axhline}.get(limit.name)
            low, high = axes.get_xlim() if limit.name == self.x.name else axes.get_ylim()
            if line and low < limit.bound < high:
                line(limit.bound, color=INK, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1, label=f"limit {limit}")

    def _labels(self, axes: Axes, texts: Sequence[str]) -> bool:
        from hwq.plot.place import place

        shared: dict[tuple[float, float], list[str]] = {}
        for anchor, text in zip(zip(*self._columns(self.best), strict=True), texts, strict=True):
            shared.setdefault(anchor, []).append(text)  # points of equal values have one mark and one label
        return place(
            axes, list(shared), [", ".join(group) for group in shared.values()], self._obstacles(axes), LABEL_SIZE
        )

    def _obstacles(self, axes: Axes) -> list[Bbox]:
        """Boxes in pixels around markers, error bars and the steps of the line."""
        from matplotlib.transforms import Bbox

        def box(one: tuple[float, float], two: tuple[float, float], margin: float) -> Bbox:
            ends = axes.transData.transform([one, two])
            return Bbox([ends.min(axis=0) - margin, ends.max(axis=0) + margin])

        places = [(point.values[self.x.name], point.values[self.y.name]) for point in self.best]
        found = [box(spot, spot, 9.0) for spot in places]
        for point, (x, y) in zip(self.best, places, strict=True):
            low, high = point.intervals.get(self.y.name, (y, y))
            found.append(box((x, low), (x, high), 2.0))
        found += [box(spot, spot, 5.0) for spot in zip(*self._columns([*self.rest, *self.outside]), strict=True)]
        steps = list(zip(*self._columns(self.steps), strict=True))
        for (x0, y0), (x1, y1) in itertools.pairwise(steps):
            corner = (x1, y0) if self.x.better == "low" else (x0, y1)
            found += [box((x0, y0), corner, 2.0), box(corner, (x1, y1), 2.0)]
        return found

    def _columns(self, points: Sequence[Point]) -> tuple[list[float], list[float]]:
        return [point.values[self.x.name] for point in points], [point.values[self.y.name] for point in points]


def _key(numbers: Sequence[str], shown: Mapping[str, Sequence[str]]) -> list[str]:
    """Lines of a table: what the numbers stand for, one column per role that varies."""
    rows = [["", *shown]] if len(shown) > 1 else []
    rows += [list(row) for row in zip(numbers, *shown.values(), strict=True)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
