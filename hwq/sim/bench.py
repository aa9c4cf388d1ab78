"""The one cocotb bench: drives the streams of any datapath's top, stalls them and records every result.

It runs inside the simulator, in the folder of the job, and knows nothing of numbers: beats come from files and what
the design answered goes into files, those of `bulk.v`, which does the same on the side of the hardware.

Python is called once a cycle, at the falling edge: it reads what moved at the rising edge, of which `hosted.v` takes
note, and writes what is shown at the next one, if that is something else.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.handle import Immediate
from cocotb.triggers import FallingEdge

from hwq.sim.tools import CLEARS, COUNTS, LAST, LOADS, OVERLAPS, RESULTS

PATIENCE = 2000  # cycles without any handshake or excuse after which the design counts as hung
NEVER = 1 << 62  # cycles

A, W, P, OUT = 1, 2, 4, 8  # what moved, as hosted.v says it


class Stream:
    """One stream into the design: what it shows this cycle, and how far it is."""

    def __init__(self, name: str, bits: int, place: int) -> None:
        """`bits` of the payload; its lowest one stands at `place` of what is shown."""
        raw, size = Path(f"{name}.bin").read_bytes(), 2 + (bits + 7) // 8
        self.lasts = [bool(flags & LAST) for flags in raw[1::size]] + [False]
        payloads = [int.from_bytes(raw[at + 2 : at + size], "big") for at in range(0, len(raw), size)]
        last, valid, ones = 1 << bits, 2 << bits, (1 << bits) - 1
        beats = zip(payloads, self.lasts, strict=False)
        self.beats = [(valid | last * end | payload) << place for payload, end in beats]
        self.wrong = [(last | payload ^ ones) << place for payload in payloads] + [0]
        self.first = (valid | payloads[0]) << place
        self.pauses = [*raw[::size], NEVER]
        self.at, self.offered = 0, False
        self.pause, self.shown = self.pauses[0], self.wrong[0]

    def offer(self) -> None:
        """Show the beat, unless this cycle is a pause; once shown it stays until it is taken."""
        if self.pause:
            self.pause -= 1
        else:
            self.offered, self.shown = True, self.beats[self.at]

    def advance(self) -> None:
        """The beat is taken: on to the next. What is shown while nothing is offered is wrong on purpose."""
        self.at += 1
        self.offered, self.shown = False, self.wrong[self.at]
        self.pause = self.pauses[self.at]

    @property
    def marked(self) -> bool:
        """Whether the beat is a tile's last."""
        return self.lasts[self.at]


class Run:
    """Tile after tile through the design: counts cycles, excuses those that a stall froze, keeps the results."""

    def __init__(self, dut: Any, streams: dict[int, Stream], place: int) -> None:
        """`streams` by what says that they moved; the bit of o_ready stands at `place` of what is shown."""
        self.loads, clears, self.overlaps = (os.environ[name] != "0" for name in (LOADS, CLEARS, OVERLAPS))
        self.dut, self.streams, self.ready = dut, streams, 1 << place
        self.parameters = streams.get(P)
        raw = Path("o.bin").read_bytes()
        self.ends, self.pauses = [bool(flags & LAST) for flags in raw[1::2]], [*raw[::2], 0]
        self.pause = self.pauses[0]
        self.results: list[str] = []
        self.cycles = self.stalled = 0
        self.start = "clear" if clears else "run"  # of a tile: without clears its parameters come at any time
        self.state, self.wants = self.start, self.parameters is not None and not clears

    async def go(self) -> None:
        """Until every result has come, or the design hangs."""
        total, streams, shown = len(self.ends), list(self.streams.items()), -1
        drive, moves, edge = self.dut.shown, self.dut.moved, FallingEdge(self.dut.clk)
        quiet = 0
        while len(self.results) < total and quiet < PATIENCE:
            before, shown = shown, 0 if self.pause else self.ready
            for _, stream in streams:
                if not stream.offered:
                    stream.offer()
                shown |= stream.shown
            if shown != before:
                drive.set(Immediate(shown))
            await edge
            moved = int(moves.value)
            self.cycles += 1
            held = bool(moved & OUT and self.pause)
            if not self.overlaps:
                self._follow(moved, held)
            self._keep(moved, held)
            quiet = 0 if moved else quiet + 1
            for mark, stream in streams:
                if moved & mark:
                    stream.advance()

    def _keep(self, moved: int, held: bool) -> None:
        """The result, if it is taken."""
        if held:
            self.pause -= 1
        elif moved & OUT:
            self.results.append(f"{self.dut.came.value}\n")
            self.pause = self.pauses[len(self.results)]

    def _follow(self, moved: int, held: bool) -> None:
        """What this cycle was, by the handshakes alone: progress, or a stall that is ours."""
        missing = self.wants and self.parameters is not None and not self.parameters.offered
        if moved & P:
            self.wants = False
        if self.state in ("load", "run"):
            self._enter(moved & (A | W | P * (self.start == "clear")), held)
        elif self.state == "clear":
            if self.parameters is not None and not self.parameters.offered:
                self.stalled += 1
            elif self.parameters is None or moved & (A | W | P):
                self.state = "load" if self.loads else "run"
        elif held or missing:
            self.stalled += 1
        elif moved & OUT and self.ends[len(self.results)]:
            self.state, self.wants = self.start, self.parameters is not None and self.start == "run"

    def _enter(self, moved: int, held: bool) -> None:
        """Weights, then operands; or both together."""
        needed = W if self.state == "load" else A if self.loads else A | W
        if moved == needed and not held:
            if self.streams[needed & -needed].marked:
                self.state = "run" if self.state == "load" else "finish"
        elif held or not all(stream.offered for mark, stream in self.streams.items() if mark & needed):
            self.stalled += 1


async def _reset(dut: Any, cycles: int) -> None:
    dut.rst.set(Immediate(1))
    for _ in range(cycles):
        await FallingEdge(dut.clk)
    dut.rst.set(Immediate(0))


async def _abandon(dut: Any, shown: int) -> None:
    """Half a tile of the first beat, again and again, then one cycle of reset: nothing of it may be left."""
    dut.shown.set(Immediate(shown))
    for _ in range(12):
        await FallingEdge(dut.clk)
    dut.shown.set(Immediate(0))
    await _reset(dut, 1)


@cocotb.test()
async def bench(dut: Any) -> None:
    """Run the beats of the folder and write down what happened."""
    Clock(dut.clk, 2, "step", impl="gpi").start()
    await FallingEdge(dut.clk)  # what is written at time 0 may be lost
    await _reset(dut, 3)
    streams, place = {}, 0
    for mark, name in ((A, "a"), (W, "w"), (P, "p")):
        if hasattr(dut, f"{name}_payload"):
            bits = len(dut[f"{name}_payload"])
            streams[mark] = Stream(name, bits, place)
            place += bits + 2
    await _abandon(dut, sum(stream.first for stream in streams.values()))
    run = Run(dut, streams, place)
    await run.go()
    Path(RESULTS).write_text("".join(run.results), encoding="ascii")
    Path(COUNTS).write_text(f"{run.cycles} {run.stalled}\n", encoding="ascii")
