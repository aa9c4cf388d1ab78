"""Bad input on the command line: one `error: ...` line that names the invariant, exit 2, and nothing touched."""

import json
from pathlib import Path

import pytest

from hwq.cli.main import run


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
