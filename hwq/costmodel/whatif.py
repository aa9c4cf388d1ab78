"""What if: the cost of a datapath with one thing changed at a time, beside its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hwq.costmodel.cost import Cost
from hwq.costmodel.estimate import estimate
from hwq.datapath import Datapath
from hwq.datapath.changes import Change, changes
from hwq.datapath.device import Device
from hwq.errors import HwqError

__all__ = ["WhatIf", "what_if"]


@dataclass(frozen=True)
class WhatIf:
    """The cost of a datapath, of it with one change each, and the changes that cannot be made."""

    base: Cost
    rows: tuple[tuple[Change, Cost], ...]
    left_out: tuple[Change, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """What is compared: the area, flip-flops, blocks if there are any, and the clock where it is known."""
        area = next(iter(self.base.figures))
        costs = [self.base, *(cost for _, cost in self.rows)]
        dsp = any("dsp" in cost and cost.dsp.value for cost in costs)
        fields = dict.fromkeys((area, "ff", *(["dsp"] if dsp else []), "fmax_mhz"))
        return tuple(field for field in fields if field in self.base)

    def difference(self, cost: Cost, field: str) -> float | None:
        """Of a figure against the base's, 0.1 being 10 % more; None where one of them is unknown or the base's is 0."""
        if field not in cost or not self.base.figures[field].value:
            return None
        return cost.figures[field].value / self.base.figures[field].value - 1

    def json(self) -> dict[str, Any]:
        """The `what_if` of the record that `hwq cost --what-if --json` prints."""
        rows = [
            {"change": change.what, "datapath": cost.datapath, "effect": change.effect}
            | {field: cost.figures[field].json() for field in self.fields if field in cost}
            | {"difference": {field: self.difference(cost, field) for field in self.fields}}
            for change, cost in self.rows
        ]
        return {"rows": rows, "left_out": [{"change": c.what, "reason": c.effect} for c in self.left_out]}


def what_if(what: Datapath | str, device: str | Device) -> WhatIf:
    """A datapath's cost on a device, and what it were with one thing changed: see `hwq.datapath.changes`."""
    dp = what if isinstance(what, Datapath) else Datapath.parse(what)
    rows: list[tuple[Change, Cost]] = []
    left_out: list[Change] = []
    base = estimate(dp, device)
    for change in changes(dp):
        if change.dp is None:
            left_out.append(change)
            continue
        try:
            rows.append((change, estimate(change.dp, device)))
        except HwqError as error:
            left_out.append(Change(change.what, None, str(error)))
    return WhatIf(base, tuple(rows), tuple(left_out))
