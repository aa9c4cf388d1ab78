"""The bench on the side of the hardware says what the one on the side of Python says, of right designs and of wrong."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwq.datapath import Datapath, Params, matmul
from hwq.datapath.steps import parameters
from hwq.rtl import emit
from hwq.sim import BENCHES, SIMULATORS, Report, check
from hwq.sim.beats import Beats, as_bits, drive
from hwq.sim.compare import compare
from hwq.sim.expected import expected
from hwq.sim.job import Job
from hwq.sim.stimulus import Tiles, exhaustive_tiles, random_tiles

# Of every dataflow and width of a beat: parameters, lanes, seeds, payloads beyond 64 bits, codes of zero that are none
DATAPATHS = [
    "int4*int4 +fixed(16) ->int4[bias,requant,relu]",
    "int8*int4 +fixed(24) ->int4[bias,requant] @3x2 cut=requant round=sr",
    "fp8_e4m3*fp8_e4m3 +fixed(40) @2x3x4 cut=mul",
    "int8*ternary +fixed(20) ->int8[bias] @3x2x2/ws k=6",
    "fp4_e2m1*int4 +fixed(24) @2x2x3/tree",
    "e8m0*binary +fp32 @2x1",
    "e8m0*int4",
]


def run(dp: str, **options: object) -> Report:
    return check(Datapath.parse(dp), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("dp", DATAPATHS)
def test_both_benches_give_one_report(dp: str) -> None:
    bulk, cocotb = (run(dp, bench=bench, exhaustive=False, vectors=30, seed=4) for bench in ("bulk", "cocotb"))
    assert bulk.passed and bulk.compared >= 30 and bulk.stalled > 0
    assert replace(bulk, vectors_per_s=0) == replace(cocotb, vectors_per_s=0)


def test_both_simulators_give_one_report() -> None:
    """Of payloads beyond 64 bits, parameters too."""
    dp = "int8*int4 +fixed(24) ->int4[bias] @9x5 cut=mul"
    one, two = (run(dp, bench="bulk", simulator=name, vectors=40) for name in SIMULATORS)
    assert one.passed and one.compared == 40 * 45
    assert replace(one, vectors_per_s=0, simulator="") == replace(two, vectors_per_s=0, simulator="")


@pytest.mark.parametrize("bench", BENCHES)
@pytest.mark.parametrize("dp", DATAPATHS[1:4])
def test_processes_side_by_side_give_the_report_of_one(dp: str, bench: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = run(dp, bench=bench, vectors=12)
    monkeypatch.setattr("hwq.sim.run.PART", 10)
    whole, counts = Job.parts, list[int]()
    monkeypatch.setattr(Job, "parts", lambda job, count: counts.append(count) or whole(job, count))
    shared = run(dp, bench=bench, vectors=12)
    assert counts[0] > 1
    assert shared.passed and shared.compared == one.compared and shared.expected_cycles == one.expected_cycles


def test_a_fault_in_a_later_process_is_named_by_the_tile_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dp = Datapath.parse("int4*int4 +fixed(16)")
    sums = np.concatenate([expected(dp.mac, tiles).ravel() for tiles in random_tiles(dp, 400, 0)])
    values, first = np.unique(sums, return_index=True)
    late = int(values[first.argmax()])  # a sum that no earlier tile has
    element = tmp_path / (emit(dp, tmp_path).pe + ".v")
    text = element.read_text()
    element.write_text(text.replace("assign acc = acc_;", f"assign acc = acc_ == 16'd{late} ? 16'd1 : acc_;"))
    assert element.read_text() != text
    one = check(dp, folder=tmp_path, bench="bulk", exhaustive=False, vectors=400)
    monkeypatch.setattr("hwq.sim.run.PART", 500)
    shared = check(dp, folder=tmp_path, bench="bulk", exhaustive=False, vectors=400)
    assert one.mismatches and one.first_mismatch["tile"] > 100
    assert (shared.mismatches, shared.first_mismatch) == (one.mismatches, one.first_mismatch)


def test_exhaustive_runs_are_of_the_bulk_bench_and_others_of_cocotb(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def pretend(name: str) -> Callable[..., None]:
        def bench(_job: object) -> None:
            called.append(name)
            raise InterruptedError

        return bench

    monkeypatch.setattr("hwq.sim.run.BENCHES", {name: dict.fromkeys(SIMULATORS, pretend(name)) for name in BENCHES})
    for options in ({}, {"exhaustive": False}, {"bench": "cocotb"}):
        with pytest.raises(InterruptedError):
            run("int2*int2", **options)
    assert called == ["bulk", "cocotb", "cocotb"]


# What a design of the right codes may get wrong in its handshakes: the module, and the edit
FAULTS: dict[str, tuple[str, Callable[[str], str]]] = {
    "operands taken that are not offered": ("_control", lambda text: text.replace("run & ~(a_valid & w_valid) | ", "")),
    "weights taken that are not offered": ("_control", lambda text: text.replace("(a_valid & w_valid)", "a_valid")),
    "an end that is not offered": ("_control", lambda text: text.replace("if (en)", "if (en | a_last)")),
    "results that are not held": ("_control", lambda text: text.replace(" | offers & ~o_ready", "")),
    "a tile that reset does not abandon": ("_control", lambda text: text.replace("if (rst)", "if (0)")),
    "an end too many": ("", lambda text: re.sub(r"(assign o_last =).*;", r"\1 1'b1;", text)),
    "an unknown bit": (
        "",
        lambda text: re.sub(r"(assign o_payload = .*);", r"\1 ^ 1'bx;", text),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_handshakes_is_reported(tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dp = "int4*int4 +fixed(16) @2x2"
    assert run(dp, bench="bulk", vectors=40).passed
    manifest = emit(Datapath.parse(dp), tmp_path)
    module, edit = FAULTS[fault]
    path = tmp_path / f"{manifest.top}{module}.v"
    text = path.read_text("utf-8")
    assert edit(text) != text, text
    path.write_text(edit(text), "utf-8")
    report = run(dp, bench="bulk", vectors=40, folder=tmp_path)
    assert not report.passed
    assert report.failure
    monkeypatch.setattr("hwq.sim.run.PART", 50)
    assert run(dp, bench="bulk", vectors=40, folder=tmp_path).failure


def test_an_unknown_bit_stands_in_the_report(tmp_path: Path) -> None:
    dp = "int4*int4 +fixed(16)"
    manifest = emit(Datapath.parse(dp), tmp_path)
    path = tmp_path / f"{manifest.top}.v"
    path.write_text(FAULTS["an unknown bit"][1](path.read_text("utf-8")), "utf-8")
    for bench in BENCHES:
        report = run(dp, bench=bench, folder=tmp_path, vectors=5, exhaustive=False)
        assert report.mismatches == report.compared == 5
        assert report.first_mismatch is not None
        assert re.fullmatch("[01]{15}[xX]", report.first_mismatch["got"])


KINDS = [
    *DATAPATHS,
    "int8*int8 +fixed(20,sat) ->int8[requant] @2x3 k=700",
    "fp8_e4m3*fp8_e4m3 +align(4,25,rtz) @1x2x4",
    "int8*int8 +fixed(16,sat) @2x2x2 order=tree(2)",
    "fp8_e4m3*fp8_e4m3 +fp32 order=tree(4)",
    "fp8_e5m2*fp8_e5m2 ->fp16[bias] @2x2/ws k=2 round=sr",
    "mxfp4_e2m1*mxfp4_e2m1 +bf16",
]


@pytest.mark.parametrize("text", KINDS)
def test_expected_codes_are_the_products_of_the_emulator(text: str) -> None:
    dp = Datapath.parse(text)
    compared = 0
    for tiles in random_tiles(dp, 25, seed=3):
        codes, cols = expected(dp.mac, tiles), tiles.w.shape[1]
        for tile in range(len(tiles)):
            mine = slice(tile * cols, (tile + 1) * cols)
            params = Params(**{name: getattr(tiles.params, name)[mine] for name in parameters(dp.mac)})
            wanted = np.asarray(matmul(dp.mac, tiles.a[tile], tiles.w[tile], params))
            bits = dp.mac.output.bits
            assert np.array_equal(as_bits(codes[tile], bits), as_bits(wanted, bits))
            compared += wanted.size
    assert compared >= 25


def test_every_pair_of_codes_is_sent_twice() -> None:
    dp = Datapath.parse("int4*ternary")
    for tiles in list(exhaustive_tiles(dp, seed=1))[:2]:
        pairs = set(zip(tiles.a.ravel().tolist(), tiles.w.ravel().tolist(), strict=True))
        assert len(pairs) == 16 * 3


def test_many_tiles_share_their_shapes_and_few_do_not() -> None:
    dp = Datapath.parse("int8*int8")
    for count, shapes in ((7, 7), (400, 400), (4_000, 400)):
        batches = list(random_tiles(dp, count, seed=0))
        assert (sum(map(len, batches)), len(batches)) == (count, shapes)


def test_a_beat_is_the_codes_side_by_side() -> None:
    dp = Datapath.parse("int4*int3 ->int8[bias] @2x3")
    a, w = np.arange(8).reshape(1, 2, 4).astype(np.uint8), np.arange(12).reshape(1, 3, 4).astype(np.uint8) % 8
    beats = drive(dp, [Tiles(a, w, Params(bias=np.arange(1, 4).astype(object)))], seed=0)
    assert beats["a"].payload.tolist() == [[k | (4 + k) << 4] for k in range(4)]
    sent = [int.from_bytes(row.tobytes(), "little") for row in beats["w"].payload]
    assert sent == [sum(int(w[0, col, k]) << 3 * col for col in range(3)) for k in range(4)]
    (loaded,) = [int.from_bytes(row.tobytes(), "little") for row in beats["p"].payload]
    assert loaded == sum((col + 1) << dp.mac.acc_bits * col for col in range(3))
    assert [beats[name].last.tolist() for name in "awpo"] == [[False] * 3 + [True]] * 2 + [[True], [False, True]]


@pytest.mark.parametrize("width", [1, 7, 8, 19, 32, 63, 64, 70])
def test_bits_are_those_of_the_number(width: int) -> None:
    numbers = [1 % (1 << width), (1 << width) - 1, (1 << width) // 3]
    dtype = object if width > 64 else next(d for d in ("u1", "u2", "u4", "u8") if width <= 8 * np.dtype(d).itemsize)
    bits = as_bits(np.array(numbers, dtype=dtype), width)
    assert ["".join(map(str, row[::-1])) for row in bits] == [f"{number:0{width}b}" for number in numbers]


def test_pauses_are_mostly_none_and_sometimes_long() -> None:
    dp = Datapath.parse("int8*int8")
    pauses: Beats = drive(dp, list(random_tiles(dp, 400, seed=0)), seed=0)["a"]
    assert 0.5 < (pauses.pause == 0).mean() < 0.95
    assert pauses.pause.max() >= 5


def test_a_wrong_or_missing_result_is_named() -> None:
    """Characters of a beat: its last, then its columns, the last one first."""
    dp = Datapath.parse("int4*int4 +fixed(8) @2x2")
    codes = np.array([[[1, 2, 3], [7, 0, 1]]], np.uint8)
    tiles = Tiles(codes, codes, Params())
    wanted = matmul(dp.mac, codes[0], codes[0])
    ends = np.array([False, True])
    right = [f"{int(end)}{row[1]:08b}{row[0]:08b}" for end, row in zip(ends, wanted, strict=True)]

    def compared(lines: list[str]) -> tuple[int, object]:
        characters = np.frombuffer("".join(lines).encode(), np.uint8).reshape(len(lines), 17)
        return compare(dp.mac, [tiles], ends, characters)

    assert compared(right) == (0, None)
    wrong = right[1][:9] + f"{99:08b}"
    place = {"tile": 0, "row": 1, "col": 0, "got": 99, "expected": int(wanted[1, 0])}
    assert compared([right[0], wrong]) == (1, place)
    assert compared([right[0], right[1][:16] + "x"])[1] == place | {"got": right[1][9:16] + "x"}
    assert compared(right[:1]) == (2, place | {"got": None})
    late = {"tile": None, "row": None, "col": None, "got": "o_last", "expected": "o_last with a tile's last result"}
    assert compared(["1" + right[0][1:], right[1]]) == (1, late)
