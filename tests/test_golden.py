"""Reference models in C compile without a warning and give the emulator's codes: on vectors, by ctypes and by DPI."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import hwq
from hwq.cli.main import run
from hwq.datapath import Datapath
from hwq.errors import HwqError
from hwq.golden import Manifest, emit
from hwq.golden.ports import Model, Port
from hwq.golden.vectors import blocks
from hwq.sim.tools import verilator_environment

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer")
MILLION = 1_000_000
FULL = "int8*int8 +fixed(32) ->int8[bias,requant,relu]"
DATAPATHS = [
    "int8*int8",
    FULL,
    "uint8*int4 +fixed(20,sat) ->uint8[bias,requant] round=rtz",
    "int8*ternary +fixed(16)",
    "fp8_e4m3*int4 ->bf16[bias,requant]",  # nan
    "fp8_e5m2*fp8_e5m2 ->fp8_e4m3[relu]",  # nan and infinities, 73 bits
    "fp8_e4m3*fp8_e5m2",  # the exact sum and its flags, 64 bits and more
    "fp6_e3m2*fp6_e2m3 +fixed(24,2,sat,rne) ->fp6_e3m2[bias] round=rup",
    "fp4_e2m1*fp4_e2m1 +fixed(12)",
    "bf16*int8 ->bf16[bias,requant]",  # 280 bits
    "fp8_e5m2*fp8_e4m3 +bf16",
    "fp8_e4m3*fp8_e4m3 +fp32 ->fp8_e5m2 order=tree(4)",
    "fp8_e4m3*fp8_e4m3 +align(8,25,rtz) ->bf16",
    "mxfp4_e2m1*mxfp4_e2m1",
    "mxfp8_e4m3*int4 +fp32 ->bf16",
    "mxfp4_e2m1*int4 +fixed(40,sat) ->fp8_e5m2[bias,requant]",  # sums so small that the shift does not matter
    "int16*int16 +fixed(64)",
    "fp8_e4m3*int8 ->int4[requant] round=sr",  # noise of the channel's own
]
BY_DPI = [FULL, "uint(1)*fp8_e5m2 ->uint(1)", "fp8_e4m3*fp8_e5m2", "bf16*int8 ->fp32[bias] round=sr"]


def written(folder: Path, text: str, vectors: int = 100, seed: int = 0) -> Manifest:
    return emit(Datapath.parse(text), folder, vectors, seed)


def check(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "-f", "golden.mk", "--no-print-directory", "check", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("text", DATAPATHS)
def test_a_model_agrees_with_the_emulator(tmp_path: Path, text: str) -> None:
    """On 2,000 vectors, strictly compiled, under the address and undefined-behaviour sanitizers."""
    manifest = written(tmp_path, text, 2000, 1)
    done = check(tmp_path, f"CFLAGS=-O1 {' '.join(SANITIZED)}")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(option in done.stdout for option in STRICT)
    assert done.stdout.splitlines()[-1] == f"{manifest.top}: 2000 compared, 0 mismatches"
    assert_silent(tmp_path, manifest.top)


def assert_silent(folder: Path, top: str) -> None:
    """No warning where much is inlined, nor in C++, which simulators compile C as."""
    for name in (f"{top}.c", f"{top}_dpi.c"):
        for command in (["cc", *STRICT, "-O3"], ["c++", "-std=c++11", *STRICT[1:], "-fsyntax-only"]):
            command += ["-c", name, "-o", os.devnull]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")


# many vectors, by ctypes


def library(folder: Path, manifest: Manifest) -> ctypes.CDLL:
    command = ["cc", *STRICT, "-O2", "-shared", "-fPIC", f"{manifest.top}.c", "-o", "model.so"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "model.so"))


def stored(port: Port, codes: np.ndarray) -> np.ndarray:
    """Codes as C takes them."""
    if not port.limbs:
        return np.ascontiguousarray(codes.astype(port.c_type.removesuffix("_t")))
    limbs = [[(int(c) >> 32 * j) & 0xFFFFFFFF for j in range(port.limbs)] for c in codes.reshape(-1)]
    return np.array(limbs, dtype=np.uint32)


def differing(folder: Path, text: str, count: int) -> tuple[int, int]:
    """(vectors compared, vectors that differ) of a model's matmul."""
    dp = Datapath.parse(text)
    manifest, model = written(folder, text, 1), Model(dp)
    matmul = getattr(library(folder, manifest), f"{manifest.top}_matmul")
    compared = wrong = 0
    for block in blocks(dp.mac, count, 7):
        want = stored(model.out, block.out)
        given = [stored(p, c) for p, c in zip(model.operands, (block.a, block.w), strict=True)]
        given += [stored(p, block.params[p.name]) for p in model.params]
        found = np.full_like(want, 255)
        pointers = [x.ctypes.data_as(ctypes.c_void_p) for x in (*given, found)]
        sizes = [ctypes.c_size_t(n) for n in (*block.out.shape, block.terms)]
        assert matmul(*pointers[:2], *sizes, *pointers[2:]) == 0
        wrong += int((found != want).reshape(block.out.size, -1).any(1).sum())
        compared += block.out.size
    return compared, wrong


@pytest.mark.parametrize("text", [FULL, "fp8_e4m3*fp8_e5m2"])
def test_a_product_of_matrices_agrees(tmp_path: Path, text: str) -> None:
    compared, wrong = differing(tmp_path, text, 20_000)
    assert compared >= 20_000 and wrong == 0


@pytest.mark.slow
@pytest.mark.parametrize("text", DATAPATHS)
def test_a_model_agrees_on_a_million_vectors(tmp_path: Path, text: str, say: Callable[[str], None]) -> None:
    compared, wrong = differing(tmp_path, text, MILLION)
    say(f"{text}: {compared} results of its reference model compared, {wrong} mismatches")
    assert compared >= MILLION and wrong == 0


# what a self-test must find


def edited(path: Path, before: str, after: str) -> None:
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("before", "after"),
    [("a.sig * w.sig", "a.sig * w.sig + 1"), ("^ 128) - 128", "^ 128) - 127"), ("s->terms == 0", "s->terms < 2")],
)
def test_a_fault_is_found(tmp_path: Path, before: str, after: str) -> None:
    top = written(tmp_path, FULL).top
    edited(tmp_path / f"{top}.c", before, after)
    done = check(tmp_path)
    assert done.returncode != 0
    assert re.search(rf"{top}: 100 compared, [1-9]\d* mismatches", done.stdout)
    assert "vector" in done.stderr


def test_nothing_compared_is_a_failure(tmp_path: Path) -> None:
    top = written(tmp_path, FULL).top
    assert check(tmp_path).returncode == 0
    (tmp_path / "empty.txt").write_text("", encoding="utf-8")
    program = [f"./{top}_test"]
    for arguments, printed in ((["empty.txt"], f"{top}: 0 compared, 0 mismatches\n"), (["none.txt"], "")):
        done = subprocess.run(program + arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, printed)
    vectors = tmp_path / f"{top}_vectors.txt"
    vectors.write_text(vectors.read_text("utf-8").rstrip().rpartition(" ")[0], encoding="utf-8")
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "the vectors end within a line\n")


# the interface


def test_misuse_is_refused_and_upper_bits_are_ignored(tmp_path: Path) -> None:
    model = Model(Datapath.parse("int4*ternary ->int8 k=5"))
    dot = getattr(library(tmp_path, written(tmp_path, "int4*ternary ->int8 k=5")), f"{model.top}_dot")
    assert "reserved_w" in (tmp_path / f"{model.top}.c").read_text("utf-8")

    def called(a: list[int], w: list[int]) -> tuple[int, int]:
        out = ctypes.c_uint8(99)
        failed = dot(bytes(a), bytes(w), ctypes.c_size_t(len(a)), ctypes.byref(out))
        return failed, out.value

    assert called([7, 9], [1, 3]) == (0, 14)
    assert called([0x37, 0xF9], [0xF1, 0x13]) == (0, 14)
    assert called([7] * 5, [1] * 5) == (0, 35)
    assert called([7] * 6, [1] * 6) == (1, 99)
    assert called([], []) == (1, 99)
    assert called([7, 7], [1, 2]) == (1, 99)


def test_the_bytes_do_not_depend_on_the_process_or_the_folder(tmp_path: Path) -> None:
    text = "fp8_e4m3*fp8_e4m3 +align(4,20,rtz) ->bf16[bias]"
    manifest = written(tmp_path / "here", text, 50)
    code = f"import hwq; hwq.golden.emit(hwq.Datapath.parse({text!r}), 'there', 50)"
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    files = sorted((tmp_path / "here").iterdir())
    assert {path.name for path in files} == {*manifest.files, f"{manifest.top}_golden.json"}
    for path in files:
        content = path.read_bytes()
        assert content == (tmp_path / "there" / path.name).read_bytes()
        assert str(tmp_path).encode() not in content
        digest = hashlib.sha256(content).hexdigest()
        assert manifest.files.get(path.name, digest) == digest
    assert manifest.top == hwq.rtl.top_name(Datapath.parse(text))


def test_vectors_are_the_emulator_s(tmp_path: Path) -> None:
    dp = Datapath.parse(FULL)
    manifest = written(tmp_path, FULL, 200, 3)
    lines = (tmp_path / f"{manifest.top}_vectors.txt").read_text("utf-8").splitlines()
    assert len(lines) == 200 and len(set(lines)) > 150
    for line in lines[::17]:
        k, *numbers = (int(word, 16) for word in line.split())
        a, w, (bias, mul, shift, out) = numbers[:k], numbers[k : 2 * k], numbers[2 * k :]
        assert hwq.matmul(dp.mac, np.array([a]), np.array([w]), hwq.Params([bias], [mul], [shift])).tolist() == [[out]]
    again = (tmp_path / f"{written(tmp_path, FULL, 200, 4).top}_vectors.txt").read_text("utf-8").splitlines()
    assert again != lines


def test_two_models_share_a_folder(tmp_path: Path) -> None:
    tops = {written(tmp_path, text).top for text in ("int4*int4", "int4*ternary")}
    done = check(tmp_path)
    assert done.returncode == 0
    assert {line.split(":")[0] for line in done.stdout.splitlines() if "compared" in line} == tops


@pytest.mark.parametrize(("vectors", "seed"), [(0, 0), (1, -1)])
def test_bad_numbers_are_refused(tmp_path: Path, vectors: int, seed: int) -> None:
    with pytest.raises(HwqError, match=r"^(vectors must be 1 or more, not 0|seed must be 0 or more, not -1)$"):
        emit(Datapath.parse("int4*int4"), tmp_path, vectors, seed)


def test_the_command_needs_no_compiler(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("cc") is None
    assert run(["golden", "int4*int4", "-o", str(tmp_path / "out"), "--vectors", "5", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == json.loads((tmp_path / "out" / f"{shown['top']}_golden.json").read_text("utf-8"))
    assert shown["widths"] == {"a": 4, "w": 4, "out": 20} and (shown["vectors"], shown["k"]) == (5, 4096)


# SystemVerilog


BENCH = """
module bench;
  import {top}_dpi::*;
  int file, k, code, compared = 0, mismatches = 0;
  bit [A_BITS-1:0] a[K];
  bit [W_BITS-1:0] w;
  {declared}
  bit [OUT_BITS-1:0] want, out;
  chandle sum;
  initial begin
    sum = {top}_dpi_new();
    file = $fopen("{top}_vectors.txt", "r");
    while ($fscanf(file, "%h", k) == 1) begin
      {top}_dpi_clear(sum);
      for (int i = 0; i < k; i++) code = $fscanf(file, "%h", a[i]);
      for (int i = 0; i < k; i++) begin
        code = $fscanf(file, "%h", w);
        if ({top}_dpi_mac(sum, a[i], w) != 0) $fatal(1, "refused");
      end
      {read}
      code = $fscanf(file, "%h", want);
      if ({top}_dpi_result(sum{given}, out) != 0 || out !== want) mismatches++;
      compared++;
    end
    {top}_dpi_free(sum);
    $display("%0d compared, %0d mismatches", compared, mismatches);
    $finish;
  end
endmodule
"""


@pytest.mark.slow
@pytest.mark.parametrize("text", BY_DPI)
def test_systemverilog_gets_the_same_codes(tmp_path: Path, text: str) -> None:
    """Narrow, wide and one-bit vectors through a simulator's own DPI."""
    top, params = written(tmp_path, text, 300).top, Model(Datapath.parse(text)).params
    bench = BENCH.format(
        top=top,
        declared=" ".join(f"bit [{p.name.upper()}_BITS-1:0] {p.name};" for p in params),
        read=" ".join(f'code = $fscanf(file, "%h", {p.name});' for p in params),
        given="".join(f", {p.name}" for p in params),
    )
    (tmp_path / "bench.sv").write_text(bench, encoding="utf-8")
    sources = [f"{top}_dpi.sv", "bench.sv", f"{top}.c", f"{top}_dpi.c"]
    command = ["verilator", "--binary", "-Wno-fatal", "--top-module", "bench", *sources]
    subprocess.run(command, cwd=tmp_path, env=dict(verilator_environment()), capture_output=True, check=True)
    done = subprocess.run(["obj_dir/Vbench"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "300 compared, 0 mismatches" in done.stdout
