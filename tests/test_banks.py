"""Sums in banks: the emulator's bits under stalls and after a reset, cycles, clearing, the banks' bound, areas."""

import re
import subprocess
from importlib import resources
from pathlib import Path

import pytest

import hwq
from hwq.datapath import Datapath, plan
from hwq.datapath.banks import WORDS, banks, indices
from hwq.errors import HwqError
from hwq.rtl import emit
from hwq.sim import check
from hwq.synth import measure
from hwq.synth.tools import share

ARRAYS = [
    "fp6_e3m2*fp6_e3m2 +fixed(32) @2x3 use=banks",
    "fp8_e4m3*fp8_e4m3 +fixed(48) @3x2 cut=mul use=banks",
    "fp8_e5m2*fp8_e5m2 ->fp16[bias] @2x2 round=sr cut=mul,align use=banks",
    "fp8_e4m3*int4 ->int8[bias,requant] @1x3 cut=unpack,mul1,requant use=banks",
    "fp(3,2)*fp(2,3) +fixed(9) @2x1 decode=pe use=banks",  # a sum that wraps
    "log4*log4 @1x1 use=banks",  # without a code of zero
    "p3109_k8p6*p3109_k8p6 @4x7 k=3 use=banks",  # more columns than banks
    "nvfp4*fp6_e3m2 @1x2 use=banks",
    "fp(3,2)*int4 +fixed(24) @24x1 k=8 use=banks",  # a result waits while codes are on their way to far lanes
]


@pytest.mark.parametrize("text", ARRAYS)
def test_an_array_with_banks_gives_the_emulators_bits_under_stalls(text: str) -> None:
    report = check(Datapath.parse(text), device="xc7", vectors=30)
    assert report.first_mismatch is None
    assert report.passed
    assert report.compared >= 30
    assert report.stalled > 0
    assert report.cycles == report.expected_cycles + report.stalled


@pytest.mark.parametrize("k", [1, 37, 4096])
def test_every_pair_in_running_sums_of_the_most_terms(k: int) -> None:
    """Sums of the largest products, as many as k allows: a bank has their bits and not one less."""
    dp = Datapath.parse(f"fp(3,2)*fp(3,1) k={k} use=banks")
    report = check(dp, device="xc7")
    assert (report.mode, report.first_mismatch) == ("exhaustive", None)
    assert report.passed
    assert report.compared > 100
    of, (lo, hi) = banks(dp.mac), dp.mac.product_range
    most = k * max(hi, -lo) >> of.apart * (of.count - 1)
    assert of.width == most.bit_length() + 1


def edited(folder: Path, name: str, before: str, after: str) -> None:
    text = (folder / name).read_text("utf-8")
    assert before in text
    (folder / name).write_text(text.replace(before, after), "utf-8")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("clear | wipe", "1'b0"),  # no bank is cleared, between tiles or after a reset
        ("clear | wipe", "clear"),  # only the first one
        ("~take_0 & open", "1'b0"),  # the first foot goes on from the row before
    ],
)
def test_what_is_not_cleared_is_seen(tmp_path: Path, before: str, after: str) -> None:
    dp = Datapath.parse("fp6_e3m2*fp6_e3m2 +fixed(32) @2x2 use=banks")
    manifest = emit(dp, tmp_path, "xc7")
    edited(tmp_path, f"{manifest.top}.v", before, after)
    report = check(dp, folder=tmp_path, vectors=8)
    assert report.mismatches > 0


def test_a_reset_in_the_middle_of_sums_leaves_nothing() -> None:
    """Few banks, so that the half tile that every bench abandons has operands in them."""
    dp = Datapath.parse("p3109_k8p6*p3109_k8p6 +fixed(24) use=banks")
    assert banks(dp.mac).count < 8
    for bench in ("bulk", "cocotb"):
        report = check(dp, device="xc7", bench=bench, exhaustive=False, vectors=20)
        assert report.passed
        assert report.compared == 20


def test_cycles_are_those_of_words_and_rows() -> None:
    dp = Datapath.parse("fp8_e4m3*fp8_e4m3 +fixed(48) @8x8 cut=mul use=banks")
    count = banks(dp.mac).count
    assert count == 15
    first = count + 100 + (count + 2 + 1 - 1)  # clear, operands, the words of row 0
    assert dp.cycles(8, 8, 100) == first + 1 + 7 * (count + 1) + 1 + 7
    wide = Datapath.parse("fp8_e4m3*fp8_e4m3 +fixed(48) @2x40 use=banks")
    assert wide.cycles(2, 40, 1) - Datapath.parse(str(wide).replace("@2", "@1")).cycles(1, 40, 1) == 40


def test_banks_are_few_enough_for_a_memory_and_each_has_codes() -> None:
    for text in ARRAYS:
        mac = Datapath.parse(text).mac
        of = banks(mac)
        assert 1 < of.count <= WORDS < 2 * (of.count << of.low) or of.low == 0
        assert len(indices(mac)) == of.count


def test_what_banks_cannot_hold_is_refused() -> None:
    for text, device, message in [
        ("int8*int8", "xc7", "needs products with an exponent, which chooses a bank, not int8"),
        ("fp8_e4m3*fp8_e4m3 +fixed(40,sat)", "xc7", "needs a sum of products as they are, exact or wrapping, not"),
        ("fp8_e4m3*fp8_e4m3 +fixed(30,6)", "xc7", "needs a sum of products as they are"),
        ("fp8_e4m3*fp8_e4m3 +bf16", "xc7", "needs a sum of products as they are"),
        ("fp8_e4m3*fp8_e4m3 @2x2x2", "xc7", "adds a product a cycle to sums that stay, not @2x2x2; write @2x2$"),
        ("fp8_e4m3*fp8_e4m3 @2x2/ws k=2", "xc7", "adds a product a cycle to sums that stay, not @2x2/ws; write @2x2$"),
        ("fp8_e4m3*fp8_e4m3", "ecp5", "needs the carry cells and memories of xc7 or xcup, not ecp5; leave it out"),
        ("fp8_e4m3*fp8_e4m3", "portable", "not portable; leave it out"),
    ]:
        with pytest.raises(HwqError, match=message):
            plan(Datapath.parse(f"{text} use=banks"), device)


@pytest.mark.parametrize(("text", "luts"), [("fp8_e4m3*fp8_e4m3 +fixed(48)", 85), ("fp8_e5m2*fp8_e5m2 +fixed(80)", 85)])
def test_an_element_and_its_share_take_what_was_promised(tmp_path: Path, text: str, luts: int) -> None:
    """The element, and of 8 rows its part of the foot, of the choice of a row, and of the control."""
    dp = Datapath.parse(f"{text} @8x1 cut=mul use=banks")
    top = (manifest := emit(dp, tmp_path, "xc7")).top
    files = [tmp_path / name for name in manifest.files]
    area = {name: measure(files, f"{top}_{name}", "xc7").lut or 0 for name in ("pe", "pe_foot", "readout", "control")}
    assert area["pe"] + (area["pe_foot"] + area["readout"] + area["control"]) / 8 <= luts
    pe = hwq.estimate(dp, "xc7").pe.figures["lut"]
    assert pe.low <= area["pe"] <= pe.high


def test_what_was_not_measured_of_arrays_with_banks_is_named() -> None:
    cost = hwq.estimate("fp8_e4m3*fp8_e4m3 +fixed(48) @2x2 use=banks", "xc7")
    assert any("banks" in name for name in cost.unmodelled)
    assert {part.name for part in cost.breakdown} > {"pe", "pe_foot", "indices"}


MEMORY = """
module bench;
  reg clk = 0, en;
  reg [4:0] a, b, c, d;
  reg [7:0] in;
  wire [7:0] ours, theirs;
  integer at, wrong = 0;
  RAM32M it (.WCLK(clk), .WE(en), .ADDRA(a), .ADDRB(b), .ADDRC(c), .ADDRD(d),
    .DIA(in[1:0]), .DIB(in[3:2]), .DIC(in[5:4]), .DID(in[7:6]),
    .DOA(ours[1:0]), .DOB(ours[3:2]), .DOC(ours[5:4]), .DOD(ours[7:6]));
  vendors it_too (.WCLK(clk), .WE(en), .ADDRA(a), .ADDRB(b), .ADDRC(c), .ADDRD(d),
    .DIA(in[1:0]), .DIB(in[3:2]), .DIC(in[5:4]), .DID(in[7:6]),
    .DOA(theirs[1:0]), .DOB(theirs[3:2]), .DOC(theirs[5:4]), .DOD(theirs[7:6]));
  initial begin
    for (at = 0; at < 4000; at = at + 1) begin
      {en, a, b, c, d, in} = {$random, $random}; #1;
      if (ours !== theirs) wrong = wrong + 1;
      clk = 1; #1; clk = 0; #1;
      if (ours !== theirs) wrong = wrong + 1;
    end
    $display("%0d %0d", wrong, at);
  end
endmodule
"""


def test_the_memory_is_yosys_model_of_it(tmp_path: Path) -> None:
    library = (share() / "xilinx" / "cells_sim.v").read_text("utf-8")
    theirs = re.search(r"^module RAM32M \(.*?^endmodule", library, re.MULTILINE | re.DOTALL)
    assert theirs is not None
    ours = resources.files("hwq.rtl").joinpath("models", "RAM32M.v").read_text("utf-8")
    text = "\n".join([MEMORY, ours, theirs[0].replace("module RAM32M", "module vendors", 1)])
    (tmp_path / "bench.v").write_text(text, "utf-8")
    subprocess.run(["iverilog", "-g2005", "-o", "bench", "-s", "bench", "bench.v"], cwd=tmp_path, check=True)
    done = subprocess.run(["vvp", "bench"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert list(map(int, done.stdout.split())) == [0, 4000]
