"""Tools that are not here: their scripts, their reports, kits that come back. Reports in tests/data are our own tables.

A program of a vendor's name on PATH stands for nothing that its tool does: it proves that scripts are started, reports
read, failures told. Numbers are checked where they are known: in the tables, in our measured rows, and in Yosys itself.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hwq.cli.calibrate import measured_of, read_rows
from hwq.cli.kit import check_alike, picked
from hwq.cli.main import run
from hwq.costmodel.calibrate import calibrate, designs
from hwq.datapath import Datapath
from hwq.errors import HwqError, ToolError
from hwq.synth import Row, measure_designs
from hwq.synth.vendor import MANIFEST, TOOLS, Kit, tool_of
from hwq.synth.vendor.report import Report, Text

DATA = Path(__file__).parent / "data"
INT = "int4*int4 +fixed(12)"
MODULE = "hwq_[0-9a-f]{10}"


def texts(tool: str, **changed: tuple[str, str]) -> dict[str, Text]:
    """The reports of a tool by role, with some text in them replaced."""
    found = {}
    for role in TOOLS[tool].reports:
        text = (DATA / "reports" / f"{tool}_{role}.rpt").read_text("utf-8")
        if role in changed:
            old, new = changed[role]
            assert re.search(old, text), old
            text = re.sub(old, new, text)
        found[role] = Text(f"{tool}_{role}.rpt", text)
    return found


def read(tool: str, given: dict[str, Text]) -> Report:
    return TOOLS[tool].read("xc7", given, "unit")


@pytest.mark.parametrize(
    ("tool", "tools", "counts", "area", "clock"),
    [
        ("vivado", {"vivado": "2025.1"}, {"lut": 1359, "ff": 760, "bram": 5, "dsp": 7}, None, 250.0),
        ("quartus", {"quartus": "25.1std.0"}, {"lut": 1773, "ff": 2350, "bram": 4, "dsp": 3}, None, 120.25),
        ("diamond", {"diamond": "3.10.1.112"}, {"lut": 258, "ff": 56, "bram": 2, "dsp": 4}, None, 157.85),
        ("radiant", {"radiant": "2.0.1.281.2"}, {"lut": 5123, "ff": 1972, "bram": 12, "dsp": 2}, None, 57.37),
        ("genus", {"genus": "21.10-p002_1", "library": "NangateOpenCellLibrary"}, {"ff": 42}, 1526.164, 400.0),
        ("dc", {"dc": "R-2020.09-SP5-5", "library": "NangateOpenCellLibrary"}, {"ff": 98}, 1252.167514, 400.0),
    ],
)
def test_reports_are_read(
    tool: str, tools: dict[str, str], counts: dict[str, int], area: float | None, clock: float
) -> None:
    found = read(tool, texts(tool))
    assert (found.tools, found.counts, found.area_um2, found.fmax_mhz) == (tools, counts, area, clock)


def test_a_breakdown_is_what_the_report_lists() -> None:
    used = {"LUT as logic": 1311, "LUT as memory": 48, "FDRE": 760, "LUT6": 900, "CARRY4": 60}
    assert read("vivado", texts("vivado")).breakdown == used
    assert read("quartus", texts("quartus")).breakdown == {"ALM": 1454, "virtual pin": 181}
    assert read("diamond", texts("diamond")).breakdown == {"ripple": 10}


def test_other_versions_of_a_report_are_read() -> None:
    """UltraScale+ and Versal name the lines otherwise, the summary file of Quartus has colons and no ALUT."""
    named = texts("vivado", area=("Slice (LUTs|Registers)", r"CLB \1"))
    assert read("vivado", named).counts["lut"] == 1359
    summary = re.sub(r"^; (.*?) +; (.*?) *;$", r"\1 : \2", texts("quartus")["area"].text, flags=re.MULTILINE)
    summary = summary.split("\n+-")[0] + "\n".join(line for line in summary.splitlines() if " : " in line)
    summary = "\n".join(line for line in summary.splitlines() if "ALUT" not in line)
    found = read("quartus", {"area": Text("design.fit.summary", summary)})
    assert found.counts == {"ff": 2350, "bram": 4, "dsp": 3}
    assert found.breakdown["ALM"] == 1454


@pytest.mark.parametrize("tool", sorted({*TOOLS} - {"yosys"}))
def test_without_a_timed_path_there_is_no_clock(tool: str) -> None:
    given = texts(tool)
    role = "qor" if tool == "dc" else "clock"
    assert read(tool, {key: text for key, text in given.items() if key != role}).fmax_mhz is None


def test_a_clock_of_nothing_is_none() -> None:
    assert read("vivado", texts("vivado", clock=("-1.778", "    NA"))).fmax_mhz is None
    assert read("dc", texts("dc", qor=(r"(Slack:) +-0.50", r"\1 uninit"))).fmax_mhz is None


@pytest.mark.parametrize(
    ("tool", "role", "change", "message"),
    [
        (
            "vivado",
            "area",
            (r"\| Slice LUTs.*\n", ""),
            r"^the table 1\. CLB or Slice Logic of vivado_area\.rpt must have a line CLB LUTs or Slice LUTs, which it "
            "has not; run the tool to its end again$",
        ),
        (
            "vivado",
            "area",
            ("1359", "many"),
            r"^CLB LUTs or Slice LUTs in the table 1\. CLB or Slice Logic of .*_area\.rpt must be a number, not 'many'",
        ),
        ("vivado", "area", ("1359", ""), "must be a number, not ''"),
        ("vivado", "area", ("1359", "inf"), "must be a number, not 'inf'"),
        ("vivado", "area", ("1359", "-9"), "must come to whole cells, not -9"),
        (
            "vivado",
            "area",
            (r" 2\.5 ", " 2.3 "),
            r"^Block RAM Tile in the table Memory of .* whole cells, not 4\.6; run",
        ),
        (
            "vivado",
            "area",
            (r"\| Tool.*\n", ""),
            r"^the head of vivado_area\.rpt must name the version of vivado, which",
        ),
        (
            "vivado",
            "area",
            ("unit", "other"),
            r"^vivado_area\.rpt must be of the module unit, not other; put each report",
        ),
        (
            "vivado",
            "clock",
            ("-1.778", "9.0"),
            "^the slack in vivado_clock.rpt must be below the clock's period of 2.222",
        ),
        (
            "vivado",
            "clock",
            ("-1.778", "fast"),
            r"^WNS\(ns\) in the table Design Timing Summary of vivado_clock.rpt must",
        ),
        (
            "quartus",
            "area",
            ("; Total registers.*\n", ""),
            "^the table Fitter Summary of .* Total registers or Total ded",
        ),
        (
            "quartus",
            "clock",
            (r"120\.25 MHz", "1.2.3 MHz"),
            "^clk in the table Fmax Summary of .* must be a number, not",
        ),
        (
            "diamond",
            "area",
            ("258 out", "x out"),
            "^Number of LUT4s in the table Design Summary of .* must be a number",
        ),
        (
            "radiant",
            "area",
            ("version Radiant.*", ""),
            "^the head of radiant_area.rpt must name the version of radiant",
        ),
        (
            "genus",
            "area",
            (r"1526\.164", "n.a."),
            "^Cell-Area in the table report_area of genus_area.rpt must be a number",
        ),
        (
            "genus",
            "qor",
            ("Sequential.*", ""),
            "^the table Instance Count of genus_qor.rpt must have a line Sequential",
        ),
        ("dc", "area", ("Total cell.*", ""), "^the table report_area of dc_area.rpt must have a line Total cell area"),
    ],
)
def test_broken_reports_are_refused(tool: str, role: str, change: tuple[str, str], message: str) -> None:
    with pytest.raises(HwqError, match=message) as caught:
        read(tool, texts(tool, **{role: change}))
    assert "\n" not in str(caught.value)


STAT = """Yosys 0.38 (git sha1 543faed9c8c, clang 14)
=== unit ===

   Number of wires:                 16
   Number of cells:                 10
     CARRY4                          1
     FDRE                            4
     LUT2                            5

"""


def test_yosys_tables_of_two_ages_and_json_say_the_same() -> None:
    counted = re.sub(r"^ {5}(\w+) +(\d+)$", r"        \2   \1", STAT, flags=re.MULTILINE)
    newer = counted.replace("   Number of cells:                 10", "       10 cells")
    cells = {"CARRY4": 1, "FDRE": 4, "LUT2": 5}
    as_json = json.dumps({"creator": "Yosys 0.38 (x)", "modules": {"\\unit": {"num_cells_by_type": cells}}})
    for text in (STAT, newer, as_json):
        found = read("yosys", {"area": Text("stat", text)})
        assert (found.breakdown, found.tools) == (cells, {"yosys": "0.38"})
        assert found.counts == {"lut": 5, "ff": 4, "dsp": 0, "bram": 0}
    for text, message in (
        (STAT.replace("Yosys", ""), "stat must name the version of Yosys"),
        (STAT.replace("unit", "other"), "stat must have the table of cells of unit"),
        (as_json.replace("unit", "other"), "stat must hold the cells of unit as stat -json does, not KeyError"),
        ('{"creator": "Yosys 0.38", ', "stat must hold the cells of unit"),
    ):
        with pytest.raises(HwqError, match=f"^{message}"):
            read("yosys", {"area": Text("stat", text)})


PAIRS = [(tool.name, device) for tool in TOOLS.values() for device in tool.parts]


def files(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text("utf-8") for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(("tool", "device"), PAIRS)
def test_scripts_are_the_same_wherever_they_are_written(tool: str, device: str, tmp_path: Path) -> None:
    dp = Datapath.parse("int4*int4 +fixed(12) @2x2")
    kits = [Kit.write(tmp_path / name, [(dp, "pe"), (dp, "top")], device, tool) for name in ("a", "b c")]
    first, second = files(tmp_path / "a"), files(tmp_path / "b c")
    assert first == second
    assert kits[0] == kits[1] == Kit.load(tmp_path / "a")
    assert kits[0].missing(tmp_path / "a") == list(kits[0].designs)
    for entry in kits[0].designs:
        script = next(text for name, text in first.items() if re.match(rf"{entry.folder}/run\.", name))
        own = [name.split("/")[1] for name in first if name.startswith(entry.folder)]
        assert {name for name in own if name.endswith((".v", ".xdc", ".sdc", ".lpf", ".genlib"))} <= set(script.split())
        assert re.fullmatch(rf"{MODULE}(_pe)?", entry.module)
        assert entry.module in script.split()
        assert not kits[0].part or kits[0].part in script
        assert str(tmp_path) not in script
        assert script.count("{") == script.count("}")
    assert all(entry.folder in first["run.sh"].split("for design in ")[1] for entry in kits[0].designs)
    subprocess.run(["sh", "-n", str(tmp_path / "a" / "run.sh")], check=True)


def test_a_clock_is_a_constraint_and_logic_alone_has_none_of_a_port(tmp_path: Path) -> None:
    dp = Datapath.parse("fp8_e4m3*int4 @2x2")
    Kit.write(tmp_path / "k", [(dp, "pe"), (dp, "decode_a")], "xc7", clock=250)
    clocks = [(tmp_path / "k" / name / "clock.xdc").read_text("utf-8") for name in ("00_pe", "01_decode_a")]
    assert "create_clock -name clk -period 4.000 [get_ports clk]\n" in clocks[0]
    assert "create_clock -name clk -period 4.000\n" in clocks[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("xc7", "quartus"), r"^the tool for xc7 must be one of vivado, yosys, not quartus$"),
        (("xc7", "ise"), r"^tool must be one of vivado, quartus, .*, not 'ise'$"),
        (("asap7", ""), r"^device must be one that a tool knows, not 'asap7'"),
        (("xc9", ""), r"^device must be one of portable"),
        (("xc7", "vivado", "a b; exec"), r"^a part must be one word of letters"),
        (("xc7", "vivado", "", -1.0), r"^the clock must be above 0 and below 100000 MHz, not -1$"),
    ],
)
def test_what_no_kit_can_be_is_refused(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    with pytest.raises(HwqError, match=message):
        Kit.write(tmp_path / "k", [(Datapath.parse(INT), "pe")], *options)  # type: ignore[arg-type]
    assert not (tmp_path / "k").exists()


def test_a_folder_is_new_or_this_kit(tmp_path: Path) -> None:
    designs = [(Datapath.parse(INT), "pe")]
    Kit.write(tmp_path / "k", designs, "xc7")
    Kit.write(tmp_path / "k", designs, "xc7")
    with pytest.raises(HwqError, match=r"/k must be new or hold this very kit, not another one; name another folder$"):
        Kit.write(tmp_path / "k", designs, "xcup")
    with pytest.raises(HwqError, match=r"must be new or empty, not hold files of yours; name another folder$"):
        Kit.write(tmp_path, designs, "xc7")
    assert [path.name for path in tmp_path.iterdir()] == ["k"]


def test_a_tool_for_every_fabric_and_one_line_where_there_is_none() -> None:
    assert [tool_of("", device).name for device in ("xc7", "xcup", "versal")] == ["vivado"] * 3
    assert [tool_of("", device).name for device in ("ecp5", "ice40", "portable")] == ["diamond", "radiant", "quartus"]


# A program that writes what a report looks like, with the module that the script names.
FAKE = r"""#!/bin/sh
module=$(sed -n 's/.*-top \([^ ]*\) .*/\1/p' run.tcl)
for role in area clock; do
  name=timing; [ $role = area ] && name=utilization
  sed "s/unit/$module/; s/xc7z020clg484-1/xc7a100tcsg324-1/" DATA/vivado_$role.rpt >$name.rpt
done
"""


@pytest.fixture
def vivado(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of that name, first on PATH."""
    path = tmp_path / "bin" / "vivado"
    path.parent.mkdir()
    path.write_text(FAKE.replace("DATA", str(DATA / "reports")), encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    return path


def test_synth_runs_the_tool_and_shows_its_rows(
    vivado: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["synth", INT, "-d", "xc7", "--tool", "vivado", "-o", str(tmp_path / "s")]
    assert run([*options, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    for part in ("pe", "top"):
        assert said[part]["measured"] == {"lut": 1359, "ff": 760, "dsp": 7, "bram": 5, "fmax_mhz": 250.0}
        assert said[part]["estimated"] == {}  # prices of another level are no comparison
        assert (said[part]["level"], said[part]["tool"]) == ("T3", "vivado 2025.1, part xc7a100tcsg324-1")
    assert run(options) == 0
    assert "T3, vivado 2025.1, part xc7a100tcsg324-1" in capsys.readouterr().out
    vivado.unlink()  # the reports are still there
    assert run([*options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == said


def test_synth_without_the_tool_says_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "my scripts"
    options = ["synth", INT, "-d", "versal", "--tool", "vivado", "--clock", "500", "-o", str(folder)]
    assert run(options) == 0
    todo = f"sh '{folder}'/run.sh, then this command again"
    assert capsys.readouterr().out == f"not checked: vivado is not on PATH; its scripts are in {folder}: {todo}\n"
    assert run([*options, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["level"], said["part"], said["clock_mhz"]) == ("not checked", "xcvc1902-vsva2197-2MP-e-S", 500)
    done = subprocess.run(["sh", str(folder / "run.sh")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "error: vivado must be on PATH\n")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "echo starting; echo 'ERROR: [Common 17-345] no licence'; echo bye; exit 7",
            r"^vivado must write utilization\.rpt in .*00_pe, not exit with 7: ERROR: \[Common 17-345\] no licence",
        ),
        ("echo all is well", r"^vivado must write utilization\.rpt in .*00_pe, not exit with 0: all is well; see"),
        ("exit 1", "not exit with 1: no message; see"),
    ],
)
def test_a_tool_that_fails_is_quoted(
    vivado: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str, message: str
) -> None:
    vivado.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    stale = tmp_path / "s" / "00_pe" / "utilization.rpt"
    options = ["synth", INT, "-d", "xc7", "--tool", "vivado", "-o", str(tmp_path / "s")]
    Kit.write(tmp_path / "s", [(Datapath.parse(INT), "pe"), (Datapath.parse(INT), "top")], "xc7")
    stale.write_text("of another day", encoding="utf-8")
    assert run(options) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert re.search(message, err.removeprefix("error: "))
    assert not stale.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tool", "vivado", "--route"], "--route must come with yosys, not with vivado"),
        (["--part", "x"], "--part and --output must come with another --tool, not with yosys"),
        (["--tool", "genus"], "the tool for xc7 must be one of vivado, yosys, not genus"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert run(["synth", INT, "-d", "xc7", *options]) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_a_tool_of_cells_needs_a_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "genus"
    program.write_text('#!/bin/sh\necho "$HWQ_LIBRARY"\nexit 3\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("HWQ_LIBRARY", raising=False)
    options = ["synth", INT, "-d", "nangate45", "--tool", "genus", "-o", str(tmp_path / "g")]
    for more, message in (
        ([], "genus needs the cell library's files: give --liberty FILE or set HWQ_LIBRARY"),
        (["--liberty", "nowhere.lib"], "the file of --liberty must exist, not nowhere.lib; name another"),
        (
            ["--liberty", str(program)],
            f"genus must write area.rpt in {tmp_path}/g/00_pe, not exit with 3: {program}; see",
        ),
    ):
        assert run([*options, *more]) == 2
        assert capsys.readouterr().err.startswith(f"error: {message}")


# --- kits: there and back


def vivado_reports(row: Row, folder: Path, period: float | None = None, slack: float = 0.0) -> None:
    """A measured row in the layout of Vivado's reports, as if it had counted it."""
    assert row.lut is not None
    (folder / "utilization.rpt").write_text(
        f"| Tool Version : Vivado v.2025.1 (lin64) Build 1\n| Design       : {row.module}\n"
        "| Device       : xc7a100tcsg324-1\n"
        f"| Slice LUTs                 | {row.lut:5} |     0 |          0 |     63400 |  0.10 |\n"
        f"| Slice Registers            | {row.ff:5} |     0 |          0 |    126800 |  0.10 |\n"
        f"| Block RAM Tile | {row.bram / 2:5} |     0 |          0 |       135 |  0.00 |\n"
        f"| DSPs           | {row.dsp:5} |     0 |          0 |       240 |  0.00 |\n",
        encoding="utf-8",
    )
    clock = f"clk    {{0.000 1.111}}      {period}           450.045\n" if period else ""
    timing = f"    WNS(ns)      TNS(ns)\n    -------      -------\n    {slack}  0.000\n\n{clock}"
    (folder / "timing.rpt").write_text(timing, encoding="utf-8")


def diamond_reports(row: Row, folder: Path) -> None:
    """The same in the layout of Diamond's map report."""
    (folder / "impl1").mkdir()
    (folder / "impl1" / "design_impl1.mrp").write_text(
        f"     Lattice Mapping Report File for Design Module '{row.module}'\n\nTarget Device:  LFE5U-85FCABGA756\n"
        "Mapper:  sa5p00,  version:  Diamond (64-bit) 3.12.0.240.2\n\n"
        f"   Number of registers:     {row.ff} out of 84735 (0%)\n   Number of LUT4s:   {row.lut} out of 83640 (0%)\n"
        "   Number of block RAMs:  0 out of 208 (0%)\n",
        encoding="utf-8",
    )


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[tuple[str, str], Row]]:
    """What was measured, by device, datapath and part."""
    found: dict[str, dict[tuple[str, str], Row]] = {}
    for device in ("xc7", "ecp5"):
        parts = {(row.design, measured_of(row, device).part): row for row in read_rows(DATA / "rows", device)}
        found[device] = parts
    return found


def filled(folder: Path, device: str, rows: dict[tuple[str, str], Row]) -> list[Row]:
    """A kit of designs that we measured, with reports made of those rows; the rows, in the kit's order."""
    measured = {
        part: {name: [text for text in texts if (text, part) in rows] for name, texts in groups.items()}
        for part, groups in designs().items()
    }
    kit = Kit.write(folder, picked(device, measured), device)
    used = []
    for entry in kit.designs:
        row = replace(rows[entry.datapath, entry.block], module=entry.module)
        (vivado_reports if device == "xc7" else diamond_reports)(row, folder / entry.folder)
        used.append(row)
    assert len(used) >= 34  # those to fit to, whatever of the held-out ones is measured
    return used


@pytest.mark.parametrize("device", ["xc7", "ecp5"])
def test_a_kit_comes_back_as_prices(
    device: str, tmp_path: Path, rows: dict[str, dict[tuple[str, str], Row]], capsys: pytest.CaptureFixture[str]
) -> None:
    used = filled(tmp_path / "kit", device, rows[device])
    path = tmp_path / "prices.json"
    assert run(["calibrate", "-d", device, "--from", str(tmp_path / "kit"), "-o", str(path)]) == 0
    assert "held out of their fit" in capsys.readouterr().out
    prices = json.loads(path.read_text("utf-8"))
    measured = [replace(measured_of(row, device), fmax_mhz=None) for row in used]
    same = json.loads(calibrate(measured, device, {}, ""))  # of the rows themselves
    assert (prices["prices"], prices["spread"]) == (same["prices"], same["spread"])
    assert prices["level"] == "T3"
    tool = "vivado 2025.1" if device == "xc7" else "diamond 3.12.0.240.2"
    assert tool in prices["source"]
    assert Kit.load(tmp_path / "kit").part in prices["source"]
    assert "delays" not in prices
    # the rows themselves may be kept too, and alone suffice
    kept = tmp_path / "kept"
    kept.mkdir()
    lines = [row.to_json() for row in Kit.load(tmp_path / "kit").rows(tmp_path / "kit")]
    (kept / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert run(["calibrate", "-d", device, "--from", str(kept), "-o", str(tmp_path / "again.json")]) == 0
    assert (tmp_path / "again.json").read_text("utf-8") == path.read_text("utf-8")


def test_clocks_that_were_missed_become_delays(tmp_path: Path, rows: dict[str, dict[tuple[str, str], Row]]) -> None:
    """A path of Yosys' own timing stands for the tool's: 2 ns of wires upon what the cells take."""
    used = {row.module: row for row in filled(tmp_path / "kit", "xc7", rows["xc7"])}
    kit = Kit.load(tmp_path / "kit")
    for entry in kit.designs:
        if entry.module in used and entry.block == "pe":
            path = (used[entry.module].logic_ns or 0) + 2
            vivado_reports(used[entry.module], tmp_path / "kit" / entry.folder, 2.222, round(2.222 - path, 3))
    out = tmp_path / "prices.json"
    assert run(["calibrate", "-d", "xc7", "--from", str(tmp_path / "kit"), "-o", str(out)]) == 0
    prices = json.loads(out.read_text("utf-8"))
    assert prices["level"] == "T3"
    assert sum(prices["delays"].values()) > 0
    assert "clock of 20 placed elements" in prices["source"]
    for entry in kit.designs:  # every clock is met: no reason to go faster, nothing known
        if entry.block == "pe":
            vivado_reports(used[entry.module], tmp_path / "kit" / entry.folder, 2.222, 0.1)
    assert run(["calibrate", "-d", "xc7", "--from", str(tmp_path / "kit"), "-o", str(out)]) == 0
    assert "delays" not in json.loads(out.read_text("utf-8"))


def test_what_is_missing_is_named_and_the_rest_is_fitted(
    tmp_path: Path, rows: dict[str, dict[tuple[str, str], Row]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "kit"
    filled(folder, "xc7", rows["xc7"])
    back = ["calibrate", "-d", "xc7", "--from", str(folder), "-o", str(tmp_path / "p.json")]
    last = Kit.load(folder).designs[-1].folder
    for name in ("00_pe", last):
        (folder / name / "utilization.rpt").unlink()
    capsys.readouterr()
    assert run(back) == 0
    assert capsys.readouterr().out.startswith(f"left out, since no report came of them: 00_pe, {last}\n")
    for at in range(1, 12):
        (folder / f"{at:02}_pe" / "utilization.rpt").unlink()
    (tmp_path / "p.json").unlink()
    assert run(back) == 2
    assert "error: a fit needs at least 10 measured processing elements (pe), not " in capsys.readouterr().err
    for path in folder.rglob("utilization.rpt"):
        path.unlink()
    assert run(back) == 2
    message = f"error: {folder} must hold reports of its {len(Kit.load(folder).designs)} designs, not none; run sh"
    assert capsys.readouterr().err.startswith(message)
    assert not (tmp_path / "p.json").exists()


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("02_pe/utilization.rpt", ("Slice Registers", "Registers of a slice"), "the table 1. CLB or Slice Logic of "),
        (
            "02_pe/utilization.rpt",
            ("xc7a100tcsg324-1", "xc7k70tfbg484-2"),
            "must be of the part xc7a100tcsg324-1, not xc7k",
        ),
        ("02_pe/utilization.rpt", (MODULE, "hwq_0123456789"), "must be of the module "),
        (
            "02_pe/utilization.rpt",
            (r"2025\.1", "2024.2"),
            "rows of one fit must be of one level and one version of each",
        ),
        (MANIFEST, ('"tool": "vivado"', '"tool": "quartus"'), "must be as hwq wrote it, not changed (the tool for xc7"),
        (MANIFEST, ('"folder": "00_pe"', '"folder": "../etc"'), "must name folders beside it, not '../etc'"),
        (
            MANIFEST,
            (
                "{",
                "",
            ),
            "must be as hwq wrote it, not changed (JSONDecodeError",
        ),
    ],
)
def test_a_kit_that_was_spoilt_is_refused(
    tmp_path: Path,
    rows: dict[str, dict[tuple[str, str], Row]],
    capsys: pytest.CaptureFixture[str],
    file: str,
    change: tuple[str, str],
    message: str,
) -> None:
    filled(tmp_path / "kit", "xc7", rows["xc7"])
    path = tmp_path / "kit" / file
    text = path.read_text("utf-8")
    assert re.search(change[0], text)
    path.write_text(re.sub(change[0], change[1], text, count=1), encoding="utf-8")
    capsys.readouterr()
    assert run(["calibrate", "-d", "xc7", "--from", str(tmp_path / "kit"), "-o", str(tmp_path / "p.json")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert message in err
    assert not (tmp_path / "p.json").exists()


def test_a_kit_is_of_its_device_and_its_prices_of_a_file_of_ones_own(
    tmp_path: Path,
    rows: dict[str, dict[tuple[str, str], Row]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "kit"
    filled(folder, "xc7", rows["xc7"])
    for options, message in (
        (
            ["-d", "xcup", "--from", str(folder), "-o", "p"],
            f"{folder}/kit.json must be a kit for xcup, not for xc7; name",
        ),
        (["-d", "xc7", "--from", str(folder)], "prices of a vendor's tool must go into a file of yours, not into the"),
        (["-d", "xc7", "--from", str(folder), "--kit", "k"], "--kit writes a kit and --from takes one back: give one"),
        (["-d", "xc7", "--tool", "vivado"], "--tool, --part and --clock must come with --kit, not alone"),
        (["-d", "versal", "--kit", "k"], "device must be one of "),
    ):
        capsys.readouterr()
        assert run(["calibrate", *options]) == 2
        assert capsys.readouterr().err.startswith(f"error: {message}")
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    assert run(["calibrate", "-d", "xc7", "--from", str(DATA / "rows")]) == 2
    message = "error: the package's xc7.json must be writable, not read-only as here; give --output FILE\n"
    assert capsys.readouterr().err == message


def row(level: str, **tools: str) -> Row:
    named = {name.replace("_", "-"): version for name, version in tools.items()}
    return Row("int8*int8", "x_pe", "xc7", level, named, 1, 0, 0, {}, 0.0, lut=1)


def test_levels_and_versions_do_not_mix() -> None:
    check_alike([row("T1", pyosys="0.70"), row("T2", pyosys="0.70", nextpnr_ecp5="0.11"), row("T1", pyosys="0.70")])
    check_alike([row("T3", vivado="2025.1", part="x"), row("T3", vivado="2025.1", part="x")])
    for one, other, named in (
        (row("T1", pyosys="0.70"), row("T3", vivado="2025.1"), r"T1 \(pyosys 0.70\) and T3 \(vivado 2025.1\)"),
        (row("T1", pyosys="0.70"), row("T1", pyosys="0.71"), r"T1 \(pyosys 0.70\) and T1 \(pyosys 0.71\)"),
        (row("T1", pyosys="0.70"), row("T1", yosys="0.70"), r"T1 \(pyosys 0.70\) and T1 \(yosys 0.70\)"),
        (row("T3", vivado="2025.1", part="x"), row("T3", vivado="2025.1", part="y"), r"T3 \(part x, vivado"),
        (row("T3", vivado="2025.1"), row("T3", vivado="2024.2"), r"T3 \(vivado 2025.1\) and T3 \(vivado 2024.2\)"),
    ):
        with pytest.raises(
            HwqError, match=f"^rows of one fit must be of one level and one version of each tool, not {named}"
        ):
            check_alike([one, one, other])


@pytest.mark.parametrize("device", ["xc7", "ecp5", "ge"])
def test_the_designs_of_a_kit_are_spread_over_the_experiment(device: str, tmp_path: Path) -> None:
    chosen = [(str(dp), part) for dp, part in picked(device, designs())]
    assert chosen == [(str(dp), part) for dp, part in picked(device, designs())]
    tool = ["--tool", "yosys"] if device == "ge" else []
    assert run(["calibrate", "-d", device, "--kit", str(tmp_path / "kit"), *tool]) == 0
    assert [(entry.datapath, entry.block) for entry in Kit.load(tmp_path / "kit").designs] == chosen
    assert len(chosen) == len(set(chosen)) == 40
    listed = designs()
    fit = [part for text, part in chosen if text in listed[part]["fit"]]
    held = [part for text, part in chosen if text in listed[part]["held_out"]]
    assert {part: fit.count(part) for part in set(fit)} == {"pe": 20, "epilogue": 5, "decode_a": 4, "top": 5}
    assert {part: held.count(part) for part in set(held)} == {"pe": 3, "epilogue": 1, "decode_a": 1, "top": 1}


# Yosys as a program of its own: the library that is installed, reading the script.
YOSYS = f"""#!/bin/sh
for script; do :; done
exec '{sys.executable}' -c "from pyosys import libyosys as y; y.run_pass('script $script', y.Design())"
"""


@pytest.mark.parametrize("device", ["xc7", "ge"])
def test_a_kit_that_a_real_tool_ran_says_what_we_measure(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Yosys reads the kit's script in its own process and counts, cell by cell, what the flow of `hwq synth` counts."""
    program = tmp_path / "bin" / "yosys"
    program.parent.mkdir()
    program.write_text(YOSYS, encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    wanted = [(Datapath.parse(INT), "pe")]
    kit = Kit.write(tmp_path / "kit", wanted, device, "yosys")
    done = subprocess.run(["sh", str(tmp_path / "kit" / "run.sh")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "00_pe\n", "")
    (found,) = kit.rows(tmp_path / "kit")
    (own,) = measure_designs(wanted, device, workers=1)
    assert (found.breakdown, found.lut, found.ge, found.ff) == (own.breakdown, own.lut, own.ge, own.ff)
    assert (found.level, found.tools) == ("T1", {"yosys": own.tools["pyosys"]})
    again = subprocess.run(["sh", str(tmp_path / "kit" / "run.sh")], capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout) == (0, "")  # it goes on where it was


def test_a_runner_goes_on_after_a_failure(vivado: Path, tmp_path: Path) -> None:
    wanted = [(Datapath.parse(INT), "pe"), (Datapath.parse(INT), "top")]
    Kit.write(tmp_path / "kit", wanted, "xc7")
    vivado.write_text(vivado.read_text("utf-8") + 'case "$PWD" in *00_pe) exit 4;; esac\n', encoding="utf-8")
    done = subprocess.run(["sh", str(tmp_path / "kit" / "run.sh")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "00_pe\n01_top\n")
    assert done.stderr == "error: vivado must write utilization.rpt, not end as 00_pe/run.log says\n"
    assert (tmp_path / "kit" / "01_top" / "done").exists()
    assert not (tmp_path / "kit" / "00_pe" / "done").exists()


def test_a_missing_tool_is_a_tool_error(tmp_path: Path) -> None:
    from hwq.synth.vendor import run as run_kit

    kit = Kit.write(tmp_path / "kit", [(Datapath.parse(INT), "pe")], "nangate45", "dc")
    with pytest.raises(ToolError, match=r"^dc needs the cell library's files"):
        run_kit(kit, tmp_path / "kit")
