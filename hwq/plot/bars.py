"""Where the cost of a datapath goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hwq.errors import HwqError
from hwq.plot.style import BLUE, FAINT, INK, drawing, thousands

__all__ = ["cost_breakdown"]


def cost_breakdown(rows: Sequence[tuple[str, float]], path: Path | str, unit: str, title: str = "") -> None:
    """Horizontal bars of (part, cost) in the given order, with the value and the share of each beside its bar.

    `unit` names the count and its truth level, for example "LUT, T1 Yosys 0.70 xc7". A cost may be zero, not negative.
    """
    if not rows or min(cost for _, cost in rows) < 0:
        raise HwqError(f"a breakdown must have at least one part and no negative cost, not {list(rows)}")
    total = sum(cost for _, cost in rows)
    names, costs = [name for name, _ in rows], [cost for _, cost in rows]
    with drawing(path, 8.0, 1.3 + 0.34 * len(rows)) as figure:
        axes = figure.subplots()
        bars = axes.barh(names, costs, color=BLUE, height=0.66)
        axes.invert_yaxis()
        texts = [f"{thousands(round(cost, 1))}  ({_share(cost / total)})" if total else "0" for cost in costs]
        axes.bar_label(bars, texts, padding=5, fontsize=9, color=INK)
        axes.margins(x=0.16)
        axes.set_xlim(left=0)
        axes.set_xlabel(f"{unit}; total {thousands(round(total, 1))}")
        axes.set_title(title)
        axes.xaxis.set_major_formatter(thousands)
        axes.grid(True, axis="x")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_color(FAINT)


def _share(part: float) -> str:
    return f"{part:.1%}" if 0 < part < 0.01 else f"{part:.0%}"
