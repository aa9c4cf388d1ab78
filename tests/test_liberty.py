"""Cell libraries: found where they are named, measured from area end to delay end, the same sums in netlists."""

import gzip
import json
import os
import subprocess
from pathlib import Path

import pytest
from test_synth import BENCH, mac

from hwq.cli.main import run
from hwq.errors import HwqError, ToolError
from hwq.synth import EFFORTS, LIBRARIES, Job, Point, Row, measure, netlist, pareto
from hwq.synth.liberty import clock_gates, flip_flops, gate_files, library_files

# A cell library in small: areas, functions and, for every arc, a table of one slope and load after the other.
GATES = {"INV": (1, "!A"), "BUF": (2, "A"), "NAND2": (2, "!(A & B)"), "NOR2": (2, "!(A | B)"), "XOR2": (4, "A ^ B")}
TABLE = '(slopes) { values ("0.01, 0.02, 0.04", "0.02, 0.03, 0.05", "0.04, 0.05, 0.08"); }'
FLIP_FLOP, CLOCK_GATE = 9.0, 3.0


def liberty() -> str:
    """Five gates, a flip-flop and a clock gate."""
    arcs = " ".join(f"{name} {TABLE}" for name in ("cell_rise", "cell_fall", "rise_transition", "fall_transition"))
    cells = ""
    for name, (area, function) in GATES.items():
        pins = [pin for pin in "AB" if pin in function]
        inputs = " ".join(f"pin ({pin}) {{ direction : input; capacitance : 1.0; }}" for pin in pins)
        timing = " ".join(
            f'timing () {{ related_pin : "{pin}"; timing_sense : {"non_unate" if name == "XOR2" else "negative_unate"};'
            f" {arcs} }}"
            for pin in pins
        )
        cells += f"""
  cell ({name}) {{ area : {area}; {inputs}
    pin (Y) {{ direction : output; function : "{function}"; max_capacitance : 50; {timing} }} }}"""
    cells += f"""
  cell (DFF) {{ area : {FLIP_FLOP}; ff (IQ, IQN) {{ clocked_on : "CK"; next_state : "D"; }}
    pin (D) {{ direction : input; capacitance : 1.0; }} pin (CK) {{ direction : input; clock : true; }}
    pin (Q) {{ direction : output; function : "IQ"; }} }}
  cell (ICG) {{ area : {CLOCK_GATE}; clock_gating_integrated_cell : "latch_posedge";
    statetable ("CK E", "IQ") {{ table : "L L : - : L, L H : - : H, H - : - : N"; }}
    pin (CK) {{ direction : input; clock_gate_clock_pin : true; }}
    pin (E) {{ direction : input; clock_gate_enable_pin : true; }}
    pin (GCK) {{ direction : output; clock_gate_out_pin : true; state_function : "CK & IQ"; }} }}"""
    axes = "variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;"
    points = 'index_1 ("0.01, 0.1, 0.5"); index_2 ("1, 5, 20");'
    return f"""library (small) {{
  time_unit : "1ns"; capacitive_load_unit (1, ff); voltage_unit : "1V"; nom_voltage : 1.0;
  lu_table_template (slopes) {{ {axes} {points} }}{cells}
}}
"""


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cells") / "small.lib"
    path.write_text(liberty(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def verilog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("verilog") / "mac4.v"
    path.write_text(mac("mac4", 4, 16), encoding="utf-8")
    return path


def test_a_cell_library_is_measured_from_the_area_end_to_the_delay_end(verilog: Path, cells: Path) -> None:
    row = measure([verilog], "mac4", "nangate45", liberty=[cells], efforts=list(EFFORTS))
    assert row.area_um2 is not None
    assert [point.effort for point in row.points] == list(EFFORTS)
    assert row.area_um2 == min(point.area_um2 for point in row.points)
    areas = {name: area for name, (area, _) in GATES.items()} | {"DFF": FLIP_FLOP, "ICG": CLOCK_GATE}
    assert row.area_um2 == sum(areas[cell] * n for cell, n in row.breakdown.items())
    # one clock gate for the operands; a clear that goes before the enable makes another
    assert (row.ff, row.breakdown["DFF"], row.breakdown["ICG"], row.lut, row.ge) == (24, 24, 2, None, None)
    front = pareto(row.points)
    assert len(front) >= 2
    assert front[0].area_um2 == row.area_um2
    assert row.logic_ns == pytest.approx(front[0].delay_ps / 1000, abs=1e-4)
    assert Row.from_json(row.to_json()) == row
    assert set(row.tools) == {"pyosys", "small.lib"}


def test_a_front_keeps_what_none_beats() -> None:
    a, b, c, d = Point("a", 1.0, 9.0), Point("b", 2.0, 5.0), Point("c", 3.0, 5.0), Point("d", 4.0, 1.0)
    assert pareto([d, c, b, a]) == (a, b, d)
    assert pareto([]) == ()


def test_netlist_of_a_cell_library_computes_the_same_sums(verilog: Path, cells: Path, tmp_path: Path) -> None:
    packed = tmp_path / "small.lib.gz"
    packed.write_bytes(gzip.compress(cells.read_bytes()))
    mapped = netlist([verilog], "mac4", "sky130", tmp_path, liberty=[packed])
    bench = tmp_path / "bench.v"
    bench.write_text(BENCH, encoding="utf-8")
    subprocess.run(["iverilog", "-g2005", "-o", str(tmp_path / "sim"), str(mapped), str(bench)], check=True)
    said = subprocess.run(["vvp", str(tmp_path / "sim")], check=True, capture_output=True, text=True).stdout
    assert said == "compared 4096 wrong 0\n"
    assert "module ICG" in mapped.read_text(encoding="utf-8")


def test_libraries_are_found_where_they_are_named(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verilog: Path
) -> None:
    for library in LIBRARIES.values():
        monkeypatch.delenv(library.variable, raising=False)
    with pytest.raises(ToolError, match="HWQ_LIBERTY_SKY130"):
        library_files("sky130")
    monkeypatch.setenv("HWQ_LIBERTY_SKY130", os.pathsep.join([str(cells), str(cells)]))
    assert library_files("sky130") == (cells, cells)
    assert library_files("sky130", [cells]) == (cells,)
    with pytest.raises(HwqError, match=r"not .*absent\.lib"):
        library_files("asap7", [tmp_path / "absent.lib"])
    with pytest.raises(HwqError, match="standard cells, not ge"):
        Job.of([verilog], "mac4", "ge", liberty=[cells])
    with pytest.raises(HwqError, match="place and route needs ecp5"):
        Job.of([verilog], "mac4", "sky130", place_and_route=True, liberty=[cells])
    empty = tmp_path / "empty.lib"
    empty.write_text("library (none) { }", encoding="utf-8")
    with pytest.raises(HwqError, match="must hold cells, not none"):
        measure([verilog], "mac4", "asap7", liberty=[empty])


def test_cells_are_told_apart(cells: Path, tmp_path: Path) -> None:
    states = tmp_path / "states.lib"
    states.write_text('library (s) { cell ("LATCH") { latch (IQ, IQN) { } pin (Q) { function : "IQ"; } } }')
    assert flip_flops((cells, states)) == {"DFF"}
    assert list(clock_gates((cells,))) == ["ICG"]
    assert "open = E;" in clock_gates((cells,))["ICG"]
    assert gate_files([states, cells]) == [cells]


def test_synth_prints_what_a_library_without_prices_measures(cells: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["synth", "int2*int2 +fixed(6)", "--device", "asap7", "--liberty", str(cells)]
    assert run(arguments) == 0
    assert "area_um2" in capsys.readouterr().out
    assert run([*arguments, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    for part in ("pe", "top"):
        assert shown[part]["estimated"] == shown[part]["error"] == {}
        assert shown[part]["measured"]["area_um2"] > shown[part]["measured"]["ff"] * FLIP_FLOP
        assert [point["effort"] for point in shown[part]["measured"]["points"]]
