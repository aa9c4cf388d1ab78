"""How hard ABC works on the logic of a cell library's netlist: scripts from the area end to the delay end, as points.

Every script starts from the same logic and ends in the library's gates with their sizes; `stime` then gives the area of
the gates and the longest path between registers and ports, without wires, from inputs that drive any load.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

__all__ = ["AREA_EFFORTS", "EFFORTS", "FAST", "Point", "pareto"]


class Point(NamedTuple):
    """One mapping of one module: its whole area with registers, and its longest path."""

    effort: str
    area_um2: float
    delay_ps: float


_RESYN = "balance; rewrite; refactor; balance; rewrite; rewrite -z; balance; refactor -z; rewrite -z; balance"
_CLEAN = "strash; ifraig; scorr; dc2"
_AREA = "strash; &get -n; &fraig -x; &put; scorr; dc2; strash; &get -n; &dch -f"
_SIZED = "topo; buffer -c; upsize; dnsize"

EFFORTS: Mapping[str, str] = {
    "amap": f"{_CLEAN}; dch -f; amap -m",
    "resyn": f"{_CLEAN}; {_RESYN}; dch -f; amap -m",
    "nf": f"{_AREA}; &nf -R 10 -a 10; &put",
    "area": f"{_CLEAN}; dch -f; map -a",
    "map": f"{_CLEAN}; dch -f; map -B 0.9",
    "gates nf": f"{_CLEAN}; dch -f; if -g; strash; &get -n; &dch -f; &nf; &put",
    "amap sized": f"{_CLEAN}; dch -f; amap -m; {_SIZED}",
    "nf sized": f"{_AREA}; &nf; &put; {_SIZED}",
    "sized": f"{_CLEAN}; dch -f; map -B 0.9; {_SIZED}",
    "balanced": f"{_CLEAN}; dch -f; &get -n; &b; &put; dch -f; map -B 0.9; {_SIZED}",
    "gates": f"{_CLEAN}; dch -f; if -g; strash; dch -f; map -D 1; {_SIZED}",
    "choices": f"{_CLEAN}; &get -n; &synch2; &put; dch -f; map -B 0.9; {_SIZED}",
    "restructured": f"strash; ifraig; scorr; &get -n; &syn3; &syn4; &b; &put; dch -f; map -B 0.9 -D 1; {_SIZED}",
}
AREA_EFFORTS = ("amap", "resyn", "nf")
FAST = "map"  # mapped for delay, neither restructured nor sized


def pareto(points: Iterable[Point]) -> tuple[Point, ...]:
    """The points that none other beats in both area and delay, from the area end to the delay end."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.area_um2, p.delay_ps)):
        if not front or point.delay_ps < front[-1].delay_ps:
            front.append(point)
    return tuple(front)
