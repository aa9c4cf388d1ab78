"""Memories: CACTI's table point by point and with lines left out, Yosys's own count of blocks, refused inputs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwq.cli.main import run
from hwq.costmodel.memory import bram, dram, sram
from hwq.errors import HwqError

KB = 8192
# hw-cost.md 1.4, retyped: read pJ, write pJ, ns, mW of (KB, width) at each node.
BANKS = ((1, 32), (4, 32), (8, 64), (32, 64), (32, 128), (128, 64), (1024, 128))
NAMES = ("read_pj", "write_pj", "access_ns", "leakage_mw")
CACTI = {
    45: "0.64 0.86 0.47 0.008 1.99 1.56 0.52 0.03 3.16 3.24 0.65 0.07 7.23 5.62 0.98 0.25 10.7 11.2 0.92 0.25 "
    "15.5 10.5 1.42 0.91 62 52 2.9 6.9",
    32: "0.31 0.40 0.31 0.07 0.98 0.70 0.34 0.30 2.17 1.61 0.38 0.54 3.19 2.62 0.70 2.2 4.87 4.67 0.65 2.2 "
    "6.70 5.15 1.0 7.9 31 25 2.0 59",
    22: "0.25 0.23 0.22 0.03 0.62 0.44 0.27 0.12 1.40 1.03 0.31 0.22 2.12 1.75 0.56 0.87 3.27 3.15 0.53 0.86 "
    "4.50 3.47 0.83 3.2 22 18 1.8 24",
}
TABLE = {node: np.array(text.split(), dtype=float).reshape(7, 4) for node, text in CACTI.items()}


@pytest.mark.parametrize("node", TABLE)
def test_lines_of_the_table_return_themselves(node: int) -> None:
    for (size, width), line in zip(BANKS, TABLE[node], strict=True):
        found = sram(size * KB, width, node)
        assert [found.figures[name].value for name in NAMES] == list(line)
        assert (found.level, found.macro.lanes, found.macro.rows) == ("table", 1, 1)
        assert found.macro.bits == size * KB
    assert ("area_mm2" in found.figures) == (node == 45)
    assert sram(8 * KB, 64, 45).figures["area_mm2"].value == 0.026


def without(place: int, node: int, column: int) -> float:
    """What the other lines say of a line: numpy's interpolation of what is left, over what the line says."""
    slopes = {one: np.log2(rows[4, column] / rows[3, column]) for one, rows in TABLE.items()}
    slope = np.mean([s for one, s in slopes.items() if one != node]) if place in (3, 4) else slopes[node]
    keep = [i for i in range(7) if i != place]
    x = np.array([np.log(BANKS[i][0]) for i in keep])
    y = np.array([np.log(TABLE[node][i, column]) - slope * np.log(BANKS[i][1]) for i in keep])
    size = np.unique(x)
    height = np.array([y[x == one].mean() for one in size])
    at = np.log(BANKS[place][0])
    if size[0] <= at <= size[-1]:
        found = np.interp(at, size, height)
    else:
        end = 0 if at < size[0] else -1
        found = height[end] + (height[-1] - height[0]) / (size[-1] - size[0]) * (at - size[end])
    ratio = np.exp(found + slope * np.log(BANKS[place][1])) / TABLE[node][place, column]
    return float(max(ratio, 1 / ratio))


@pytest.mark.parametrize("column", range(4), ids=NAMES)
def test_the_interval_is_that_of_lines_left_out(column: int) -> None:
    inside = max(without(place, node, column) for node in TABLE for place in range(1, 6))
    outside = max(without(place, node, column) for node in TABLE for place in (0, 6))
    between = sram(16 * KB, 64, 32).figures[NAMES[column]]
    beyond = sram(KB // 2, 32, 32).figures[NAMES[column]]
    assert between.high / between.value == pytest.approx(inside) == between.value / between.low
    assert beyond.high / beyond.value == pytest.approx(max(inside, outside))


def test_larger_and_wider_banks_cost_more() -> None:
    for node in (130, 45, 32, 22, 7):
        sizes = [sram(KB * 2**at // 4, 32, node).figures for at in range(1, 12)]
        for name in sizes[0]:
            values = [one[name].value for one in sizes]
            assert values == sorted(values)
        widths = [sram(32 * KB, width, node).figures for width in (8, 16, 32, 64, 128)]
        for name in ("read_pj", "write_pj"):
            values = [one[name].value for one in widths]
            assert values == sorted(set(values))


def test_memories_are_whole_banks() -> None:
    odd = sram(1000 * 13, 13, 45)
    assert (odd.macro.width, odd.macro.depth) == (16, 1008)
    wide, one = sram(64 * KB, 256, 45), sram(32 * KB, 128, 45)
    assert (wide.macro.lanes, wide.macro.rows) == (2, 1)
    deep = sram(4096 * KB, 128, 45)
    assert (deep.macro.lanes, deep.macro.rows) == (1, 4)
    largest = sram(1024 * KB, 128, 45)
    for name, lanes, rows in (("read_pj", 2, 1), ("access_ns", 1, 1), ("leakage_mw", 2, 4), ("area_mm2", 2, 4)):
        assert wide.figures[name].value == pytest.approx(lanes * one.figures[name].value)
        assert deep.figures[name].value == pytest.approx(rows * largest.figures[name].value)
    assert "wires and decoders between banks" in deep.unmodelled
    cut = sram(32 * KB, 64, 45, banks=4)
    assert cut.macro.rows == 4 and cut.figures["read_pj"].value == sram(8 * KB, 64, 45).figures["read_pj"].value


def test_other_nodes_are_scaled_and_say_so() -> None:
    found = sram(32 * KB, 64, 7)
    assert found.level == "scaled" and "at 32 nm" in found.source and "leakage_mw" not in found.figures
    assert any(text.startswith("leakage_mw") for text in found.unmodelled)
    assert found.figures["area_mm2"].value == pytest.approx(0.11 * 0.078)
    energy = found.figures["read_pj"]
    assert energy.high / energy.value > 3


def test_horowitz_is_about_three_times_cacti() -> None:
    """10, 20 and 100 pJ for 64 bits of 8 KB, 32 KB and 1 MB; the last has 128 bits here."""
    for size, width, pj in ((8, 64, 10), (32, 64, 20), (1024, 128, 200)):
        assert 2.7 < pj / sram(size * KB, width, 45).figures["read_pj"].value < 3.3


# depth, width: one port writes, one reads
PAIRS = (
    *((16, 4), (33, 8), (100, 16), (128, 8), (256, 16), (256, 33), (300, 64), (500, 40), (512, 36), (700, 72)),
    *((1000, 9), (1024, 18), (1024, 19), (2048, 9), (2048, 32), (2560, 27), (3000, 12), (3072, 9), (4096, 4)),
    *((4096, 5), (4580, 24), (8192, 1), (8192, 16), (16384, 1), (20000, 3)),
)
FLOW = {
    "xc7": "synth_xilinx -family xc7 -run map_memory:map_ffram",
    "xcup": "synth_xilinx -family xcup -run map_memory:map_ffram",
    "ecp5": "synth_ecp5 -run map_ram:map_ffram",
    "ice40": "synth_ice40 -device u -run map_ram:map_ffram",
}
YOSYS = """
import json, os, sys
from pyosys import libyosys
design = libyosys.Design()
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
for command in ("read_verilog m.v", "proc", "opt", "memory -nomap", sys.argv[1], "tee -q -o cells.json stat -json"):
    libyosys.run_pass(command, design)
"""


def verilog(name: str, depth: int, width: int, style: str) -> str:
    top = max((depth - 1).bit_length(), 1) - 1
    read = "assign q = mem[r];" if style == "distributed" else "always @(posedge clk) q <= mem[r];"
    kind = "" if style == "distributed" else "reg "
    return (
        f"module {name}(input clk, we, input [{top}:0] w, r,\n"
        f"  input [{width - 1}:0] d, output {kind}[{width - 1}:0] q);\n"
        f'(* ram_style = "{style}" *) reg [{width - 1}:0] mem [0:{depth - 1}];\n'
        f"always @(posedge clk) if (we) mem[w] <= d;\n{read}\nendmodule\n"
    )


def mapped(folder: Path, flow: str, pairs: list[tuple[int, int]], style: str) -> list[dict[str, int]]:
    """The memory cells that Yosys takes for each memory."""
    texts = [verilog(f"m{at}", depth, width, style) for at, (depth, width) in enumerate(pairs)]
    (folder / "m.v").write_text("".join(texts))
    subprocess.run([sys.executable, "-c", YOSYS, flow], cwd=folder, check=True, env=os.environ, capture_output=True)
    modules = json.loads((folder / "cells.json").read_text())["modules"]
    cells = [modules[f"\\m{at}"]["num_cells_by_type"] for at in range(len(pairs))]
    return [{name: n for name, n in one.items() if name[0] != "$"} for one in cells]


@pytest.mark.parametrize("device", FLOW)
def test_blocks_are_those_that_yosys_takes(device: str, tmp_path: Path) -> None:
    pairs = list(PAIRS)
    taken = mapped(tmp_path, FLOW[device], pairs, "block")
    exact = 0
    for (depth, width), cells in zip(pairs, taken, strict=True):
        found = bram(depth * width, width, device)
        count = sum(
            n * (2 if name.startswith("RAMB36") else 1) for name, n in cells.items() if "RAM" in name or "KD" in name
        )
        assert found.blocks.low <= count <= found.blocks.high, (depth, width)
        exact += count == found.blocks.value
    assert len(pairs) >= 20 and exact == len(pairs)


@pytest.mark.parametrize("device", ["xc7", "xcup", "ecp5"])
def test_tables_as_memory_are_those_that_yosys_takes(device: str, tmp_path: Path) -> None:
    pairs = [(depth, width) for depth, width in PAIRS if depth <= 300] + [(83, 1), (74, 3), (272, 28), (32, 6)]
    for (depth, width), cells in zip(pairs, mapped(tmp_path, FLOW[device], pairs, "distributed"), strict=True):
        one = bram(depth * width, width, device).lutram
        assert one is not None
        lut = sum(n * one.lut.value / one.cells for name, n in cells.items() if "RAM" in name or "DPR" in name)
        assert one.lut.low <= lut <= one.lut.high, (depth, width, cells)


def test_large_blocks_are_those_that_yosys_takes(tmp_path: Path) -> None:
    pairs = [(4096, 72), (4096, 73), (2048, 144), (1000, 64), (5000, 100), (16384, 8), (8192, 72)]
    flow = FLOW["xcup"].replace(" -run", " -uram -run")
    taken = mapped(tmp_path, flow, pairs, "huge")
    assert [bram(d * w, w, "xcup").large for d, w in pairs] == [("URAM288", one["URAM288"]) for one in taken]


def test_small_memories_are_smaller_in_tables() -> None:
    small, large = bram(16 * 8, 8, "ecp5"), bram(2048 * 9, 9, "ecp5")
    assert small.lutram is not None and small.lutram.smaller and small.lutram.lut.value == 8
    assert large.lutram is not None and not large.lutram.smaller
    assert bram(16 * 8, 8, "ice40").lutram is None
    assert bram(19200, 64, "xc7").pairs == 1 and bram(19200, 64, "ecp5").pairs is None


@pytest.mark.parametrize("node", [45.0, True, [45], "45", None])
def test_nodes_that_are_none_wrong(node: Any) -> None:
    with pytest.raises(HwqError, match=r"^node must be one of 180, .* nm to have SRAM, not "):
        sram(32 * KB, 64, node)


def test_dram_says_where_its_figures_are_from() -> None:
    one = dram(1000, "lpddr4")
    assert (one.level, one.energy_pj.value, one.energy_pj.high) == ("published", 8000, 14000)
    assert {dram(1, kind).level for kind in ("lpddr5", "ddr5")} == {"unverified"}
    alone = dram(1, "hbm2").pj_per_bit
    assert (alone.low, alone.value, alone.high) == (1.95, 3.9, 7.8)


@pytest.mark.parametrize("value", [0, -8, float("nan"), 8.0, True, 2**63])
def test_counts_wrong(value: int) -> None:
    for name, call in (
        ("bits", lambda: sram(value, 8, 45)),
        ("bits", lambda: bram(value, 8, "xc7")),
        ("bits", lambda: dram(value, "lpddr4")),
        ("width", lambda: sram(4 * KB, value, 45)),
        ("width", lambda: bram(4 * KB, value, "xc7")),
        ("banks", lambda: sram(4 * KB, 8, 45, value)),
    ):
        with pytest.raises(HwqError, match=rf"^{name} must be a whole number of at least 1, not "):
            call()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("100", "-w", "8", "--node", "45"), "a bank of SRAM must have at least 2048 bits, not 128 (16 words of 8); "),
        (("9000", "-w", "8", "--node", "28"), "node must be one of 180, 130, 90, 65, 45, 32, 22, 20, 16, 14, 10, 7 nm"),
        (
            ("9000", "-w", "8", "-d", "ge"),
            "device must be one of xc7, xcup, ecp5, ice40 to have memory blocks, not 'ge'",
        ),
        (
            ("9000", "--dram", "ram"),
            "kind must be one of lpddr, lpddr4, lpddr5, ddr3, ddr5, gddr5, gddr6, gddr6x, hbm2",
        ),
        (("9000", "-w", "8"), "a memory needs one of --device, --node and --dram; give one"),
        (("9000", "--node", "45"), "a memory on a device or at a node needs the width of its words; give --width"),
        (("9000", "-w", "8", "-d", "xc7", "--banks", "2"), "only SRAM is cut into banks, not xc7 into 2; leave"),
        (("0", "-w", "8", "-d", "xc7"), "bits must be a whole number of at least 1, not 0"),
        (("100", "-w", "0", "-d", "xc7"), "width must be a whole number of at least 1, not 0"),
        (("9000", "-w", "0", "--node", "45"), "width must be a whole number of at least 1, not 0"),
        (("9000", "-w", "-1", "--node", "45"), "width must be a whole number of at least 1, not -1"),
    ],
)
def test_command_lines_wrong(capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str) -> None:
    assert run(["memory", *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith(f"error: {message}")


def test_the_command_prints_units_level_and_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["memory", str(32 * KB), "-w", "64", "--node", "45"]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("pJ", "ns", "mW", "mm2", "table: CACTI 7", "not counted: "))
    for options in (("-w", "64", "--node", "7"), ("-w", "64", "-d", "xcup"), ("--dram", "ddr5")):
        assert run(["memory", str(32 * KB), *options, "--json"]) == 0
        record = json.loads(capsys.readouterr().out)
        assert {"bits", "level", "source", "unmodelled"} <= set(record)
        assert run(["memory", str(32 * KB), *options]) == 0
        assert record["source"].split(";")[0] in capsys.readouterr().out
