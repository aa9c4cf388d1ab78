"""Tables and the picture of the points that `study_formats.py` stored, and of what is better by more than its interval.

Two points are compared item by item: the interval of a difference is `hwq.zoo.score.matched`'s. Where the better one of
several is compared, it is chosen on one half of the items and judged on the other, both ways, so that the choice does
not flatter it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from hwq.errors import HwqError
from hwq.plot.place import place
from hwq.plot.style import BLUE, FAINT, INK, ORANGE, PALETTE, drawing, set_log
from hwq.zoo.score import Score, matched

INTEGER, MINIFLOAT, EVEN, MIXED = "integer", "minifloat", "E1My", "mixed"
LOOKS = {  # colour, marker, its size, name
    MIXED: (FAINT, "D", 4.0, "two formats"),
    EVEN: (PALETTE[2], "^", 6.0, "E1My: values of an integer"),
    MINIFLOAT: (ORANGE, "o", 6.0, "minifloat"),
    INTEGER: (BLUE, "s", 6.0, "integer"),
}


@dataclass(frozen=True, eq=False)
class Point:
    """A point that ran."""

    record: dict[str, Any]

    @property
    def name(self) -> str:
        """As in the paper: E2M1, or int8*E2M1 with other activations."""
        return "*".join(dict.fromkeys(map(named, self.record["pair"])))

    @property
    def bits(self) -> int:
        return _bits(self.record["pair"][1])

    @property
    def equal(self) -> bool:
        """True if weights and activations have one format."""
        return len(set(self.record["pair"])) == 1

    @cached_property
    def kind(self) -> str:
        """E1My has the values of an integer, so that it is a kind of its own."""
        kinds = {_kind(fmt) for fmt in self.record["pair"]}
        return kinds.pop() if len(kinds) == 1 else MIXED

    @property
    def lut(self) -> float:
        return float(self.record["lut"]["value"])

    @property
    def top1(self) -> float:
        return float(self.record["top1"]["value"])

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Which items are right [n]."""
        return np.array([bit == "1" for bit in f"{int(self.record['right'], 16):0{self.record['n']}b}"])


def named(fmt: str) -> str:
    """int4, E2M1."""
    return re.sub(r"fp\((\d),(\d)\)", r"E\1M\2", fmt).replace("(", "").replace(")", "")


def _bits(fmt: str) -> int:
    numbers = [int(n) for n in re.findall(r"\d", fmt)]
    return numbers[0] if fmt.startswith("int") else 1 + sum(numbers)


def _kind(fmt: str) -> str:
    return INTEGER if fmt.startswith("int") else EVEN if fmt.startswith("fp(1,") else MINIFLOAT


class Study:
    """The points of one model and recipe."""

    def __init__(self, records: Sequence[dict[str, Any]], model: str, recipe: str) -> None:
        mine = [r for r in records if r["model"] == model and r["recipe"] == recipe]
        self.model, self.recipe = model, recipe
        self.points = [Point(r) for r in mine if "refused" not in r]
        self.refused = [r for r in mine if "refused" in r]
        self.float = Point(next(r for r in records if r["model"] == model and r["recipe"] == "float"))

    def some(self, *kinds: str, bits: int = 0, equal: bool = False) -> list[Point]:
        """The points of these kinds, with weights of so many bits."""
        found = [p for p in self.points if p.kind in kinds and bits in (0, p.bits)]
        return [p for p in found if p.equal or not equal]


def studies(records: Sequence[dict[str, Any]]) -> list[Study]:
    """One of each model and recipe; all points must be of one state of hwq's code."""
    codes = {r["code"] for r in records}
    if len(codes) != 1:
        raise HwqError(f"points must be of one state of hwq's code, not {len(codes)}; take them again in a new store")
    names = dict.fromkeys((r["model"], r["recipe"]) for r in records if r["recipe"] != "float")
    return [Study(records, *name) for name in names]


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in both, from the cheapest."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p.lut, -p.top1)):
        if not best or point.top1 > best[-1].top1:
            best.append(point)
    return best


def gain(first: Point, second: Point) -> Score:
    """Top-1 of the first minus that of the second, paired."""
    return matched(first.right, second.right)


def best_gain(several: Sequence[Point], other: Point) -> tuple[Score, str]:
    """The gain of the best of several, chosen on the other half of the items; and which were chosen."""
    made, chosen = np.zeros_like(other.right), []
    for half in (0, 1):
        found = max(several, key=lambda p: int(p.right[1 - half :: 2].sum()))
        made[half::2] = found.right[half::2]
        chosen.append(found.name)
    return matched(made, other.right), ", ".join(dict.fromkeys(chosen))


def points(score: Score) -> str:
    """In points, bold where the interval leaves out 0."""
    text = f"{100 * score.value:+.2f} [{100 * score.low:+.2f}, {100 * score.high:+.2f}]"
    return f"**{text}**" if score.low > 0 or score.high < 0 else text


def tables(records: Sequence[dict[str, Any]]) -> str:
    """All tables as Markdown."""
    made = studies(records)
    full = [s for s in made if s.recipe == made[0].recipe]
    parts = [(f"width by width: {s.model}, {s.recipe}", by_width(s)) for s in made]
    parts += [(f"front of {s.model}, {s.recipe}", fronts(s)) for s in full]
    parts += [(f"integers of {s.model}, {s.recipe}", rivals(s)) for s in made]
    for recipe in dict.fromkeys(s.recipe for s in made):
        parts.append((f"all points, {recipe}", listing([s for s in made if s.recipe == recipe])))
    parts.append(("refused", refusals(made)))
    return "\n".join("\n".join((f"{title}\n", *lines, "")) for title, lines in parts)


def by_width(study: Study) -> Iterable[str]:
    """At each width: the integer, the best minifloat and E1My, weights and activations alike."""
    yield "| bits | integer, top-1 | LUT | minifloat (chosen) | LUT | minus integer | E1My, LUT | minus integer |"
    yield "|---|---|---|---|---|---|---|---|"
    for bits in range(3, 9):
        kinds = [study.some(kind, bits=bits, equal=True) for kind in (INTEGER, MINIFLOAT, EVEN)]
        if not all(kinds):
            continue
        (integer,), several, (even,) = kinds
        score, chosen = best_gain(several, integer)
        lut = ", ".join(f"{p.lut:.0f}" for p in several if p.name in chosen.split(", "))
        yield (
            f"| {bits} | {integer.top1:.1%} | {integer.lut:.0f} | {chosen} | {lut} | {points(score)} "
            f"| {even.lut:.0f} | {points(gain(even, integer))} |"
        )


def fronts(study: Study) -> Iterable[str]:
    """The front of all points, and what each step gains."""
    yield "| point | kind | LUT [90 %] | top-1 | minus the step before |"
    yield "|---|---|---|---|---|"
    before = None
    for p in front(study.points):
        told = points(gain(p, before)) if before else ""
        yield f"| {p.name} | {p.kind} | {area(p)} | {p.top1:.1%} | {told} |"
        before = p


def rivals(study: Study) -> Iterable[str]:
    """Each integer beside the best point with a minifloat, or of minifloats alone, that costs no more LUT."""
    yield "| integer | LUT | on the front | best of minifloats at no more LUT | integer minus it |"
    yield "|---|---|---|---|---|"
    best = front(study.points)
    for p in study.some(INTEGER, equal=True):
        others = [q for q in study.some(MINIFLOAT, MIXED) if q.lut <= p.lut]
        told = "none | " if not others else _lost(others, p)
        yield f"| {p.name} | {p.lut:.0f} | {'yes' if p in best else 'no'} | {told} |"


def _lost(others: Sequence[Point], p: Point) -> str:
    score, chosen = best_gain(others, p)
    return f"{chosen} | {points(Score(-score.value, -score.high, -score.low, score.n))}"


def listing(several: Sequence[Study]) -> Iterable[str]:
    """Every point with what it loses against float, two columns a model; refused ones say so."""
    yield "| format |" + "".join(f" {s.model}: LUT | float minus it |" for s in several)
    yield "|---|" + "---|---|" * len(several)
    records = [r for s in several for r in (*(p.record for p in s.points), *s.refused)]
    for pair in dict.fromkeys(tuple(r["pair"]) for r in records):
        cells = "".join(f" {_cells(study, pair)} |" for study in several)
        yield f"| {'*'.join(dict.fromkeys(map(named, pair)))} |{cells}"


def _cells(study: Study, pair: tuple[str, ...]) -> str:
    found = [p for p in study.points if tuple(p.record["pair"]) == pair]
    if found:
        return f"{area(found[0])} | {points(gain(study.float, found[0]))}"
    return "| refused" if any(tuple(r["pair"]) == pair for r in study.refused) else "| "


def refusals(several: Sequence[Study]) -> Iterable[str]:
    """Every point that did not run, and what hwq said."""
    yield "| model | recipe | point | what hwq says |"
    yield "|---|---|---|---|"
    for study in several:
        for record in study.refused:
            name = "*".join(dict.fromkeys(map(named, record["pair"])))
            yield f"| {study.model} | {study.recipe} | {name} | {record['refused']} |"


def area(point: Point) -> str:
    """LUT, with the interval where they are not exact."""
    value, low, high = (point.record["lut"][name] for name in ("value", "low", "high"))
    return f"{value:.1f} [{low:.1f}, {high:.1f}]" if low < high else f"{value:.1f}"


def draw(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Accuracy against LUT of a multiply-accumulate, a panel a model, with the fronts of integers and of minifloats."""
    made = studies(records)
    shown = [s for s in made if s.recipe == made[0].recipe]
    with drawing(path, 11.5, 6.0) as figure:
        panels = figure.subplots(1, len(shown), squeeze=False)[0]
        for axes, study in zip(panels, shown, strict=True):
            _panel(axes, study)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=7)
        figure.draw_without_rendering()
        for axes, study in zip(panels, shown, strict=True):
            best = [p for kind in (INTEGER, MINIFLOAT) for p in front(study.some(kind, equal=True))]
            spots = [(p.lut, 100 * p.top1) for p in best]
            around = axes.transData.transform([(p.lut, 100 * p.top1) for p in study.points])
            boxes = [Bbox.from_bounds(x - 9, y - 9, 18, 18) for x, y in around]
            place(axes, spots, [p.name for p in best], boxes, 8.0)


def _panel(axes: Axes, study: Study) -> None:
    """Points of one model. Bars along: the interval of an estimate; upright, of the fronts: paired with float."""
    for kind, (colour, marker, size, name) in LOOKS.items():
        some = study.some(kind)
        for p in some:
            ends = [p.record["lut"][end] for end in ("low", "high")]
            axes.plot(ends, [100 * p.top1] * 2, color=colour, alpha=0.35, linewidth=1.2, zorder=2)
        look = {"color": colour, "markersize": size, "markeredgecolor": "white", "markeredgewidth": 0.6}
        if some:
            axes.plot([p.lut for p in some], [100 * p.top1 for p in some], marker, label=name, zorder=4, **look)
    for kind in (INTEGER, MINIFLOAT):
        best, colour = front(study.some(kind, equal=True)), LOOKS[kind][0]
        line = {"drawstyle": "steps-post", "color": colour, "linewidth": 1.4, "zorder": 3}
        axes.plot([p.lut for p in best], [100 * p.top1 for p in best], label=f"front of {kind}s", **line)
        for p in best:
            ends = [100 * (study.float.top1 - p.record["lost"][end]) for end in ("low", "high")]
            axes.plot([p.lut] * 2, ends, color=colour, alpha=0.35, linewidth=1.2, zorder=2)
    level = 100 * study.float.top1
    axes.axhline(level, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1, label="float")
    every = [p.record["lut"] for p in study.points]
    set_log(axes, axes.xaxis, min(x["low"] for x in every), max(x["high"] for x in every))
    axes.set_title(study.model)
    axes.set_xlabel("LUT of a multiply-accumulate, xc7, estimated")
    axes.set_ylabel(f"top-1 of {study.float.record['n']:,} images, %")
    axes.grid(True)
