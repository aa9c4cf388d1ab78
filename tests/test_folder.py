"""An emitted folder in a stranger's hands: its own makefile and public tools, no hwq."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hwq.datapath import Datapath
from hwq.errors import HwqError
from hwq.rtl import Axi, emit
from hwq.sim.folder import write_bench
from hwq.sim.tools import verilator_environment

# what `yosys -q -p COMMANDS` does, by the library of the same program
YOSYS = f"""#!{sys.executable}
import sys
from pyosys import libyosys
design = libyosys.Design()
for command in sys.argv[sys.argv.index("-p") + 1].split("; "):
    libyosys.run_pass(command, design)
"""
DESIGNS = {
    "int8*int8 +fixed(32) ->int8[bias,requant,relu] @2x3": "xc7",
    "fp8_e4m3*int4 +fixed(40) @2x2x2/ws k=4 cut=mul": "ecp5",
    "int8*int8 +fixed(32) @2x2 use=dsp2": "xc7",
    "fp4_e2m1*fp4_e2m1 +fixed(20) ->fp4_e2m1[bias] @1x2x4/tree": "portable",
}


def make(folder: Path, *targets: str) -> subprocess.CompletedProcess[str]:
    """GNU make with what a bare machine has, Yosys under its usual name, and Verilator."""
    tools = folder.parent / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "yosys").write_text(YOSYS, "utf-8")
    (tools / "yosys").chmod(0o755)
    if not (tools / "python").exists():  # Verilator's own makefile asks for one
        (tools / "python").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    verilator = verilator_environment()
    own = [str(Path(found).parent) for name in ("iverilog", "make", "c++") if (found := shutil.which(name))]
    own += [part for part in verilator["PATH"].split(os.pathsep) if (Path(part) / "verilator").exists()]
    environment = {name: verilator[name] for name in ("VERILATOR_ROOT", "HOME") if name in verilator}
    environment["PATH"] = os.pathsep.join([str(tools), *own])
    return subprocess.run(
        ["make", "-C", str(folder), *targets], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("text", DESIGNS)
def test_a_folder_simulates_lints_and_synthesises_by_itself(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "folder"
    emit(Datapath.parse(text), folder, DESIGNS[text])
    beats = write_bench(folder)
    for target in ("sim", "lint", "synth"):
        done = make(folder, target)
        assert done.returncode == 0, done.stdout + done.stderr
        if target == "sim":
            assert f"{beats} result beats compared, 0 mismatches" in done.stdout
    assert "cells" in (folder / "build" / "synth.txt").read_text("utf-8")


def test_a_folder_with_a_wrapper_lints_and_synthesises_it(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    manifest = emit(Datapath.parse("int4*int4 +fixed(16)"), folder, "ecp5", bus=Axi(8))
    beats = write_bench(folder, tiles=20)
    for target in ("sim", "lint", "synth"):
        done = make(folder, target)
        assert done.returncode == 0, done.stdout + done.stderr
        assert target != "sim" or f"{beats} result beats compared, 0 mismatches" in done.stdout
        assert target != "lint" or f"--top-module {manifest.top}_axi" in done.stdout
    assert f"=== {manifest.top}_axi ===" in (folder / "build" / "synth.txt").read_text("utf-8")


def test_the_bench_of_a_folder_runs_in_verilator_too(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    emit(Datapath.parse("int4*int4 +fixed(16) @2x2"), folder)
    beats = write_bench(folder, tiles=50)
    done = make(folder, "verilator")
    assert f"{beats} result beats compared, 0 mismatches" in done.stdout, done.stdout + done.stderr


def test_a_wrong_design_fails_in_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    manifest = emit(Datapath.parse("int4*int4 +fixed(16)"), folder)
    write_bench(folder)
    path = folder / f"{manifest.pe}.v"
    path.write_text(path.read_text("utf-8").replace("+ w_sig_q[1];", "+ w_sig_q[0];"), "utf-8")
    done = make(folder, "sim")
    assert done.returncode != 0
    assert "200 of 200 result beats came" in done.stdout and "\n< 1" in done.stdout and "\n> 1" in done.stdout


def whole(folder: Path, text: str) -> None:
    """What `hwq rtl` writes."""
    emit(Datapath.parse(text), folder)
    write_bench(folder, tiles=20)


@pytest.mark.parametrize("name", ["Makefile", "bench/expected.txt", "manifest.json"])
def test_a_file_of_another_is_not_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / name).write_text("mine", "utf-8")
    with pytest.raises(HwqError, match=rf"^the folder must not hold {name}, which|^manifest\.json must be as hwq rtl"):
        whole(tmp_path, "int4*int4 +fixed(16)")
    assert (tmp_path / name).read_text("utf-8") == "mine"


def test_an_edited_bench_stays_and_one_of_before_goes(tmp_path: Path) -> None:
    for text in ("int8*int4 +fixed(16) ->int8[bias]", "int4*int4 +fixed(16)"):
        whole(tmp_path, text)
    assert not (tmp_path / "bench" / "p.bin").exists()
    (tmp_path / "bench" / "bench.v").write_text("mine", "utf-8")
    with pytest.raises(HwqError, match=r"not bench/bench\.v edited since; move it elsewhere"):
        emit(Datapath.parse("int4*int4"), tmp_path)


def test_the_core_lints_with_the_models_of_blocks(tmp_path: Path) -> None:
    manifest = emit(Datapath.parse("int8*int8 +fixed(24) @2x2 use=dsp2"), tmp_path, "xc7")
    core = (tmp_path / f"{manifest.top}.core").read_text("utf-8")
    assert "models:\n    files: [models/DSP48E1.v]" in core
    assert "lint:\n    <<: *default\n    filesets: [rtl, models]" in core


def test_the_bytes_of_a_bench_are_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        emit(Datapath.parse("int4*int4 ->int4[bias]"), tmp_path / name)
        write_bench(tmp_path / name, tiles=20, seed=5)
    for path in (tmp_path / "one" / "bench").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / "bench" / path.name).read_bytes()
