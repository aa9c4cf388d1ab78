"""Energy of netlists: a hand-made one to the last digit, a real element, the rows that are kept, bad input."""

from fractions import Fraction
from pathlib import Path

import pytest
from test_liberty import liberty

from hwq.datapath import Datapath, matmul, plan
from hwq.datapath.streams import codes
from hwq.errors import HwqError, ToolError
from hwq.rtl import leaves, top_name
from hwq.synth import netlist
from hwq.synth.conditions import holds
from hwq.synth.energy import Energy, measure_energy
from hwq.synth.liberty import library_files
from hwq.synth.power import power_cells, supply
from hwq.synth.streams import stimulus
from hwq.synth.switching import Parts, parts
from hwq.synth.waves import Circuit, Stimulus, Waves, circuit, simulate

ROWS = Path(__file__).parent / "data" / "energy.jsonl"

# Two slews (10 and 30 ps) by two loads (1 and 3 fF): at 20 ps an entry is the mean of two rows.
LIBRARY = """
library (toy) {
  time_unit : "1ns"; voltage_unit : "1V"; leakage_power_unit : "10nW"; capacitive_load_unit (1, pf);
  nom_voltage : 2.0;
  power_lut_template (two) { variable_1 : input_transition_time; variable_2 : total_output_net_capacitance;
    index_1 ("0.01, 0.03"); index_2 ("0.001, 0.003"); }
  power_lut_template (turned) { variable_1 : total_output_net_capacitance; variable_2 : input_transition_time;
    index_1 ("0.001, 0.003"); index_2 ("0.01, 0.03"); }
  power_lut_template (one) { variable_1 : input_transition_time; index_1 ("0.01, 0.03"); }
  cell (NAND) { area : 1; cell_leakage_power : 0.5;
    pin (A) { direction : input; capacitance : 0.0015; }
    pin (B) { direction : input; capacitance : 0.0025; }
    pin (Y) { direction : output; function : "!(A & B)";
      internal_power () { related_pin : "A";
        rise_power (two) { values ("0.001, 0.002", "0.003, 0.004"); }
        fall_power (two) { values ("0.1, 0.2", "0.3, 0.4"); } }
      internal_power () { related_pin : "B";
        rise_power (two) { values ("0.5, 0.6", "0.7, 0.8"); }
        fall_power (turned) { values ("0.002, 0.004", "0.003, 0.009"); } } } }
  cell ("INV") { area : 1;
    leakage_power () { value : 0.25; when : "A"; related_pg_pin : VDD; }
    leakage_power () { value : 0.75; when : "!A"; related_pg_pin : VDD; }
    leakage_power () { value : 0.125; related_pg_pin : VSS; }
    pin (A) { direction : input; capacitance : 0.002; }
    pin (Y) { direction : output; function : "!A";
      internal_power () { related_pin : "A"; related_pg_pin : VDD; power (two) { values ("0.02, 9", "0.04, 9"); } }
      internal_power () { related_pin : "A"; related_pg_pin : VSS;
        rise_power (scalar) { values ("0.007"); } fall_power (scalar) { values ("0.011"); } } } }
  cell (DFF) { area : 4; cell_leakage_power : 3; ff (IQ, IQN) { clocked_on : "CK"; next_state : "D"; }
    pin (D) { direction : input; capacitance : 0.0005;
      internal_power () { when : "CK"; rise_power (one) { values ("0.001, 0.002"); }
        fall_power (one) { values ("0.003, 0.005"); } }
      internal_power () { when : "!CK"; rise_power (one) { values ("7, 7"); } fall_power (one) { values ("7, 7"); } } }
    pin (CK) { direction : input; clock : true; capacitance : 0.00075;
      internal_power () { when : "(D * Q) + (!D & !Q)"; rise_power (one) { values ("0.010, 0.012"); }
        fall_power (one) { values ("0.020, 0.022"); } }
      internal_power () { when : "D ^ Q"; rise_power (scalar) { values ("0.0"); }
        fall_power (one) { values ("0.030", "0.034"); } } }
    pin (Q) { direction : output; function : "IQ";
      internal_power () { related_pin : "CK"; rise_power (two) { values ("0.05, 0.07", "0.06, 0.08"); }
        fall_power (two) { values ("0.04, 0.06", "0.05, 0.07"); } } } }
}
"""
NETLIST = """
module NAND(input A, input B, output Y); assign Y = ~(A & B); endmodule
module INV(input A, output Y); assign Y = ~A; endmodule
module DFF(input CK, input D, output reg Q); always @(posedge CK) Q <= D; endmodule
module toy(input clk, input d, output y);
  wire q, n, unused;
  DFF one (.CK(clk), .D(d), .Q(q));
  NAND two (.A(d), .B(q), .Y(n));
  INV three (.A(n), .Y(y));
endmodule
"""
WARM, SHOWN = 2, (0, 0, 1, 1, 0, 1, 0)  # d after each rising edge; q follows one cycle later


def simulated(folder: Path, text: str = NETLIST, shown: tuple[int, ...] = SHOWN) -> tuple[Circuit, Waves, Path]:
    library, mapped = folder / "toy.lib", folder / "toy.v"
    library.write_text(LIBRARY, encoding="utf-8")
    mapped.write_text(text, encoding="utf-8")
    what = circuit(mapped, "toy", folder)
    return what, simulate(mapped, what, Stimulus({"d": shown}, WARM), folder), library


def test_a_netlist_takes_what_a_hand_computes(tmp_path: Path) -> None:
    what, waves, library = simulated(tmp_path)
    found = parts(what, waves, (library,), 20.0)
    # d: 0 | 1 1 0 1 0,  q: 0 | 0 1 1 0 1,  n: 1 | 1 0 1 1 1,  y: 0 | 0 1 0 0 0
    fall_by_q = (
        Fraction("2") + Fraction("4") + Fraction("3") + Fraction("9")
    ) / 4  # n drives 2 fF, in the middle of the table
    rise_by_d = (Fraction("1") + Fraction("2") + Fraction("3") + Fraction("4")) / 4
    inverter = 2 * (Fraction("20") + Fraction("40")) / 2 + Fraction("7") + Fraction("11")  # no load: the table's edge
    data = 2 * Fraction("1.5") + 2 * Fraction("4")  # while the clock is high
    clock = (
        2 * Fraction("11") + 3 * 0 + 1 * Fraction("21") + 4 * Fraction("32")
    )  # rises and falls with d = q and with d != q
    load = (Fraction("2.5") - 1) / 2  # of q, between 1 and 3 fF
    rise, fall = (
        low + (high - low) * load for low, high in ((Fraction("55"), Fraction("75")), (Fraction("45"), Fraction("65")))
    )
    half = Fraction(2) ** 2 / 2
    clock_net = 10 * half * Fraction("0.75")
    nets = 4 * half * (Fraction("0.5") + Fraction("1.5")) + 3 * half * Fraction("2.5") + 2 * half * Fraction("2")
    assert found == Parts(
        combinational=pytest.approx(float(fall_by_q + rise_by_d + inverter), rel=1e-12),
        flip_flops_and_clock=pytest.approx(float(data + clock + 2 * rise + fall + clock_net), rel=1e-12),
        nets=pytest.approx(float(nets), rel=1e-12),
        leakage_nw=pytest.approx(
            float(10 * (Fraction("0.5") + Fraction("0.5") + Fraction("0.125") + Fraction("3"))), rel=1e-12
        ),
        cycles=5,
        toggles=pytest.approx({"clock": 2.0, "inputs": 4 / 5, "registers": 3 / 5, "logic": 4 / 2 / 5}),
    )


def test_an_output_that_several_inputs_could_move_takes_their_mean(tmp_path: Path) -> None:
    text = NETLIST.replace(".A(d), .B(q)", ".A(q), .B(q)")
    what, waves, library = simulated(tmp_path, text)
    found = parts(what, waves, (library,), 20.0).combinational
    falls, rises = (Fraction("4.5") + Fraction("250")) / 2, (Fraction("650") + Fraction("2.5")) / 2
    inverter = 3 * Fraction("30") + 2 * Fraction("7") + 1 * Fraction("11")
    assert found == pytest.approx(float(2 * falls + rises + inverter), rel=1e-12)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", 0xFF),
        ("A", 0xAA),
        ("!A * B", 0x44),
        ("(!A * B) + C", 0xF4),
        ("A & B | !C", 0x8F),
        ("A ^ B & C", 0x60),
        ("A' B", 0x44),
        ("(A B)'", 0x77),
        ("1", 0xFF),
        ("0 + C", 0xF0),
        ("MISSING", 0xFF),
    ],
)
def test_conditions_are_read_as_liberty_means_them(text: str, wanted: int) -> None:
    import numpy as np

    pins = {name: np.array([bool(at >> bit & 1) for at in range(8)]) for bit, name in enumerate("ABC")}
    assert sum(int(holding) << at for at, holding in enumerate(holds(text, pins, 8))) == wanted


@pytest.mark.parametrize("text", ["A &", "(A", "A )", "A ? B", "& A"])
def test_a_condition_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(HwqError, match="a Liberty condition must be pins with"):
        holds(text, {}, 1)


@pytest.mark.parametrize("text", ["int4*int4 +fixed(16)", "fp4_e2m1*fp4_e2m1 +fixed(20) cut=mul"])
def test_the_simulated_element_adds_what_it_is_shown(tmp_path: Path, text: str) -> None:
    dp = Datapath.parse(text)
    hardware = plan(dp, "nangate45")
    leaf = leaves(hardware, top_name(dp))
    for name in ("pe", "decode_a", "decode_w"):
        (tmp_path / f"{name}.v").write_text(leaf[name].text, encoding="utf-8")
    mapped = netlist([tmp_path / "pe.v"], leaf["pe"].name, "nangate45", tmp_path)
    what = circuit(mapped, leaf["pe"].name, tmp_path)
    a, w = codes(dp, "uniform", 5, 7, 3)
    shown = stimulus(hardware, [*what.inputs], a, w)
    given = Stimulus(
        shown.ports,
        shown.warm,
        through={side: leaf[f"decode_{side}"].name for side in "aw"},
        sources=tuple(tmp_path / f"decode_{side}.v" for side in "aw"),
    )
    waves = simulate(mapped, what, given, tmp_path)
    columns = {text.strip(" \\"): waves.of(bit) for bit, text in what.names.items()}
    sums = [columns[f"acc [{bit}]"] for bit in range(hardware.state.words["acc"].width)]
    first = [2 + 2 * 8 * run for run in range(5)]  # samples of cycles that show the sum of the run before
    last = [sum(int(column[at]) << bit for bit, column in enumerate(sums)) for at in first]
    assert waves.cycles == 5 * 8
    assert last == [int(matmul(dp.mac, a[[run]], w[[run]])[0, 0]) for run in range(-1, 4)]


def test_an_element_takes_energy_in_every_part() -> None:
    dp = Datapath.parse("int4*int4 +fixed(16)")
    a, w = codes(dp, "uniform", 8, 16, 1)
    given = {"held": (a * 0 + 5, w * 0 + 3)}
    rows = {row.stream: row for row in measure_energy(dp, "nangate45", given=given, runs=8, terms=16)}
    assert list(rows) == ["uniform", "gaussian", "sparse", "held"]
    for row in rows.values():
        assert row.macs == 8 * 16
        assert row.cycles == 8 * 17
        assert min(row.combinational, row.flip_flops_and_clock, row.nets, row.leakage_nw) > 0
        assert row.pj_per_mac == row.combinational + row.flip_flops_and_clock + row.nets
        assert row.toggles["clock"] == 2
        assert {"pyosys", "iverilog"} < set(row.tools)
        kept = Energy.from_json(row.to_json())
        assert kept.pj_per_mac == pytest.approx(row.pj_per_mac, rel=1e-5)
        assert Energy.from_json(kept.to_json()) == kept
    assert rows["uniform"].pj_per_mac > rows["gaussian"].pj_per_mac > rows["sparse"].pj_per_mac
    assert rows["held"].toggles["inputs"] < 0.05
    assert len({row.leakage_nw for row in rows.values()}) == 1


def test_the_kept_rows_are_read() -> None:
    rows = [Energy.from_json(line) for line in ROWS.read_text(encoding="utf-8").splitlines()]
    found = {(row.device, row.design, row.stream): row.pj_per_mac for row in rows}
    assert len(found) == len(rows) == 308
    for device, design in {(row.device, row.design) for row in rows}:
        dense, normal, sparse, real = (found[device, design, s] for s in ("uniform", "gaussian", "sparse", "resnet8"))
        assert 1.02 * dense > normal > sparse / 1.03  # of logarithms, which have no 0, sparse ones are not less
        assert sparse > real
    eight = {"fp8_e5m2": 80, "fp8_e4m3": 48, "int8": 32}
    ranked = [found["nangate45", f"{name}*{name} +fixed({bits})", "uniform"] for name, bits in eight.items()]
    assert ranked == sorted(ranked, reverse=True)


def test_bad_streams_and_elements_are_refused_in_one_line() -> None:
    dp = Datapath.parse("int4*int4 +fixed(16)")
    a, w = codes(dp, "uniform", 2, 4, 1)
    with pytest.raises(
        HwqError, match="a stream must be uniform, gaussian, sparse, or codes that are given, not 'loud'"
    ):
        measure_energy(dp, "nangate45", ["loud"])
    with pytest.raises(HwqError, match=r"energy needs a device of standard cells .*, not 'xc7'"):
        measure_energy(dp, "xc7")
    with pytest.raises(HwqError, match=r"codes must be two arrays .*, not \(2, 4\) and \(1, 4\)"):
        measure_energy(dp, "nangate45", [], {"odd": (a, w[:1])})
    with pytest.raises(HwqError, match=r"one product a cycle, not .* leave out its lanes"):
        measure_energy(Datapath.parse("int4*int4 +fixed(16) @1x1x2"), "nangate45")
    with pytest.raises(HwqError, match="a row of energy must be as hwq keeps it"):
        Energy.from_json('{"design": 1}')


def test_a_library_without_power_is_refused(tmp_path: Path) -> None:
    cells = tmp_path / "small.lib"
    cells.write_text(liberty(), encoding="utf-8")
    dp = Datapath.parse("int4*int4 +fixed(16)")
    with pytest.raises(HwqError, match="must have tables of internal_power to tell an energy, not none as small"):
        measure_energy(dp, "nangate45", ["uniform"], runs=1, terms=2, liberty=[cells])
    for text, wanted in (
        (LIBRARY.replace("nom_voltage : 2.0;", ""), "must state nom_voltage to tell an energy, not nothing as"),
        (LIBRARY.replace("10nW", "10 horses"), "a Liberty unit must be one such as 1ns, 1nW or 1V, not '10 horses'"),
        (LIBRARY.replace('values ("0.010, 0.012")', 'values ("0.010")'), "a power table must be 2 x 1 as its axes"),
    ):
        cells.write_text(text, encoding="utf-8")
        other = cells.rename(tmp_path / f"{len(text)}.lib")  # what is read is kept by its name
        with pytest.raises(HwqError, match=wanted):
            power_cells((other,), ["DFF"])
    with pytest.raises(HwqError, match="every cell of a netlist must be in the library, not LATCH"):
        power_cells((other,), ["LATCH"])


def test_libraries_of_two_voltages_are_refused(tmp_path: Path) -> None:
    files = [tmp_path / "one.lib", tmp_path / "two.lib"]
    for path, volts in zip(files, ("2.0", "1.8"), strict=True):
        path.write_text(LIBRARY.replace("nom_voltage : 2.0", f"nom_voltage : {volts}"), encoding="utf-8")
    with pytest.raises(HwqError, match=r"must have one voltage, not \[1.8, 2.0\]"):
        supply(files)


def test_a_module_that_does_not_simulate_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(HwqError, match="every net of toy must be 0 or 1 after 2 cycles, not x as"):
        simulated(tmp_path, NETLIST.replace(".D(d)", ".D(n)"), (1,) * 7)
    with pytest.raises(ToolError, match="must succeed, not end with"):
        simulated(tmp_path, NETLIST.replace("endmodule\nmodule toy", "module toy"))
    with pytest.raises(HwqError, match="the inputs of toy must be clk, d, not clk, e"):
        simulated(tmp_path, NETLIST.replace("input d", "input e").replace("(d)", "(e)"))
    with pytest.raises(HwqError, match="a netlist must have cells to take energy, not none as toy"):
        simulated(tmp_path, "module toy(input clk, input d, output y); assign y = d; endmodule\n")
    assert library_files("nangate45")
