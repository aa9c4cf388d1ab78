"""Arrays of every dataflow: the emulator's bits under stalls, the cycles of the schedule, what a top consists of."""

import math
from pathlib import Path

import numpy as np
import pytest

import hwq
from hwq.datapath import Datapath, plan
from hwq.datapath.fabric import structure
from hwq.datapath.schedule import beats, tile_cycles
from hwq.errors import HwqError
from hwq.rtl import emit
from hwq.sim import check
from hwq.sim.beats import operand_beats
from hwq.sim.stimulus import random_tiles

ARRAYS = [
    # lanes: any of them where the order of a sum is nothing, as many as the Mac says where it is something
    "int8*int8 +fixed(32) @3x2x2",
    "int8*int4 +fixed(12) @1x2x5",
    "fp8_e4m3*int4 +fixed(40) ->bf16[bias] @2x1x3 cut=mul,align",
    "fp8_e4m3*fp8_e4m3 +bf16 @2x2x2 order=tree(2)",
    "int8*int8 +fixed(16,sat) @2x2x2 decode=pe order=tree(2)",
    "fp8_e4m3*fp8_e4m3 +align(4,25,rtz) @1x2x4",
    "fp4_e2m1*fp4_e2m1 +fixed(20) @1x1x8",
    # weight-stationary
    "int8*int8 +fixed(24) @4x3/ws k=4",
    "int8*int4 ->int8[bias,requant,relu] @3x2x2/ws k=6 cut=mul,requant",
    "fp8_e5m2*fp8_e5m2 ->fp16[bias] @2x2/ws k=2 round=sr",
    "fp8_e4m3*fp8_e4m3 +bf16 @3x2/ws k=3",
    "int4*int4 ->int8[bias,requant] @4x1/ws k=4 cut=unpack",
    "fp8_e4m3*int4 +fixed(40) @3x2x2/ws k=6 cut=unpack,mul,align",
    "int4*int4 @1x3/ws k=1 decode=pe cut=unpack",
    # dot-product units
    "int4*int4 +fixed(20) @2x2x3/tree",
    "int8*ternary +fixed(20) @2x2x4/tree cut=mul",
    "fp6_e3m2*fp6_e3m2 ->fp6_e3m2[requant] @1x2x2/tree cut=unpack,mul1",
]


@pytest.mark.parametrize("text", ARRAYS)
def test_an_array_gives_the_emulators_bits_under_stalls(text: str) -> None:
    report = check(Datapath.parse(text), vectors=60)
    assert report.first_mismatch is None
    assert report.passed
    assert report.compared >= 60
    assert report.stalled > 0
    assert report.cycles == report.expected_cycles + report.stalled


@pytest.mark.parametrize("shape", ["@1x1", "@3x2", "@2x3x2", "@4x1/ws", "@2x3x2/ws", "@3x3/tree", "@1x4x4/tree"])
@pytest.mark.parametrize("cut", ["", " cut=mul", " cut=unpack,mul1,mul,bias"])
def test_cycles_of_a_product_are_those_of_its_tiles(shape: str, cut: str) -> None:
    """Without a stall every tile takes the schedule's cycles, partial ones too."""
    dp = Datapath.parse(f"int4*int4 ->int8[bias,requant] {shape} k=4{cut}")
    array = dp.array
    m, n, k = 5, 7, 3
    down = 1 if array.dataflow == "ws" else math.ceil(m / array.rows)
    assert dp.cycles(m, n, k) == down * math.ceil(n / array.cols) * tile_cycles(dp, m, k)
    assert dp.cycles(1, 1, 1) == tile_cycles(dp, 1, 1)
    report = check(dp, vectors=12, seed=1)
    assert report.passed


def test_the_beats_of_a_tile_hold_every_code_once() -> None:
    for text in ("int8*int8 @3x2x2", "int8*int8 @3x2x2/ws k=6", "int8*int8 @3x2x4/tree"):
        dp = Datapath.parse(text)
        for tiles in random_tiles(dp, 20, seed=3):
            a, w = operand_beats(dp, tiles)
            each = beats(dp, tiles.terms)
            sizes = (tiles.rows, dp.array.rows) if dp.array.dataflow == "ws" else (each, each)
            assert (a.shape[1], w.shape[1]) == sizes
            for sent, codes in ((a, tiles.a), (w, tiles.w)):
                filled = sent.size - codes.size
                assert np.array_equal(np.sort(sent.ravel()), np.sort(np.append(codes, np.zeros(filled, codes.dtype))))


def test_a_top_is_one_module_a_concept(tmp_path: Path) -> None:
    """Its size grows with rows and columns, not with their product; 64 x 64 elements are 64 instances of a row."""
    manifest = emit(Datapath.parse("int8*int8 +fixed(32) @64x64"), tmp_path / "64")
    texts = {name: (tmp_path / "64" / name).read_text("utf-8") for name in manifest.files}
    lines = sum(text.count("\n") for text in texts.values())
    assert 64 * 20 < lines < 40 * 64
    assert texts[f"{manifest.top}.v"].count(f"{manifest.top}_row row_") == 64
    assert texts[f"{manifest.top}_row.v"].count(f"{manifest.pe} pe_") == 64
    assert [port.name for port in manifest.ports[:2]] == ["clk", "rst"]
    lines = texts[f"{manifest.top}.v"].splitlines()
    names = [line.split()[-1].rstrip(",") for line in lines if line.startswith(("  input", "  output"))]
    assert names == [port.name for port in manifest.ports]


@pytest.mark.parametrize("shape", ["@4x3x2", "@4x3x2/tree", "@4x3x2/ws"])
def test_elements_decoders_and_epilogues_are_counted(shape: str) -> None:
    dp = Datapath.parse(f"fp8_e4m3*int4 +fixed(40) {shape} k=8")
    held = {name: count for name, count, _ in structure(plan(dp))}
    assert held.get("pe", 0) + held.get("pe_first", 0) == 12
    assert (held["decode_a"], held["decode_w"], held["epilogue"]) == (8, 6, 3)


def test_what_hardware_cannot_add_is_refused_with_what_can() -> None:
    for text, message in {
        "fp8_e4m3*fp8_e4m3 +bf16 order=tree(4)": "write @1x1x4",
        "int8*int8 +align(8,24,rtz)": "write @1x1x8",
        "fp8_e4m3*fp8_e4m3 +align(4,10,rtz) @1x1x4": "must keep the 23 fraction bits of its sum",
        "signs(1)*signs(1) @1x1x2": "which .* has none of; write @1x1$",
    }.items():
        with pytest.raises(HwqError, match=message):
            plan(Datapath.parse(text))


def test_lanes_are_priced() -> None:
    one, four = (hwq.estimate(f"int8*int8 +fixed(24) @1x1{lanes}", "xc7") for lanes in ("", "x4"))
    assert 3 < four.figures["lut"].value / one.figures["lut"].value < 4.3
