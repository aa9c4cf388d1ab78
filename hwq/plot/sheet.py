"""One number format on a page: its codes, its positive values, how it rounds, and how well on what data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hwq.errors import HwqError
from hwq.plot.formats import Values, draw_errors, draw_rug, positive_values, set_octaves
from hwq.plot.style import BLUE, FAINT, INK, ORANGE, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hwq.formats import Format

__all__ = ["check_drawable", "format_sheet"]

LINEAR = 2.0**7
"""A larger ratio of the largest to the least positive value is drawn on an axis that is linear around zero alone."""
DOTS = 256
"""Codes that are drawn as separate dots; more of them are small dots."""


def format_sheet(fmt: Format, ratios: Sequence[tuple[str, float | None]], path: Path | str, title: str = "") -> None:
    """Draw four panels to a .png, .svg or .pdf file: value against code, positive values, rounding error, SQNR bars.

    `ratios` are (source, signal to quantization noise in dB, None where nothing is lost). Formats to 16 bits.
    """
    check_drawable(fmt)
    values = positive_values(fmt)
    with drawing(path, 10.0, 6.4) as figure:
        figure.suptitle(title or _title(fmt), x=0.01, ha="left", fontsize=12)
        halves = figure.subfigures(1, 2, width_ratios=[1.0, 1.2], squeeze=False)[0]
        codes, bars = halves[0].subplots(2, 1, height_ratios=[1.6, 1.0])
        rug, errors = halves[1].subplots(2, 1, sharex=True, height_ratios=[0.6, 4.0])
        _codes(codes, fmt)
        _bars(bars, ratios)
        _values(rug, values)
        draw_errors(errors, values, BLUE)
        errors.set_title(errors.get_ylabel())
        errors.set_ylabel("")
        set_octaves(errors)


def check_drawable(fmt: Format) -> None:
    """Refuse a format whose codes are too many to be drawn, or that has no positive value."""
    if fmt.bits > 16:
        raise HwqError(f"a picture shows every code of a format to 16 bits, not {fmt} with {fmt.bits}")
    if fmt.max <= 0:
        raise HwqError(f"a picture needs a positive value, which {fmt} has not")


def _title(fmt: Format) -> str:
    name = str(fmt)
    text = f" = {fmt.text}" if name != fmt.text and len(fmt.text) < 60 else ""
    return f"{name}{text}, {fmt.bits} bits"


def _codes(axes: Axes, fmt: Format) -> None:
    from matplotlib.ticker import MaxNLocator

    codes = fmt.codes()
    values = np.asarray(fmt.decode(codes), dtype=np.float64)
    finite = np.isfinite(values)
    small = len(codes) > DOTS
    axes.plot(codes[finite], values[finite], "." if small else "o", color=BLUE, markersize=1.2 if small else 2.8)
    least = float(fmt.least_positive)
    if fmt.max > LINEAR * least:
        axes.set_yscale("symlog", base=2, linthresh=least, linscale=0.4)
        axes.set_yticks(*_powers(least, fmt.max, float(np.min(values[finite])) < 0))
        axes.set_yticks([], minor=True)
    for code in codes[~finite].tolist() if not small else ():
        axes.axvline(code, color=ORANGE, linewidth=1.0)
    axes.set_title("value of each code" + ("; lines: nan, inf" if (~finite).any() and not small else ""))
    axes.set_xlabel("code")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.grid(True)


def _powers(least: float, most: float, signed: bool) -> tuple[list[float], list[str]]:
    """At most four powers of two of either sign, and zero, with their texts."""
    low, high = math.floor(math.log2(least)), math.floor(math.log2(most))
    stride = max(1, math.ceil((high - low) / 3))
    powers = list(range(high, low - 1, -stride))
    ticks = [(0.0, "0"), *((2.0**p, f"$2^{{{p}}}$") for p in powers)]
    ticks += [(-(2.0**p), f"$-2^{{{p}}}$") for p in powers if signed]
    return [place for place, _ in ticks], [text for _, text in ticks]


def _values(axes: Axes, values: Values) -> None:
    axes.set_xscale("log", base=2)
    draw_rug(axes, 0, values, BLUE)
    axes.set_yticks([])
    axes.set_ylim(-0.45, 0.45)
    axes.tick_params(length=0, labelbottom=False)
    axes.spines["bottom"].set_visible(False)
    axes.grid(True, axis="x")
    axes.spines["left"].set_visible(False)
    axes.set_title(f"positive values ({len(values):,}), {values[0]:.5g} to {values[-1]:.5g}")


def _bars(axes: Axes, ratios: Sequence[tuple[str, float | None]]) -> None:
    shown = [(name, 0.0 if ratio is None else ratio) for name, ratio in ratios]
    bars = axes.barh([name for name, _ in shown], [ratio for _, ratio in shown], color=BLUE, height=0.62)
    texts = ["exact" if ratio is None else f"{ratio:.1f}" for _, ratio in ratios]
    axes.bar_label(bars, texts, padding=4, fontsize=9, color=INK)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15 * max([ratio for _, ratio in shown] or [1.0]) or 1.0)
    axes.set_title("signal to quantization noise, best scale")
    axes.set_xlabel("SQNR in dB")
    axes.grid(True, axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_color(FAINT)
