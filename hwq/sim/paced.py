"""How long an array takes whose tiles overlap (`use=double`), cycle by cycle under the pauses of a bench.

Elsewhere a pause is a cycle more, or none, as a bench sees by the handshakes. Here it may hide behind another stream's
work, so that what the array should take is found by going through it: from `hwq.datapath.schedule`, not from Verilog.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from hwq.datapath import Datapath
from hwq.datapath.schedule import latency, parameter_times, wave
from hwq.sim.beats import Beats

__all__ = ["paced"]


class _Offer:
    """One stream: from which cycle on its next beat is offered."""

    def __init__(self, beats: Beats) -> None:
        self.pauses, self.lasts = beats.pause.tolist(), beats.last.tolist()
        self.at, self.cycle = 0, self.pauses[0]

    def stands(self, cycle: int) -> bool:
        return self.at < len(self.lasts) and cycle >= self.cycle

    def take(self, cycle: int) -> bool:
        """The beat is taken in this cycle; returns whether it is a tile's last."""
        last: bool = self.lasts[self.at]
        self.at += 1
        if self.at < len(self.lasts):
            self.cycle = cycle + 1 + self.pauses[self.at]
        return last


def paced(dp: Datapath, beats: Mapping[str, Beats]) -> int:
    """Cycles from the first after reset to the last result. `beats`: of the streams a, w, o and, if there is one, p."""
    a, w = _Offer(beats["a"]), _Offer(beats["w"])
    p = _Offer(beats["p"]) if "p" in beats else None
    pauses, first, last = beats["o"].pause.tolist(), *parameter_times(dp)
    results, tiles = deque[int](), deque[int]()  # when, in enabled cycles, results leave and tiles began
    loaded = going = enabled = cycle = taken = 0
    within = False
    while taken < len(pauses):
        wants = p is not None and bool(tiles) and enabled >= tiles[0] + first
        lacks = wants and p is not None and not p.stands(cycle)
        offers = bool(results) and results[0] == enabled and not lacks
        held = offers and pauses[taken] > 0
        loads = not going and loaded < dp.array.rows and w.stands(cycle)
        if held:
            pauses[taken] -= 1
        if not held and not lacks:
            if offers:
                taken += 1
                results.popleft()
            if wants and p is not None and enabled == tiles[0] + last:
                p.take(cycle)
                tiles.popleft()
            going = max(0, going - 1)
            if (within or loaded == dp.array.rows) and a.stands(cycle):
                results.append(enabled + latency(dp))
                if not within:
                    tiles.append(enabled)
                    loaded, going = 0, wave(dp)
                within = not a.take(cycle)
            enabled += 1
        if loads:
            w.take(cycle)
            loaded += 1
        cycle += 1
    return cycle
