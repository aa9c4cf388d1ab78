"""The table of methods: rows kept and judged, and what is wrong with its files."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hwq.cli import matrix
from hwq.cli.main import run
from hwq.datapath import Datapath
from hwq.errors import HwqError

ROWS = """
[[on]]
model = "resnet8"
formats = "W3A8"
assignment = { first = "int8*int8", body = "int8*int(3)", last = "int8*int8" }
images = 300
calibration = 64
methods = ["gptq+bc"]
"""
Hwq = Callable[..., tuple[int, str, str]]


@pytest.fixture
def hwq(capsys: pytest.CaptureFixture[str]) -> Hwq:
    """(exit code, standard output, standard error) of one command line, run in this process."""

    def called(*arguments: str) -> tuple[int, str, str]:
        code = run(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return called


def test_rows_are_kept_and_judged_against_rounding(hwq: Hwq, tmp_path: Path) -> None:
    (tmp_path / "rows.toml").write_text(ROWS.replace("images = 300", "images = 60"))
    store = tmp_path / "rows.jsonl"
    code, out, _ = hwq("ptq", "--matrix", str(tmp_path / "rows.toml"), "--store", str(store), "--json")
    assert code == 0
    first, second = json.loads(out)
    assert (first["method"], second["method"]) == ("rtn", "gptq+bc")
    assert first["gain"]["value"] == 0
    assert second["gain"]["value"] == pytest.approx(second["exact"]["value"] - second["rtn"]["value"])
    assert set(second["hardware"]) == {"xc7", "nangate45", "weights"}
    assert second["hardware"]["nangate45"]["energy_nj"] > 0
    assert second["hardware"]["xc7"]["energy_nj"] is None  # and so the table says
    assert second["hardware"]["weights"]["kib"] > 0
    assert second["unmodelled"] == {}
    kept = store.read_text()
    code, out, _ = hwq("ptq", "--matrix", str(tmp_path / "rows.toml"), "--store", str(store))
    assert (code, store.read_text()) == (0, kept)
    assert out.count("| resnet8 | W3A8 |") == 2
    assert ", not modelled | +0, +0 | +0.0 | nothing |" in out  # rounding beside itself


def test_a_method_behind_rounding_fails_without_a_reason(hwq: Hwq, tmp_path: Path) -> None:
    (tmp_path / "rows.toml").write_text(ROWS.replace('"gptq+bc"', '"tensor+weights-minmax"'))
    options = ("ptq", "--matrix", str(tmp_path / "rows.toml"), "--store", str(tmp_path / "s.jsonl"))
    code, out, _ = hwq(*options)
    assert code == 1
    assert "**behind rtn**" in out
    (tmp_path / "rows.toml").write_text(
        ROWS.replace('["gptq+bc"]', '["tensor+weights-minmax"]\nwhy = { "tensor+weights-minmax" = "one scale" }')
    )
    code, out, _ = hwq(*options)
    assert code == 0
    assert "| one scale |" in out


def test_a_method_that_cannot_run_ends_nothing(hwq: Hwq, tmp_path: Path) -> None:
    text = ROWS.replace("images = 300", "images = 20").replace("calibration = 64", "calibration = 16")
    (tmp_path / "rows.toml").write_text(text.replace('"gptq+bc"', '"rotate+rtn", "gptq+bc"'))
    store = tmp_path / "s.jsonl"
    code, out, err = hwq("ptq", "--matrix", str(tmp_path / "rows.toml"), "--store", str(store))
    assert (code, out.count("| resnet8 |"), len(store.read_text().splitlines())) == (1, 2, 2)
    assert err.startswith("error: resnet8 W3A8 rotate+rtn: a network must have a residual stream to rotate, not ")
    code, out, _ = hwq("ptq", "--matrix", str(tmp_path / "rows.toml"), "--store", str(store), "--json")
    assert (code, [*json.loads(out)[-1]]) == (1, ["refused"])


OWN = """
import torch
from torch import nn

def net():
    torch.manual_seed(SEED)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)), X[:32], X[32:], Y[32:]

X, Y = torch.rand(64, 1, 8, 8), torch.arange(64) % 3
"""


def test_a_row_is_made_again_where_its_files_changed(hwq: Hwq, tmp_path: Path) -> None:
    """And rows of two tables of one name stand each beside its own rounding."""
    table = f"""
[[on]]
model = "{tmp_path}/own.py:net"
formats = "X"
images = 32
calibration = 16
methods = ["{tmp_path}/own.toml", "rtn", "rtn"]
"""
    first, second = (f'assignment = {{ first = "int8*int8", last = "int8*{w}" }}\n' for w in ("int4", "ternary"))
    (tmp_path / "rows.toml").write_text(table + first + table + second)
    (tmp_path / "own.toml").write_text('passes = ["rtn"]')
    store = tmp_path / "s.jsonl"
    for count, file, text in (
        (4, "own.py", OWN.replace("SEED", "1")),
        (8, "own.py", OWN.replace("SEED", "2")),
        (10, "own.toml", 'passes = ["rtn", "bc"]'),
    ):
        (tmp_path / file).write_text(text)
        code, out, err = hwq("ptq", "--matrix", str(tmp_path / "rows.toml"), "--store", str(store), "--json")
        assert (code in (0, 1), err) == (True, "")
        assert len(store.read_text().splitlines()) == count
        made = json.loads(out)
        assert [record["method"] for record in made].count("rtn") == 2
        assert all(record["gain"]["value"] == 0 for record in made if record["method"] == "rtn")


def test_what_a_method_adds_is_priced_or_named(hwq: Hwq, tmp_path: Path) -> None:
    """Low-rank layers have formats of their own and are priced; operators on the host are named, as not modelled."""
    also = 'also.lorc = { "*:down" = "int8*int8", "*:up" = "int8*int6" }\n'
    text = ROWS.replace("images = 300", "images = 20").replace("calibration = 64", "calibration = 16")
    (tmp_path / "rows.toml").write_text(
        text.replace('methods = ["gptq+bc"]', f'methods = ["lorc", "polish+rtn"]\n{also}')
    )
    code, out, _ = hwq("ptq", "--matrix", str(tmp_path / "rows.toml"), "--store", str(tmp_path / "s.jsonl"), "--json")
    plain, branched, polished = json.loads(out)
    assert code in (0, 1)
    for key in ("xc7 lut", "nangate45 area_um2", "nangate45 energy_nj", "weights kib"):
        assert branched["more"][key] > 0 == plain["more"][key]
    assert branched["unmodelled"] == {}
    assert {"abs", "log1p", "expm1", "sign"} <= polished["unmodelled"].keys()
    _, out, _ = hwq("ptq", "--matrix", str(tmp_path / "rows.toml"), "--store", str(tmp_path / "s.jsonl"))
    assert " log1p" in out.splitlines()[-1]


def test_a_model_chooses_its_rows(hwq: Hwq, tmp_path: Path) -> None:
    rows = matrix.cases()
    assert {case.model for case in matrix.of_model(rows, "glassllm")} == {"glassllm"}
    (tmp_path / "rows.toml").write_text(ROWS)
    store = str(tmp_path / "rows.jsonl")
    code, _, err = hwq("ptq", "vit_tiny", "--matrix", str(tmp_path / "rows.toml"), "--store", store)
    assert (code, err) == (2, "error: a matrix must have rows of 'vit_tiny', not of resnet8 alone\n")
    code, _, err = hwq("ptq", "--matrix", "builtin", "--recipe", "rtn", "--store", store)
    assert (code, err) == (2, "error: --matrix takes MODEL, --store and --json alone, not also 'rtn'\n")
    code, _, err = hwq("ptq", "resnet8", "--protocol", "x.toml")
    assert (code, err) == (2, "error: --protocol takes --json alone: its file says the rest, not also 'resnet8'\n")


def test_the_packaged_rows_can_be_read() -> None:
    from hwq import ptq

    rows = matrix.cases()
    assert len({case.key for case in rows}) == len(rows) > 10
    for case in rows:
        ptq.Recipe.parse(case.method)
        for _, text in case.assignment:
            Datapath.parse(text)


def test_every_packaged_recipe_has_a_row() -> None:
    from hwq.ptq.recipe import recipe_names

    same = {"default"}  # is gptq+bc
    assert {*recipe_names()} - same <= {case.method for case in matrix.cases()}


def test_files_wrong(hwq: Hwq, tmp_path: Path) -> None:
    with pytest.raises(HwqError, match=r"^a matrix must be a TOML file, not "):
        matrix.cases(tmp_path / "none.toml")
    (tmp_path / "odd.toml").write_text("[[on]]\nmodel = 'resnet8'\n")
    with pytest.raises(HwqError, match=r"^a matrix must have \[\[on\]\] tables with model, formats, .*'assignment'"):
        matrix.cases(tmp_path / "odd.toml")
    for wrong in (("300", '"many"'), ('["gptq+bc"]', '"gptq"')):
        (tmp_path / "odd.toml").write_text(ROWS.replace(*wrong))
        with pytest.raises(
            HwqError, match=r"^a matrix must have methods = \[words\] and whole images and calibration, not"
        ):
            matrix.cases(tmp_path / "odd.toml")
    (tmp_path / "store.jsonl").write_text("{\n")
    with pytest.raises(HwqError, match=r"^line 1 of .* must be a record"):
        matrix.run([], tmp_path / "store.jsonl")
    assert hwq("ptq", "resnet8")[2].startswith("error: hwq ptq needs a MODEL, --datapath and --recipe, or --matrix")
