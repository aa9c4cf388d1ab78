"""Variants: the same bits from other structures, in simulation, as texts, and on the synthesised netlist."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hwq
from hwq.bits import evaluate, variable
from hwq.datapath import VARIANTS, Datapath, plan
from hwq.datapath.hard import MULTIPLIERS
from hwq.datapath.tiles import fields, side_by_side, spacing
from hwq.errors import HwqError
from hwq.rtl import emit
from hwq.rtl.hard import model
from hwq.sim import check
from hwq.synth import measure, netlist

BLOCKS = [
    "int8*int8 +fixed(32) use=dsp",
    "int8*int8 +fixed(32) @2x3 cut=unpack,mul use=dsp",
    "fp8_e4m3*fp(4,3,inf) +fixed(48) ->bf16[bias] @2x2 use=dsp",
    "fp(4,3,inf)*fp6_e3m2 +fixed(48) @3x2/ws k=3 cut=mul use=dsp",
    "fp8_e4m3*fp8_e4m3 +fixed(48) @2x2 cut=unpack,mul use=dsp",
    "fp8_e4m3fnuz*fp8_e4m3 ->fp8_e4m3 @2x3/ws k=2 use=dsp",
    "fp8_e4m3*fp8_e4m3fnuz +fixed(48) @2x1/tree use=dsp",
    "fp(4,3,inf)*fp(4,3,inf) +fixed(48) @2x2 use=dsp",
    "int8*fp(4,3,inf) +fixed(48) ->fp8_e5m2 cut=mul use=dsp",
    "uint8*int4 @2x3/tree use=dsp",
    "int8*int8 +fixed(32) ->int8[bias,requant] @3x4 use=dsp2",
    "uint8*int8 +fixed(24) @2x2 cut=mul use=dsp2",
    "fp6_e2m3*fp6_e2m3 @2x2/tree use=dsp2",
    "int4*int4 +fixed(16) @4x2 use=dsp4",
    "fp4_e2m1*int4 +fixed(20) @2x4 cut=unpack,mul use=dsp4",
]
PRODUCTS = [
    "int8*int8 +fixed(32) use=dsp",
    "int8*fp(4,3,inf) @3x2/ws k=3 cut=mul use=dsp",
    "fp6_e3m2*fp(3,4,nan) ->bf16 @2x2 cut=unpack,mul use=dsp",
    "fp(4,3,inf)*uint8 +fixed(48) @2x2/tree use=dsp",
    "int4*int4 +fixed(16) @2x2 use=dsp2",
]
MACS = [
    "int8*int8 +fixed(32) @2x2 use=dsp",
    "int8*int8 @3x2/ws k=3 cut=mul use=dsp",
    "fp6_e3m2*fp(3,4,nan) +fixed(32) ->bf16 cut=unpack,mul use=dsp",
    "int4*int4 +fixed(16) @2x2/tree use=dsp2",
]
DOTS = [
    "int8*int8 +fixed(32) use=dsp",
    "fp8_e4m3*fp8_e4m3 +fixed(48) @2x2 cut=unpack,mul use=dsp",
    "fp(4,3,inf)*fp(4,3,inf) @2x2/ws k=2 use=dsp",
    "int8*int8 +fixed(32) ->int8[bias,requant] @3x4 use=dsp2",
    "int4*int4 +fixed(16) @2x2/tree cut=mul use=dsp4",
    # several products a block
    "int8*int8 +fixed(32) @1x1x3 use=dsp",
    "uint8*int8 +fixed(24) ->int8[bias,requant] @2x3x3 cut=unpack,mul use=dsp",
    "int8*uint8 @2x2x3/tree cut=mul use=dsp",
    "int(9)*int4 +fixed(58) @3x2x3/ws k=9 cut=mul use=dsp",
    "fp6_e2m3*fp(2,4) ->bf16 @2x2x2 use=dsp",
    "int8*int8 +fixed(20) @2x2x3 order=tree(3) use=dsp",
]
LOGIC = ["fp4_e2m1*fp4_e2m1 +fixed(20) use=table", "fp4_e2m1*fp4_e2m1 +fixed(20) use=rows", "sm(4)*sm(4) use=table"]


CARRIES = [
    "int4*int4 +fixed(16) use=gated",
    "int8*ternary +fixed(20) use=gated",
    "int8*int8 +fixed(32) @2x1x2 use=gated",
    "uint8*int4 +fixed(24,sat) @2x2/ws k=2 cut=mul use=gated",
    "fp8_e4m3*fp6_e2m3 ->bf16 cut=mul use=gated",
    "int5*int8 +fixed(24) cut=mul1 use=gated",
    "int8*int8 +fixed(32) @2x2 cut=mul1,mul2,mul3,mul use=gated",
    "int8*int8 +fixed(32) @2x2 cut=mul2,mul3,mul use=gated",
    # sums in segments, of two to four, of one column, one row and neither
    "int4*int4 +fixed(16) @1x3 cut=mul1,mul use=gated",
    "int8*int4 @3x1 k=1 cut=unpack,mul1,mul use=gated",
    "int(7)*int5 +fixed(12) ->int8[bias,requant,relu] @2x3 cut=mul1,mul2,mul,requant use=gated",
    "uint8*uint8 +fixed(16) @3x2 cut=mul1,mul2,mul3,mul4,mul use=gated",
    "sm(5)*int6 @2x1 decode=pe cut=mul2,mul use=gated",
    # and none: several products a cycle, a register before the sum, one that is narrower than the product or saturates
    "int8*int8 +fixed(32) @1x1x2 cut=mul1,mul2,mul3,mul use=gated",
    "int4*int4 +fixed(16) @2x2/tree cut=mul1,mul use=gated",
    "int4*int4 +fixed(16) cut=mul1,mul,align use=gated",
    "int4*int4 +fixed(6) cut=mul1,mul use=gated",
    "int4*int4 +fixed(9,sat) cut=mul1,mul use=gated",
]
PAIRS = [
    "int8*ternary +fixed(20) @1x1x16 cut=mul use=pairs",
    "uint8*ternary @1x1x5 use=pairs",
    "ternary*int4 +fixed(16) @2x1x9 cut=mul,align use=pairs",
    "int3*binary @1x2x3/tree use=pairs",
    "ternary*ternary @2x1x4/ws k=8 cut=mul use=pairs",
    "int8*ternary +fixed(20,sat) ->int8[bias,requant] @1x1x4 order=tree(4) cut=mul use=pairs",
]
BANKS = ["fp6_e3m2*fp8_e5m2 +fixed(40) @2x1 use=banks"]
LOADED = [
    "int8*int8 +fixed(32) @2x3 use=load",
    "fp8_e4m3*fp8_e5m2 ->bf16[bias] @2x2 cut=unpack,mul,align use=load",
    "int8*int8 +fixed(24) ->int4[requant] @3x2 round=sr use=load",
    "fp8_e4m3*fp8_e4m3 +fp16 @2x1 cut=unpack,mul use=load",
    "uint8*int4 +fixed(20,sat) @1x2 cut=mul1,mul use=load",
    "int4*int8 +fixed(20) ->int8[bias,relu] @2x2x4/tree cut=mul use=load",
    "int4*ternary @3x3x2 decode=pe cut=unpack,mul use=load",
    "uint8*uint8 @1x1 k=1 use=load",
]
CELLS = ["int8*int8 +fixed(32) use=prefix", "fp8_e4m3*int4 +fixed(40) @2x1x2 cut=mul use=prefix"]


DOUBLED = ["int8*int4 +fixed(20) ->int8[bias,requant,relu] @3x4/ws k=3 cut=bias use=double"]  # see test_doubled.py
USED = {
    "portable": LOADED + DOUBLED,
    "xc7": BLOCKS + LOGIC + PAIRS + BANKS + LOADED[:1],
    "ecp5": CARRIES + PRODUCTS + LOADED[2:3] + ["int8*int8 +fixed(32) @2x2 cut=mul1,mul2,mul use=gated,load"],
    "versal": DOTS,
    "ice40": MACS,
    "xcup": PAIRS[:2] + BANKS,
    "nangate45": CELLS,
}


@pytest.mark.parametrize(
    ("text", "device"),
    [(text, device) for device, texts in USED.items() for text in texts],
)
def test_a_variant_gives_the_emulators_bits(text: str, device: str) -> None:
    report = check(Datapath.parse(text), device=device, vectors=60)
    assert report.first_mismatch is None
    assert report.passed
    assert report.compared >= 60


@pytest.mark.parametrize("text", LOADED)
def test_a_sum_that_is_loaded_is_not_cleared_first(text: str) -> None:
    """Both benches, under pauses of every stream: each tile is a cycle shorter, whatever its parameters wait for."""
    dp = Datapath.parse(text)
    cleared = Datapath.parse(text.replace(" use=load", ""))
    assert dp.cycles(5, 7, 1) + -(-5 // dp.array.rows) * -(-7 // dp.array.cols) == cleared.cycles(5, 7, 1)
    report = check(dp, vectors=40, bench="cocotb")
    assert report.passed
    assert report.cycles == report.expected_cycles + report.stalled


def test_every_variant_is_simulated() -> None:
    used = {name for texts in USED.values() for text in texts for name in Datapath.parse(text).uses}
    assert used == set(VARIANTS)


@pytest.mark.parametrize(
    "text", ["int4*int4 use=dsp4", "uint3*int5 use=dsp4", "int8*int8 use=dsp2", "uint8*int8 use=dsp2"]
)
def test_products_side_by_side_are_the_products(text: str) -> None:
    """Of four numbers all values, of three with 8 bits all pairs of two against the ends and some of the third."""
    dp = Datapath.parse(text)
    (a, w), bits, (down, across) = (dp.mac.a, dp.mac.w), spacing(dp.mac), {"dsp2": (1, 2), "dsp4": (2, 2)}[dp.uses[0]]
    sides = {"a": (a.integer_range, down, bits), "w": (w.integer_range, across, down * bits)}
    words, ranges = {}, []
    for side, ((lo, hi), count, apart) in sides.items():
        numbers = [variable(f"{side}{at}", lo, hi) for at in range(count)]
        words[side] = side_by_side(numbers, apart) if count > 1 else numbers[0]
        ranges += [(f"{side}{at}", np.arange(lo, hi + 1)) for at in range(count)]
    if sum(len(values) for _, values in ranges) > 200:
        name, values = ranges[-1]
        ranges[-1] = (name, np.unique(np.r_[values[:2], -1, 0, 1, values[-2:], values[::37]]))
    grids = np.meshgrid(*(values for _, values in ranges), indexing="ij")
    given = {name: grid.ravel() for (name, _), grid in zip(ranges, grids, strict=True)}
    found = fields(words["a"] * words["w"], (down, across), bits)
    for (row, col), number in zip(found, evaluate(list(found.values()), given), strict=True):
        np.testing.assert_array_equal(number, given[f"a{row}"] * given[f"w{col}"])
    assert len(given["a0"]) >= 1 << 16


VENDORS = [
    ("int8*int8 +fixed(32) cut=mul use=dsp", "xc7"),
    ("int4*int4 +fixed(16) @2x2 use=dsp4", "xc7"),
    ("int4*int4 @2x2/ws k=2 use=dsp", "xc7"),
    ("fp8_e4m3*fp8_e4m3 +fixed(48) use=dsp", "xc7"),
    ("fp8_e4m3*fp8_e4m3fnuz +fixed(48) @1x2/ws k=1 cut=mul use=dsp", "xc7"),
    ("fp8_e4m3*fp(4,3,inf) +fixed(48) @2x1/tree use=dsp", "xc7"),
    ("int8*int8 +fixed(32) @1x2 use=dsp", "ice40"),
    ("fp(3,4,nan)*int8 @2x1/ws k=2 cut=mul use=dsp", "ice40"),
]


@pytest.mark.parametrize(("text", "device"), VENDORS)
def test_a_block_does_what_the_vendors_model_does(tmp_path: Path, text: str, device: str) -> None:
    """The netlist is simulated with the model of the block that comes with Yosys, which shares nothing with ours."""
    dp = Datapath.parse(text)
    manifest = emit(dp, tmp_path, device)
    mapped = netlist([tmp_path / name for name in manifest.files], manifest.top, device, tmp_path)
    assert MULTIPLIERS[device].name in mapped.read_text("utf-8")
    replace(manifest, files={mapped.name: ""}, project={}).save(tmp_path)
    report = check(dp, folder=tmp_path, vectors=60)
    assert report.first_mismatch is None
    assert report.passed


@pytest.mark.parametrize("text", ["int8*int8 +fixed(32) @1x2 cut=mul use=dsp", "fp(4,3,inf)*int4 @2x2/ws k=2 use=dsp"])
def test_a_mapped_multiplier_gives_the_emulators_bits(tmp_path: Path, text: str) -> None:
    """The netlist for ECP5; Yosys has no model of its multiplier, which is ours here too."""
    dp = Datapath.parse(text)
    manifest = emit(dp, tmp_path, "ecp5")
    mapped = netlist([tmp_path / name for name in manifest.files], manifest.top, "ecp5", tmp_path)
    written = mapped.read_text("utf-8")
    assert "MULT18X18D #(" in written
    mapped.write_text(written + model("MULT18X18D"), "utf-8")
    replace(manifest, files={mapped.name: ""}, project={}).save(tmp_path)
    report = check(dp, folder=tmp_path, vectors=60)
    assert report.first_mismatch is None
    assert report.passed


def test_blocks_are_counted_and_what_does_not_fit_is_refused() -> None:
    for text, blocks in {BLOCKS[0]: 1, BLOCKS[1]: 6, BLOCKS[10]: 6, BLOCKS[13]: 2}.items():
        assert hwq.estimate(text, "xc7").figures["dsp"].value == blocks
    for text, message in {
        "fp8_e5m2*int4 +fixed(48) use=dsp": "a DSP48E1 multiplies 25 x 18 bits into 48, not 33 x 4 into 48",
        "fp8_e4m3*fp8_e4m3 use=dsp decode=pe": "operands that are decoded at the edge, not decode=pe",
        "int8*int8 @2x2 decode=pe use=dsp4": "operands that are decoded at the edge, not decode=pe",
        "int8*int8 +fixed(32) @2x2 use=dsp4": "not 25 x 41 into",
        "int8*int8 @2x2 use=dsp2,dsp": "use may name one variant a step",
        "int8*int8 +fixed(16,sat) use=dsp": "needs a sum that a block can keep, exact or wrapping",
        "fp8_e4m3*int8 use=dsp2": "needs operands without nan and infinities",
        "int8*int8 @3x3 use=dsp2": "serves 1 x 2 sums that stay, not @3x3",
        "int8*int8 @2x2/ws k=2 use=dsp2": "serves 1 x 2 sums that stay, not @2x2/ws",
        "int8*int8 @1x1x2 use=dsp": "needs lanes that a DSP48E1 takes at once, at most 1, not 2",
        "int8*int8 cut=mul1 use=dsp": "can be cut at unpack and mul, not at mul1",
        "int8*int8 @2x2/ws k=2 use=load": "sums that stay, not those of @2x2/ws",
        "int8*int8 +fixed(32) use=dsp,load": "registers of logic, not with use=dsp",
        "fp8_e4m3*fp8_e4m3 use=banks,load": "registers of logic, not with use=banks",
    }.items():
        with pytest.raises(HwqError, match=message):
            plan(Datapath.parse(text), "xc7")
    with pytest.raises(HwqError, match="needs a device with multiplier blocks"):
        plan(Datapath.parse("int8*int8 use=dsp"), "ge")
    with pytest.raises(HwqError, match="a MULT18X18D multiplies 18 x 18 bits into 36, not 8 x 19 into 27"):
        plan(Datapath.parse("int8*fp8_e4m3 +fixed(48) use=dsp"), "ecp5")
    with pytest.raises(HwqError, match="clock= picks cuts by delays that the blocks of ecp5 have none of"):
        plan(Datapath.parse("int8*int8 use=dsp"), "ecp5", 100)
    assert "fmax_mhz" not in hwq.estimate("int8*int8 use=dsp", "ecp5").figures
    with pytest.raises(HwqError, match="needs a device of standard cells"):
        plan(Datapath.parse("int8*int8 use=prefix"), "xc7")
    for text, device, message in [
        ("int8*int8 use=gated", "xc7", "needs the carry cells of ecp5, not xc7"),
        ("int8*ternary @1x1x2 use=pairs", "ecp5", "needs the carry cells of xc7 or xcup, not ecp5"),
        ("int8*ternary use=pairs", "xc7", "adds products of several lanes, not of @1x1; write lanes"),
        ("int8*int2 @1x1x2 use=pairs", "xc7", "needs whole numbers, of which one is -1, 0 or 1, not"),
        ("int8*ternary +fixed(16,-4) @1x1x2 use=pairs", "xc7", "needs products that are added as they are, not"),
    ]:
        with pytest.raises(HwqError, match=message):
            plan(Datapath.parse(text), device)


def test_half_a_number_counts_twice() -> None:
    """Of each code, the number that the block takes, once or twice, is that of the format in units of its lsb."""
    wide, half = plan(Datapath.parse("fp8_e4m3*fp8_e4m3 +fixed(48) use=dsp"), "xc7").operands
    assert set(wide.fields) == {"sig", "nan"}
    codes = np.arange(256)
    sig, twice = evaluate([half.fields[name] for name in ("sig", "twice")], {"code": codes})
    np.testing.assert_array_equal(sig * (1 + twice), half.fmt.integers())
    assert half.fields["sig"].width == 18
    assert set(twice) == {0, 1}


@pytest.mark.parametrize(
    ("text", "device", "luts"),
    [
        ("int8*int8 +fixed(32) use=dsp", "xc7", 0),
        ("fp8_e4m3*fp8_e4m3 +fixed(48) use=dsp", "xc7", 1),
        ("fp8_e4m3*fp(4,3,inf) +fixed(48) cut=mul use=dsp", "xc7", 2),
        ("fp8_e4m3*fp(4,3,inf) @2x1/ws k=2 use=dsp", "xc7", 2),
        ("fp(4,3,inf)*fp(4,3,inf) +fixed(48) use=dsp", "xc7", 3),
        ("int8*int8 +fixed(32) use=dsp", "ecp5", 32),
        ("int8*fp(3,4,nan) +fixed(48) use=dsp", "ecp5", 48 + 1),
        ("fp(4,3,inf)*int4 +fixed(48) use=dsp", "ecp5", 48 + 2 * 2),
        ("fp(4,3,inf)*fp(4,3,inf) +fixed(48) use=dsp", "ecp5", 48 + 2 * 3),
    ],
)
def test_flags_beside_a_block_are_a_table_each(tmp_path: Path, text: str, device: str, luts: int) -> None:
    """Where the sum is outside the block, beside a LUT for each of its bits."""
    dp = Datapath.parse(text)
    manifest = emit(dp, tmp_path, device)
    row = measure([tmp_path / f"{manifest.pe}.v"], manifest.pe, device)
    assert (row.lut, row.dsp) == (luts, 1)
    figures = next(part for part in hwq.estimate(dp, device).breakdown if part.name == "pe").figures
    assert figures["lut"].is_exact and figures["lut"].value == luts
    assert figures["ff"].value == row.ff


COSTS = [
    ("int8*ternary +fixed(20) use=gated", "ecp5", 22),
    ("int8*int8 +fixed(32) use=gated", "ecp5", 104),
    ("int8*ternary +fixed(20) @1x1x16 cut=mul use=pairs", "xc7", 135),
    ("uint8*ternary +fixed(20) @1x1x8 use=pairs", "xc7", 81),
]


@pytest.mark.parametrize(("text", "device", "luts"), COSTS)
def test_carry_cells_cost_what_they_take(tmp_path: Path, text: str, device: str, luts: int) -> None:
    """Yosys finds nothing to put beside the carry chains, and the price is that count; Booth rows take more."""
    dp = Datapath.parse(text)
    manifest = emit(dp, tmp_path, device)
    assert measure([tmp_path / f"{manifest.pe}.v"], manifest.pe, device).lut == luts
    price = next(part for part in hwq.estimate(dp, device).breakdown if part.name == "pe").figures["lut"]
    assert price.is_exact and price.value == luts
    assert hwq.estimate(replace(dp, uses=("rows",)), device).lut.value > hwq.estimate(dp, device).lut.value


@pytest.mark.parametrize(
    ("cuts", "luts", "ffs"), [("mul1,mul2,mul3,mul", 106, 129), ("mul2,mul3,mul", 105, 106), ("mul1,mul", 102, 87)]
)
def test_a_sum_in_segments_takes_what_is_said(tmp_path: Path, cuts: str, luts: int, ffs: int) -> None:
    """Whole it is 101 LUT; behind every row 9 FF more."""
    dp = Datapath.parse(f"int8*int8 +fixed(32) @8x8 cut={cuts} use=gated")
    manifest = emit(dp, tmp_path, "ecp5")
    row = measure([tmp_path / f"{manifest.pe}.v"], manifest.pe, "ecp5")
    assert (row.lut, row.ff) == (luts, ffs)
    figures = next(part for part in hwq.estimate(dp, "ecp5").breakdown if part.name == "pe").figures
    assert figures["ff"].value == ffs
    assert abs(figures["lut"].value / luts - 1) < 0.05


def test_a_clock_cuts_a_variant_that_only_its_device_has() -> None:
    dp = Datapath.parse("int8*int8 +fixed(32) @8x8 use=gated")
    found = plan(dp, "ecp5", 200).dp
    assert (found.uses, found.cuts) == (("gated",), ("mul2", "mul3", "mul"))
    assert plan(dp, "ecp5", 220).dp.cuts == ("mul1", "mul2", "mul3", "mul")
