"""Bad input on the command line: one `error: ...` line that names the invariant, exit 2, and nothing touched."""

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from hwq.cli import demo
from hwq.cli.main import run
from hwq.cli.spaces import space_of
from hwq.costmodel import estimate
from hwq.costmodel.calibrate import KINDS
from hwq.costmodel.fabrics import FABRICS
from hwq.datapath.device import load
from hwq.datapath.pricefile import FAMILIES, FIELDS
from hwq.errors import HwqError
from hwq.ptq import Recipe
from hwq.sim import Report


def refused(capsys: pytest.CaptureFixture[str], message: str, *arguments: str) -> None:
    """One line that begins with the message, on standard error alone."""
    code = run(arguments)
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {message}")


ROW = {
    **{"design": "int8*int8", "module": "x_pe", "device": "xc7", "level": "T1", "tools": {}, "breakdown": {}},
    **{"lut": 60, "ff": 40, "dsp": 0, "bram": 0, "seconds": 1.5, "seeds": []},
}


def kept(**changes: object) -> bytes:
    return json.dumps(ROW | changes).encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\n", "UnicodeDecodeError: "),
        (b"{\n", "JSONDecodeError: "),
        (b"3\n", "AttributeError: "),
        (b"{}\n", "a measured row must be as hwq calibrate keeps it, not one with KeyError: 'seeds'"),
        (kept(more=1), "a measured row must be as hwq calibrate keeps it, not one with TypeError: "),
        (kept(lut="many"), "lut of a measured row must be a number of at least 0, not 'many'"),
        (kept(seconds=-1), "seconds of a measured row must be a number of at least 0, not -1"),
        (kept(fmax_mhz={"value": 1, "low": "x", "high": 2}), "low of a measured row must be a number of at least 0"),
        (kept(design=3), "design of a measured row must be a str, not 3"),
        (kept(tools=None), "tools of a measured row must be a dict, not None"),
    ],
)
def test_rows_of_another_kind_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes, reason: str
) -> None:
    (tmp_path / "rows.jsonl").write_bytes(content)
    message = f"{tmp_path}/*.jsonl must hold one measured row a line, not {reason}"
    refused(capsys, message, "calibrate", "--device", "xc7", "--from", str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "a fit needs at least 10 measured processing elements (pe), not 1; measure more designs"),
        ({"lut": None}, "a row of xc7 must have its lut, not x_pe without it"),
    ],
)
def test_rows_that_do_not_suffice_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    (tmp_path / "rows.jsonl").write_bytes(kept(**changes))
    options = ["--from", str(tmp_path), "--output", str(tmp_path / "xc7.json")]
    refused(capsys, message, "calibrate", "--device", "xc7", *options)


def test_calibrate_looks_at_the_output_first(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b"{")
    options = ["--from", str(tmp_path), "--output", "nowhere/xc7.json"]
    message = "the folder of --output must exist, not nowhere; make it first"
    refused(capsys, message, "calibrate", "--device", "xc7", *options)


@pytest.mark.parametrize(
    "content",
    [
        b"line one\nline two, no newline",
        b"a memo",
        b"\xff\n",
        b'{"key": "k"}\n{"key": "torn',
        b'["key"]\n',
        b'{"key": "k", "row": ' + kept(lut="many") + b"}\n",
        b'{"key": "k", "row": ' + kept() + b"}\nnot a row",
    ],
)
def test_calibrate_leaves_a_foreign_file_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    refused(capsys, f"{path} must ", "calibrate", "--device", "xc7", "--rows", str(path))
    assert path.read_bytes() == content


@pytest.mark.parametrize("clock", ["inf", "nan", "0", "-1"])
def test_a_clock_is_a_number(capsys: pytest.CaptureFixture[str], clock: str) -> None:
    message = f"clock must be a finite positive number of MHz, not {clock}"
    refused(capsys, message, "cost", "int8*int8", "--device", "ecp5", "--clock", clock)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("fields = 3\n[space.roles]\nbody = 'int8*int8'", "[space.fields] of {path} must be a table, not 3"),
        ("roles = []\n[space.fields]\na = [1]", "[space.roles] of {path} must be a table, not []"),
        ("[space.fields]\na = 8\n[space.roles]\nbody = 'int{a}*int8'", "field a of {path} must be a list of texts or"),
        ("[space.fields]\na = []\n[space.roles]\nbody = 'int{a}*int8'", "field a of {path} must be a list of texts or"),
        ("[space.fields]\na = [[1]]\n[space.roles]\nbody = 'int{a}*int8'", "field a of {path} must be a list of"),
        ("[space.fields]\na = [8]\n[space.roles]\nbody = 3", "role body of {path} must be a template such as"),
        (
            "[space.fields]\na = [8]\n[space.roles]\nbody = 'int{a*int8'",
            "template 'int{a*int8' must have its fields in",
        ),
    ],
)
def test_spaces_of_another_kind_are_refused(tmp_path: Path, space: str, message: str) -> None:
    path = tmp_path / "space.toml"
    path.write_text(f"[space]\n{space}\n")
    with pytest.raises(HwqError, match=f"^{re.escape(message.replace('{path}', str(path)))}") as caught:
        space_of(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("rtn+gptq", "a recipe must have at most one of decoupleq, .*, not rtn and gptq"),
        ("gptq+bc+gptq", "a recipe must have at most one of decoupleq, .*, not gptq and gptq"),
        ("minmax+rtn+mse", "a recipe must have at most one of .*, not minmax and mse"),
    ],
)
def test_a_recipe_has_one_word_of_a_kind(recipe: str, message: str) -> None:
    with pytest.raises(HwqError, match=f"^{message}$"):
        Recipe.parse(recipe)


def test_a_packaged_name_stands_by_itself() -> None:
    """Where it is a word too, the word is meant among words."""
    assert Recipe.parse("adaround").bias_correction and not Recipe.parse("rtn+adaround").bias_correction
    assert Recipe.parse("adaround").reconstruction == Recipe.parse("rtn+adaround").reconstruction
    alone = r"not 'smoothquant' \(a whole recipe, which stands by itself\) in 'smoothquant\+bc'; words are fold, .*"
    with pytest.raises(HwqError, match=f"joined by \\+, {alone}; by itself it may be one of adalog, "):
        Recipe.parse("smoothquant+bc")


@pytest.mark.parametrize("option", ["--first", "--last"])
def test_an_empty_datapath_is_none(capsys: pytest.CaptureFixture[str], option: str) -> None:
    message = "a datapath must be a text such as 'int(8)*int(8) +exact', not an empty one"
    refused(capsys, message, "ptq", "resnet8", "--datapath", "int8*int8", "--recipe", "rtn", option, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "-1"], "seed must be between 0 and 2**63 - 1, not -1"),
        (["--waves", "nowhere/w.fst"], "the folder of waves must exist, not nowhere; make it first"),
    ],
)
def test_sim_looks_at_its_options_first(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    refused(capsys, message, "sim", "int4*int4", *arguments)


LATE = Report("dp", "xc7", "icarus", "random", 0, 1, 4, 0, None, 2000, 64, 0, 1.0)
CYCLES = "the array took another number of cycles than its schedule and the bench's pauses"


def test_sim_does_not_print_a_false_sum(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwq.sim.check", lambda dp, **options: LATE)
    assert run(["sim", "int4*int4"]) == 1
    *_, cycles, reason = capsys.readouterr().out.splitlines()
    assert cycles == "cycles 2000 != expected 64 + stalled 0"
    assert reason == f"failed: {CYCLES}"


def test_demo_fails_where_a_check_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("hwq.sim.check", lambda dp, **options: LATE)
    assert not demo._check({"body": "int4*int4"}, tmp_path, 1)
    assert f"body failed: {CYCLES}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["cost", "rtl", "sim", "synth", "ptq", "calibrate"])
def test_help_lists_devices_and_no_path(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run([command, "--help"]) == 0
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "asap7, ecp5, ge, ice40, nangate45, sky130, xc7, xcup" in out
    if command not in ("ptq", "calibrate"):
        assert "act*weight +acc ->out @ROWSxCOLS k=N cut=STAGE" in out


def test_help_of_search_shows_no_path_of_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["search", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "[default: (the demo's)]" in out
    assert "/hwq/" not in out


def shipped(device: str) -> str:
    return (resources.files("hwq") / "devices" / f"{device}.json").read_text(encoding="utf-8")


def with_value(record: Any, where: str, value: object) -> str:
    """The text of a device file with another value at a path such as spread.lut.pe; None takes it out."""
    *path, last = where.split("/")
    inner = record
    for name in path:
        inner = inner[name]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return json.dumps(record)


def test_files_of_prices_hold_what_fabrics_and_fits_name() -> None:
    assert {name: fabric.fields for name, fabric in FABRICS.items()} == FIELDS
    assert set(KINDS.values()) == set(FAMILIES)


@pytest.mark.parametrize("device", FIELDS)
def test_every_shipped_device_is_a_file_of_prices(tmp_path: Path, device: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(shipped(device), encoding="utf-8")
    assert estimate("int8*int8", load(device, path)) == estimate("int8*int8", device)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "JSON, not Expecting value: "),
        ("{", "JSON, not Expecting property name "),
        ("[" * 100_000, "JSON, not "),
        ("null", "an object of JSON, not null; write one with hwq calibrate -o FILE"),
        ("[1, 2]", "an object of JSON, not [1, 2]; "),
        ("{}", "device, source, level, prices, spread, doubt, region in it, not lack device, "),
    ],
)
def test_files_that_are_no_prices_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text)
    message = f"the device file of xc7 must hold {reason}"
    refused(capsys, message, "cost", "int8*int8", "-d", "xc7", "--prices", str(path))


NUMBER = "a number between 0 and 1e+15 as"


@pytest.mark.parametrize(
    ("where", "value", "reason"),
    [
        ("level", "T9", 'one of T1; T1 cells, T2 clock; T2; T3 as level, not "T9"; write one with '),
        ("level", [], "one of T1; T1 cells, T2 clock; T2; T3 as level, not []"),
        ("source", 7, "a text as source, not 7"),
        ("doubt", None, "device, source, level, prices, spread, doubt, region in it, not lack doubt"),
        ("doubt", 3, "an object as doubt, not 3"),
        ("prices", {}, "pe, decode, epilogue, around in prices.lut, not lack pe, decode, epilogue, around"),
        ("spread", {}, "pe, decode, epilogue, around in spread.lut, not lack pe, "),
        ("region", {}, "pe, decode, epilogue, around in region.lut, not lack pe, "),
        ("region/lut/around", None, "pe, decode, epilogue, around in region.lut, not lack around"),
        ("prices/lut/pe", 1.0, "an object as prices.lut.pe, not 1.0"),
        ("prices/lut/pe/row", "1", f'{NUMBER} prices.lut.pe.row, not "1"'),
        ("prices/lut/pe/row", True, f"{NUMBER} prices.lut.pe.row, not true"),
        ("prices/lut/pe/row", float("nan"), f"{NUMBER} prices.lut.pe.row, not NaN"),
        ("prices/lut/pe/row", float("inf"), f"{NUMBER} prices.lut.pe.row, not Infinity"),
        ("prices/lut/pe/row", -1.0, f"{NUMBER} prices.lut.pe.row, not -1.0"),
        ("prices/lut/pe/row", 10**400, f"{NUMBER} prices.lut.pe.row, not 1000"),
        ("spread/lut/pe", -0.1, f"{NUMBER} spread.lut.pe, not -0.1"),
        ("doubt/lut/pe", [], f"{NUMBER} doubt.lut.pe, not []"),
        ("region/lut/pe/held", "many", f'{NUMBER} region.lut.pe.held, not "many"'),
        ("delays", [], "an object as delays, not []"),
        ("delays", {"base": 1}, "base, lut, row, bit in delays, not lack lut, row, bit"),
        ("delays", dict.fromkeys(("base", "lut", "row", "bit"), 0), "delays of which one is above 0, not {"),
        ("delays", dict.fromkeys(("base", "lut", "row", "bit"), 1), "pe in spread.fmax_mhz, not lack pe"),
    ],
)
def test_prices_of_the_wrong_kind_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, where: str, value: object, reason: str
) -> None:
    path = tmp_path / "mine.json"
    path.write_text(with_value(json.loads(shipped("xc7")), where, value))
    message = f"the device file of xc7 must hold {reason}"
    refused(capsys, message, "cost", "int8*int8", "-d", "xc7", "--prices", str(path))


def test_prices_of_another_device_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(shipped("ge"))
    message = "a device file must be of xc7, not of ge; give --device ge"
    refused(capsys, message, "cost", "int8*int8", "-d", "xc7", "--prices", str(path))
    message = f"a device with a file of prices must be one of {', '.join(FIELDS)}, not 'versal'; choose one"
    refused(capsys, message, "cost", "int8*int8", "-d", "versal", "--prices", str(path))
    refused(capsys, "the device file must be readable, not ", "cost", "int8*int8", "-d", "xc7", "--prices", "nowhere")
