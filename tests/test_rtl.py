"""Verilog: the same bytes everywhere, silent in every tool, readable, and as small as its rows say."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hwq.datapath import Datapath
from hwq.datapath.schedule import tile_cycles
from hwq.errors import HwqError
from hwq.rtl import Manifest, emit, top_name
from hwq.rtl.wires import constant, extended, text, whole
from hwq.sim.tools import verilator_environment
from hwq.synth import Job, measure_many

INT8 = "int8*int8 +fixed(32)"
FULL = "int8*int8 +fixed(32) ->int8[bias,requant,relu] @2x3 cut=mul,requant"
DESIGNS = [
    INT8,
    FULL,
    "fp8_e5m2*fp8_e4m3 @3x2 cut=unpack,mul",
    "fp4_e2m1*fp4_e2m1 +fixed(20) ->fp4_e2m1[requant] decode=pe",
    "int8*ternary +fixed(20,sat) ->uint8[bias,relu] @1x4",
    "fp8_e4m3*int4 ->bf16[bias,requant] @2x2 round=rtz",
    "int8*int4 +fixed(24) ->int8[bias] @2x2 use=load",
    "uint4*uint4 +fixed(20) @1x2 cut=mul use=load",
    "int8*int4 ->int8[bias,requant] @3x2/ws k=3 cut=unpack,bias use=double",
    "fp8_e4m3*int4 ->bf16 @2x1x2/ws k=4 round=sr use=double",
]
# LUT of <top>_pe on xc7 without DSP, none of them may be larger
AREA = {
    INT8: 62,
    "int4*int4 +fixed(16)": 24,
    "int8*ternary +fixed(20)": 23,
    "fp4_e2m1*fp4_e2m1 +fixed(20)": 40,
    "fp8_e4m3*fp8_e4m3 +fixed(48) cut=mul": 120,
}


def written(folder: Path, dp: str, device: str = "portable") -> Manifest:
    return emit(Datapath.parse(dp), folder, device)


def test_wires_are_written_in_as_few_pieces_as_possible() -> None:
    widths = {"x": 8, "s": 1}
    x = whole("x", 8)
    assert text(x, widths) == "x"
    assert text(x[2:5], widths) == "x[4:2]"
    assert text(x[3:4], widths) == "x[3]"
    assert text(extended(x, 11, True), widths) == "{{3{x[7]}}, x}"
    assert text(extended(x, 9, True), widths) == "{x[7], x}"
    assert text(extended(x, 10, False), widths) == "{2'h0, x}"
    assert text(extended(x, 3, True), widths) == "x[2:0]"
    assert text((0, *whole("s", 1) * 2, *x[:2]), widths) == "{x[1:0], {2{s}}, 1'h0}"
    assert text(constant(-2, 12), widths) == "12'hffe"


def test_the_manifest_says_what_was_written(tmp_path: Path) -> None:
    dp = Datapath.parse(FULL)
    manifest = emit(dp, tmp_path)
    assert manifest == Manifest.load(tmp_path)
    assert Datapath.parse(manifest.datapath) == dp
    assert manifest.top == top_name(dp) == f"hwq_{hashlib.sha256(dp.parametric().encode()).hexdigest()[:10]}"
    interval = tile_cycles(dp, dp.array.rows, 7) - 7
    assert (manifest.device, manifest.latency, manifest.interval) == ("portable", dp.latency, interval)
    assert {path.name for path in tmp_path.iterdir()} == {*manifest.files, *manifest.project, "manifest.json"}
    for name, digest in manifest.files.items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest
    fields = json.loads((tmp_path / "manifest.json").read_text("utf-8"))
    assert {
        "datapath",
        "device",
        "version",
        "top",
        "modules",
        "ports",
        "latency",
        "interval",
        "files",
        "project",
    } == set(fields)
    ports = {port["name"]: (port["direction"], port["width"]) for port in fields["ports"]}
    assert ports["a_payload"] == ("input", 2 * 8)
    assert ports["w_payload"] == ("input", 3 * 8)
    assert ports["p_payload"] == ("input", 3 * (32 + 16 + 6))
    assert ports["o_payload"] == ("output", 3 * 8)
    assert ports["a_ready"] == ports["o_valid"] == ("output", 1)
    pe = [port.name for port in manifest.modules[manifest.pe]]
    assert pe == ["clk", "rst", "en", "clear", "a", "w", "acc", "a_q", "w_q"]


def test_a_design_without_parameters_has_no_stream_for_them(tmp_path: Path) -> None:
    assert not [port.name for port in written(tmp_path, INT8).ports if port.name.startswith("p_")]


def test_the_bytes_do_not_depend_on_the_process_or_the_folder(tmp_path: Path) -> None:
    files = {name: (tmp_path / "here" / name) for name in written(tmp_path / "here", FULL).files}
    code = f"from hwq.datapath import Datapath; from hwq.rtl import emit; emit(Datapath.parse({FULL!r}), 'there')"
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert len(files) == 8
    for name, path in files.items():
        assert path.read_bytes() == (tmp_path / "there" / name).read_bytes()


@pytest.mark.parametrize("dp", [*DESIGNS, "int8*int4 ->int8[bias] @2x2/ws k=2 round=sr", "int8*int8 @1x1/ws k=1"])
def test_every_name_is_declared_before_it_is_used(tmp_path: Path, dp: str) -> None:
    """Icarus, Verilator and Yosys do not mind, other tools do."""
    names = 0
    for file in written(tmp_path, dp).files:
        source = re.sub(r"//.*", "", (tmp_path / file).read_text("utf-8"))
        for found in re.finditer(r"\b(?:reg|wire|localparam)\b\s*(?:\[[^\]]*\]\s*)?(\w+)", source):
            names += 1
            first = re.search(rf"(?<![.'\w]){found[1]}\b", source)
            assert first is not None
            assert first.start() == found.start(1), f"{file}: {found[1]}"
    assert names > 20


@pytest.mark.parametrize("dp", DESIGNS)
def test_every_tool_is_silent(tmp_path: Path, dp: str) -> None:
    """Verilator with every warning but one: the upper bits of a sum whose range is proved are not looked at."""
    manifest = written(tmp_path, dp)
    for lint in (["--lint-only"], ["--lint-only", "-Wall", "-Wno-UNUSEDSIGNAL"]):
        command = ["verilator", "--quiet", *lint, "--top-module", manifest.top, *manifest.files]
        assert output(command, tmp_path) == ""
    assert output(["iverilog", "-g2005", "-Wall", "-o", os.devnull, *manifest.files], tmp_path) == ""
    for name in manifest.files:
        source = (tmp_path / name).read_text("utf-8")
        assert str(tmp_path) not in source
        assert not re.search(r"/\w+/|\.py|\bsrc\b", re.sub(r"//.*", "", source))
        assert source.startswith(f"// hwq {manifest.version}: {manifest.datapath}\n")


def output(command: list[str], folder: Path) -> str:
    environment = dict(verilator_environment())
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_a_person_can_read_a_processing_element(tmp_path: Path) -> None:
    manifest = written(tmp_path, INT8)
    lines = (tmp_path / f"{manifest.pe}.v").read_text("utf-8").splitlines()
    assert 40 < len(lines) <= 250
    assert max(map(len, lines)) < 160
    assert sum("(* keep *)" in line for line in lines) == 10  # base and sum of four rows and of the upper part
    assert "    row0 = row0_base + {part0[8], part0} + w_sig_q[1];" in lines


@pytest.mark.parametrize("device", ["portable", "xc7", "ecp5"])
@pytest.mark.parametrize("dp", DESIGNS)
def test_logic_is_written_in_order_and_woken_from_outside(tmp_path: Path, dp: str, device: str) -> None:
    """A simulator never runs a block that reads nothing; a statement above what it reads would see the last cycle's."""
    manifest, blocks = written(tmp_path, dp, device), 0
    for name in manifest.files:
        source = (tmp_path / name).read_text("utf-8")
        constants = set(re.findall(r"localparam .*?(\w+) =", source))
        for block in re.findall(r"  always @\* begin\n(.*?)\n  end\n", source, re.DOTALL):
            statements = re.findall(r"^    (\w+) = (.*);$", block, re.MULTILINE)
            computed = [signal for signal, _ in statements]
            assert len(statements) == len(set(computed)) == sum(map(bool, block.split("\n")))
            read = [set(re.findall(r"(?<!['\w$])[a-zA-Z]\w*", value)) - constants for _, value in statements]
            assert all(names.isdisjoint(computed[at:]) for at, names in enumerate(read))
            assert set().union(*read) - set(computed)
            blocks += 1
    assert blocks


def test_an_asic_chooses_its_own_adders(tmp_path: Path) -> None:
    manifest = written(tmp_path, INT8, "ge")
    assert "keep" not in (tmp_path / f"{manifest.pe}.v").read_text("utf-8")


def test_a_folder_without_a_manifest_wrong(tmp_path: Path) -> None:
    with pytest.raises(
        HwqError, match=r"^the folder must hold manifest\.json, not '.*' without it; emit into it first$"
    ):
        Manifest.load(tmp_path)


def test_area_is_what_was_promised_in_any_order(tmp_path: Path) -> None:
    jobs = []
    for index, dp in enumerate(AREA):
        folder = tmp_path / str(index)
        manifest = written(folder, dp)
        jobs.append(Job.of([folder / f"{manifest.pe}.v"], manifest.pe, "xc7", design=dp))
    rows = measure_many(jobs, workers=1)
    assert {
        row.design: row.lut for row in rows if row.lut is not None and row.lut <= AREA[row.design]
    }.keys() == AREA.keys()
    alone = measure_many(jobs[::-1][:2], workers=1)
    assert [row.lut for row in alone] == [row.lut for row in rows[::-1][:2]]


def test_an_array_is_a_component_of_an_amaranth_design(tmp_path: Path) -> None:
    """Its streams are Amaranth's, and the design around it compiles with its files."""
    from amaranth.back import verilog

    from hwq.rtl import MacArray

    array = MacArray(Datapath.parse("int8*int4 +fixed(20) ->int8[bias] @2x3"))
    assert {name: len(getattr(array, name).payload.as_value()) for name in "awpo"} == {
        "a": 17,
        "w": 13,
        "p": 61,
        "o": 25,
    }
    for name, source in array.files.items():
        (tmp_path / name).write_text(source, "utf-8")
    (tmp_path / "around.v").write_text(verilog.convert(array, name="around"), "utf-8")
    assert output(["iverilog", "-g2005", "-s", "around", "-o", os.devnull, "around.v", *array.files], tmp_path) == ""


def test_a_folder_holds_one_design_and_what_was_edited_stays(tmp_path: Path) -> None:
    first = written(tmp_path, INT8)
    second = written(tmp_path, "int4*int4 +fixed(16)")
    assert {path.name for path in tmp_path.iterdir()} == {*second.files, *second.project, "manifest.json"}
    assert not set(first.files) & set(second.files)
    path = tmp_path / f"{second.top}.v"
    path.write_text(path.read_text("utf-8") + "// mine\n", "utf-8")
    with pytest.raises(HwqError, match=f"not {second.top}.v edited since; move it elsewhere"):
        written(tmp_path, INT8)
    assert path.exists()
