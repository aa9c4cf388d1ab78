"""Simulation: designs of every kind equal the emulator under stalls, and every seeded fault is reported."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import hwq
from hwq.datapath import Datapath
from hwq.errors import HwqError, ToolError
from hwq.rtl import Manifest, emit
from hwq.sim import Report, check
from hwq.sim.tools import said
from hwq.synth import netlist

# The pairs of the acceptance, with an epilogue whose corners the tiles visit
PAIRS = [
    "int4*int4 +fixed(16) ->int4[bias,requant,relu]",
    "fp4_e2m1*fp4_e2m1 +fixed(20) ->fp4_e2m1[bias,requant]",
    "int8*ternary +fixed(20) ->int8[bias,requant,relu]",
    "fp6_e2m3*fp6_e2m3 +fixed(24) ->fp6_e2m3[bias,requant,relu]",
    "fp8_e4m3*int4 ->bf16[bias,requant]",
    "int8*int8 +fixed(32) ->int8[bias,requant,relu]",
    "fp8_e4m3*fp8_e4m3 +fixed(48) ->fp8_e4m3[bias,requant] cut=mul",
]
BENCHES = ["cocotb", "bulk"]


def run(dp: str, **options: object) -> Report:
    return check(Datapath.parse(dp), **options)  # type: ignore[arg-type]


def proved(report: Report, compared: int) -> None:
    assert report.first_mismatch is None
    assert (report.mismatches, report.passed) == (0, True)
    assert report.compared >= compared
    assert report.cycles == report.expected_cycles + report.stalled
    assert report.stalled > 0


def all_pairs(dp: str, **options: object) -> None:
    report = run(dp, **options)
    pairs = len(Datapath.parse(dp).mac.a.codes()) * len(Datapath.parse(dp).mac.w.codes())
    assert report.mode == "exhaustive"
    proved(report, pairs // 3 + pairs // 512 + 4)


@pytest.mark.parametrize("dp", PAIRS[:5])
def test_every_pair_of_codes_in_running_sums(dp: str) -> None:
    all_pairs(dp)


@pytest.mark.slow  # 65,536 pairs
@pytest.mark.parametrize("dp", PAIRS[5:])
def test_every_pair_of_codes_in_running_sums_of_large_formats(dp: str) -> None:
    all_pairs(dp)


@pytest.mark.parametrize(
    "dp",
    [
        "int4*int4 +fixed(16) cut=mul1,mul use=gated",
        pytest.param("int8*int8 +fixed(32) cut=mul1,mul2,mul3,mul use=gated", marks=pytest.mark.slow),
    ],
)
def test_every_pair_of_codes_in_running_sums_of_segments(dp: str) -> None:
    all_pairs(dp, device="ecp5")


def test_every_pair_of_codes_from_the_side_of_python() -> None:
    all_pairs(PAIRS[0], bench="cocotb")


@pytest.mark.parametrize(
    "dp", ["int8*int8 +fixed(32) @3x2 cut=mul1,mul", "fp8_e5m2*fp8_e4m3 ->fp16[bias] @2x3 cut=unpack"]
)
def test_arrays_under_stalls(dp: str) -> None:
    proved(run(dp, vectors=60), 60 * 6)


@pytest.mark.slow  # 64 elements and their stalls
@pytest.mark.parametrize("dp", PAIRS)
def test_8x8_arrays_under_stalls(dp: str) -> None:
    act_weight, *rest = dp.split(" ")
    cuts = [word for word in rest if word.startswith("cut=")]
    text = " ".join([act_weight, *(word for word in rest if word not in cuts), "@8x8", *cuts])
    proved(run(text, vectors=100), 100 * 64)


@pytest.mark.parametrize(
    "dp",
    [
        "int8*int8 +fixed(20,sat) ->int8[requant] k=700",
        "fp8_e4m3*fp8_e4m3 +fixed(24,6,sat,rne) ->fp8_e4m3",
        "fp8_e5m2*fp8_e5m2 decode=pe",
        "fp8_e5m2*int4 +fixed(40) ->fp8_e5m2[bias,relu] cut=mul,bias,act round=rtz",
        "uint8*int8 +fixed(24) ->uint8[bias,requant(uint(8)),relu] cut=requant k=2",
        "int16*int3 @2x1",
    ],
)
def test_kinds_of_accumulators_epilogues_and_cuts(dp: str) -> None:
    proved(run(dp, exhaustive=False, vectors=120), 120)


@pytest.mark.parametrize("bench", BENCHES)
def test_verilator_agrees(bench: str) -> None:
    proved(run("int4*int4 +fixed(16) ->int4[bias,requant]", simulator="verilator", bench=bench), 91)


def test_verilator_beside_python_takes_an_array_of_carry_cells() -> None:
    """Each has names for hundreds of signals; kept for Python, they took the C++ compiler half an hour."""
    proved(
        run("int5*uint8 ->bf16 @6x1 use=gated", device="ecp5", simulator="verilator", bench="cocotb", vectors=40), 240
    )


def test_a_new_format_is_simulated_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for names in ("_by_name", "_by_format"):  # other tests write this format as it is
        monkeypatch.setattr(hwq.catalog, names, dict(getattr(hwq.catalog, names)))
    hwq.catalog.add("fp5_e3m1_of_a_test", hwq.parse_format("fp(3,1)"))
    proved(run("fp5_e3m1_of_a_test*int2 ->fp5_e3m1_of_a_test[bias]"), 4 * 32 // 3)


@pytest.mark.parametrize("device", ["xc7", "ecp5", "ge"])
def test_the_synthesised_netlist_is_the_same_machine(tmp_path: Path, device: str) -> None:
    dp = "int4*int4 +fixed(16) ->int4[bias,relu]"
    manifest = emit(Datapath.parse(dp), tmp_path, device)
    mapped = netlist([tmp_path / name for name in manifest.files], manifest.top, device, tmp_path)
    replace(manifest, files={mapped.name: ""}).save(tmp_path)
    proved(run(dp, folder=tmp_path), 91)


FAULTS: dict[str, tuple[str, str, Callable[[str], str]]] = {
    "unpack": (PAIRS[3], "decode_a", lambda text: re.sub(r"== (\d+)'h0;", r"== \1'h1;", text, count=1)),
    "a Booth row": (PAIRS[0], "pe", lambda text: text.replace("part1[4], part1} + w_sig_q[3]", "part1[4], part1}")),
    "a shift stage": (PAIRS[4], "pe", lambda text: re.sub(r"(shift = \w+\[)1\]", r"\g<1>0]", text, count=1)),
    "the accumulate carry": (PAIRS[0], "pe", lambda text: re.sub(r"(acc_high = .*) \+ acc_\[3\];", r"\1;", text)),
    "requant": (PAIRS[0], "epilogue", lambda text: re.sub(r"(row7 = .*) \+ mul\[15\];", r"\1;", text)),
}


@pytest.mark.parametrize("bench", BENCHES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_seeded_fault_is_reported(tmp_path: Path, fault: str, bench: str) -> None:
    dp, module, edit = FAULTS[fault]
    manifest = emit(Datapath.parse(dp), tmp_path)
    path = tmp_path / f"{manifest.top}_{module}.v"
    text = path.read_text("utf-8")
    assert edit(text) != text, text
    path.write_text(edit(text), "utf-8")
    report = run(dp, folder=tmp_path, bench=bench)
    assert report.mismatches > 0
    assert not report.passed
    assert report.first_mismatch is not None


@pytest.mark.parametrize("bench", BENCHES)
def test_a_fault_of_timing_is_reported(tmp_path: Path, bench: str) -> None:
    """A flush that is a cycle too long changes no code: the cycles tell."""
    dp = "int4*int4 +fixed(16) @1x2"
    manifest = emit(Datapath.parse(dp), tmp_path)
    path = tmp_path / f"{manifest.top}_control.v"
    text = path.read_text("utf-8")
    path.write_text(text.replace("run_state ? 1'd1", "run_state ? 1'd0"), "utf-8")
    assert path.read_text("utf-8") != text
    report = run(dp, folder=tmp_path, vectors=20, bench=bench)
    assert not report.passed
    assert report.cycles != report.expected_cycles + report.stalled


@pytest.mark.parametrize("bench", BENCHES)
def test_a_design_that_hangs_is_reported(tmp_path: Path, bench: str) -> None:
    dp = "int4*int4 +fixed(16)"
    manifest = emit(Datapath.parse(dp), tmp_path)
    path = tmp_path / f"{manifest.top}.v"
    text = path.read_text("utf-8")
    path.write_text(re.sub(r"o_valid = .*;", "o_valid = 1'h0;", text), "utf-8")
    assert path.read_text("utf-8") != text
    report = run(dp, folder=tmp_path, bench=bench)
    assert (report.compared, report.passed) == (0, False)
    assert report.first_mismatch is not None
    assert report.first_mismatch["got"] is None


def test_the_report_is_the_public_contract() -> None:
    report = run("int2*int2 ->int4", seed=3)
    fields = (
        "datapath device simulator mode seed tiles compared mismatches first_mismatch cycles expected_cycles stalled"
    )
    assert [*report.to_json()] == [*fields.split(), "vectors_per_s"]
    assert json.loads(json.dumps(report.to_json())) == report.to_json()
    again = run("int2*int2 ->int4", seed=3)
    assert replace(again, vectors_per_s=0) == replace(report, vectors_per_s=0)


@pytest.mark.parametrize("bench", BENCHES)
def test_waves_are_written_where_they_are_wanted(tmp_path: Path, bench: str) -> None:
    run("int2*int2", waves=tmp_path / "a file.fst", bench=bench)
    assert (tmp_path / "a file.fst").stat().st_size > 100
    assert os.listdir(tmp_path) == ["a file.fst"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, r"^seed must be between 0 and 2\*\*63 - 1, not -1$"),
        ({"seed": 1 << 63}, r"^seed must be between 0 and 2\*\*63 - 1, not 9223372036854775808$"),
        ({"waves": "w.vcd"}, r"^waves must be a file named \.fst, the format that is written, not 'w\.vcd'$"),
        ({"waves": "nowhere/w.fst"}, r"^the folder of waves must exist, not nowhere; make it first$"),
    ],
)
def test_options_are_checked_before_the_work_wrong(options: dict[str, object], message: str) -> None:
    with pytest.raises(HwqError, match=message):
        run("int2*int2", **options)


CHANGED = r"^manifest\.json must be as hwq rtl wrote it, not changed \(.+\); remove it and emit again$"


@pytest.mark.parametrize(
    "text",
    [b"{", b"{}", b"[]", b"3", b"\xff", b'{"ports": [], "modules": {}}', b'{"ports": [], "modules": [1]}'],
)
def test_a_manifest_of_another_kind_is_one_line_wrong(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(text)
    with pytest.raises(HwqError, match=CHANGED):
        Manifest.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        *({"more": 1}, {"files": 3}, {"files": {"x.v": 3}}, {"files": {"../x.v": ""}}, {"project": {"/x.v": ""}}),
        *({"top": "x"}, {"device": None}, {"device": "xc8"}, {"latency": "3"}, {"interval": -1}),
    ],
)
def test_a_manifest_with_another_field_is_one_line_wrong(tmp_path: Path, change: dict[str, object]) -> None:
    emit(Datapath.parse("int2*int2"), tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | change), "utf-8")
    with pytest.raises(HwqError, match=CHANGED):
        Manifest.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"compared": 0}, "nothing was compared"),
        ({"mismatches": 2}, "results differ from the emulator's"),
        ({"stalled": 6}, "the array took another number of cycles than its schedule and the bench's pauses"),
    ],
)
def test_a_failed_check_says_why(change: dict[str, int], reason: str | None) -> None:
    right = Report("dp", "xc7", "icarus", "random", 0, 1, 4, 0, None, 105, 100, 5, 1.0)
    found = replace(right, **change)  # type: ignore[arg-type]
    assert (found.failure, found.passed) == (reason, reason is None)


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("a.v:3: warning: w\na.v:5: error: Unable to bind\na.v:6: error: b\n2 error(s) during elaboration.", "a.v:5"),
        ("%Error: a.v:3:1: syntax error\n%Error: Exiting due to 1 error(s)", "%Error: a.v:3:1"),
        ("Traceback\n  raise ValueError(x)\nValueError: the cause", "ValueError: the cause"),
        ("", "no message"),
    ],
)
def test_the_first_error_of_a_tool_is_its_word(log: str, words: str) -> None:
    assert said(log).startswith(words)


def test_refusals_are_one_line_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HwqError, match=r"^an exhaustive run needs @1x1"):
        run("int4*int4 @2x2", exhaustive=True)
    with pytest.raises(HwqError, match=r"^vectors must be at least 1, not 0$"):
        run("int4*int4 @2x2", vectors=0)
    with pytest.raises(HwqError, match=r"^bench must be one of cocotb, bulk, not 'uvm'$"):
        run("int2*int2", bench="uvm")
    with pytest.raises(HwqError, match=r"^simulator must be one of icarus, verilator, not 'xsim'$"):
        run("int2*int2", simulator="xsim")
    emit(Datapath.parse("int2*int2"), tmp_path)
    with pytest.raises(HwqError, match=r"must be of int3\*int2, not of int\(2\)\*int\(2\)$"):
        run("int3*int2", folder=tmp_path)
    manifest = Manifest.load(tmp_path)
    (tmp_path / f"{manifest.pe}.v").unlink()
    with pytest.raises(HwqError, match=r"^the folder must hold all that its manifest names, not lack .*_pe\.v; emit"):
        run("int2*int2", folder=tmp_path)
    (tmp_path / f"{manifest.pe}.v").write_text("module broken(", "utf-8")
    with pytest.raises(ToolError, match=r"^iverilog must succeed, not end with: .*\.v:\d+: syntax error$"):
        run("int2*int2", folder=tmp_path)
    with pytest.raises(HwqError, match=r"^the Verilog in '.*' must be for xc7, not for portable; emit it again$"):
        run("int2*int2", folder=tmp_path, device="xc7")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"^simulation needs iverilog and vvp on PATH, not found; install"):
        run("int2*int2")
