"""Wrappers that are simulated, and what goes through them: arrays of hwq, and a core with ports of every kind."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwq.datapath import Datapath
from hwq.rtl import Axi, Port, Wrapper, emit
from hwq.sim.beats import Beats, as_bits, drive
from hwq.sim.expected import expected
from hwq.sim.stimulus import random_tiles

Frame = dict[str, str]


@dataclass(frozen=True)
class Case:
    """A wrapper in a folder, what surrounds it there, and frames of its streams in hexadecimal bytes."""

    wrapper: Wrapper
    files: tuple[str, ...]
    frames: Sequence[Frame]


def array(folder: Path, text: str, axi: Axi, tiles: int, seed: int) -> Case:
    """An array, tiles as the emulator computes them."""
    dp = Datapath.parse(text)
    manifest = emit(dp, folder, bus=axi)
    wrapper = Wrapper(manifest.top, manifest.ports, ("a", "o"), axi, int(manifest.top[4:12], 16))
    batches = list(random_tiles(dp, tiles, seed))
    streams = drive(dp, batches, seed)
    payloads = []
    for batch in batches:
        bits = as_bits(expected(dp.mac, batch), dp.mac.output.bits)
        payloads.append(np.packbits(bits.reshape(-1, dp.array.cols * dp.mac.output.bits), axis=1, bitorder="little"))
    ends = streams["o"]
    streams["o"] = Beats(np.concatenate(payloads), ends.last, ends.pause)
    widths = {one.name: one.width // 8 * one.transfers for one in wrapper.streams}
    columns = {name: _frames(beats, widths[name]) for name, beats in streams.items()}
    frames = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return Case(wrapper, manifest.sources, frames)


def _frames(beats: Beats, width: int) -> list[str]:
    """Each tile's payloads, padded to so many bytes."""
    padded = np.pad(beats.payload, ((0, 0), (0, width - beats.payload.shape[1])))
    return [part.tobytes().hex() for part in np.split(padded, np.cumsum(beats.sizes)[:-1])]


BITS, KEY = 90, 20
PORTS = (
    *(Port(name, "input", 1) for name in ("clk", "rst", "k_valid")),
    *(Port("k_ready", "output", 1), Port("k_payload", "input", KEY), Port("k_last", "input", 1)),
    *(Port("i_valid", "input", 1), Port("i_ready", "output", 1), Port("i_payload", "input", BITS)),
    *(Port("i_last", "input", 1), Port("mask", "input", 45), Port("keyed", "output", 1), Port("seen", "output", 40)),
    *(Port("o_valid", "output", 1), Port("o_ready", "input", 1), Port("o_payload", "output", BITS)),
    Port("o_last", "output", 1),
)
# what depends on what within a cycle, as far as it may: only the wrapper's buffers stand between the streams
CORE = f"""
module core (
  input clk, input rst, input k_valid, output k_ready, input [{KEY - 1}:0] k_payload, input k_last,
  input i_valid, output i_ready, input [{BITS - 1}:0] i_payload, input i_last,
  input [44:0] mask, output keyed, output [39:0] seen,
  output o_valid, input o_ready, output [{BITS - 1}:0] o_payload, output o_last
);
  reg have;
  reg [{KEY - 1}:0] key;
  assign keyed = have;
  assign seen = {{mask[19:0], key}};
  assign k_ready = ~have & ~rst;
  assign o_valid = have & i_valid;
  assign i_ready = have & o_ready & ~rst;
  assign o_payload = i_payload ^ {{5{{key[17:0]}}}};
  assign o_last = i_last;
  always @(posedge clk)
    if (rst) have <= 1'b0;
    else if (k_valid & k_ready) begin
      have <= 1'b1;
      key <= k_payload;
    end else if (i_valid & i_ready & i_last) have <= 1'b0;
endmodule
"""


def keyed(folder: Path, axi: Axi, tiles: int, seed: int) -> Case:
    """A core whose results are what enters, exclusive or a key that goes ahead of each frame."""
    wrapper = Wrapper("core", PORTS, ("i", "o"), axi, 0x12345678)
    (folder / "core.v").write_text(CORE, "utf-8")
    for leaf in wrapper.modules:
        (folder / f"{leaf.name}.v").write_text(leaf.text, "utf-8")
    rng = random.Random(seed)
    sizes = {one.name: one.width // 8 * one.transfers for one in wrapper.streams}
    frames = []
    for _ in range(tiles):
        key = rng.getrandbits(KEY)
        mask = sum((key & (1 << 18) - 1) << 18 * at for at in range(5))
        numbers = [rng.getrandbits(BITS) for _ in range(rng.choice((1, 1, 2, 5, 12)))]
        i, o = (
            b"".join(n.to_bytes(sizes["i"], "little") for n in side) for side in (numbers, [n ^ mask for n in numbers])
        )
        frames.append({"k": key.to_bytes(sizes["k"], "little").hex(), "i": i.hex(), "o": o.hex()})
    return Case(wrapper, ("core.v", *(f"{leaf.name}.v" for leaf in wrapper.modules)), frames)


def registers(wrapper: Wrapper) -> list[dict[str, Any]]:
    """What the bench is told of them: values that are known beforehand, and the bits of those that are written."""
    constants = {"ID": 0x68777101, "TEXT": wrapper.digest}
    bits = {"CORE_MASK_0": 32, "CORE_MASK_1": 13}
    return [
        {
            "name": one.name,
            "offset": one.offset,
            "written": one.written,
            "constant": constants.get(one.name),
            "bits": bits.get(one.name, 32),
        }
        for one in wrapper.registers
    ]


def bench(wrapper: Wrapper) -> str:
    """Verilog around a wrapper: what cocotb drives, counts of what moved, and what AXI forbids an output to do.

    What is offered stays, as it is, until it is taken; nothing is offered in reset, nor is it unknown.
    """
    lines = ["`timescale 1ns/1ps", "module bench;", "  reg broken = 0, held = 0;", "  integer cycles = 0;"]
    for port in wrapper.ports:
        kind, start = ("reg", " = 0") if port.direction == "input" else ("wire", "")
        lines.append(f"  {kind} [{port.width - 1}:0] {port.name}{start};")
    pins = ", ".join(f".{port.name}({port.name})" for port in wrapper.ports)
    lines += [f"  {wrapper.name} dut({pins});"]
    for one in wrapper.streams:
        moves = f"{one.axis}_tvalid & {one.axis}_tready"
        lines += [f"  integer moved_{one.name} = 0, since_{one.name} = 0;", "  always @(posedge aclk)"]
        lines += [f"    if (!aresetn) since_{one.name} <= 0; else if ({moves}) begin"]
        lines += [f"      moved_{one.name} <= moved_{one.name} + 1; since_{one.name} <= since_{one.name} + 1; end"]
    offers = [(f"{one.axis}_t", ("data", "last"), one.width + 1) for one in wrapper.streams if not one.enters]
    offers += [("s_axil_b", ("resp",), 2), ("s_axil_r", ("data", "resp"), 34)]
    for base, members, width in offers:
        payload = "{" + ", ".join(f"{base}{member}" for member in members) + "}"
        lines += [
            f"  reg {base}_waits = 0; reg [{width - 1}:0] {base}_was;",
            "  always @(posedge aclk) begin",
            f"    {base}_waits <= aresetn & {base}valid & ~{base}ready; {base}_was <= {payload};",
            f"    if (aresetn & {base}_waits & ({base}valid !== 1 | {payload} !== {base}_was))",
            "      broken <= 1;",
            f"    if (held & {base}valid !== 0) broken <= 1;",
            f"    if (aresetn & held === 0 & ^{base}valid === 1'bx) broken <= 1;",
            "  end",
        ]
    lines += ["  always @(posedge aclk) begin", "    held <= ~aresetn; cycles <= cycles + 1;", "  end", "endmodule", ""]
    return "\n".join(lines)
