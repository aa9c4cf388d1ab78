"""Energy, delay and area carried from one process to another, by published equations and three measured libraries."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from numbers import Integral, Real
from typing import Any

from hwq.costmodel.cost import Quantity
from hwq.errors import HwqError

__all__ = ["KINDS", "Scaled", "check_node", "libraries", "nodes", "scale", "source", "spread"]

KINDS = ("energy", "delay", "area")
MIDDLE = 45  # nm, the node that the measured libraries are compared with, where the two errors meet


@dataclass(frozen=True)
class Scaled:
    """A figure as it would be at `to_node`: what was given times `factor`, whose interval is the error of scaling.

    `level` is "scaled", whatever that of the figure was: no tool has seen it at that node. `error` is the largest ratio
    of the interval to the factor.
    """

    kind: str
    from_node: int
    to_node: int
    volts: tuple[float, float]
    quantity: Quantity
    factor: Quantity
    source: str
    level: str = "scaled"

    @property
    def error(self) -> float:
        return max(self.factor.high / self.factor.value, self.factor.value / self.factor.low)


@dataclass(frozen=True)
class _Node:
    """Coefficients, highest power first; `volts` are least, nominal, most."""

    energy: tuple[float, ...]
    delay: tuple[float, ...]
    area: float
    volts: tuple[float, float, float]

    def at(self, kind: str, volts: float) -> float:
        """The paper's figure, up to its unit."""
        if kind == "area":
            return self.area
        total = 0.0
        for coefficient in self.energy if kind == "energy" else self.delay:
            total = total * volts + coefficient
        return total


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads((resources.files("hwq.costmodel") / "data" / "nodes.toml").read_text(encoding="utf-8"))


@cache
def _nodes() -> Mapping[int, _Node]:
    return {
        int(name): _Node(tuple(row["energy"]), tuple(row["delay"]), row["area"], tuple(row["volts"]))
        for name, row in _data()["nodes"].items()
    }


@cache
def _measured(kind: str) -> Mapping[int, Quantity]:
    """Of each library, its figure over that of the middle one."""
    rows = {int(name): row[kind] for name, row in _data()["measured"].items()}
    return {node: Quantity(value, low, high) for node, (low, value, high) in rows.items()}


def nodes() -> tuple[int, ...]:
    """The nodes that can be scaled between, in nm."""
    return tuple(_nodes())


def libraries() -> Mapping[str, int]:
    """The devices whose cells are of a node that can be scaled from, and that node in nm."""
    return {row["device"]: int(name) for name, row in _data()["measured"].items()}


def source() -> str:
    """What scaling follows."""
    found: str = _data()["source"]
    return found


def spread(value: float, factor: float) -> Quantity:
    """`value`, wrong by at most a factor."""
    return Quantity(value, value / factor, value * factor)


def scale(
    value: float | Quantity,
    kind: str,
    from_node: int,
    to_node: int,
    from_volts: float | None = None,
    to_volts: float | None = None,
) -> Scaled:
    """An energy, a delay or an area of one node at another, in nm; supplies are nominal where none is given.

    Energy and delay follow the paper's polynomials. Areas are those of the measured libraries at 130, 45 and 7 nm, and
    the paper's between them. The interval is the distance of the paper from what was measured over the same span.

    Delay does not fall with every node: the paper's 20 nm is slower than its 32 nm at nominal supplies (0.757 and 0.669
    of 45 nm's), where terms of 32 nm that are 300 times as large cancel. The interval of either holds the other.
    """
    if kind not in KINDS:
        raise HwqError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    given = value if isinstance(value, Quantity) else Quantity.exact(value)
    if not (all(map(_is_number, given)) and math.isfinite(given.value) and given.value > 0):
        raise HwqError(f"{kind} must be a number above 0 to be scaled, not {value!r}")
    start, end = _volts(check_node(from_node), from_volts), _volts(check_node(to_node), to_volts)
    factor = _factor(kind, (from_node, start), (to_node, end))
    low, high = given.low * factor.low, given.high * factor.high
    quantity = Quantity(given.value * factor.value, low, high)
    return Scaled(kind, from_node, to_node, (start, end), quantity, factor, source())


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def check_node(node: int) -> int:
    """Refuse a node that the equations do not know."""
    if isinstance(node, bool) or not isinstance(node, Integral) or node not in _nodes():
        raise HwqError(f"node must be one of {', '.join(map(str, nodes()))} nm to be scaled, not {node!r}")
    return node


def _volts(node: int, volts: float | None) -> float:
    """A supply that the node's polynomials hold for."""
    least, nominal, most = _nodes()[node].volts
    if volts is None:
        return nominal
    if not _is_number(volts) or not least <= volts <= most:
        raise HwqError(f"the supply at {node} nm must be within {least:g} and {most:g} V, not {volts!r}")
    return volts


def _factor(kind: str, start: tuple[int, float], end: tuple[int, float]) -> Quantity:
    if start == end or (kind == "area" and start[0] == end[0]):
        return Quantity.exact(1)
    if kind == "area":
        measured = _measured(kind)
        if start[0] in measured and end[0] in measured:
            return _over(measured[end[0]], measured[start[0]])
        ratio = _area(end[0]) / _area(start[0])
    else:
        ratio = _nodes()[end[0]].at(kind, end[1]) / _nodes()[start[0]].at(kind, start[1])
    return spread(ratio, math.prod(_error(kind, anchor) for anchor in _spans(start[0], end[0])))


def _over(top: Quantity, bottom: Quantity) -> Quantity:
    return Quantity(top.value / bottom.value, top.low / bottom.high, top.high / bottom.low)


def _area(node: int) -> float:
    """Over that of 45 nm: the paper's, bent so that it meets the measured one at the end of its span."""
    paper = {anchor: _nodes()[anchor].area for anchor in _measured("area")}
    own, (coarse, _, fine) = _nodes()[node].area, sorted(paper, reverse=True)
    anchor = coarse if node > MIDDLE else fine
    measured = _measured("area")[anchor].value
    if node > coarse:
        return own / paper[coarse] * measured
    return float(own ** (math.log(measured) / math.log(paper[anchor])))


def _spans(start: int, end: int) -> list[int]:
    """The anchors of the spans, coarser and finer than the middle, that a move touches."""
    coarse, _, fine = sorted(_measured("area"), reverse=True)
    coarser, finer = max(start, end) > MIDDLE, min(start, end) < MIDDLE
    return [coarse] * coarser + [fine] * (finer or not coarser)


@cache
def _error(kind: str, anchor: int) -> float:
    """How far the paper is from what was measured between an anchor and the middle: a factor above 1."""
    libraries = _data()["measured"]
    paper = _nodes()[anchor].at(kind, libraries[str(anchor)]["volts"])
    paper /= _nodes()[MIDDLE].at(kind, libraries[str(MIDDLE)]["volts"])
    measured = _measured(kind)[anchor].value
    return max(paper / measured, measured / paper)
