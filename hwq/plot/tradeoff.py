"""Number formats by what they lose against what a multiply-accumulate of them costs."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwq.errors import HwqError
from hwq.plot.style import BLUE, FAINT, INK, ORANGE, drawing, is_wide, set_log, thousands

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

__all__ = ["format_tradeoff"]

Row = Mapping[str, Any]
SIZES = (8.0, 7.0, 6.0)
"""Points of the labels, tried in this order; the picture grows where none fits."""
GROWN = 6
"""Times that a picture may grow by an eighth."""
ROOMY = 22
"""Names for which a panel has room as it is; the area of the picture grows with more."""
LINE = 150
"""Characters of a line of the caption."""
UNITS = {"lut": "LUT", "ge": "gate equivalents"}


class _Spot:
    """A format in one panel: cost with its interval, ratio in dB, and its label.

    The ratio of magnitudes alone does not compare with that of signed numbers: such a spot takes no part in the front.
    """

    def __init__(self, name: str, one_sided: bool, cost: Mapping[str, float], ratio: float) -> None:
        self.name, self.one_sided = name, one_sided
        self.x, self.y, self.low, self.high = cost["value"], ratio, cost["low"], cost["high"]

    def beaten(self, others: Sequence[_Spot]) -> bool:
        """True if another is nowhere worse and somewhere better."""
        rivals = [o for o in others if not o.one_sided and (o.x, o.y) != (self.x, self.y)]
        return any(o.x <= self.x and o.y >= self.y for o in rivals)


def _front(spots: Sequence[_Spot]) -> list[_Spot]:
    return [spot for spot in spots if not spot.one_sided and not spot.beaten(spots)]


def format_tradeoff(rows: Sequence[Row], devices: Sequence[str], note: str, path: Path | str) -> None:
    """Draw SQNR against area, a column of panels a device and a row a source (one device: two by two) to a file.

    `rows` are what `hwq formats --compare --json` prints. Points on the front of a panel are orange; bars are the
    intervals of estimated areas. Formats without a price are named below, with `note`, which says what is priced.
    """
    names = [row["source"].strip("|") for row in rows[0]["fidelity"]] if rows else []
    spots = {(device, at): _spots(rows, device, at) for device in devices for at in range(len(names))}
    if not any(spots.values()):
        raise HwqError("a picture needs a format with a price and a finite ratio, not none")
    panels = [(device, at) for at in range(len(names)) for device in devices]
    most = max(map(len, spots.values()))
    grown = max(1.0, math.sqrt(most / ROOMY))
    with drawing(path, 10.4 * grown, (0.6 + 3.7 * (len(panels) + 1) // 2) * grown) as figure:
        shown = figure.subplots(-(-len(panels) // 2), 2, squeeze=False).ravel().tolist()
        for (device, at), axes in zip(panels, shown, strict=False):
            _panel(axes, spots[device, at], names[at], _unit(rows, device))
        for axes in shown[len(panels) :]:
            axes.remove()
        figure.supxlabel(_caption(rows, devices, note), x=0.01, ha="left", fontsize=8, color=INK)
        _label(figure, [(axes, spots[panel]) for panel, axes in zip(panels, shown, strict=False)])


def _spots(rows: Sequence[Row], device: str, at: int) -> list[_Spot]:
    """The formats of one panel: those with a price and a finite ratio."""
    found = []
    for row in rows:
        cost = row["cost"][device]
        if "unavailable" not in cost and at < len(row["fidelity"]):
            fidelity = row["fidelity"][at]
            one_sided = fidelity["source"].startswith("|")
            name = f"{row['name']} |x|" if one_sided else row["name"]
            if fidelity["sqnr_db"] is not None:
                found.append(_Spot(name, one_sided, cost[cost["unit"]], fidelity["sqnr_db"]))
    return sorted(found, key=lambda spot: (spot.x, spot.y))


def _unit(rows: Sequence[Row], device: str) -> str:
    """What the axis counts; the first of a device's levels is that of its areas."""
    cost = next((row["cost"][device] for row in rows if "unit" in row["cost"][device]), None)
    return (
        f"{UNITS.get(cost['unit'], cost['unit'])} of one element, {cost['level'].partition(',')[0]} {device}"
        if cost
        else device
    )


def _caption(rows: Sequence[Row], devices: Sequence[str], note: str) -> str:
    """What is priced, by whom, and what has no price."""
    told = [f"{note[:1].upper()}{note[1:]}.", "Bars: the intervals of estimated areas; orange: the front."]
    for device in devices:
        costs = {row["name"]: row["cost"][device] for row in rows}
        told += dict.fromkeys(
            f"{device}: {c['level']}, fitted to {c['source']}." for c in costs.values() if "level" in c
        )
        missing = [name for name, cost in costs.items() if "unavailable" in cost]
        if missing:
            told.append(f"No price on {device}: {', '.join(missing)}.")
    return "\n".join(textwrap.wrap(" ".join(told), LINE))


def _panel(axes: Axes, spots: Sequence[_Spot], name: str, unit: str) -> None:
    axes.set_title(name)
    axes.set_xlabel(unit)
    axes.set_ylabel("SQNR in dB, best scale")
    axes.grid(True)
    if not spots:
        return
    ends = [spot.low for spot in spots], [spot.high for spot in spots]
    if is_wide([*ends[0], *ends[1]]) or max(ends[1]) > 4 * min(ends[0]):
        set_log(axes, axes.xaxis, min(ends[0]), max(ends[1]))
    else:
        axes.xaxis.set_major_formatter(thousands)
    front = _front(spots)
    axes.plot([s.x for s in front], [s.y for s in front], drawstyle="steps-post", color=ORANGE, linewidth=1.4, zorder=2)
    for spot in spots:
        colour = ORANGE if spot in front else BLUE
        axes.plot([spot.low, spot.high], [spot.y, spot.y], color=colour, alpha=0.45, linewidth=1.6, zorder=3)
        face, edge = ("white", colour) if spot.one_sided else (colour, "white")
        axes.plot([spot.x], [spot.y], "o", markerfacecolor=face, markeredgecolor=edge, markersize=6.5, zorder=4)
    axes.margins(0.12, 0.14)
    axes.text(0.012, 0.98, "\u2196 better", transform=axes.transAxes, va="top", color=FAINT, fontsize=9)


def _label(figure: Figure, panels: Sequence[tuple[Axes, Sequence[_Spot]]]) -> None:
    """Write every name beside its point; where a panel has no room the picture grows."""
    for _ in range(GROWN):
        figure.draw_without_rendering()
        if all(_labelled(axes, spots) for axes, spots in panels):
            return
        for axes, _spots in panels:
            for note in [text for text in axes.texts if text.get_gid() == "name"]:
                note.remove()
        figure.set_size_inches(*(1.125 * figure.get_size_inches()))
    raise HwqError(f"a picture has room for fewer names than {max(len(spots) for _, spots in panels)}")


def _labelled(axes: Axes, spots: Sequence[_Spot]) -> bool:
    from hwq.plot.place import place

    shared: dict[tuple[float, float], list[str]] = {}
    for spot in spots:
        shared.setdefault((spot.x, spot.y), []).append(spot.name)
    texts = [", ".join(group) for group in shared.values()]
    return any(place(axes, list(shared), texts, _obstacles(axes, spots), size) for size in SIZES)


def _obstacles(axes: Axes, spots: Sequence[_Spot]) -> list[Bbox]:
    """Boxes in pixels around points, intervals and the steps of the front."""
    from matplotlib.transforms import Bbox

    def box(one: tuple[float, float], two: tuple[float, float], margin: float) -> Bbox:
        ends = axes.transData.transform([one, two])
        return Bbox([ends.min(axis=0) - margin, ends.max(axis=0) + margin])

    found = [box((s.x, s.y), (s.x, s.y), 8.0) for s in spots] + [box((s.low, s.y), (s.high, s.y), 2.0) for s in spots]
    front = _front(spots)
    for left, right in itertools.pairwise(front):
        found += [box((left.x, left.y), (right.x, left.y), 2.0), box((right.x, left.y), (right.x, right.y), 2.0)]
    return found
