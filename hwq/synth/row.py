"""Measured rows: what one synthesis, or one place and route, of one module gave."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hwq.errors import HwqError
from hwq.synth.efforts import FAST, Point

__all__ = ["Row", "Spread"]


@dataclass(frozen=True)
class Spread:
    """The median, least and greatest of several runs."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, runs: list[float]) -> "Spread":
        """Spread of at least one run; the median is a run's own value (the lower one of an even number)."""
        ranked = sorted(runs)
        return cls(ranked[(len(ranked) - 1) // 2], ranked[0], ranked[-1])


@dataclass(frozen=True)
class Row:
    """One measurement. A field that has no meaning on the device is None, never zero.

    lut: LUT1-6 + SRL + LUTRAM on xc7 (no inverters, no wide multiplexers), LUT4 + 2 CCU2C on ecp5. ge: NAND2
    equivalents with flip-flops. bram: blocks of 18 Kbit. logic_ns: the longest path without any routing. area_um2: cell
    area of the smallest of a cell library's `points` (one an effort); breakdown and logic_ns are of that one.
    level: "T1" are synthesis cells, mapped for area; "T2" adds an open place and route of the same module mapped for
    speed: comb_post_route and ff_post_route are its area, fmax_mhz its clock, critical its slowest path. "T3" is what a
    vendor's tool reports, after its own place and route where it has one: lut is what it calls so (Xilinx: with memory;
    Intel: ALUT), bram its blocks, seconds 0 where nobody looked at the clock.
    """

    design: str
    module: str
    device: str
    level: str
    tools: Mapping[str, str]
    ff: int
    dsp: int
    bram: int
    breakdown: Mapping[str, int]
    seconds: float
    lut: int | None = None
    ge: float | None = None
    area_um2: float | None = None
    logic_ns: float | None = None
    comb_post_route: int | None = None
    ff_post_route: int | None = None
    fmax_mhz: Spread | None = None
    critical: str = ""
    seeds: tuple[int, ...] = field(default=())
    points: tuple[Point, ...] = field(default=())

    def figure(self, field: str) -> float:
        """One of its counts or areas by name; `fast_um2` is the area of the point of the effort FAST."""
        points = {point.effort: point.area_um2 for point in self.points}
        value: float | None = points.get(FAST) if field == "fast_um2" else getattr(self, field)
        if value is None:
            raise HwqError(f"a row of {self.device} must have its {field}, not {self.module} without it")
        return value

    def to_json(self) -> str:
        """One line of JSON, keys sorted, meaningless fields absent."""
        fields = {key: value for key, value in asdict(self).items() if value or key not in ("points", "critical")}
        known = {key: value for key, value in fields.items() if value is not None}
        return json.dumps(known, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Row":
        """The row that `to_json` wrote; HwqError for any other text."""
        try:
            fields: dict[str, Any] = json.loads(text)
            spread = fields.get("fmax_mhz")
            clock = Spread(**spread) if spread else None
            points = tuple(Point(*point) for point in fields.get("points", ()))
            row = cls(**{**fields, "seeds": tuple(fields["seeds"]), "fmax_mhz": clock, "points": points})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise HwqError(
                f"a measured row must be as hwq calibrate keeps it, not one with {type(error).__name__}: {error}"
            ) from None
        for name, value in _figures(row).items():
            if not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise HwqError(f"{name} of a measured row must be a number of at least 0, not {value!r}")
        kinds = dict.fromkeys(("design", "module", "device", "level"), str) | {"tools": dict, "breakdown": dict}
        for name, kind in kinds.items():
            if not isinstance(getattr(row, name), kind):
                raise HwqError(f"{name} of a measured row must be a {kind.__name__}, not {getattr(row, name)!r}")
        return row


def _figures(row: Row) -> dict[str, object]:
    """The numbers that a row has, by name."""
    names = ("lut", "ge", "area_um2", "ff", "dsp", "bram", "logic_ns", "comb_post_route", "ff_post_route", "seconds")
    clock = {} if row.fmax_mhz is None else asdict(row.fmax_mhz)
    found = {name: getattr(row, name) for name in names} | clock
    return {name: value for name, value in found.items() if value is not None}
