"""A stream of operands as the stimulus of an element's module."""

from __future__ import annotations

from collections.abc import Sequence

from hwq.datapath import Plan
from hwq.datapath.draw import Codes
from hwq.datapath.streams import beats
from hwq.errors import HwqError
from hwq.synth.waves import Stimulus

__all__ = ["stimulus"]

_PORTS = {"clk", "rst", "en", "clear", "a", "w"}


def stimulus(plan: Plan, ports: Sequence[str], a: Codes, w: Codes) -> Stimulus:
    """Runs of codes [runs, terms] into an element, as `hwq.datapath.streams.beats` has them."""
    if set(ports) != _PORTS or plan.dp.array.lanes > 1 or plan.blocks["decode_a"].depth:
        raise HwqError(
            f"energy is measured of an element with {', '.join(sorted(_PORTS))} and one product a cycle, "
            f"not {', '.join(sorted(ports))} of {plan.dp}; leave out its lanes, cut=unpack and use="
        )
    shown = beats(a, w, plan.blocks["pe"].depth)
    given = {"rst": shown.rst, "en": [1] * len(shown.a), "clear": shown.clear, "a": shown.a, "w": shown.w}
    return Stimulus(given, shown.warm)
