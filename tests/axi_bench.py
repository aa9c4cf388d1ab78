"""What happens to an AXI wrapper in a simulator: cocotbext-axi drives, stalls and resets it, and compares what comes.

It runs inside the simulator, around a `bench.v` that tests/test_axi.py writes, and is told by `job.json`:
`rounds`, each a list of frames: the bytes of every stream's transfers, results of `leaves` among them; `registers`.
A round ends when its results have come, or by a reset amid it if its `cut` is "hard", aresetn for some cycles, or
"soft", by the register: what was under way is gone then, and what had come must be the first of what was to come.
"pause" lets nothing enter for a while.
"""

import json
import logging
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp, AxiStreamBus, AxiStreamSink, AxiStreamSource

PATIENCE = 10_000  # cycles without a result after which the design counts as hung
CYCLE = 10  # ns
MOODS = (0.0, 0.0, 0.2, 0.6, 0.95)  # how often a channel pauses; each draws one for some cycles
RUN, RESET = 1, 2  # bits of CONTROL


def pauses(seed: str) -> Iterator[bool]:
    rng = random.Random(seed)
    while True:
        mood = rng.choice(MOODS)
        for _ in range(rng.randint(1, 150)):
            yield rng.random() < mood


class Bench:
    def __init__(self, dut: Any, job: dict[str, Any], stalls: bool = True) -> None:
        self.dut, self.job, self.rng = dut, job, random.Random(job["seed"])
        self.registers = {one["name"]: one for one in job["registers"]}
        logging.getLogger("cocotb.bench").setLevel(logging.ERROR)  # not each frame that a reset cuts
        signals = (dut.aclk, dut.aresetn)
        given = {"reset_active_level": False}
        self.sources = {
            name: AxiStreamSource(AxiStreamBus.from_prefix(dut, axis), *signals, **given)
            for name, axis in job["enters"].items()
        }
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, f"m_axis_{job['leaves']}"), *signals, **given)
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), *signals, **given)
        write, read = self.master.write_if, self.master.read_if
        lite = [write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel]
        for at, channel in enumerate([*self.sources.values(), self.sink, *lite] * stalls):
            channel.set_pause_generator(pauses(f"{job['seed']} {at}"))
        self.frames = self.transfers = self.resets = self.words = 0
        self.ours: dict[int, int] = {}  # what the registers that are written hold

    async def reset(self, cycles: int) -> None:
        """aresetn, low for so many rising edges; whoever drives forgets what it had."""
        self.dut.aresetn.value = 0
        await ClockCycles(self.dut.aclk, cycles)
        for channel in (*self.sources.values(), self.sink):
            channel.clear()
        self.dut.aresetn.value = 1
        self.ours = {}

    async def word(self, name: str) -> int:
        found = await self.master.read(self.registers[name]["offset"], 4)
        assert found.resp == AxiResp.OKAY
        return int.from_bytes(found.data, "little")

    async def control(self, value: int) -> None:
        done = await self.master.write(self.registers["CONTROL"]["offset"], value.to_bytes(4, "little"))
        assert done.resp == AxiResp.OKAY

    async def soft_reset(self) -> None:
        """Streams are closed, then the core is reset; what was offered still leaves, as AXI demands."""
        await self.control(0)
        await self.control(RESET)
        for source in self.sources.values():
            source.clear()
            source.assert_reset()
        while self.dut.__getattr__(f"m_axis_{self.job['leaves']}_tvalid").value:
            await ClockCycles(self.dut.aclk, 1)
        await ClockCycles(self.dut.aclk, 2)
        self.sink.clear()
        self.sink.assert_reset()
        await self.control(RUN)

    async def round(self, frames: list[dict[str, str]], cut: str | None) -> None:
        for frame in frames:
            for name, source in self.sources.items():
                source.send_nowait(bytes.fromhex(frame[name]))
        expected = [bytes.fromhex(frame[self.job["leaves"]]) for frame in frames]
        transfers = sum(map(len, expected)) // self.sink.byte_lanes
        if cut is not None:
            await ClockCycles(self.dut.aclk, self.rng.randint(1, 2 * transfers + 40))
        if cut == "pause":
            await self.control(0)
            await ClockCycles(self.dut.aclk, self.rng.randint(1, 60))
            await self.control(RUN)
        if cut in (None, "pause"):
            for one in expected:
                self.compare(one, await with_timeout(self.sink.recv(), PATIENCE * CYCLE, "ns"))
            return
        if cut == "soft":
            await self.control(0)
        for one in expected[: self.sink.count()]:
            self.compare(one, self.sink.recv_nowait())
        assert self.sink.empty()
        self.resets += 1
        await (self.soft_reset() if cut == "soft" else self.reset(self.rng.choice((1, 1, 2, 5))))

    def compare(self, expected: bytes, frame: Any) -> None:
        assert bytes(frame.tdata) == expected
        self.frames += 1
        self.transfers += len(expected) // self.sink.byte_lanes

    async def reads(self) -> None:
        """Words that do not change, and offsets without a register, for ever."""
        while True:
            known = {one["offset"]: one for one in self.registers.values()}
            offset = self.rng.choice([*known, *(4 * self.rng.randrange(1024) for _ in range(4))])
            found = await self.master.read(offset, 4)
            if found is None:  # a reset came
                continue
            assert found.resp == (AxiResp.OKAY if offset in known else AxiResp.DECERR)
            value = int.from_bytes(found.data, "little")
            if offset not in known:
                assert value == 0
            elif (constant := known[offset]["constant"]) is not None:
                assert value == constant
            self.words += 1

    async def writes(self) -> None:
        """Some bytes of registers that are written and then read, of others and of none, for ever."""
        hooks = [one for one in self.registers.values() if one["written"] and one["name"] != "CONTROL"]
        others = [one["offset"] for one in self.registers.values() if not one["written"]]
        none = sorted({*range(0, 4096, 4)} - {one["offset"] for one in self.registers.values()})
        while True:
            first, count = self.rng.choice([(at, n) for at in range(4) for n in range(1, 5 - at)])
            data = self.rng.randbytes(count)
            register = self.rng.choice([*hooks, None])
            offset = register["offset"] if register else self.rng.choice([*others, self.rng.choice(none)])
            done = await self.master.write(offset + first, data)
            if done is None:
                continue
            if register is None:
                assert done.resp == (AxiResp.SLVERR if offset in others else AxiResp.DECERR)
                self.words += 1
                continue
            assert done.resp == AxiResp.OKAY
            before = self.ours.get(offset, 0).to_bytes(4, "little")
            after = before[:first] + data + before[first + count :]
            self.ours[offset] = int.from_bytes(after, "little") & (1 << register["bits"]) - 1
            found = await self.master.read(offset, 4)
            if found is not None:
                assert int.from_bytes(found.data, "little") == self.ours[offset]
            self.words += 1


@cocotb.test()
async def streams(dut: Any) -> None:
    """Rounds under random stalls, with resets amid them, while registers are read and written."""
    job = json.loads(Path("job.json").read_text("utf-8"))
    Clock(dut.aclk, CYCLE, "ns").start()
    await ClockCycles(dut.aclk, 2)  # in reset: of what is unknown cocotbext-axi makes no handshake
    bench = Bench(dut, job)
    await bench.reset(3)
    others = [cocotb.start_soon(bench.reads()), cocotb.start_soon(bench.writes())]
    for one in job["rounds"]:
        await bench.round(one["frames"], one["cut"])
    for task in others:
        assert not task.done()
        task.cancel()
    await bench.reset(2)
    await bench.round(job["rounds"][0]["frames"], None)
    counts = {name: int(getattr(dut, f"moved_{name}").value) for name in (*job["enters"], job["leaves"])}
    for name in counts:
        assert await bench.word(f"BEATS_{name.upper()}") == int(getattr(dut, f"since_{name}").value)
    assert await bench.word("STATUS") == 0
    assert await bench.word("CYCLES") > 0
    assert dut.broken.value == 0
    await ClockCycles(dut.aclk, 200)
    assert bench.sink.empty()
    assert bench.sink.idle()
    seen = {name: getattr(bench, name) for name in ("frames", "transfers", "resets", "words")}
    seen |= {"beats": counts, "cycles": int(dut.cycles.value)}
    Path("seen.json").write_text(json.dumps(seen), "utf-8")


@cocotb.test()
async def broken(dut: Any) -> None:
    """A frame that ends amid a payload gives zeros for the rest of it and an error, and the next frame is whole."""
    job = json.loads(Path("job.json").read_text("utf-8"))
    Clock(dut.aclk, CYCLE, "ns").start()
    await ClockCycles(dut.aclk, 2)
    bench = Bench(dut, job)
    await bench.reset(3)
    for one in job["rounds"]:
        await bench.round(one["frames"], None)
    status = await bench.word("STATUS")
    assert status == 2 | 1 << 16 + job["broken"]
    await bench.soft_reset()
    assert await bench.word("STATUS") == 0
    Path("seen.json").write_text(json.dumps({"frames": bench.frames}), "utf-8")
