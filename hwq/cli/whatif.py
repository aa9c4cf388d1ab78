"""A datapath's price beside those of it with one thing changed, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwq.cli.console import table

if TYPE_CHECKING:
    from hwq.costmodel import Cost
    from hwq.costmodel.whatif import WhatIf

__all__ = ["print_what_if"]


def print_what_if(found: WhatIf) -> None:
    """A line a change; below, those that cannot be made, and why."""
    columns = ["change", *(words for field in found.fields for words in (field, "%")), "what it does ", "datapath "]
    rows = [["as it is", *_figures(found, found.base), "", found.base.datapath]]
    rows += [[change.what, *_figures(found, cost), change.effect, cost.datapath] for change, cost in found.rows]
    print()
    table(columns, rows)
    print("\n%: more or less than as it is, of estimates; within an interval it may be nothing")
    for change in found.left_out:
        print(f"left out: {change.what}: {change.effect}")


def _figures(found: WhatIf, cost: Cost) -> list[str]:
    cells = []
    for field in found.fields:
        more = found.difference(cost, field)
        cells += [f"{cost.figures[field].value:,.0f}" if field in cost else "unknown"]
        cells += ["" if more is None or cost is found.base else _percent(more)]
    return cells


def _percent(more: float) -> str:
    """A difference with its sign; one that rounds to 0 has none."""
    shown = f"{100 * more:+.1f}"
    return shown if float(shown) else "0.0" if more else "="
