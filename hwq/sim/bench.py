"""The one cocotb bench: drives the streams of any datapath's top, stalls them and records every result.

It runs inside the simulator, in the folder of the job, and knows nothing of numbers: beats come from files and what
the design answered goes into files, those of `bulk.v`, which does the same on the side of the hardware.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.handle import Immediate
from cocotb.triggers import FallingEdge, ReadOnly
from cocotb.types import Logic

from hwq.sim.tools import COUNTS, LOADS, RESULTS

PATIENCE = 2000  # cycles without any handshake or excuse after which the design counts as hung

ONE = Logic(1)


class Beats:
    """What a file says of one stream's beats: pauses, lasts and payloads."""

    def __init__(self, name: str, bits: int) -> None:
        raw, size = Path(f"{name}.bin").read_bytes(), 2 + (bits + 7) // 8
        self.pauses, self.lasts = list(raw[::size]), [bool(last) for last in raw[1::size]]
        self.payloads = [int.from_bytes(raw[at + 2 : at + size], "big") for at in range(0, len(raw), size)]


class Stream:
    """The bench's side of one stream: what it drives this cycle, and how far it is."""

    def __init__(self, dut: Any, name: str) -> None:
        self.valid, self.ready = dut[f"{name}_valid"], dut[f"{name}_ready"]
        self.payload, self.last = dut[f"{name}_payload"], dut[f"{name}_last"]
        self.beats = Beats(name, len(self.payload))
        self.at, self.pause = 0, self.beats.pauses[0]
        self.offered = self.marked = self._driven = False
        self._present()

    def _present(self) -> None:
        self.payload.set(Immediate(self.beats.payloads[self.at]))
        if self.marked != self.beats.lasts[self.at]:
            self.marked = self.beats.lasts[self.at]
            self.last.set(Immediate(int(self.marked)))

    def advance(self) -> None:
        """The beat is taken: on to the next."""
        self.at += 1
        self.offered = False
        if self.at < len(self.beats.pauses):
            self.pause = self.beats.pauses[self.at]
            self._present()

    def offer(self) -> None:
        """Raise valid unless this cycle is a pause; once raised it stays until the beat is taken."""
        if not self.offered and self.at < len(self.beats.pauses):
            self.offered = not self.pause
            self.pause -= not self.offered
        if self.offered != self._driven:
            self._driven = self.offered
            self.valid.set(Immediate(int(self.offered)))

    def taken(self) -> bool:
        return self.offered and _is_one(self.ready)


class Run:
    """Tile after tile through the design: counts cycles, excuses those that a stall froze, keeps the results."""

    def __init__(self, dut: Any, streams: list[Stream], loads: bool) -> None:
        self.dut, self.loads = dut, loads
        self.operands, self.parameters = streams[:2], streams[2:]
        takes = Beats("o", 0)
        self.ends, self.pauses = takes.lasts, [*takes.pauses, 0]
        self.pause = self.pauses[0]
        self.results: list[str] = []
        self.cycles = self.stalled = 0
        self.state = "clear"

    async def go(self) -> None:
        """Until every result has come, or the design hangs."""
        total = len(self.ends)
        streams = self.operands + self.parameters
        valid, ready, edge, settled = self.dut.o_valid, self.dut.o_ready, FallingEdge(self.dut.clk), ReadOnly()
        quiet, taking = 0, False
        while len(self.results) < total and quiet < PATIENCE:
            for stream in streams:
                stream.offer()
            before, taking = taking, not self.pause
            if taking != before:
                ready.set(Immediate(int(taking)))
            await settled
            moved = [stream for stream in streams if stream.taken()]
            result = _is_one(valid)
            self.cycles += 1
            self._follow(moved, result, taking)
            quiet = 0 if moved or result else quiet + 1
            await edge
            for stream in moved:
                stream.advance()

    def _follow(self, moved: list[Stream], result: bool, taking: bool) -> None:
        """What this cycle was, by the handshakes alone: progress, or a stall that is ours."""
        finished = False
        if result and taking:
            finished = self.ends[len(self.results)]
            self.results.append(f"{self.dut.o_last.value}{self.dut.o_payload.value}\n")
            self.pause = self.pauses[len(self.results)]
        elif result:
            self.pause -= 1
        if self.state == "clear":
            if self.parameters and not self.parameters[0].offered:
                self.stalled += 1
            elif not self.parameters or moved:
                self.state = "load" if self.loads else "run"
        elif self.state in ("load", "run"):
            self._enter(moved, result and not taking)
        elif result and not taking:
            self.stalled += 1
        elif finished:
            self.state = "clear"

    def _enter(self, moved: list[Stream], held: bool) -> None:
        """Weights, then operands; or both together."""
        a, w = self.operands
        needed = [w] if self.state == "load" else [a] if self.loads else [a, w]
        if held or not all(stream.offered for stream in needed):
            self.stalled += 1
        elif moved == needed and needed[0].marked:
            self.state = "run" if self.state == "load" else "finish"


def _is_one(handle: Any) -> bool:
    return bool(handle.value == ONE)


async def _reset(dut: Any, cycles: int) -> None:
    dut.rst.set(Immediate(1))
    for _ in range(cycles):
        await FallingEdge(dut.clk)
    dut.rst.set(Immediate(0))


async def _abandon(dut: Any, streams: list[Stream]) -> None:
    """Half a tile of the first beat, again and again, then one cycle of reset: nothing of it may be left."""
    for value in (1, 0):
        for stream in streams:
            stream.last.set(Immediate(0))
            stream.valid.set(Immediate(value))
        for _ in range(12 * value):
            await FallingEdge(dut.clk)
    await _reset(dut, 1)


@cocotb.test()
async def bench(dut: Any) -> None:
    """Run the beats of the folder and write down what happened."""
    Clock(dut.clk, 2, "step", impl="gpi").start()
    await FallingEdge(dut.clk)  # what is written at time 0 may be lost
    for port in [f"{name}_{member}" for name in "awp" for member in ("valid", "last", "payload")] + ["o_ready"]:
        if hasattr(dut, port):
            dut[port].set(Immediate(0))
    await _reset(dut, 3)
    names = [name for name in "awp" if hasattr(dut, f"{name}_valid")]
    await _abandon(dut, [Stream(dut, name) for name in names])
    run = Run(dut, [Stream(dut, name) for name in names], os.environ[LOADS] != "0")
    await run.go()
    Path(RESULTS).write_text("".join(run.results), encoding="ascii")
    Path(COUNTS).write_text(f"{run.cycles} {run.stalled}\n", encoding="ascii")
