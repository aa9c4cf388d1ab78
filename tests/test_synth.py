"""Synthesis: rows written by hand, measured on every device, the same in any order, the same sums in the netlists."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import hwq
from hwq.datapath import Datapath
from hwq.errors import HwqError, ToolError
from hwq.synth import TARGETS, Job, Route, Row, Spread, measure, measure_designs, measure_many, netlist
from hwq.synth.store import Store
from hwq.synth.target import gates

# What the rows must cost: n + 1 LUT for each Booth row (its two top bits are equal) and one a bit above the product's
# low half. On ecp5 two CCU2C a pair of bits with the digit in LUT4.
INT8_LUT, INT4_LUT = 60, 22


def mac(name: str, n: int, acc: int) -> str:
    """A registered n x n multiply-accumulate in radix-4 Booth rows: row bases and sums are kept, digits are not."""
    base, rows, sums = f"{{{{2{{s[{n - 1}]}}}}, s[{n - 1}:0]}}", "", ""
    for i in range(n // 2):
        rows += f"""
  wire [2:0] t{i} = {f"w[{2 * i + 1}:{2 * i - 1}]" if i else "{w[1:0], 1'b0}"};
  wire [{n}:0] m{i} = (t{i}[1] ^ t{i}[0]) ? {{a[{n - 1}], a}} : (t{i}[2] ^ t{i}[1]) ? {{a, 1'b0}} : {n + 1}'d0;
  wire [{n}:0] d{i} = m{i} ^ {{{n + 1}{{t{i}[2]}}}};
  (* keep *) wire [{n + 1}:0] b{i};
  assign b{i} = {base};
  (* keep *) wire [{n + 1}:0] r{i};
  assign r{i} = b{i} + {{d{i}[{n}], d{i}}} + t{i}[2];"""
        base, sums = f"{{{{2{{r{i}[{n + 1}]}}}}, r{i}[{n + 1}:2]}}", f", r{i}[1:0]" + sums
    top = f"r{n // 2 - 1}"
    return f"""
module {name}(input clk, input en, input clear, input [{n - 1}:0] ai, input [{n - 1}:0] wi, output [{acc - 1}:0] acc);
  reg [{n - 1}:0] a, w;
  reg [{acc - 1}:0] s;
  assign acc = s;{rows}
  (* keep *) wire [{acc - n - 1}:0] u;
  assign u = s[{acc - 1}:{n}] + {{{{{acc - 2 * n}{{{top}[{n + 1}]}}}}, {top}[{n + 1}:2]}} + s[{n - 1}];
  always @(posedge clk) if (en) begin a <= ai; w <= wi; end
  always @(posedge clk) if (clear) s <= 0; else if (en) s <= {{u{sums}}};
endmodule
"""


BENCH = """
module bench;
  reg clk = 0, en = 1, clear = 1;
  reg [3:0] a = 0, w = 0;
  wire [15:0] acc;
  reg signed [3:0] ha, hw;
  reg signed [15:0] sum;
  integer i, wrong = 0;
  mac4 dut(.clk(clk), .en(en), .clear(clear), .ai(a), .wi(w), .acc(acc));
  initial begin
    repeat (2) begin #1 clk = 1; #1 clk = 0; end
    sum = 0; ha = 0; hw = 0; clear = 0;
    for (i = 0; i < 4096; i = i + 1) begin
      {a, w} = i * 37; en = (i % 5 != 4); clear = (i % 1000 == 999);
      #1 clk = 1; #1 clk = 0;
      if (clear) sum = 0; else if (en) sum = sum + ha * hw;
      if (en) begin ha = a; hw = w; end
      if (acc !== sum) wrong = wrong + 1;
    end
    $display("compared %0d wrong %0d", i, wrong);
  end
endmodule
"""


@pytest.fixture(scope="module")
def verilog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("a folder with spaces") / "macs.v"
    pair = """
module pair(input clk, input en, input clear, input [3:0] x, input [3:0] y, output [31:0] z);
  mac4 low(.clk(clk), .en(en), .clear(clear), .ai(x), .wi(y), .acc(z[15:0]));
  mac4 high(.clk(clk), .en(en), .clear(clear), .ai(y), .wi(x), .acc(z[31:16]));
endmodule
"""
    path.write_text(mac("mac8", 8, 32) + mac("mac4", 4, 16) + pair, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def rows(verilog: Path) -> dict[tuple[str, str], Row]:
    jobs = [Job.of([verilog], module, device) for device in TARGETS for module in ("mac8", "mac4", "pair")]
    return {(row.module, row.device): row for row in measure_many(jobs)}


def test_rows_cost_what_they_are_on_xc7(rows: dict[tuple[str, str], Row]) -> None:
    mac8, mac4, pair = (rows[name, "xc7"] for name in ("mac8", "mac4", "pair"))
    assert (mac8.lut, mac8.ff, mac8.dsp, mac8.bram, mac8.ge) == (INT8_LUT, 48, 0, 0, None)
    assert (mac4.lut, mac4.ff) == (INT4_LUT, 24)
    assert (pair.lut, pair.ff) == (2 * INT4_LUT, 2 * 24 - 8)  # they share the operand registers
    assert sum(n for cell, n in mac8.breakdown.items() if cell.startswith("LUT")) == mac8.lut
    assert mac8.logic_ns is not None
    assert 4 < mac8.logic_ns < 7
    assert (mac8.level, mac8.fmax_mhz) == ("T1", None)
    assert set(mac8.tools) == {"pyosys"}


def test_counts_do_not_depend_on_order_or_company(verilog: Path, rows: dict[tuple[str, str], Row]) -> None:
    modules = {"xc7": ("pair", "mac8"), "ecp5": ("mac8",), "ge": ("mac4", "mac8")}
    jobs = [Job.of([verilog], module, device) for device in modules for module in modules[device]]
    again = measure_many(jobs, workers=1)
    assert len(again) == 5
    assert [row.breakdown for row in again] == [rows[row.module, row.device].breakdown for row in again]


def test_ecp5_counts_and_clock(verilog: Path, rows: dict[tuple[str, str], Row]) -> None:
    row = measure([verilog], "mac4", "ecp5", place_and_route=True, design="a label")
    cells = rows["mac4", "ecp5"]
    assert cells.lut == cells.breakdown["LUT4"] + 2 * cells.breakdown["CCU2C"]
    assert (row.lut, row.ff, row.level, row.design) == (cells.lut, 24, "T2", "a label")
    assert row.comb_post_route is not None
    assert row.lut is not None
    assert row.comb_post_route > row.lut >= 24
    assert row.ff_post_route == 24
    assert row.fmax_mhz is not None
    assert 80 < row.fmax_mhz.low <= row.fmax_mhz.value <= row.fmax_mhz.high < 300
    assert row.seeds == (1, 2, 3)
    assert set(row.tools) == {"nextpnr-ecp5", "pyosys"}
    assert " steps, " in row.critical  # two ends, and what of the time is the cells'
    assert Row.from_json(row.to_json()) == row
    with pytest.raises(HwqError, match="chip must be one of 25k, 45k, 85k, not '12f'"):
        Job.of([verilog], "mac4", "ecp5", place_and_route=True, route=Route("12f"))


def test_gate_equivalents_add_up(rows: dict[tuple[str, str], Row]) -> None:
    row = rows["mac4", "ge"]
    logic = sum(n * gates()[cell][0] for cell, n in row.breakdown.items() if cell != "$_DFF_P_")
    assert row.ge == pytest.approx(logic + 24 * 17 / 3, abs=1e-3)
    assert row.lut is None
    assert row.ge is not None
    assert 300 < row.ge < 500
    assert len([cell for cell in gates() if cell not in ("zero", "one")]) == 16


@pytest.mark.parametrize("device", sorted(TARGETS))
def test_netlist_computes_the_same_sums(verilog: Path, tmp_path: Path, device: str) -> None:
    mapped = netlist([verilog], "mac4", device, tmp_path)
    bench = tmp_path / "bench.v"
    bench.write_text(BENCH, encoding="utf-8")
    subprocess.run(["iverilog", "-g2005", "-o", str(tmp_path / "sim"), str(mapped), str(bench)], check=True)
    said = subprocess.run(["vvp", str(tmp_path / "sim")], check=True, capture_output=True, text=True).stdout
    assert said == "compared 4096 wrong 0\n"


def test_store_goes_on_after_a_kill(verilog: Path, tmp_path: Path) -> None:
    store, heard = tmp_path / "rows.jsonl", list[Row]()
    jobs = [Job.of([verilog], module, "ge", design=module.upper()) for module in ("mac8", "mac4")]
    first = measure_many(jobs, on_row=heard.append, store=store)
    assert [row.design for row in first] == ["MAC8", "MAC4"]
    assert sorted(row.module for row in heard) == ["mac4", "mac8"]
    whole = store.read_text(encoding="utf-8")
    store.write_text(whole[: len(whole) - 40], encoding="utf-8")
    assert len(Store(store)) == 1
    assert [row.ge for row in measure_many(jobs, on_row=heard.append, store=store)] == [row.ge for row in first]
    assert len(heard) == 3
    assert [json.loads(line)["key"] for line in store.read_text(encoding="utf-8").splitlines()] == [
        json.loads(line)["key"] for line in whole.splitlines()
    ]
    assert measure_many(jobs, on_row=heard.append, store=store) == measure_many(jobs, store=store)
    assert len(heard) == 3


def test_a_row_survives_json() -> None:
    spread = Spread.of([3.0, 1.0, 2.0])
    row = Row("d", "m", "ecp5", "T2", {"t": "1"}, 1, 0, 0, {"LUT4": 2}, 0.5, lut=2, fmax_mhz=spread, seeds=(1, 2, 3))
    assert (spread.value, spread.low, spread.high) == (2.0, 1.0, 3.0)
    assert Row.from_json(row.to_json()) == row
    assert "ge" not in json.loads(row.to_json())


def test_errors_are_one_line_and_cost_only_their_design(verilog: Path, tmp_path: Path) -> None:
    with pytest.raises(HwqError, match=r"not nowhere\.v"):
        Job.of([tmp_path / "nowhere.v"], "m", "xc7")
    with pytest.raises(HwqError, match="not 'xc9'"):
        Job.of([verilog], "mac4", "xc9")
    with pytest.raises(HwqError, match="place and route needs ecp5"):
        Job.of([verilog], "mac4", "xc7", place_and_route=True)
    heard: list[Row] = []
    with pytest.raises(ToolError, match="synthesis of absent must succeed") as caught:
        measure_many([Job.of([verilog], module, "ge") for module in ("absent", "mac4")], on_row=heard.append)
    assert "\n" not in str(caught.value)
    assert [row.module for row in heard] == ["mac4"]


def test_an_interrupt_ends_the_workers_and_keeps_the_rows(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    # a shell that runs the tests in the background has them ignore interrupts
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = f"{heeding}; from hwq.cli import main; main()"
    arguments = ["calibrate", "--device", "ge", "--rows", str(rows), "-o", str(tmp_path / "ge.json")]
    with subprocess.Popen(
        [sys.executable, "-c", command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        while process.poll() is None and not (rows.exists() and rows.read_text(encoding="utf-8")):
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate()  # hangs if a worker lives on
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "interrupted; what was finished is saved"
    assert len(Store(rows)) >= 1


@pytest.mark.parametrize("text", ["@2x3 cut=mul", "@3x2 cut=unpack,mul", "@1x2x2/tree cut=mul"])
def test_starts_that_are_equal_are_counted_once(text: str) -> None:
    """With `use=load` a bit goes with the operands; synthesis keeps one for all elements that it reaches together."""
    dp = Datapath.parse(f"int4*int4 +fixed(16) {text} use=load")
    (row,) = measure_designs([(dp, "top")], "xc7", workers=1)
    assert row.ff == hwq.estimate(dp, "xc7").figures["ff"].value
