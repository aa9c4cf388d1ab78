"""The command line: exit codes, one-line refusals, JSON shapes, and a start that loads nothing heavy."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from hwq.cli.main import COMMANDS, run
from hwq.formats import catalog

CONTRACT = ["formats", "cost", "rtl", "sim", "synth", "ptq", "search", "calibrate", "demo"]
LATER = ["golden", "report", "compile", "import"]


def hwq(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of one command line, run in this process."""
    code = run(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> object:
    code, out, err = hwq(capsys, *arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def assert_refused(capsys: pytest.CaptureFixture[str], message: str, *arguments: str) -> None:
    code, out, err = hwq(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err == f"error: {message}\n"


def test_help_lists_the_commands_of_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = hwq(capsys)
    assert code == 0
    lines = [line for line in out.split("Commands")[1].splitlines() if line.startswith("│ ") and line[2] != " "]
    assert [line.split()[1] for line in lines] == CONTRACT + LATER
    assert len(COMMANDS) == len(CONTRACT) + 1


def test_help_loads_nothing_heavy_and_starts_at_once() -> None:
    code = "import sys; from hwq.cli.main import run; run(['--help']); print(); print(*sys.modules)"
    before = os.times()
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = os.times()
    loaded = set(shown.stdout.splitlines()[-1].split())
    assert "hwq.cli.main" in loaded
    assert not loaded & {"torch", "amaranth", "cocotb", "matplotlib", "numba", "optuna", "scipy", "pyosys"}
    assert after.children_user - before.children_user < 1.0  # processor time; about 0.3 s when nothing else runs


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert hwq(capsys, "--version")[:2] == (0, "0.1.0\n")


@pytest.mark.parametrize("name", LATER)
def test_commands_of_later_versions_say_so(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert_refused(capsys, f"hwq {name} is not available yet", name, "file", "-o", "out", "--option")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bogus"], "No such command 'bogus'."),
        (["formats", "--bogus"], "No such option: --bogus"),
        (["formats", "int(8,9)"], "int(...) takes 1 whole number(s), not 'int(8,9)'"),
        (["formats", "--vectors", "x"], "--vectors needs the name of a format, such as hwq formats NAME --vectors DIR"),
    ],
)
def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], arguments: Sequence[str], message: str) -> None:
    assert_refused(capsys, message, *arguments)


@pytest.mark.parametrize("command", [["cost", "-d", "xc7"], ["sim"], ["synth", "-d", "xc7"], ["rtl", "-o", "x"]])
def test_a_datapath_that_the_shell_cut_asks_for_quotes(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    message = "a datapath must not end in '-', as 'int8*int8 -' does: the shell took the '>'; quote the datapath"
    name, *options = command
    assert_refused(capsys, message, name, "int8*int8", "-", *options)


def test_formats_lists_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    rows = as_json(capsys, "formats")
    assert isinstance(rows, list)
    assert [row["name"] for row in rows] == list(catalog)
    assert all(row["min"] <= 0 < row["least"] <= row["max"] for row in rows)
    code, out, _ = hwq(capsys, "formats")
    assert code == 0
    assert len(out.splitlines()) == len(catalog) + 2


@pytest.mark.parametrize("name", [name for name in catalog if catalog[name].bits <= 8])
def test_formats_shows_the_value_of_every_code(capsys: pytest.CaptureFixture[str], name: str) -> None:
    shown = as_json(capsys, "formats", name)
    assert isinstance(shown, dict)
    fmt = catalog[name]
    assert [row["code"] for row in shown["values"]] == fmt.codes().tolist()
    numbers = [row for row in shown["values"] if not isinstance(row["value"], str)]
    assert len(numbers) > 1
    for row in numbers:
        assert row["value"] == fmt.value(row["code"])
    assert {row["value"] for row in shown["values"] if isinstance(row["value"], str)} <= {"nan", "+inf", "-inf"}


def test_formats_of_32_bits_show_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(hwq(capsys, "formats", "fp32")[1].splitlines()) == 3


def test_formats_compares(capsys: pytest.CaptureFixture[str]) -> None:
    rows = as_json(capsys, "formats", "int8", "--compare", "fp8_e4m3", "--compare", "int4")
    assert isinstance(rows, list)
    assert [row["name"] for row in rows] == ["int8", "fp8_e4m3", "int4"]
    ratios = [row["normal_sqnr_db"] for row in rows]
    assert ratios[0] > ratios[1] > ratios[2] > 15


def test_formats_writes_vectors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    files = as_json(capsys, "formats", "fp6_e2m3", "--vectors", str(tmp_path / "vectors"))
    assert isinstance(files, dict)
    decode, encode = (Path(name).read_text().splitlines() for name in files["files"])
    fmt = catalog["fp6_e2m3"]
    assert len(decode) == 1 + 64
    for line in decode[1:]:
        code, value = line.split(",")
        assert float.fromhex(value) == fmt.value(int(code))
    assert len(encode) > 3 * 100
