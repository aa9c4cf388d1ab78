"""Number formats side by side: which values they have, and how finely they round."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hwq.errors import HwqError
from hwq.plot.style import PALETTE, drawing, set_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hwq.formats import Format

__all__ = ["draw_errors", "draw_rug", "formats_compare", "positive_values", "set_octaves"]

Values = NDArray[np.float64]
MOST_TICKS = 10
SOLID = 256
"""Formats with more positive values than this are drawn as a band: their ticks would touch."""


def formats_compare(formats: Sequence[Format], path: Path | str, title: str = "") -> None:
    """Draw the positive values of each format on a logarithmic scale, and below how badly it rounds at each magnitude.

    The error is largest midway between two neighbouring values: half their distance over that magnitude, 100 % between
    zero and the smallest value. Its maximum within each power of two is drawn. Formats of at most 16 bits.
    """
    if not formats or len(formats) > len(PALETTE):
        raise HwqError(f"a comparison must have between 1 and {len(PALETTE)} formats, not {len(formats)}")
    columns = [positive_values(fmt) for fmt in formats]
    with drawing(path, 8.0, 3.6 + 0.36 * len(formats)) as figure:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[0.36 * len(formats) + 0.25, 2.7])
        for row, (values, colour) in enumerate(zip(columns, PALETTE, strict=False)):
            draw_rug(top, row, values, colour)
            draw_errors(bottom, values, colour)
        _frame(top, formats, columns, title)
        set_octaves(bottom)


def positive_values(fmt: Format) -> Values:
    """The distinct positive finite values, ascending."""
    values = np.asarray(fmt.decode(fmt.codes()), dtype=np.float64)
    return np.unique(values[np.isfinite(values) & (values > 0)])


def draw_rug(axes: Axes, row: int, values: Values, colour: str) -> None:
    """A tick for each value, on a row of its own."""
    if len(values) > SOLID:
        axes.fill_between([values[0], values[-1]], row - 0.3, row + 0.3, color=colour, alpha=0.6, linewidth=0)
    else:
        axes.vlines(values, row - 0.3, row + 0.3, color=colour, linewidth=0.9)


def draw_errors(axes: Axes, values: Values, colour: str) -> None:
    """The worst relative rounding error within each binade, as steps."""
    axes.set_yscale("log")
    axes.plot(*_errors(values), drawstyle="steps-post", color=colour, linewidth=1.4)
    set_log(axes, axes.yaxis, *axes.get_ylim())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")
    axes.set_xlabel("magnitude")
    axes.set_ylabel("worst relative rounding error")
    axes.grid(True)


def set_octaves(axes: Axes) -> None:
    """Powers of two as ticks of a logarithmic axis, few enough to be read."""
    low, high = (math.log2(limit) for limit in axes.get_xlim())
    stride = next(2**power for power in range(12) if (high - low) / 2**power <= MOST_TICKS)
    powers = range(math.ceil(low / stride) * stride, math.floor(high) + 1, stride)
    axes.set_xticks([2.0**power for power in powers], [f"$2^{{{power}}}$" for power in powers])
    axes.set_xticks([], minor=True)


def _errors(values: Values) -> tuple[Values, Values]:
    """Edges of the binades that the values span and the worst relative error within each, in per cent."""
    low = np.concatenate([[0.0], values[:-1]])
    middle = (low + values) / 2
    error = (values - middle) / middle
    binade = np.floor(np.log2(middle))
    edges = np.arange(binade[0], binade[-1] + 2)
    worst = [error[binade == edge].max(initial=0.0) for edge in edges[:-1]]
    return 2.0**edges, 100 * np.append(worst, worst[-1])


def _frame(top: Axes, formats: Sequence[Format], columns: Sequence[Values], title: str) -> None:
    top.set_xscale("log", base=2)
    top.set_yticks(range(len(formats)), [f"{fmt}  {fmt.bits} bit" for fmt in formats])
    top.set_ylim(len(formats) - 0.5, -0.5)
    for row, values in enumerate(columns):
        span = " to ".join(_number(value) for value in (values[0], values[-1]))
        top.text(1.01, row, span, transform=top.get_yaxis_transform(), va="center", fontsize=8)
    top.tick_params(length=0, labelbottom=False)
    top.spines["bottom"].set_visible(False)
    top.grid(True, axis="x")
    top.set_title(title)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) and value < 1e6 else f"{value:.3g}"
