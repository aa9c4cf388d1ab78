"""`hwq formats`: the catalogue, one format in full, formats side by side, and the conformance pack with its reader."""

import hashlib
import itertools
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hwq import plot
from hwq.cli import explore
from hwq.cli.main import run
from hwq.datapath import Datapath
from hwq.errors import HwqError
from hwq.formats import ROUNDINGS, Format, catalog, parse_format
from hwq.golden import reader
from hwq.golden.pack import PACK_VERSION, write_pack
from hwq.golden.points import boundaries
from hwq.testing import Nearest
from hwq.zoo.layers import layer_weights

SOURCES = ["gaussian", "laplace", "student-t(5)", "resnet8 block3.conv2"]


def hwq(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    code = run(["formats", *arguments])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    return out


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> object:
    found: object = json.loads(hwq(capsys, *arguments, "--json"))
    return found


# the catalogue


def test_the_catalogue_is_grouped_and_narrow(capsys: pytest.CaptureFixture[str]) -> None:
    rows = as_json(capsys)
    assert isinstance(rows, list)
    assert [row["name"] for row in rows] == list(catalog)
    assert all(row["min"] <= row["least"] <= row["max"] and row["least"] > 0 for row in rows)
    lines = hwq(capsys).splitlines()
    assert max(map(len, lines)) <= 100
    assert [line.split()[0] for line in lines if line.split() and line.split()[0] in catalog]
    assert sorted(line.split()[0] for line in lines if line[:1].isalpha() and line.split()[0] in catalog) == sorted(
        catalog
    )
    titles = [line for line, below in itertools.pairwise(lines) if line and not below]
    assert {"Integers and fixed point", "Sign, exponent, fraction", "Blocks of numbers that share a scale"} <= set(
        titles
    )


# one format


@pytest.mark.parametrize(
    "name", ["int4", "fp4_e2m1", "ternary", "nf4", "e8m0", "fp8_e5m2fnuz", "sm(3)", "range(-3,-1)"]
)
def test_every_code_has_its_value(capsys: pytest.CaptureFixture[str], name: str) -> None:
    shown = as_json(capsys, name)
    assert isinstance(shown, dict)
    fmt = parse_format(name)
    assert [row["code"] for row in shown["values"]] == fmt.codes().tolist()
    numbers = [row for row in shown["values"] if not isinstance(row["value"], str)]
    assert len(numbers) > 1
    assert all(row["value"] == fmt.value(row["code"]) for row in numbers)
    assert shown["levels"] == len({row["value"] for row in numbers})
    assert shown["negative_zero"] == any(str(row["value"]) == "-0.0" for row in numbers)
    positive = [row["value"] for row in numbers if row["value"] > 0]
    assert shown["least"] == (min(positive) if positive else None)
    assert {row["value"] for row in shown["values"] if isinstance(row["value"], str)} <= {"nan", "+inf", "-inf"}


def test_a_format_is_told_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    shown = as_json(capsys, "fp8_e4m3")
    assert isinstance(shown, dict)
    assert (shown["least"], shown["least_normal"], shown["significand_bits"]) == (2**-9, 2**-6, 4)
    assert shown["range_db"] == pytest.approx(107.2, abs=0.05)
    assert (shown["levels"], shown["negative_zero"], shown["specials"]) == (253, True, "nan")
    widths = shown["hardware"]
    assert (widths["embedding_bits"], widths["operand"], widths["k"]) == (19, "split", 4096)
    assert widths["fields"] == {"sig": 5, "exp": 4, "nan": 1}
    top = 448 * 2**9
    assert widths["product_bits"] == (top * top).bit_length() + 1
    assert widths["accumulator_bits"] == (4096 * top * top).bit_length() + 1
    assert [row["source"] for row in shown["fidelity"]] == SOURCES
    assert [round(row["sqnr_db"], 1) for row in shown["fidelity"][:2]] == [31.6, 31.5]
    text = hwq(capsys, "fp8_e4m3")
    for said in ("least normal 0.015625", "253, with -0", "sig 5, exp 4, nan 1 bits (split)", "107.2 dB, 17.8 octaves"):
        assert said in text
    assert "sig 5 bits (embedded)" in hwq(capsys, "fp4_e2m1")


def test_blocks_and_wide_formats_are_told_too(capsys: pytest.CaptureFixture[str]) -> None:
    block = hwq(capsys, "mxfp4_e2m1")
    assert "12, 4.25 a number in memory" in block
    assert "resnet8 block3.conv2" in block
    wide = hwq(capsys, "fp32")
    assert "value" not in wide and "least normal 1.1755e-38" in wide
    assert "in a datapath" in wide
    assert "SQNR" not in hwq(capsys, "int(1024)")
    magnitudes = hwq(capsys, "uint4")
    assert "|gaussian|" in magnitudes and "\ngaussian" not in magnitudes


@pytest.mark.parametrize("name", ["fp8_e4m3", "int4", "nf4", "mxfp4_e2m1", "e8m0", "uint16", "binary", "fp16"])
@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_format_is_drawn(tmp_path: Path, name: str, kind: str) -> None:
    paths = [tmp_path / f"{copy}.{kind}" for copy in "ab"]
    for path in paths:
        plot.format_sheet(parse_format(name), [("gaussian", 30.2), ("laplace", None)], path)
    first, second = (path.read_bytes() for path in paths)
    assert first == second and len(first) > 5000
    assert first.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind])


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    for name in ("fp32", "range(-3,-1)"):
        with pytest.raises(HwqError, match=r"^a picture (shows every code|needs a positive value)"):
            plot.format_sheet(parse_format(name), [], tmp_path / "a.png")
    with pytest.raises(HwqError, match=r"^a picture needs a format with a price and a finite ratio, not none$"):
        plot.format_tradeoff([], ["xc7"], "", tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


# formats side by side


def test_formats_are_compared(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    names = ["int8", "fp8_e4m3", "uint4", "fp32"]
    rows = as_json(capsys, names[0], "--compare", *names[1:])
    assert isinstance(rows, list)
    assert [row["name"] for row in rows] == names
    for row in rows[:3]:
        for device, unit in (("xc7", "lut"), ("ge", "ge")):
            cost = row["cost"][device]
            figure = cost[unit]
            assert (cost["unit"], cost["level"]) == (unit, "T1")
            assert 0 < figure["low"] <= figure["value"] <= figure["high"]
            dp = Datapath.parse(cost["datapath"])
            assert dp.mac.acc_bits == min(32, dp.mac.exact_bits)
            lo, hi = (k * dp.mac.k for k in dp.mac.product_range)
            top = Fraction(2) ** (dp.mac.acc_bits - 1 + dp.mac.acc_lsb - dp.mac.product_lsb)
            assert -top <= lo and hi < top  # the largest sum fits, whatever is cut below
    assert set(rows[3]["cost"]["ge"]) == {"unavailable"}
    assert [row["source"] for row in rows[2]["fidelity"]] == [f"|{name}|" for name in SOURCES]
    text = hwq(capsys, "--compare", *names)
    assert text.count("unknown") == 2 and "ge: fp32 has no price: an operand" in text
    assert "|x| " in text and " 0 " not in text.split("SQNR")[0].split("fp32")[1]
    picture = tmp_path / "c.svg"
    hwq(capsys, "--compare", *names, "--device", "xc7", "--plot", str(picture))
    assert picture.stat().st_size > 10000


def row(name: str, lut: tuple[float, float, float], ratio: float | None, one_sided: bool = False) -> dict[str, object]:
    figure = dict(zip(("low", "value", "high"), lut, strict=True))
    source = "|gaussian|" if one_sided else "gaussian"
    cost = {"unit": "lut", "level": "T1", "source": "test", "lut": figure}
    return {"name": name, "fidelity": [{"source": source, "sqnr_db": ratio}], "cost": {"xc7": cost}}


def test_the_front_leaves_out_what_does_not_compare() -> None:
    from hwq.plot.tradeoff import _front, _spots

    rows = [
        row("a", (9, 10, 11), 20.0),
        row("b", (19, 20, 21), 20.0),
        row("c", (19, 20, 21), 30.0),
        row("u", (5, 5, 5), 99.0, one_sided=True),
        row("exact", (5, 5, 5), None),
        {**row("lost", (1, 1, 1), 9.0), "cost": {"xc7": {"unavailable": "none"}}},
    ]
    spots = _spots(rows, "xc7", 0)
    assert [spot.name for spot in spots] == ["u |x|", "a", "b", "c"]
    assert [spot.name for spot in _front(spots)] == ["a", "c"]


def test_the_whole_catalogue_is_compared_if_none_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def compared(fmt: Format, devices: tuple[str, ...]) -> dict[str, object]:
        return {"name": str(fmt), "devices": devices}

    monkeypatch.setattr(explore, "compared", compared)
    rows = as_json(capsys, "--compare", "--device", "ge")
    assert rows == [{"name": name, "devices": ["ge"]} for name in catalog]


def test_names_in_a_comparison_do_not_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

    figures: list[Figure] = []
    save = Figure.savefig

    def kept(self: Figure, *arguments: object, **options: object) -> None:
        figures.append(self)
        save(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", kept)
    rows = [row(f"format{at:02}", (50 + at, 50 + at, 51 + at), 20 + (at * 7) % 13 / 3) for at in range(16)]
    plot.format_tradeoff(rows, ["xc7"], "a note", tmp_path / "a.png")
    notes = [text for text in figures[0].axes[0].texts if isinstance(text, Annotation)]
    assert sorted(note.get_text() for note in notes) == [f"format{at:02}" for at in range(16)]
    boxes = [note.get_window_extent() for note in notes]
    assert not any(one.overlaps(two) for one, two in itertools.combinations(boxes, 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fp(0,3)"], "fp(e,m) needs 1 <= e <= 11"),
        (["int8", "int4"], "one format is shown at a time, not 2; add --compare"),
        (["int8", "--device", "xc7"], "--device goes with --compare, which prices formats; add it"),
        (["int8", "--compare", "--device", "x"], "device must be one of "),
        (["--plot", "a.png"], "--plot needs a format, or --compare, not none"),
        (["int8", "--plot", "a.gif"], "a plot is written to a .png, .svg or .pdf file, not 'a.gif'"),
        (["fp8_e4m3", "--compare", "fp(4,3,bias=2000)"], "float64 does not reach to the ends of fp(4,3,bias=2000)"),
        (["fp(4,3,bias=-2000)"], "float64 does not reach to the ends of fp(4,3,bias=-2000)"),
        (["fp(7,3,bias=1080)"], "values that are shown must be numbers of float64, not as small as those of fp(7,3,b"),
        (["int(1024)", "--compare", "int8"], "formats that are compared must have at most 64 bits, not int(1024) with"),
        (["int8", "--vectors", "no", "--compare"], "--vectors goes with names alone, not with --compare, --plot or"),
        (["int8", "--vectors", "no", "--plot", "a.png"], "--vectors goes with names alone, not with --compare, --plot"),
        (["fp32", "--vectors", "no"], "vectors list the codes of formats to 16 bits, not fp32 with 32"),
        (["int8", "mxint8", "--vectors", "no"], "an output must round one number alone, not mxint8"),
        (
            ["fp(4,3,bias=-200)", "--vectors", "no"],
            "vectors are of float32, which must reach to the ends of the format",
        ),
        (["fp(4,3,bias=200)", "--vectors", "no"], "vectors are of float32, which must reach to the ends of the format"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code = run(["formats", *arguments])
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {message}")
    assert list(tmp_path.iterdir()) == []


def test_the_layers_weights_are_the_models() -> None:
    weights = layer_weights(*explore.LAYER)
    assert weights.shape == (64, 64 * 9) and weights.dtype == np.float32
    with pytest.raises(HwqError, match=r"^a layer of resnet8 must be one of block1\.conv1, .+, not 'x'$"):
        layer_weights("resnet8", "x")
    with pytest.raises(HwqError, match=r"^packaged weights are those of resnet8, tinydepth, vit_tiny, not 'x'$"):
        layer_weights("x", "fc")


# the conformance pack

Codes = NDArray[np.int64]


def read(path: Path) -> tuple[list[str], Codes]:
    """The fields' names and the vectors of a file, read as $readmemh does: comment, then a number a line."""
    head, *lines = path.read_text().splitlines()
    assert head.startswith("// ")
    return head.rpartition(": ")[2].split(), np.array([[int(f, 16) for f in line.split("_")] for line in lines])


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack") / "vectors"
    write_pack([parse_format(text) for text in ("fp4_e2m1", "int3", "fp(3,1,inf)", "ternary", "nf4")], folder)
    return folder


def test_a_pack_says_what_it_holds(pack: Path) -> None:
    manifest = json.loads((pack / "manifest.json").read_text())
    assert (manifest["hwq_vectors"], manifest["hwq"]) == (PACK_VERSION, "0.1.0")
    assert list(manifest["formats"]) == ["fp4_e2m1", "int3", "fp(3,1,inf)", "ternary", "nf4"]
    assert manifest["formats"]["int3"]["overflow"] == ["sat", "wrap"]
    assert manifest["formats"]["fp(3,1,inf)"]["overflow"] == ["sat", "inf", "nan"]
    assert manifest["formats"]["nf4"]["rounding"] == list(ROUNDINGS)
    assert manifest["formats"]["int3"]["rounding"] == [*ROUNDINGS, "sr"]
    files = {file["name"]: file for file in manifest["files"]}
    on_disk = {path.relative_to(pack).as_posix() for path in pack.rglob("*.hex")}
    assert set(files) == on_disk and len(files) > 50
    assert manifest["left_out"] == {}
    assert manifest["vectors"] == sum(file["count"] for file in files.values())
    for name, file in files.items():
        assert hashlib.sha256((pack / name).read_bytes()).hexdigest() == file["sha256"]
        fields, rows = read(pack / name)
        assert fields == [f"{port}[{bits - 1}:0]" for port, bits in (*file["inputs"], *file["outputs"])]
        assert len(rows) == file["count"] > 2
        digits = [-(-bits // 4) for _, bits in (*file["inputs"], *file["outputs"])]
        lengths = {tuple(map(len, line.split("_"))) for line in (pack / name).read_text().splitlines()[1:]}
        assert lengths == {tuple(digits)}
    combinations = {(f["format"], f["rounding"], f["overflow"]) for f in files.values() if f["operation"] == "encode"}
    assert ("fp(3,1,inf,ovf=nan)", "sr", "nan") in combinations
    assert len(combinations) == 6 * (1 + 2 + 3 + 1) + 5
    assert {name.split("/")[1] for name in files if "sum" in name} == {
        f"sum.{kind}.hex" for kind in ("exact", "rounded", "wrapped", "saturated", "float")
    }


@pytest.mark.parametrize("name", ["fp4_e2m1", "int3", "nf4", "fp(3,1,inf)"])
def test_vectors_are_those_of_the_specification(pack: Path, name: str) -> None:
    """Codes by comparing with a table of exact values, not by the circuits that made the pack."""
    manifest = json.loads((pack / "manifest.json").read_text())
    stem = manifest["formats"][name]["folder"]
    fmt = parse_format(name)
    _, decode = read(pack / stem / "decode.hex")
    assert decode[:, 0].tolist() == fmt.codes().tolist()
    for code, pattern in decode.tolist():
        value = np.uint32(pattern).view(np.float32)
        exact = fmt.value(code)
        assert Fraction(float(value)) == exact if isinstance(exact, Fraction) else str(value) in str(exact.value)
        assert not isinstance(exact, Fraction) or exact or bool(np.signbit(value)) == fmt.negative_zero(code)
    compared = 0
    for file in manifest["files"]:
        if file["name"].startswith(f"{stem}/encode"):
            _, rows = read(pack / file["name"])
            x = rows[:, 0].astype(np.uint32).view(np.float32).astype(np.float64)
            nearest = Nearest(parse_format(file["format"]))
            words = rows[:, 1] if file["rounding"] == "sr" else None
            want = nearest.encode(x, file["rounding"], words)
            assert np.array_equal(nearest.canonical(rows[:, -1]), want)
            compared += len(rows)
    assert compared > 500


@pytest.mark.parametrize("name", ["fp4_e2m1", "int8", "uint8", "nf4", "bf16", "int16", "fp8_e4m3", "logsqrt4"])
def test_boundaries_have_all_that_decides(name: str) -> None:
    fmt = parse_format(name)
    x = boundaries(fmt)
    given = set(x.view(np.uint32).tolist())
    assert len(given) == len(x) > 50
    values = sorted({float(v) for c in fmt.codes().tolist() if isinstance(v := fmt.value(c), Fraction)})
    step = values[-1] - values[-2]
    wanted = [0.0, -0.0, np.inf, -np.inf, np.nan, values[0], values[-1], values[-1] + step / 2, values[-1] + step]
    if fmt.bits <= 10:
        wanted += [*values, *((a + b) / 2 for a, b in itertools.pairwise(values))]
    with np.errstate(over="ignore"):
        points = np.array(wanted, dtype=np.float32)
    points = points[np.isfinite(points) | (np.abs(wanted) == np.inf) | np.isnan(wanted)]
    assert set(points.view(np.uint32).tolist()) <= given
    finite = points[np.isfinite(points)]
    for end in (-np.inf, np.inf):
        beside = np.nextafter(finite, np.float32(end))
        assert set(beside.view(np.uint32).tolist()) <= given


EMULATOR = """
import numpy as np
from hwq.bits import evaluate
from hwq.datapath import Datapath, matmul
from hwq.formats import noise, parse_format
from hwq.formats.intake import CARRIERS

def emulate(file, inputs, fault=0):
    if file["operation"] == "sum":
        mac = Datapath.parse(file["datapath"]).mac
        a, w = (np.array([inputs[side::2]]) for side in (0, 1))
        return [int(np.asarray(matmul(mac, a[:, :t], w[:, :t]))[0, 0]) for t in (1, 2, 3)]
    fmt = parse_format(file["format"])
    if file["operation"] == "decode":
        value = np.asarray(fmt.decode(np.array(inputs)))
        return value.view(f"u{value.itemsize}").tolist()
    x = np.array(inputs[:1], dtype=np.uint32).view(np.float32)
    if file["rounding"] != "sr":
        return [int(fmt.encode(x, file["rounding"])[0]) ^ (fault and inputs[0] == fault)]
    source = CARRIERS["float32"][0]
    code = fmt.pack(source.unpack(source.code_word), source.lsb, noise())
    return [int(np.asarray(evaluate([code], {"code": np.array(inputs[:1]), "noise": np.array(inputs[1:])})[0])[0])]

def broken(file, inputs):
    return emulate(file, inputs, fault=0x3F800000)
"""


def test_the_reader_runs_an_emulator(tmp_path: Path) -> None:
    """hwq itself in a process of its own, then with one fault, then on a file that somebody changed."""
    folder = tmp_path / "pack"
    manifest = write_pack([parse_format("fp(1,1)"), parse_format("ternary")], folder)
    (tmp_path / "mine.py").write_text(EMULATOR)

    def check(name: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, str(folder / "reader.py"), f"mine:{name}"]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)

    right, wrong = check("emulate"), check("broken")
    assert (right.returncode, right.stdout) == (0, f"{manifest['vectors']} compared, 0 mismatches\n"), right.stderr
    mismatches = int(wrong.stdout.split()[2])
    assert wrong.returncode == 1 and mismatches == 5 * 2  # once for each rounding without noise, of each format
    sums = folder / "ternary" / "sum.exact.hex"
    sums.write_text(sums.read_text().replace("_0", "_1", 1))
    changed = check("emulate")
    assert changed.returncode == 1 and "ternary/sum.exact.hex is not as it was written" in changed.stderr


def test_the_reader_counts_nan_as_nan_and_is_short(pack: Path) -> None:
    source = Path(reader.__file__).read_text()
    assert len(source.splitlines()) <= 30
    assert source == (pack / "reader.py").read_text()
    modules = {line.split()[1] for line in source.splitlines() if line.startswith(("import ", "from "))}
    assert modules <= set(sys.stdlib_module_names)
    manifest = json.loads((pack / "manifest.json").read_text())
    answers: dict[str, dict[tuple[int, ...], list[int]]] = {}
    for file in manifest["files"]:
        count = len(file["inputs"])
        rows = read(pack / file["name"])[1].tolist()
        answers[file["name"]] = {tuple(r[:count]): r[count:] for r in rows}
    compared, mismatches = reader.check(lambda file, inputs: answers[file["name"]][tuple(inputs)], pack)
    assert (compared, mismatches) == (manifest["vectors"], 0)

    def other_nan(file: dict[str, list[list[int]]], inputs: list[int]) -> list[int]:
        found = answers[str(file["name"])][tuple(inputs)]
        return [next((b if x == a else a for a, b in file["nan"] if a <= x <= b), x) for x in found]

    assert reader.check(other_nan, pack) == (manifest["vectors"], 0)
    assert reader.check(lambda file, inputs: [-1] * len(file["outputs"]), pack)[1] == manifest["vectors"]


def test_verilog_reads_the_vectors(pack: Path, tmp_path: Path) -> None:
    """$readmemh of Icarus gives the numbers of the file, none of them unknown."""
    rows = read(pack / "fp4_e2m1" / "encode.sr.sat.hex")[1]
    bench = f"""
module test;
  reg [51:0] vector [0:{len(rows) - 1}];
  integer i;
  initial begin
    $readmemh("{pack / "fp4_e2m1" / "encode.sr.sat.hex"}", vector);
    for (i = 0; i < {len(rows)}; i = i + 1) $display("%0d %0d %0d", vector[i][51:20], vector[i][19:4], vector[i][3:0]);
  end
endmodule
"""
    (tmp_path / "test.v").write_text(bench)
    subprocess.run(["iverilog", "-o", str(tmp_path / "test"), str(tmp_path / "test.v")], check=True)
    shown = subprocess.run(["vvp", "-N", str(tmp_path / "test")], capture_output=True, text=True, check=True)
    assert [list(map(int, line.split())) for line in shown.stdout.splitlines()] == rows.tolist()


def test_a_pack_replaces_a_pack_and_nothing_else(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "pack"
    hwq(capsys, "int2", "binary", "--vectors", str(folder))
    assert (folder / "binary" / "decode.hex").exists()
    text = hwq(capsys, "int2", "--vectors", str(folder))
    assert "1 formats" in text and "reader.py MODULE:FUNCTION" in text
    assert not (folder / "binary" / "decode.hex").exists()
    first = {path: path.read_bytes() for path in folder.rglob("*.*")}
    hwq(capsys, "int(2)", "--vectors", str(folder))
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == first
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    for target, message in (
        (other, "a pack needs a new or empty folder"),
        (other / "mine.txt", "a pack is written to"),
    ):
        assert run(["formats", "int2", "--vectors", str(target)]) == 2
        assert capsys.readouterr().err.startswith(f"error: {message}")
    assert [path.name for path in other.iterdir()] == ["mine.txt"]
    (other / "manifest.json").write_text('{"hwq_vectors": 1, "files": [{"name": "../deep/pack/reader.py"}]}')
    assert run(["formats", "int2", "--vectors", str(other)]) == 2
    assert (folder / "reader.py").exists()


def table_of(fmt: Format) -> Nearest:
    """The table of a format; beyond a power of two, the first of its binade, steps would be twice as long."""
    *_, last, most = sorted({v for c in fmt.codes().tolist() if isinstance(v := fmt.value(c), Fraction)})
    power = most.numerator & (most.numerator - 1) == 0
    return Nearest(fmt, most + 2 * (most - last) if power else None)


@pytest.mark.slow
def test_the_pack_of_the_catalogue(tmp_path: Path) -> None:
    manifest = write_pack([], tmp_path / "all")
    assert len(manifest["formats"]) > 35 and manifest["vectors"] > 10**6
    assert set(manifest["formats"]) | {name.split("/")[0] for name in manifest["left_out"]} == set(catalog)
    size = sum(path.stat().st_size for path in (tmp_path / "all").rglob("*.*"))
    assert size < 50 << 20
    for file in manifest["files"]:
        if file["operation"] == "encode" and file["rounding"] != "sr":
            assert_nearest(tmp_path / "all", file)


def assert_nearest(pack: Path, file: dict[str, str]) -> None:
    """The codes of a file by comparing with a table of exact values."""
    _, rows = read(pack / file["name"])
    nearest = table_of(parse_format(file["format"]))
    x = rows[:, 0].astype(np.uint32).view(np.float32).astype(np.float64)
    assert np.array_equal(nearest.canonical(rows[:, -1]), nearest.encode(x, file["rounding"])), file["name"]
