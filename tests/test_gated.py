"""Gated rows: every product of their Verilog, with the model of the carry cell that the package carries, and areas."""

from __future__ import annotations

import subprocess
from importlib import resources
from pathlib import Path

import pytest

from hwq.bits import variable
from hwq.bits.cells import Block
from hwq.bits.gated import Gated
from hwq.costmodel import features
from hwq.datapath.device import DEVICES
from hwq.rtl.cells import Body
from hwq.rtl.wires import whole
from hwq.synth import measure, netlist

Range = tuple[int, int]
FACTORS: list[tuple[Range, Range]] = [
    ((-128, 127), (-1, 1)),
    ((-8, 7), (-8, 7)),
    ((-12, 12), (-12, 12)),
    ((0, 31), (-8, 7)),
    ((0, 15), (0, 15)),
    ((-16, 15), (0, 3)),
    ((-3, 3), (0, 1)),
]


def product(a: Range, w: Range) -> Block:
    low, x, y = Gated("product"), variable("a", *a), variable("w", *w)
    for word in (x, y):
        low.input(word)
    (net,) = low.lower([x * y])
    return low.block([("p", net)])


def verilog(block: Block) -> str:
    ports = {net.name: net.width for net in block.inputs} | {name: net.width for name, net in block.outputs}
    body = Body(DEVICES["ecp5"][1], ports)
    ((name, bits),) = body.add(block, {net.name: whole(net.name, net.width) for net in block.inputs}).items()
    heads = [f"input wire [{net.width - 1}:0] {net.name}" for net in block.inputs]
    head = f"module product({', '.join(heads)}, output wire [{ports['p'] - 1}:0] p);"
    return "\n".join([head, *body.lines, f"  assign {name} = {body.text(bits)};", "endmodule", ""])


def bench(block: Block, a: Range, w: Range) -> str:
    """Counts the products that differ, and all of them."""
    width = {net.name: net.width for net in block.inputs} | {name: net.width for name, net in block.outputs}
    return f"""
module bench;
  reg [{width["a"] - 1}:0] a;
  reg [{width["w"] - 1}:0] w;
  wire [{width["p"] - 1}:0] p;
  reg [{width["p"] - 1}:0] right;
  integer x, y, wrong, all;
  product it(.a(a), .w(w), .p(p));
  initial begin
    wrong = 0; all = 0;
    for (x = {a[0]}; x <= {a[1]}; x = x + 1)
      for (y = {w[0]}; y <= {w[1]}; y = y + 1) begin
        a = x; w = y; right = x * y; #1;
        all = all + 1;
        if (p !== right) wrong = wrong + 1;
      end
    $display("%0d %0d", wrong, all);
  end
endmodule
"""


def ran(folder: Path, *texts: str) -> list[int]:
    names = [f"{at}.v" for at in range(len(texts))]
    for name, text in zip(names, texts, strict=True):
        (folder / name).write_text(text, encoding="utf-8")
    subprocess.run(["iverilog", "-g2005", "-o", "bench", "-s", "bench", *names], cwd=folder, check=True)
    done = subprocess.run(["vvp", "bench"], cwd=folder, capture_output=True, text=True, check=True)
    return list(map(int, done.stdout.split()))


@pytest.mark.parametrize(("a", "w"), FACTORS)
def test_every_product_is_right(tmp_path: Path, a: Range, w: Range) -> None:
    block = product(a, w)
    model = (resources.files("hwq.rtl") / "models" / "CCU2C.v").read_text(encoding="utf-8")
    count = (a[1] - a[0] + 1) * (w[1] - w[0] + 1)
    assert ran(tmp_path, bench(block, a, w), verilog(block), model) == [0, count]


@pytest.mark.parametrize(("a", "w", "luts"), [((-128, 127), (-128, 127), 70), ((-128, 127), (-1, 1), 10)])
def test_the_mapped_product_takes_its_rows_and_is_right(tmp_path: Path, a: Range, w: Range, luts: int) -> None:
    """What Yosys makes of it, on Yosys' own model of the cell: nothing beside the carry chains."""
    block, file = product(a, w), tmp_path / "product.v"
    file.write_text(verilog(block), encoding="utf-8")
    assert measure([file], "product", "ecp5").lut == 2 * features(block, "ecp5")["carry"] == luts
    mapped = netlist([file], "product", "ecp5", tmp_path).read_text(encoding="utf-8")
    assert ran(tmp_path, bench(block, a, w), mapped) == [0, (a[1] - a[0] + 1) * (w[1] - w[0] + 1)]
