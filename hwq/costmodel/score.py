"""How the prices of a device do on designs that their fit never saw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import mean, median

from hwq.costmodel.calibrate import Measured, designs
from hwq.costmodel.cost import Quantity
from hwq.costmodel.estimate import block_fmax, estimates
from hwq.datapath import Datapath
from hwq.datapath.device import Device

__all__ = ["Judged", "Score", "judge", "score"]


@dataclass(frozen=True)
class Judged:
    """One figure of one held-out module: what synthesis counted and what the price said."""

    datapath: str
    part: str
    field: str
    measured: float
    estimated: Quantity

    @property
    def error(self) -> float:
        """(estimated - measured) / measured; 0 where both are 0."""
        return self.estimated.value / self.measured - 1 if self.measured else self.estimated.value

    @property
    def inside(self) -> bool:
        return self.estimated.low <= self.measured <= self.estimated.high

    @property
    def half_width(self) -> float:
        """Of the interval, relative to the estimate."""
        return (self.estimated.high - self.estimated.low) / 2 / self.estimated.value if self.estimated.value else 0.0


@dataclass(frozen=True)
class Score:
    """Held-out figures of one kind. `inside` and `half_width` are of the `interval` figures that are not exact."""

    part: str
    field: str
    designs: int
    mean_error: float
    worst_error: float
    interval: int
    inside: int
    median_error: float
    half_width: float

    @classmethod
    def of(cls, judged: Sequence[Judged]) -> Score:
        errors = [abs(j.error) for j in judged]
        open_ = [j for j in judged if not j.estimated.is_exact]
        return cls(
            judged[0].part,
            judged[0].field,
            len(judged),
            mean(errors),
            max(errors),
            len(open_),
            sum(j.inside for j in open_),
            median(abs(j.error) for j in open_) if open_ else 0.0,
            median(j.half_width for j in open_) if open_ else 0.0,
        )


def judge(rows: Sequence[Measured], target: Device) -> list[Judged]:
    """Every figure of the held-out rows beside its estimate."""
    held = {(text, part) for part, group in designs().items() for text in group["held_out"]}
    judged = (j for row in rows if (row.datapath, row.part) in held for j in _figures(row, target))
    return list(dict.fromkeys(judged))  # an element that was placed has two rows of the same cells


def score(judged: Sequence[Judged]) -> list[Score]:
    """The score of each part and field."""
    ordered = sorted(judged, key=lambda j: (j.part, j.field))
    return [Score.of(list(group)) for _, group in groupby(ordered, key=lambda j: (j.part, j.field))]


def _figures(row: Measured, target: Device) -> Iterator[Judged]:
    dp = Datapath.parse(row.datapath)
    (cost,) = estimates([dp], target)
    parts = {part.name: part.figures for part in cost.breakdown}
    figures = cost.figures if row.part == "top" else parts[row.part]
    for field, measured in (*row.values.items(), ("ff", row.ff)):
        yield Judged(row.datapath, row.part, field, measured, figures[field])
    if row.fmax_mhz is not None and row.part != "top":
        yield Judged(row.datapath, row.part, "fmax_mhz", row.fmax_mhz, block_fmax(dp, row.part, target))
