"""What all plots share: one figure style, a palette for every kind of eye, and files with reproducible bytes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hwq.errors import HwqError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = ["BLUE", "FAINT", "INK", "ORANGE", "PALETTE", "check_picture", "drawing", "is_wide", "set_log", "thousands"]

# Okabe and Ito, "Color Universal Design" (2008): distinct for the three common kinds of colour blindness and in grey.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PALETTE = (BLUE, ORANGE, GREEN, VERMILLION, "#CC79A7", "#56B4E9", "#8A7A00", "#000000")
INK, FAINT = "#333333", "#9AA5AE"

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # shipped with matplotlib: the same glyphs everywhere
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titlelocation": "left",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": "#E6E9EC",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "svg.fonttype": "path",
    "svg.hashsalt": "hwq",
}
DPI = 160
METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}


@contextmanager
def drawing(path: Path | str, width: float, height: float) -> Iterator[Figure]:
    """A figure of width x height inches that is written to a .png, .svg or .pdf file when the block ends.

    The file appears whole or not at all; it names no date and no program.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = check_picture(path)
    settings = {**cast(dict[str, Any], matplotlib.rcParamsDefault), **STYLE}
    with matplotlib.rc_context(cast(Any, settings)):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        partial = path.with_name(path.name + ".partial")
        figure.savefig(partial, format=path.suffix[1:], metadata=METADATA[path.suffix])
        os.replace(partial, path)


def check_picture(path: Path | str) -> Path:
    """The path, if a plot can be written there."""
    path = Path(path)
    if path.suffix not in METADATA:
        raise HwqError(f"a plot is written to a .png, .svg or .pdf file, not {path.name!r}")
    if not path.parent.is_dir():
        raise HwqError(f"the plot's folder must exist, not {str(path.parent)!r}; create it first")
    return path


def is_wide(values: Sequence[float]) -> bool:
    """Whether positive values span more than a factor of ten, so that a logarithmic axis shows them better."""
    return min(values) > 0 and max(values) > 10 * min(values)


def thousands(value: float, _place: float | None = None) -> str:
    """A tick's text: 20,000 or 0.25."""
    return f"{value:,.0f}" if value == round(value) else f"{value:,.6g}"


def set_log(axes: Axes, axis: Axis, low: float, high: float) -> None:
    """Make one axis logarithmic with ticks that a person reads: 1, 2, 5 in every decade up to three decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
    subs = (1.0, 2.0, 5.0) if math.log10(high / low) <= 3 else (1.0,)
    axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=20))
    axis.set_major_formatter(FuncFormatter(thousands))
    axis.set_minor_locator(NullLocator())
