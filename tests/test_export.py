"""Exports for other cost models: the keys that their readers know, our figures in their units, and what is refused.

The readers themselves (accelergy 0.4, hwcomponents 1.0.114, zigzag-dse 3.9.1) are not installed here: keys are those of
their sources, and the Python files run on stand-ins with the interface that those packages have.
"""

import json
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from hwq.cli.main import run
from hwq.costmodel import Quantity, estimate
from hwq.datapath import Datapath, plan
from hwq.errors import HwqError
from hwq.export import FIGURES, TOOLS, Component, Figure, component, stated, write

INT8 = "int8*int8 +fixed(32) @4x8"
MEMORIES = """\
name: theirs
memories:
  # the only one
  dram:
    size: 10000000000
    operands: [I1, I2, O]
    served_dimensions: [D1, D2]

operational_array:
  unit_energy: 3
"""
STATED = {"energy_pj_per_mac": 0.5, "area_um2": 3200.0, "leakage_nw": 64.0, "fmax_mhz": 250.0}
OPTIONS = ("--energy-pj", "0.5", "--area-um2", "3200", "--leakage-nw", "64", "--fmax-mhz", "250")
SAID = ("--error", "20", "--source", "a report")


@pytest.fixture
def memories(tmp_path: Path) -> Path:
    path = tmp_path / "memories.yaml"
    path.write_text(MEMORIES)
    return path


def made(text: str = INT8, device: str = "ge", names: tuple[str, ...] = tuple(FIGURES)) -> Component:
    dp = Datapath.parse(text)
    return component(dp, estimate(dp, device), stated({n: STATED[n] for n in names}, 20, "a report") if names else {})


def export(folder: Path, tool: str, what: Component, above: Path | None = None) -> dict[str, str]:
    """Suffix behind the component's name -> text."""
    paths = write(what, tool, folder, above)
    assert sorted(paths) == sorted(path for path in folder.iterdir() if path.name.startswith("hwq_"))
    assert all(path.name.startswith(what.name) for path in paths)
    return {path.name.removeprefix(what.name): path.read_text() for path in paths}


def test_a_component_is_one_multiply_accumulate_with_its_share_of_the_array() -> None:
    found = made()
    assert found.macs == 32 and found.name.startswith("hwq_") and found.name.endswith("_ge")
    assert [found.of_one(name) for name in FIGURES] == [0.5, 100.0, 2.0, 250.0]
    assert made("int8*int8 +fixed(32) @4x4x4/tree").macs == 64
    assert found.error(*FIGURES) == pytest.approx(0.2)


def test_figures_of_the_estimate_are_taken_up_and_stated_ones_replace_them() -> None:
    dp = Datapath.parse(INT8)
    cost = estimate(dp, "ecp5")
    cost = replace(cost, figures={**cost.figures, "energy_pj_per_mac": Quantity(1.0, 0.9, 1.2)})
    found = component(dp, cost)
    assert found.figures["energy_pj_per_mac"] == Figure(Quantity(1.0, 0.9, 1.2), "T1", cost.source)
    assert found.figures["energy_pj_per_mac"].error == pytest.approx(0.2)
    assert found.figures["fmax_mhz"].quantity == cost.figures["fmax_mhz"]
    assert {text.partition(":")[0] for text in found.left_out} >= {"area_um2", "leakage_nw"}
    assert not any(text.startswith("energy_pj_per_mac") for text in found.left_out)
    found = component(dp, cost, stated({"energy_pj_per_mac": 2.0}, 0, "a board"))
    assert found.figures["energy_pj_per_mac"] == Figure(Quantity.exact(2.0), "stated by the user", "a board")


def test_every_file_says_interval_level_source_and_what_is_missing(tmp_path: Path, memories: Path) -> None:
    for tool in ("accelergy", "zigzag"):
        what = made(device="xc7", names=("energy_pj_per_mac", "area_um2"))
        for suffix, text in export(tmp_path / tool, tool, what, memories if tool == "zigzag" else None).items():
            assert text.startswith(f"# hwq component: {INT8} on xc7\n")
            if suffix != ".mapping.yaml":
                said = "area_um2: 3200 of the whole array, 90 % interval 2560 to 3840; stated by the user; a report"
                assert f"# {said}\n" in text
                assert "# not counted: leakage_nw: " in text and "# not counted: fmax_mhz: " in text


def load(text: str, **modules: dict[str, Any]) -> dict[str, Any]:
    """Run a module on stand-ins for what it imports: dotted name -> its contents."""
    before = {name: sys.modules.get(name) for name in modules}
    try:
        for name, contents in modules.items():
            sys.modules[name] = types.ModuleType(name)
            vars(sys.modules[name]).update(contents)
        names: dict[str, Any] = {"__name__": "exported"}
        exec(compile(text, "exported", "exec"), names)
        return names
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def plug_in(text: str) -> Any:
    """The exported plug-in of Accelergy: its estimates are (value, unit), its accuracies percent."""
    interface = {
        "AccelergyPlugIn": object,
        "AccuracyEstimation": lambda value: value,
        "Estimation": lambda value, unit=None: (value, unit),
    }
    modules = {"accelergy": {}, "accelergy.plug_in_interface": {}, "accelergy.plug_in_interface.interface": interface}
    names = load(text, **modules)
    return names[next(name for name in names if name.startswith("hwq_"))]()


def test_accelergy_reads_a_compound_class_and_asks_the_plug_in_for_its_part(tmp_path: Path) -> None:
    what = made()
    texts = export(tmp_path, "accelergy", what)
    assert set(texts) == {".accelergy.yaml", ".estimator.yaml", "_accelergy.py"}
    library = yaml.safe_load(texts[".accelergy.yaml"])
    assert set(library) == {"compound_components"}
    assert set(library["compound_components"]) == {"version", "classes"}
    assert library["compound_components"]["version"] == 0.4
    (found,) = library["compound_components"]["classes"]
    assert set(found) == {"name", "attributes", "subcomponents", "actions"}
    assert found["name"] == what.name
    assert found["attributes"]["datapath"] == INT8 and found["attributes"]["error_percent"] == 20
    assert "a report" in found["attributes"]["source"]
    assert found["subcomponents"] == [{"name": "mac", "class": f"{what.name}_mac", "attributes": {}}]
    calls = [{"name": n, "subcomponents": [{"name": "mac", "actions": [{"name": n}]}]} for n in ("compute", "leak")]
    assert found["actions"] == calls
    descriptor = yaml.safe_load(texts[".estimator.yaml"])
    assert descriptor == {"version": 0.4, what.name: {"module": f"{what.name}_accelergy", "class": what.name}}

    answers = plug_in(texts["_accelergy.py"])
    query = types.SimpleNamespace(
        class_name=f"{what.name}_mac", action_name="compute", class_attrs={"global_cycle_seconds": 4e-9}
    )
    assert answers.get_name() == what.name
    assert answers.primitive_action_supported(query) == answers.primitive_area_supported(query) == 80
    assert answers.estimate_energy(query) == (0.5, "p")
    assert answers.estimate_area(query) == (100, "u^2")
    query.action_name = "leak"
    assert answers.estimate_energy(query) == (pytest.approx(2e-9 * 4e-9), None)
    query.class_name = "intmac"
    assert answers.primitive_action_supported(query) == answers.primitive_area_supported(query) == 0


def test_a_leakage_that_nobody_knows_is_no_action(tmp_path: Path) -> None:
    texts = export(tmp_path, "accelergy", made(names=("energy_pj_per_mac", "area_um2")))
    library = yaml.safe_load(texts[".accelergy.yaml"])
    assert [action["name"] for action in library["compound_components"]["classes"][0]["actions"]] == ["compute"]
    query = types.SimpleNamespace(class_name=f"{made().name}_mac", action_name="leak")
    assert plug_in(texts["_accelergy.py"]).primitive_action_supported(query) == 0
    assert "LEAKAGE" not in texts["_accelergy.py"]


def test_hwcomponents_reads_a_model_in_its_units(tmp_path: Path) -> None:
    class Model:
        def __init__(self, leak_power: float, area: float) -> None:
            self.leak_power, self.area = leak_power, area

    what = made()
    texts = export(tmp_path, "hwcomponents", what)
    assert set(texts) == {"_hwcomponents.py"}
    names = load(
        texts["_hwcomponents.py"],
        hwcomponents={"ComponentModel": Model, "action": lambda f: f, "ActionCost": types.SimpleNamespace},
    )
    found = names[what.name]()
    assert (found.component_name, found.error_percent) == (what.name, 20)
    assert found.area == pytest.approx(100e-12) and found.leak_power == pytest.approx(2e-9)
    cost = vars(found.compute())
    latency = Datapath.parse(INT8).latency / 250e6
    assert cost == pytest.approx({"energy": 0.5e-12, "latency": latency, "throughput": 250e6})
    assert "a report" in found.source


LEVEL = {"size", "r_cost", "w_cost", "area", "latency", "operands", "ports", "served_dimensions"}
PORT = {"name", "type", "bandwidth_min", "bandwidth_max", "allocation"}
ARRAY = {"input_precision", "unit_energy", "unit_area", "dimensions", "sizes", "systolic_dimensions"}


@pytest.mark.parametrize(
    ("text", "sizes", "moving", "level", "conv"),
    [
        (INT8, [4, 8], ["D1", "D2"], ("sums", "O", 32, []), {"D1": ["OX, 4"], "D2": ["K, 8"]}),
        (
            "int8*int4 +fixed(20) @4x8/ws k=4",
            [4, 8],
            ["D1", "D2"],
            ("weights", "I2", 4, []),
            {"D1": ["C, 4"], "D2": ["K, 8"]},
        ),
        (
            "int8*int8 +fixed(32) @4x2x4/tree",
            [4, 2, 4],
            [],
            ("sums", "O", 32, ["D3"]),
            {"D1": ["OX, 4"], "D2": ["K, 2"], "D3": ["C, 4"]},
        ),
    ],
)
def test_zigzag_reads_the_array_under_the_users_memories(
    tmp_path: Path,
    memories: Path,
    text: str,
    sizes: list[int],
    moving: list[str],
    level: tuple[str, str, int, list[str]],
    conv: dict[str, list[str]],
) -> None:
    memories.write_text(MEMORIES.replace("[D1, D2]", "[D1, D2, D3]") if len(sizes) == 3 else MEMORIES)
    what = made(text)
    texts = export(tmp_path / "out", "zigzag", what, memories)
    assert set(texts) == {".zigzag.yaml", ".mapping.yaml"}
    found = yaml.safe_load(texts[".zigzag.yaml"])
    assert f"# leakage_nw: {64 / what.macs:g} of one; ZigZag has no place for it\n" in texts[".zigzag.yaml"]
    assert set(found) == {"name", "memories", "operational_array"}
    array = found["operational_array"]
    assert set(array) == ARRAY
    assert (array["sizes"], array["systolic_dimensions"]) == (sizes, moving)
    assert array["dimensions"] == ["D1", "D2", "D3"][: len(sizes)]
    assert array["input_precision"] == [what.dp.mac.a.bits, what.dp.mac.w.bits]
    assert array["unit_energy"] == 0.5 and array["unit_area"] * what.macs == pytest.approx(3200)
    name, operand, bits, served = level
    assert list(found["memories"]) == [name, "dram"]
    assert found["memories"]["dram"] == yaml.safe_load(memories.read_text())["memories"]["dram"]
    registers = found["memories"][name]
    assert set(registers) == LEVEL
    assert (registers["operands"], registers["size"], registers["served_dimensions"]) == ([operand], bits, served)
    assert registers["r_cost"] == registers["w_cost"] == registers["area"] == 0  # in those of the unit
    ways = {way for port in registers["ports"] for way in port["allocation"] if set(port) == PORT}
    assert ways == {f"{operand}, {way}" for way in (("fh", "tl", "fl", "th") if operand == "O" else ("fh", "tl"))}
    mappings = yaml.safe_load(texts[".mapping.yaml"])
    assert [m["name"] for m in mappings] == ["default", "Conv", "Gemm", "MatMul"]
    assert all(set(m) == {"name", "spatial_mapping", "memory_operand_links"} for m in mappings)
    assert mappings[1]["spatial_mapping"] == conv
    assert mappings[2]["memory_operand_links"] == {"O": "O", "W": "I2", "I": "I1"}


def test_registers_of_zigzag_are_those_that_the_plan_has(tmp_path: Path, memories: Path) -> None:
    what = made("fp8_e4m3*fp8_e4m3 ->bf16 @2x2")
    found = yaml.safe_load(export(tmp_path / "out", "zigzag", what, memories)[".zigzag.yaml"])
    words = plan(what.dp, "ge").state.words
    assert found["memories"]["sums"]["size"] == sum(word.width for word in words.values())


def test_small_figures_stay_numbers_in_yaml(tmp_path: Path, memories: Path) -> None:
    what = component(Datapath.parse(INT8), estimate(INT8, "ge"), stated(dict.fromkeys(FIGURES, 1e-6), 5, "x"))
    found = yaml.safe_load(export(tmp_path / "out", "zigzag", what, memories)[".zigzag.yaml"])
    assert found["operational_array"]["unit_energy"] == 1e-6


@pytest.mark.parametrize("tool", TOOLS)
def test_a_missing_figure_is_never_zero_but_refused(tmp_path: Path, tool: str) -> None:
    why = "which hwq does not know on xc7 \\(not measured on this device\\); state what you know: --energy-pj VALUE"
    with pytest.raises(HwqError, match=f"^{tool} must be given energy_pj_per_mac and area_um2.*, {why}"):
        write(made(device="xc7", names=()), tool, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("values", "error", "source", "message"),
    [
        ({}, 5, None, "--error and --source are of figures that are stated; add one of --energy-pj, --area-um2, .*"),
        ({"area_um2": 1.0}, 5, " ", "figures that are stated must have an --error PERCENT and a --source TEXT; .*"),
        ({"area_um2": 1.0}, None, "x", "figures that are stated must have an --error PERCENT and a --source TEXT; .*"),
        ({"area_um2": 1.0}, 100, "x", "--error must be from 0 to below 100 percent, not 100"),
        ({"area_um2": 1.0}, float("nan"), "x", "--error must be from 0 to below 100 percent, not nan"),
        ({"area_um2": 0.0}, 5, "x", "--area-um2 must be a positive number, not 0"),
        ({"energy_pj_per_mac": float("inf")}, 5, "x", "--energy-pj must be a positive number, not inf"),
    ],
)
def test_stated_figures_wrong(values: dict[str, float], error: float, source: str, message: str) -> None:
    with pytest.raises(HwqError, match=f"^{message}$"):
        stated(values, error, source)


@pytest.mark.parametrize(
    ("text", "dp", "message"),
    [
        ("operational_array: {}\n", INT8, "must have a block of `memories:`, as ZigZag's accelerators have; name .*"),
        ("memories: {}\n", INT8, "must have a block of `memories:`, as ZigZag's accelerators have; name another file"),
        (MEMORIES, "int8*int8 +fixed(32) @4x2x4/tree", "must serve D3, the lanes of the array; add it to served_.*"),
        (MEMORIES.replace("dram", "sums"), INT8, "must not have one called sums, the array's own; rename it"),
    ],
)
def test_memories_wrong(tmp_path: Path, memories: Path, text: str, dp: str, message: str) -> None:
    memories.write_text(text)
    with pytest.raises(HwqError, match=f"{message}$"):
        write(made(dp), "zigzag", tmp_path / "out", memories)


def test_the_command_writes_and_reports(
    tmp_path: Path, memories: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for tool in TOOLS:
        above = ["--memories", str(memories)] if tool == "zigzag" else []
        assert run(["export", tool, INT8, "-d", "ge", "-o", "out", *OPTIONS, *SAID, *above, "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert (report["tool"], report["datapath"], report["macs"]) == (tool, INT8, 32)
        assert report["figures"]["area_um2"]["value"] == 3200
        assert all("the fit at most" in line for line in report["unmodelled"]) and all(
            Path(name).is_file() for name in report["files"]
        )
    assert len(list((tmp_path / "out").iterdir())) == 6  # tools share a folder, and no partial file stays
    assert run(["export", "accelergy", INT8, "-d", "ge", "-o", "out", *OPTIONS[:4], *SAID]) == 0
    assert "\nnot counted: " in (said := capsys.readouterr().out) and "leakage_nw: " in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["timeloop"], "the tool must be one of accelergy, hwcomponents, zigzag, not 'timeloop'"),
        (["zigzag", *OPTIONS, *SAID], "zigzag must be given the memories above the array, which hwq does not model; "),
        (["accelergy", "--memories", "x"], "--memories is of zigzag, not of accelergy; leave it out"),
        (["hwcomponents", *OPTIONS[:4], *SAID], "hwcomponents must be given leakage_nw and fmax_mhz, which hwq does "),
        (
            ["zigzag", *OPTIONS, *SAID, "--memories", "none.yaml"],
            "a path must be one that can be used, not 'none.yaml'",
        ),
    ],
)
def test_the_command_refuses_in_a_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    tool, *options = arguments
    assert run(["export", tool, INT8, "-d", "ge", "-o", "out", *options]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {message}") and captured.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
