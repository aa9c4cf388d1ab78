"""Rounding to nearest: what every other solver must not be worse than."""

from __future__ import annotations

from hwq.ptq.weights.rows import Answer, Rows

__all__ = ["rtn"]


def rtn(rows: Rows) -> Answer:
    """Every weight to its nearest grid point; no moment is looked at."""
    return Answer(rows.grid.encode(rows.weight))
