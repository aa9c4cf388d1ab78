"""Two registers a weight (`use=double`): tiles overlap, cycle for cycle as the schedule says, under every pause."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hwq
from hwq.datapath import Datapath
from hwq.datapath.schedule import latency, through, turn
from hwq.errors import HwqError
from hwq.sim import check
from hwq.sim.beats import Beats
from hwq.sim.paced import paced
from hwq.synth import measure_designs

# every kind of parameter behind every register, a row, a column, specials, lanes, codes that travel, blocks
TEXTS = [
    ("int8*int8 @1x1/ws k=1 use=double", "portable"),
    ("int8*int4 +fixed(20) ->int8[bias,requant,relu] @1x4/ws k=1 cut=bias,requant,act use=double", "portable"),
    ("uint8*int5 ->int8[bias,requant,relu] @2x2/ws k=2 cut=unpack,act round=sr use=double", "portable"),
    ("fp8_e4m3*fp8_e5m2 ->bf16[bias] @3x2x2/ws k=6 cut=unpack,mul,align use=double", "portable"),
    ("int4*ternary @2x5x2/ws k=4 decode=pe cut=unpack,mul use=double", "xc7"),
    ("int8*int8 +fixed(24) ->int4[requant] @4x1/ws k=4 cut=requant use=double", "nangate45"),
    ("fp8_e4m3*fp(4,3,inf) +fixed(48) @3x2/ws k=3 use=dsp,double", "xc7"),
    ("fp(3,4,nan)*int8 @2x1/ws k=2 cut=mul use=dsp,double", "ice40"),
    ("int8*int4 ->int8[bias] @2x3/ws k=2 cut=unpack use=dsp,double", "ecp5"),
    ("int8*int8 +fixed(32) @2x2x3/ws k=6 use=dsp,double", "versal"),
]


@pytest.mark.parametrize(("text", "device"), TEXTS)
@pytest.mark.parametrize(("simulator", "bench"), [("icarus", "cocotb"), ("icarus", "bulk"), ("verilator", "bulk")])
def test_tiles_overlap_and_lose_nothing(text: str, device: str, simulator: str, bench: str) -> None:
    report = check(Datapath.parse(text), device=device, simulator=simulator, bench=bench, exhaustive=False, vectors=90)
    assert report.first_mismatch is None
    assert report.passed
    assert report.stalled > 0


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("int8*int8 @1x1/ws k=1 use=double", "portable"),
        ("fp6_e3m2*int8 @1x1/ws k=1 cut=unpack use=dsp,double", "xc7"),
    ],
)
def test_every_pair_of_codes(text: str, device: str) -> None:
    report = check(Datapath.parse(text), device=device)
    assert report.passed
    assert report.mode == "exhaustive"
    assert report.compared >= 1 << sum(fmt.bits for fmt in (Datapath.parse(text).mac.a, Datapath.parse(text).mac.w))


def _beats(sizes: list[int], pauses: list[int]) -> Beats:
    last = np.zeros(sum(sizes), dtype=np.bool_)
    last[np.cumsum(sizes) - 1] = True
    pause = np.resize(np.array(pauses, dtype=np.uint8), len(last))
    return Beats(np.zeros((len(last), 1), np.uint8), last, pause)


def _streams(dp: Datapath, sizes: list[int], pauses: Mapping[str, list[int]]) -> dict[str, Beats]:
    each = {"a": sizes, "w": [dp.array.rows] * len(sizes), "o": sizes, "p": [1] * len(sizes)}
    return {
        name: _beats(beats, pauses.get(name, [0])) for name, beats in each.items() if name in "awo" or dp.mac.epilogue
    }


SHAPES = st.builds(
    "int8*int8 +fixed(24) ->int8{} @{}x{}/ws k=1{} use=double".format,
    st.sampled_from(["", "[bias]", "[bias,requant]"]),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from(["", " cut=unpack", " cut=mul"]),
)


@settings(max_examples=200, deadline=None)
@given(SHAPES, st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_without_pauses_the_schedule_is_what_the_model_takes(text: str, sizes: list[int]) -> None:
    """The closed form against going through it cycle by cycle."""
    dp = Datapath.parse(text)
    assert paced(dp, _streams(dp, sizes, {})) == through(dp, sizes)


@settings(max_examples=100, deadline=None)
@given(
    SHAPES,
    st.lists(st.integers(1, 30), min_size=1, max_size=5),
    st.lists(st.integers(0, 9), min_size=1, max_size=7),
    st.sampled_from("awop"),
)
def test_a_pause_costs_at_most_its_cycles(text: str, sizes: list[int], pauses: list[int], stream: str) -> None:
    dp = Datapath.parse(text)
    streams = _streams(dp, sizes, {stream: pauses})
    most = int(streams[stream].pause.sum()) if stream in streams else 0
    assert 0 <= paced(dp, streams) - through(dp, sizes) <= most


def test_operands_follow_one_another_from_tile_to_tile() -> None:
    """Many long tiles take their operands' cycles; short ones the time that weights take to come."""
    dp = Datapath.parse("int8*int8 @8x8/ws k=8 use=double")
    once = dp.cycles(64, 8, 8)
    assert once == 8 + 64 + latency(dp)
    assert dp.cycles(64, 8 * 100, 8) == once + 99 * 64
    assert dp.cycles(5, 8 * 100, 8) == dp.cycles(5, 8, 8) + 99 * turn(dp)
    assert turn(dp) == 1 + 14 + 8
    single = Datapath.parse("int8*int8 @8x8/ws k=8")
    assert math.isclose(
        single.cycles(64, 8 * 1000, 8) / dp.cycles(64, 8 * 1000, 8), (64 + 1 + 8 + 17) / 64, rel_tol=1e-3
    )


@pytest.mark.parametrize("shape", ["@2x2", "@2x2x2/tree"])
def test_only_weights_that_stay_are_doubled(shape: str) -> None:
    with pytest.raises(
        HwqError, match=r"use=double keeps two weights an element, which stay only in @2x2/ws, not @2x2"
    ):
        Datapath.parse(f"int8*int8 {shape} use=double")


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("int4*int4 +fixed(16) @3x2/ws k=3 cut=unpack use=double", "xc7"),
        ("int8*int4 +fixed(24) ->int8[bias,requant] @4x3/ws k=4 cut=bias use=double", "ecp5"),
        ("uint8*int4 +fixed(24) ->int8[bias] @2x5/ws k=2 cut=unpack use=double", "xc7"),
        ("int8*int8 +fixed(32) @3x2/ws k=3 use=dsp,double", "xc7"),
    ],
)
def test_what_is_double_is_counted(text: str, device: str) -> None:
    """Flip-flops of the top to the one, and an element's one LUT more, for when to take the weight."""
    dp, single = Datapath.parse(text), Datapath.parse(text.replace(",double", "").replace(" use=double", ""))
    top, one, other = measure_designs([(dp, "top"), (dp, "pe"), (single, "pe")], device, workers=1)
    assert top.ff == hwq.estimate(dp, device).figures["ff"].value
    assert one.lut is not None
    assert other.lut is not None
    assert one.lut - other.lut == 1
