"""How hard ABC works on the logic of a cell library's netlist: scripts from the area end to the delay end, as points.

Every script starts from the same logic and ends in the library's gates with their sizes; `stime` then gives the area of
the gates and the longest path between registers and ports, without wires, from inputs that drive any load.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

__all__ = ["AREA_EFFORTS", "EFFORTS", "Point", "pareto"]


class Point(NamedTuple):
    """One mapping of one module: its whole area with registers, and its longest path."""

    effort: str
    area_um2: float
    delay_ps: float


_CLEAN = "strash; ifraig; scorr; dc2; dch -f"
_HARD = "strash; ifraig; scorr; &get -n; &syn3; &syn4; &b; &put; dch -f"
_SIZED = "topo; buffer -c; upsize; dnsize"

EFFORTS: Mapping[str, str] = {
    "amap": f"{_CLEAN}; amap -m",
    "nf": "strash; &get -n; &fraig -x; &put; scorr; dc2; dch -f; &get -n; &nf; &put",
    "map": f"{_CLEAN}; map -B 0.9",
    "sized": f"{_CLEAN}; map -B 0.9; {_SIZED}",
    "resized": f"{_CLEAN}; map -B 0.9 -D 1; {_SIZED}",
    "hard": f"{_HARD}; map -B 0.9 -D 1; {_SIZED}",
    "gates": f"{_CLEAN}; if -g; strash; dch -f; map -D 1; {_SIZED}",
}
AREA_EFFORTS = ("amap", "nf")


def pareto(points: Iterable[Point]) -> tuple[Point, ...]:
    """The points that none other beats in both area and delay, from the area end to the delay end."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.area_um2, p.delay_ps)):
        if not front or point.delay_ps < front[-1].delay_ps:
            front.append(point)
    return tuple(front)
