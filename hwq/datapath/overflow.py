"""What an accumulator lost on given operands: additions that left its range, and how wide the exact sums were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hwq.bits import Word, const, maximum, minimum, variable
from hwq.bits.loops import from_wide
from hwq.datapath.accumulators import Align, Float
from hwq.datapath.ordered import scanned
from hwq.datapath.ranges import width
from hwq.datapath.spec import Mac, check_mac
from hwq.datapath.steps import State, Term, on_grid, state, step
from hwq.errors import HwqError
from hwq.formats.arrays import check_codes

__all__ = ["Overflows", "overflows"]

Ints = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Overflows:
    """Of `outputs` sums of `terms` products each: `events` additions wrapped or saturated, in `affected` outputs.

    `bits` is the width in two's complement that every exact partial sum, in k order, would have fitted.
    """

    outputs: int
    terms: int
    affected: int
    events: int
    bits: int

    def __str__(self) -> str:
        lost = f"{self.affected} of {self.outputs} outputs, {self.events} of {self.outputs * self.terms} additions"
        return f"{lost} left the accumulator; the widest partial sum has {self.bits} bits"


def overflows(mac: Mac, a: Any, w: Any) -> Overflows:
    """Count overflows of the fixed or exact accumulator over codes a [..., K] and w [N, K]; specials count as zero."""
    check_mac(mac)
    if isinstance(mac.acc, Float | Align) or mac.tree > 1:
        raise HwqError(f"overflows are counted of +fixed(...) added in order, not of +{mac.acc.text}; see its output")
    x, y = check_codes(mac.a, a), check_codes(mac.w, w)
    if x.ndim < 1 or y.ndim != 2 or x.shape[-1] != y.shape[1] or not 1 <= y.shape[1] <= mac.k:
        raise HwqError(f"overflows takes a[..., K] and w[N, K] with 1 <= K <= {mac.k}, not {x.shape} and {y.shape}")
    least, most, events = _walked(mac, x.reshape(-1, y.shape[1]), y)
    ends = (int(least.min()), int(most.max())) if events.size else (0, 0)
    return Overflows(events.size, y.shape[1], int((events > 0).sum()), int(events.sum()), width(*ends))


def _walked(mac: Mac, a: Ints, w: Ints) -> list[Ints]:
    """The least and the largest exact partial sum, in units of the product's lsb, and the overflows, each [M, N]."""
    k = a.shape[1]
    low, high = (min(0, k * mac.product_range[0]), max(0, k * mac.product_range[1]))
    held = State(state(mac).total)
    before = held.words | {
        "sum": variable("sum", low, high),
        "least": variable("least", low, 0),
        "most": variable("most", 0, high),
        "events": variable("events", 0, k),
    }

    def after(terms: list[Term]) -> list[Word]:
        (term,) = terms
        number = (term.sig << term.exp).within(*mac.product_range)
        total = (before["sum"] + number).within(low, high)
        kept = step(mac, held, term).total
        lost = const(1) - kept.eq(held.total + on_grid(mac, number))
        events = (before["events"] + lost).within(0, k)
        return [kept, total, minimum(before["least"], total), maximum(before["most"], total), events]

    _, _, *found = scanned(mac, a, w, False, before, after)
    return [from_wide(x) if x.dtype.kind == "V" else x for x in found]
