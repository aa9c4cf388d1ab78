"""The one cocotb bench: drives the streams of any datapath's top, stalls them at random and records every result.

It runs inside the simulator and knows nothing of numbers: beats come from `stimulus.npz` in the folder that the
environment names, what the design answered goes to `outcome.json` beside it.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.handle import Immediate
from cocotb.triggers import FallingEdge, ReadOnly
from cocotb.types import Logic

from hwq.sim.tools import FOLDER

PATIENCE = 2000  # cycles without any handshake or excuse after which the design counts as hung

# How often a stream pauses in a cycle; each stream draws a mood for each tile. Mostly none: free runs are tested too.
MOODS = (0.0, 0.0, 0.0, 0.0, 0.2, 0.6)

ONE = Logic(1)


class Stream:
    """The bench's side of one stream: what it drives this cycle, and how far it is."""

    def __init__(self, dut: Any, name: str, beats: Sequence[int], lasts: Sequence[bool], rng: random.Random) -> None:
        self.valid, self.ready = dut[f"{name}_valid"], dut[f"{name}_ready"]
        self.payload, self.last = dut[f"{name}_payload"], dut[f"{name}_last"]
        self.beats, self.lasts, self.rng = beats, lasts, rng
        self.at, self.left = 0, len(beats)
        self.offered = False
        self.pause = rng.choice(MOODS)
        self._driven = False
        self._present()

    def _present(self) -> None:
        if self.left:
            self.payload.set(Immediate(self.beats[self.at]))
            self.last.set(Immediate(int(self.lasts[self.at])))

    def advance(self) -> None:
        """The beat is taken: on to the next."""
        if self.lasts[self.at]:
            self.pause = self.rng.choice(MOODS)
        self.at, self.left, self.offered = self.at + 1, self.left - 1, False
        self._present()

    def offer(self) -> None:
        """Raise valid unless this cycle is a pause; once raised it stays until the beat is taken."""
        if not self.offered and self.left:
            self.offered = not self.pause or self.rng.random() >= self.pause
        if self.offered != self._driven:
            self._driven = self.offered
            self.valid.set(Immediate(int(self.offered)))

    def taken(self) -> bool:
        return self.offered and _is_one(self.ready)


class Run:
    """Tile after tile through the design: counts cycles, excuses those that a stall froze, keeps the results."""

    def __init__(self, dut: Any, stimulus: dict[str, Any], seed: int) -> None:
        self.dut = dut
        self.rng = random.Random(seed)
        streams = [
            Stream(dut, name, _integers(stimulus[name]), _lasts(stimulus[f"{name}_beats"]), self.rng)
            for name in "awp"
            if name in stimulus
        ]
        self.loads = bool(stimulus["loads"])
        self.ends = _lasts(stimulus["o_beats"])
        self.operands, self.parameters = streams[:2], streams[2:]
        self.results: list[str] = []
        self.cycles = self.stalled = self.late = 0
        self.state, self.left, self.pause = "clear", 0, 0.0

    async def go(self) -> None:
        """Until every result has come, or the design hangs."""
        total = len(self.ends)
        streams = self.operands + self.parameters
        valid, ready, edge, settled = self.dut.o_valid, self.dut.o_ready, FallingEdge(self.dut.clk), ReadOnly()
        quiet, taking = 0, False
        while len(self.results) < total and quiet < PATIENCE:
            for stream in streams:
                stream.offer()
            before, taking = taking, not self.pause or self.rng.random() >= self.pause
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
            self.results.append(str(self.dut.o_payload.value))
            self.late += _is_one(self.dut.o_last) != finished
        if self.state == "clear":
            if self.parameters and not self.parameters[0].offered:
                self.stalled += 1
            elif not self.parameters or moved:
                self.state, self.pause = "load" if self.loads else "run", self.rng.choice(MOODS)
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
        elif moved == needed and needed[0].lasts[needed[0].at]:
            self.state = "run" if self.state == "load" else "finish"


def _lasts(beats: Any) -> list[bool]:
    """Which beats of a stream end a tile, of the numbers of beats of each tile."""
    return [step == size - 1 for size in map(int, beats) for step in range(size)]


def _is_one(handle: Any) -> bool:
    return bool(handle.value == ONE)


def _integers(packed: np.ndarray[Any, Any]) -> list[int]:
    """Rows of little-endian bytes as integers."""
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


async def _reset(dut: Any, cycles: int) -> None:
    dut.rst.set(Immediate(1))
    for _ in range(cycles):
        await FallingEdge(dut.clk)
    dut.rst.set(Immediate(0))


async def _abandon(dut: Any, operands: Iterator[tuple[str, int]]) -> None:
    """Half a tile of the largest codes, then one cycle of reset: nothing of it may be left."""
    ports = ["a_valid", "w_valid"] + ["p_valid"] * hasattr(dut, "p_valid")
    for port in ports:
        dut[port].set(Immediate(1))
    for name, beat in operands:
        dut[f"{name}_payload"].set(Immediate(beat))
    for _ in range(12):
        await FallingEdge(dut.clk)
    for port in ports:
        dut[port].set(Immediate(0))
    await _reset(dut, 1)


@cocotb.test()
async def bench(dut: Any) -> None:
    """Run the stimulus of the folder and write down what happened."""
    folder = Path(os.environ[FOLDER])
    with np.load(folder / "stimulus.npz") as file:
        stimulus = dict(file)
    Clock(dut.clk, 2, "step", impl="gpi").start()
    await FallingEdge(dut.clk)  # what is written at time 0 may be lost
    for port in [f"{name}_{member}" for name in "awp" for member in ("valid", "last", "payload")] + ["o_ready"]:
        if hasattr(dut, port):
            dut[port].set(Immediate(0))
    await _reset(dut, 3)
    await _abandon(dut, ((name, _integers(stimulus[name])[0]) for name in "aw"))
    run = Run(dut, stimulus, int(stimulus["seed"]))
    await run.go()
    outcome = {"results": run.results, "cycles": run.cycles, "stalled": run.stalled, "late": run.late}
    (folder / "outcome.json").write_text(json.dumps(outcome), encoding="utf-8")
