"""Figures of memory banks over size and width, interpolated between the lines of a table, with what that errs by.

A figure y goes as width**slope at one size; with every line brought to one width, log y is piecewise straight in log
bits. The slope is that of the one size with two widths. The error is that of leaving out each line in turn.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from hwq.costmodel.cost import Quantity
from hwq.costmodel.nodes import spread
from hwq.errors import HwqError

__all__ = ["Bank", "Curve", "Lines", "Table", "check_count"]

MOST = 2**63


class Bank(NamedTuple):
    """One bank of a memory, of so many bits in words of `width`."""

    bits: int
    width: int


Lines = Mapping[Bank, float]


def check_count(name: str, value: int) -> None:
    """Refuse what counts nothing."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < MOST:
        raise HwqError(f"{name} must be a whole number of at least 1, not {value!r}")


@dataclass(frozen=True)
class Curve:
    """One figure at one node: points of (log bits, log y at width 1), and how y goes with width."""

    points: tuple[tuple[float, float], ...]
    slope: float

    @classmethod
    def through(cls, lines: Lines, slope: float) -> Curve:
        """Through every line; where two share a size, `slope` must be theirs, or it goes between them."""
        sizes = sorted({bank.bits for bank in lines})
        heights = [[math.log(y) - slope * math.log(b.width) for b, y in lines.items() if b.bits == n] for n in sizes]
        return cls(tuple((math.log(n), sum(ys) / len(ys)) for n, ys in zip(sizes, heights, strict=True)), slope)

    def at(self, bank: Bank) -> float:
        """Outside its sizes it goes on from the nearer end, along the line that joins both ends."""
        x, points = math.log(bank.bits), self.points
        (first, _), (last, _) = points[0], points[-1]
        if first <= x <= last:
            place = max(1, min(bisect_right(points, (x, math.inf)), len(points) - 1))
            start, end = points[place - 1], points[place]
            rise = (end[1] - start[1]) / (end[0] - start[0])
        else:
            rise = (points[-1][1] - points[0][1]) / (last - first)
            start = points[0] if x < first else points[-1]
        return math.exp(start[1] + rise * (x - start[0]) + self.slope * math.log(bank.width))


def _slope(lines: Lines) -> float | None:
    """Of the size that has two widths; None without one."""
    for bank, y in lines.items():
        for other, more in lines.items():
            if other.bits == bank.bits and other.width > bank.width:
                return math.log(more / y) / math.log(other.width / bank.width)
    return None


@dataclass(frozen=True)
class Table:
    """The figures of one node; `all_nodes` has those of every node, which share one error."""

    node: int
    figures: Mapping[str, Lines]
    all_nodes: Mapping[int, Mapping[str, Lines]]

    def has(self, name: str) -> bool:
        return bool(self.figures[name])

    @cached_property
    def _banks(self) -> tuple[Bank, ...]:
        return tuple(bank for lines in self.figures.values() for bank in lines)

    @cached_property
    def smallest(self) -> int:
        return min(bank.bits for bank in self._banks)

    @cached_property
    def largest(self) -> int:
        return max(bank.bits for bank in self._banks)

    @cached_property
    def widest(self) -> int:
        return max(bank.width for bank in self._banks)

    @cached_property
    def narrowest(self) -> int:
        return min(bank.width for bank in self._banks)

    def holds(self, bank: Bank) -> bool:
        """True if the bank lies between lines of the table."""
        return self.smallest <= bank.bits <= self.largest and self.narrowest <= bank.width <= self.widest

    def figure(self, name: str, bank: Bank) -> Quantity:
        """A figure of a bank, with the interval of leaving lines out: those at the ends for a bank outside."""
        inside, outside = self._errors[name]
        line = self.figures[name].get(bank)
        value = self._curves[name].at(bank) if line is None else line
        return spread(value, inside if self.holds(bank) else max(inside, outside))

    @cached_property
    def _curves(self) -> Mapping[str, Curve]:
        return {name: Curve.through(lines, _slope(lines) or 0.0) for name, lines in self.figures.items() if lines}

    @cached_property
    def _errors(self) -> Mapping[str, tuple[float, float]]:
        return {name: self.errors(name) for name in self._curves}

    def errors(self, name: str) -> tuple[float, float]:
        """Largest ratio, either way, of a line to what the others say: of lines between others, and of the ends."""
        own = {node: figures[name] for node, figures in self.all_nodes.items() if figures[name]}
        ratios: dict[bool, list[float]] = {True: [], False: []}
        for node, lines in own.items():
            ends = {min(bank.bits for bank in lines), max(bank.bits for bank in lines)}
            for bank, y in lines.items():
                rest = {other: value for other, value in lines.items() if other != bank}
                ratio = Curve.through(rest, _left_slope(rest, node, own)).at(bank) / y
                ratios[bank.bits not in ends].append(max(ratio, 1 / ratio))
        return max(ratios[True]), max(ratios[False])


def _left_slope(rest: Lines, node: int, own: Mapping[int, Lines]) -> float:
    """The slope of what is left; the mean of the other nodes' if the pair that had it is broken."""
    slope = _slope(rest)
    if slope is not None:
        return slope
    others = [found for other, lines in own.items() if other != node and (found := _slope(lines)) is not None]
    return sum(others) / len(others) if others else 0.0
