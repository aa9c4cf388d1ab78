"""The tree of a price as an indented table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwq.cli.console import table

if TYPE_CHECKING:
    from hwq.costmodel.tree import Tree

__all__ = ["print_tree"]

INDENT = "  "


def print_tree(top: Tree) -> None:
    """Every thing with what it costs in the whole design; what costs nothing is counted below."""
    area = next(iter(top.figures))
    shown = [(depth, part) for depth, part in top.walk() if any(part.figures.values())]
    columns = ["part", "count", f"{area} each", "by ", *top.figures, f"% of {area}"]
    table(columns, [_row(depth, part, area, top) for depth, part in shown])
    free = sum(not any(part.figures.values()) for _, part in top.walk() if not part.parts)
    print(f"\ncount: in one of the piece above; by: a rule of the fabric, or the fit; {free} counts that cost nothing")


def _row(depth: int, part: Tree, area: str, top: Tree) -> list[object]:
    figures = [f"{value:,.1f}".removesuffix(".0") for value in part.figures.values()]
    share = f"{100 * part.figures[area] / top.figures[area]:.1f}" if top.figures[area] else ""
    each, source = "", ""
    if part.price is not None:
        each, source = f"{part.price:.4g}", "rule" if part.rule else "fit"
    elif depth and part.count is not None and part.parts:
        each = f"{part.figures[area] / part.count:,.4g}"
    count = "" if part.count is None else f"{part.count:,.6g}"
    known = part.count is None or not part.parts or part.key == part.name
    name = part.name if known else f"{part.name} ({part.key})"
    return [INDENT * depth + name, count, each, source, *figures, share]
