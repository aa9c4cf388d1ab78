"""Where the area of a design goes, as an icicle: each column shares out what stands left of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hwq.errors import HwqError
from hwq.plot.style import FAINT, INK, PALETTE, drawing, thousands

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hwq.costmodel.tree import Tree

__all__ = ["cost_tree"]

HEIGHT = 5.6
"""Inches of the design's rectangle."""
LEAST = 0.036
"""Share of the height that a label takes; what is smaller is drawn with others of its parent."""
SIZE = 8.5
"""Points of the labels."""
PAD = 0.09
"""Inches on both sides of a label."""
PALE = (0.62, 0.72, 0.82, 0.82)
"""How much white is in the colour of a piece, by its depth below the design."""


@dataclass(frozen=True)
class _Slice:
    """A rectangle: its column, its span of the height, and what it says."""

    column: int
    low: float
    high: float
    label: str
    colour: str


def cost_tree(tree: Tree, path: Path | str, unit: str, title: str = "") -> None:
    """Draw the first figure of a tree, columns from the design to what is counted, to a .png, .svg or .pdf file.

    `unit` names the figure and its truth level. What is too small for a label is drawn as "other (n)" of its parent,
    or as a strip without a label. A part below zero, what an array saves of its elements' counts, is told below.
    """
    area = next(iter(tree.figures))
    if tree.figures[area] <= 0:
        raise HwqError(f"a picture of a tree needs a {area} above 0, not {tree.figures[area]:g}")
    slices = list(_slices(tree, area))
    columns = 1 + max(one.column for one in slices)
    with drawing(path, 4.0, HEIGHT + 0.9) as figure:
        axes = figure.subplots()
        widths = [_widest(figure, [one.label for one in slices if one.column == at]) for at in range(columns)]
        figure.set_size_inches(sum(widths) + 0.3, HEIGHT + 0.9)
        _draw(axes, slices, widths)
        axes.set_title(title)
        strips = ["unlabelled: smaller parts"] if any(not one.label for one in slices) else []
        saved = [f"not drawn: {words}" for words in _saved(tree, area)]
        axes.set_xlabel("; ".join([unit, *strips, *saved]), loc="left", fontsize=9)


def _slices(tree: Tree, area: str) -> Iterator[_Slice]:
    """The rectangles, the design's from 0 to 1; a design of which something is saved is as high as all its parts."""
    whole = sum(_area(part, area) for part in tree.parts)
    yield _Slice(0, 0.0, 1.0, f"{_number(tree.figures[area])}\n100 %", _mixed(FAINT, 0.6))
    yield from _children(tree.parts, area, tree.figures[area], 1 / whole, 1, 0.0, None)


def _area(part: Tree, area: str) -> float:
    """What a part takes of a picture."""
    return max(0.0, part.figures[area])


def _children(
    parts: Sequence[Tree], area: str, total: float, scale: float, column: int, low: float, colour: str | None
) -> Iterator[_Slice]:
    """The parts of one thing, the largest first, then those that are too small together."""
    drawn = sorted((part for part in parts if part.figures[area] > 0), key=lambda part: -part.figures[area])
    kept = _kept([part.figures[area] * scale for part in drawn])
    if not kept:
        return
    for at, part in enumerate(drawn[:kept]):
        own = colour or PALETTE[at % len(PALETTE)]
        high = low + part.figures[area] * scale
        pale = PALE[min(column, len(PALE)) - 1]
        yield _Slice(column, low, high, _label(_name(part), part.figures[area], total), _mixed(own, pale))
        yield from _children(part.parts, area, total, scale, column + 1, low, own)
        low = high
    if rest := drawn[kept:]:
        size = sum(part.figures[area] for part in rest)
        label = _label(f"other ({len(rest)})", size, total) if size * scale >= LEAST else ""
        yield _Slice(column, low, low + size * scale, label, _mixed(FAINT, 0.75))


def _kept(shares: Sequence[float]) -> int:
    """How many of descending shares are drawn by themselves.

    A rest too small for a label takes the last of them in if that is small too.
    """
    kept = sum(share >= LEAST for share in shares)
    while kept and 0 < sum(shares[kept:]) < LEAST and shares[kept - 1] < 2 * LEAST:
        kept -= 1
    return kept


def _name(part: Tree) -> str:
    return f"{part.count:,.6g} x {part.name}" if part.count not in (None, 1) and part.parts else part.name


def _label(name: str, value: float, total: float) -> str:
    return f"{name}  {_number(value)}  ({100 * value / total:.0f} %)"


def _number(value: float) -> str:
    return thousands(round(value, 1) if value < 100 else round(value))


def _saved(tree: Tree, area: str) -> list[str]:
    """What the parts of the design have less than nothing of."""
    return [f"{part.name} {_number(part.figures[area])}" for part in tree.parts if part.figures[area] < 0]


def _widest(figure: Figure, labels: Sequence[str]) -> float:
    """Inches of the longest label and its margins."""
    found = []
    for label in labels:
        text = figure.text(0, 0, label, fontsize=SIZE)
        found.append(text.get_window_extent().width / figure.dpi)
        text.remove()
    return max(found) + 2 * PAD


def _draw(axes: Axes, slices: Sequence[_Slice], widths: Sequence[float]) -> None:
    from matplotlib.patches import Rectangle

    for one in slices:
        left, width = sum(widths[: one.column]), widths[one.column]
        box = Rectangle((left, one.low), width, one.high - one.low, facecolor=one.colour, edgecolor="white")
        axes.add_patch(box)
        centre = (one.low + one.high) / 2
        axes.text(left + PAD, centre, one.label, va="center", fontsize=SIZE, color=INK)
    axes.set_xlim(0, sum(widths))
    axes.set_ylim(1, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _mixed(colour: str, white: float) -> str:
    """A colour with so much white."""
    from matplotlib.colors import to_hex, to_rgb

    red, green, blue = (white + (1 - white) * part for part in to_rgb(colour))
    return to_hex((red, green, blue))
