"""The command line: exit codes, one-line refusals, JSON shapes, and a start that loads nothing heavy."""

import hashlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from hwq.cli.commands import COMMANDS
from hwq.cli.main import run
from hwq.cli.search import knee
from hwq.cli.whatif import _percent
from hwq.costmodel import estimate
from hwq.datapath import Datapath
from hwq.search import Point

CONTRACT = [
    "formats",
    "cost",
    "memory",
    "rtl",
    "golden",
    "sim",
    "synth",
    "ptq",
    "search",
    "calibrate",
    "export",
    "import",
    "compile",
    "demo",
]
LATER = ["report"]
PRICED = "xc7, xcup, ecp5, ice40, ge, nangate45, sky130, asap7"


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


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from hwq.cli.main import run; run(['--help']); print(); print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(shown.stdout.splitlines()[-1].split())
    assert "hwq.cli.commands" in loaded
    assert not loaded & {"torch", "amaranth", "cocotb", "matplotlib", "numba", "optuna", "scipy", "pyosys"}


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
    ],
)
def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], arguments: Sequence[str], message: str) -> None:
    assert_refused(capsys, message, *arguments)


@pytest.mark.parametrize("command", [["cost", "-d", "xc7"], ["sim"], ["synth", "-d", "xc7"], ["rtl", "-o", "x"]])
def test_a_datapath_that_the_shell_cut_asks_for_quotes(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    message = "quote the datapath: the shell took a '>' and the name behind it out of 'int8*int8 -'"
    name, *options = command
    assert_refused(capsys, message, name, "int8*int8", "-", *options)


def test_a_path_that_cannot_be_is_named_with_its_reason(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, why in (
        ("file", "file exists"),
        ("file/x", "not a directory"),
        ("x" * 300, "file name too long"),
    ):
        code, out, err = hwq(capsys, "rtl", "int4*int4", "-o", str(tmp_path / path))
        assert (code, out) == (2, "") and len(err) < 400
        assert re.fullmatch(rf"error: a path must be one that can be used, not '.*' \({why}\); name another\n", err)


def test_an_interrupt_is_no_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hwq.cli.explore.summary", interrupt)
    assert hwq(capsys, "formats") == (130, "", "interrupted\n")
    monkeypatch.setattr("hwq.cli.commands.app", interrupt)
    assert hwq(capsys, "cost") == (130, "", "interrupted\n")
    assert hwq(capsys) == (130, "", "interrupted\n")
    for name in ("search", "calibrate", "demo"):
        assert hwq(capsys, name, "x") == (130, "", "interrupted; what was finished is saved\n")


def test_an_interrupt_while_commands_are_loaded_is_no_traceback() -> None:
    """The import system asks a finder for each module: one of them is where the interrupt comes."""
    code = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('typer', 'numpy'): raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "sys.argv[1:] = ['formats']\n"
        "from hwq.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_a_reader_that_goes_away_ends_the_run_quietly() -> None:
    code = "import sys; from hwq.cli import main; sys.argv[1:] = ['formats', 'fp16', '--json']; main()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"{\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == -signal.SIGPIPE


INT8 = "int8*int8 +fixed(24) ->int8[bias,requant,relu] @2x2"


def test_cost_prints_each_figure_with_its_interval(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    plot = tmp_path / "cost.svg"
    shown = as_json(capsys, "cost", INT8, "--device", "xc7", "--plot", str(plot))
    assert isinstance(shown, dict)
    assert (shown["datapath"], shown["device"]) == (INT8, "xc7")
    for figure in (shown["lut"], shown["ff"]):
        assert 0 < figure["low"] <= figure["value"] <= figure["high"]
    assert shown["ff"]["low"] == shown["ff"]["high"]
    assert "fmax_mhz" not in shown
    assert any(text.startswith("fmax_mhz") for text in shown["unmodelled"])
    assert sum(part["count"] for part in shown["breakdown"] if part["part"] == "pe") == 4
    assert plot.stat().st_size > 1000
    code, out, _ = hwq(capsys, "cost", INT8, "--device", "xc7")
    assert code == 0
    assert out.startswith(f"{INT8} on xc7; T1")


def test_cost_prints_no_piece_that_costs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    shown = as_json(capsys, "cost", "int8*int4 ->int8", "-d", "nangate45")
    assert isinstance(shown, dict) and {"noise", "ahead", "merged"} <= {part["part"] for part in shown["breakdown"]}
    code, out, _ = hwq(capsys, "cost", "int8*int4 ->int8", "-d", "nangate45")
    rows = [line.split() for line in out.partition("part ")[2].partition("\n\n")[0].splitlines()[2:]]
    assert code == 0 and [name for name, *_ in rows] == ["pe", "epilogue", "edge", "read_out", "control"]
    assert all(any(float(each) for each in figures) for _, _, *figures in rows)
    code, out, _ = hwq(capsys, "cost", "int8*int4 ->int8", "-d", "nangate45", "--node", "7")
    assert code == 0 and re.search(r"^area_um2 .* scaled$", out, re.MULTILINE) and re.search(r"^ff .* T1 *$", out, re.M)


@pytest.mark.parametrize(
    ("more", "shown"), [(0.0, "="), (-0.0004, "0.0"), (0.0004, "0.0"), (-0.0006, "-0.1"), (0.5, "+50.0")]
)
def test_a_difference_of_nothing_has_no_sign(more: float, shown: str) -> None:
    assert _percent(more) == shown


def test_cost_refuses_what_a_device_cannot(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = hwq(capsys, "cost", INT8, "--device", "xc7", "--clock", "200")
    assert (code, out) == (2, "")
    assert err.startswith("error: clock= needs a device with place and route")
    assert hwq(capsys, "cost", INT8, "--device", "abacus")[0] == 2


def test_rtl_writes_what_its_manifest_says(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    manifest = as_json(capsys, "rtl", INT8, "-o", str(tmp_path / "rtl"))
    assert isinstance(manifest, dict)
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((tmp_path / "rtl" / name).read_bytes()).hexdigest() == digest
    assert json.loads((tmp_path / "rtl" / "manifest.json").read_text()) == manifest
    assert len(manifest["files"]) > 1
    code, out, _ = hwq(capsys, "rtl", INT8, "-o", str(tmp_path / "rtl"))
    assert code == 0
    assert len(out.splitlines()) == 2 + len(manifest["files"]) + len(manifest["project"])


def test_sim_compares_and_exits_with_1_where_it_must(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    report = as_json(capsys, "sim", INT8, "--vectors", "10", "--seed", "3")
    assert isinstance(report, dict)
    assert report["mismatches"] == 0
    assert (report["tiles"], report["compared"], report["seed"]) == (10, 40, 3)
    assert report["cycles"] == report["expected_cycles"] + report["stalled"]

    manifest = as_json(capsys, "rtl", INT8, "-o", str(tmp_path))
    assert isinstance(manifest, dict)
    epilogue = tmp_path / f"{manifest['top']}_epilogue.v"
    text = epilogue.read_text()
    broken = text.replace("assign code = ", "assign code = ~")
    assert broken != text
    epilogue.write_text(broken)
    code, out, _ = hwq(capsys, "sim", INT8, "--vectors", "10", "--verilog", str(tmp_path))
    assert code == 1
    assert "first mismatch: tile 0, row 0, col 0" in out


def test_sim_takes_one_kind_of_run(capsys: pytest.CaptureFixture[str]) -> None:
    message = "a simulation must be --exhaustive or of --vectors N, not both"
    assert_refused(capsys, message, "sim", INT8, "--exhaustive", "--vectors", "3")


def test_synth_prints_measured_beside_estimated(capsys: pytest.CaptureFixture[str]) -> None:
    report = as_json(capsys, "synth", "int4*int4 +fixed(16)", "--device", "xc7")
    assert isinstance(report, dict)
    for part in ("pe", "top"):
        record = report[part]
        measured, estimated = record["measured"]["lut"], record["estimated"]["lut"]["value"]
        assert record["error"]["lut"] == pytest.approx(estimated / measured - 1)
        assert record["level"] == "T1"
        assert "yosys" in record["tool"].lower()
    assert report["pe"]["measured"]["lut"] < report["top"]["measured"]["lut"]


def test_ptq_reports_three_evaluators(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    saved = tmp_path / "codes.safetensors"
    options = ["--datapath", "int8*int4 @8x8", "--first", "int8*int8", "--recipe", "rtn", "--images", "100"]
    report = as_json(capsys, "ptq", "resnet8", *options, "--save", str(saved))
    assert isinstance(report, dict)
    assert (report["model"], report["n"], report["float_ops"]) == ("resnet8", 100, [])
    for kind in ("float", "fake", "exact"):
        assert 0.7 < report[kind]["low"] < report[kind]["value"] <= report[kind]["high"] <= 1
    assert {"name", "datapath", "macs", "sqnr_db", "saturated"} <= set(report["per_layer"][0])
    assert report["lost"]["low"] <= report["float"]["value"] - report["exact"]["value"] <= report["lost"]["high"]
    kept = report["accumulators"]
    assert list(kept["instances"]) == list(kept["bits"]) == ["first", "body", "last"]
    assert kept["needs"] == kept["bits"]
    assert all(bits < kept["bits_any_weights"][name] for name, bits in kept["bits"].items())
    narrow, wide = (kept["lut"][kind]["value"] for kind in ("certified", "any_weights"))
    assert narrow == pytest.approx(area(kept["instances"].values()))
    assert kept["lut_saved"] == pytest.approx(wide - narrow, abs=0.1)
    assert kept["lut_saved"] > 1000
    assert 40_000 < saved.stat().st_size < 70_000  # most weights take four bits


def area(texts: Iterable[str]) -> float:
    """LUT of one instance of each."""
    return sum(cost.figures["lut"].value for cost in estimate(list(texts), "xc7"))


def test_ptq_takes_recipes_that_add_products(capsys: pytest.CaptureFixture[str]) -> None:
    """The accumulators for any weights are those of the network as the recipe leaves it."""
    options = ("--datapath", "int8*int4", "--recipe", "lorc+rtn", "--images", "10", "--calibration", "16")
    code, out, err = hwq(capsys, "ptq", "resnet8", *options)
    assert (code, err) == (0, "")
    assert "block1.conv1:down" in out
    assert "any weights" in out


def test_ptq_prints_what_certified_accumulators_save(capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "--datapath",
        "int8*ternary @4x4",
        "--first",
        "int8*int8",
        "--last",
        "int8*int8 +fixed(32)",
        "--recipe",
        "rtn",
    ]
    code, out, _ = hwq(capsys, "ptq", "resnet8", *options, "--images", "20")
    assert code == 0
    assert re.search(r"the hardware loses -?\d+\.\d\d points of float, paired interval \[-?\d", out)
    widths = {line.split()[0]: line.split()[-3:] for line in out.partition("any weights\n")[2].splitlines() if line}
    has, needs, worst = map(int, widths["body"])
    assert has == needs < worst == Datapath.parse("int8*ternary").mac.exact_bits
    has, needs, worst = map(int, widths["last"])
    assert needs < worst == Datapath.parse("int8*int8").mac.exact_bits
    assert has == 32  # what the user fixed is not certified
    assert "warning" not in out
    assert re.search(r"^lut on xc7: [\d,]+ for any weights, [\d,]+ certified, [\d,]+ saved$", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--device", "vax"],
            "device must be one of portable, xc7, xcup, versal, ecp5, ice40, ge, nangate45, sky130, asap7, not 'vax'",
        ),
        (
            ["--device", "portable"],
            f"device must have prices ({PRICED}), not 'portable'; choose one",
        ),
        (["--recipe", "magic"], "a recipe must be known words joined by +, not 'magic' in 'magic'; words are "),
        (["--images", "1000000"], "the number of test images must be 1..2000 or 10000, not 1000000"),
        (["--save", "nowhere/codes.safetensors"], "the folder of --save must exist, not nowhere"),
        (["--datapath", "int8*int8 ->int8[bias]"], "the datapath of 'stem' must requantize"),
        (["--first", "int8*int99"], "format must be a catalogue name"),
    ],
)
def test_ptq_looks_at_all_names_before_it_quantizes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.delattr("hwq.ptq.engine.Quantizer.quantize")
    code, out, err = hwq(capsys, "ptq", "resnet8", "--datapath", INT8, "--recipe", "rtn", *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {message}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "magic"], "a recipe must be known words joined by +, not 'magic' in 'magic'; words are "),
        (["--images", "1000000"], "the number of test images must be 1..2000 or 10000, not 1000000"),
        (
            ["--device", "vax"],
            "device must be one of portable, xc7, xcup, versal, ecp5, ice40, ge, nangate45, sky130, asap7, not 'vax'",
        ),
        (["--plot", "front.gif"], "a plot is written to a .png, .svg or .pdf file, not 'front.gif'"),
        (["--plot", "nowhere/front.png"], "the plot's folder must exist, not 'nowhere'"),
        (["--plot", "front.png", "--objective", "lut"], "a plot needs 2 objectives, not lut alone"),
    ],
)
def test_search_looks_at_all_names_before_it_starts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, options: list[str], message: str
) -> None:
    store = tmp_path / "study.sqlite"
    usual = ["--device", "xc7", "--budget", "1", "--store", str(store)]
    code, out, err = hwq(capsys, "search", "resnet8", *usual, *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {message}")
    assert not store.exists()


SPACE = """
[space.fields]
a = ["int8", "fp4_e2m1"]
size = ["2x2", "4x4"]
[space.roles]
first = "int8*int8 ->{a}[bias,requant,relu]"
body = "{a}*int4 ->{a}[bias,requant] @{size}"
last = "{a}*int8"
"""


def test_search_finds_a_front_and_goes_on_from_its_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    space, store, plot = tmp_path / "space.toml", tmp_path / "study.sqlite", tmp_path / "front.png"
    space.write_text(SPACE)
    options = ["--device", "xc7", "--space", str(space), "--store", str(store), "--images", "20", "--recipe", "rtn"]
    first = as_json(capsys, "search", "resnet8", "--budget", "4", *options, "--plot", str(plot))
    assert isinstance(first, dict)
    assert first["evaluated"] == 4
    assert 0 < len(first["front"]) <= 4
    for point in first["front"]:
        assert set(point["metrics"]) == {"accuracy", "lut", "latency_cycles"}
        built = point["instances"].values()  # what `hwq rtl` is given is what was priced
        assert [str(Datapath.parse(text)) for text in built] == list(built)
        assert all("+fixed(" in text for text in built)
        assert area(built) == pytest.approx(point["metrics"]["lut"]["value"])
    assert plot.read_bytes().startswith(b"\x89PNG")
    again = as_json(capsys, "search", "resnet8", "--budget", "4", *options)
    assert again == first
    limited = as_json(capsys, "search", "resnet8", "--budget", "4", *options, "--fit", "lut<=1")
    assert isinstance(limited, dict)
    assert (limited["infeasible"], limited["front"]) == (4, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[space.roles]\nbody = 'int8*int8'",
            "must have the tables [space.fields] and [space.roles], and nothing else",
        ),
        ("[space.fields]\n[space.roles]\nbody = '{a}*int8'", "must name only the fields"),
        ("a = ", "must be TOML"),
    ],
)
def test_a_wrong_space_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, message: str) -> None:
    space = tmp_path / "space.toml"
    space.write_text(text)
    store = str(tmp_path / "s.sqlite")
    options = ["--device", "xc7", "--budget", "1", "--store", store, "--space", str(space)]
    code, out, err = hwq(capsys, "search", "resnet8", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_an_objective_that_a_device_lacks_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    store = str(tmp_path / "s.sqlite")
    options = ["--device", "xc7", "--budget", "1", "--store", store, "--objective", "energy_pj_per_mac"]
    message = "an objective on xc7 must be one of accuracy, lut, latency_cycles, not 'energy_pj_per_mac'"
    assert_refused(capsys, message, "search", "resnet8", *options)


def test_the_knee_is_above_the_chord() -> None:
    values = [(100, 0.5), (200, 0.88), (400, 0.9), (800, 0.91)]
    points = [Point(n, {}, {"lut": x, "accuracy": y}, {}, None, True) for n, (x, y) in enumerate(values)]
    assert knee(points, "lut", "accuracy").number == 1
    assert knee(points[:1], "lut", "accuracy").number == 0


def test_calibrate_needs_a_device_that_can_be_measured(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert hwq(capsys, "calibrate", "--device", "portable")[0] == 2
    message = f"{tmp_path}/*.jsonl must hold rows of xc7, not none"
    assert_refused(capsys, message, "calibrate", "--device", "xc7", "--from", str(tmp_path))
