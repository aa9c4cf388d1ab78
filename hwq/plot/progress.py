"""How a search went: the volume of the front as points were evaluated."""

from __future__ import annotations

from pathlib import Path

from hwq.errors import HwqError
from hwq.plot.style import ORANGE, drawing, thousands
from hwq.search import Study, hypervolume

__all__ = ["progress"]


def progress(study: Study, path: Path | str, title: str = "") -> None:
    """Draw the hypervolume after each evaluated point as a share of the final one, under the final reference point."""
    points = study.points()
    last = study.hypervolume()
    if not last.value > 0:
        raise HwqError("progress needs a front with a volume, so at least two feasible points, none best in everything")
    shares = [
        hypervolume(points[:count], study.axes, last.reference).value / last.value
        for count in range(1, len(points) + 1)
    ]
    with drawing(path, 8.0, 3.4) as figure:
        axes = figure.subplots()
        axes.plot(range(1, len(points) + 1), [100 * share for share in shares], drawstyle="steps-post", color=ORANGE)
        axes.set_xlim(0, len(points) + 1)
        axes.set_ylim(0, 104)
        axes.set_xlabel("points evaluated")
        axes.set_ylabel("hypervolume, % of the last")
        axes.yaxis.set_major_formatter(thousands)
        axes.set_title(title)
        axes.grid(True)
