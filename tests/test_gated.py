"""Products in carry cells: every one of their Verilog, on the models of the cells that the package carries; areas."""

from __future__ import annotations

import subprocess
from importlib import resources
from math import prod
from pathlib import Path

import pytest

from hwq.bits import Word, const, variable
from hwq.bits.cells import Block
from hwq.bits.gated import Gated
from hwq.bits.pairs import Pairs
from hwq.bits.rows import Lowering
from hwq.datapath.device import DEVICES
from hwq.rtl.cells import Body
from hwq.rtl.hard import PRIMITIVES
from hwq.rtl.wires import whole
from hwq.synth import measure, netlist

Range = tuple[int, int]
DIGIT = (-1, 1)
FACTORS: list[tuple[Range, Range]] = [
    ((-128, 127), DIGIT),
    ((-8, 7), (-8, 7)),
    ((-12, 12), (-12, 12)),
    ((0, 31), (-8, 7)),
    ((0, 15), (0, 15)),
    ((-16, 15), (0, 3)),
    ((-3, 3), (0, 1)),
]
SUMS: list[tuple[Range, ...]] = [
    ((-128, 127), DIGIT, (-8, 7), DIGIT),
    ((0, 15), DIGIT, (-12, 12), DIGIT),
    ((-4, 3), DIGIT, (-4, 3), DIGIT, (-2, 1), DIGIT),
    ((-2, 1), DIGIT, (-2, 1), DIGIT, (-2, 1), DIGIT, (-2, 1), DIGIT),
    ((-2, 1), DIGIT, (-2, 1), DIGIT, DIGIT, DIGIT, (-2, 1), (-1, 0)),
]


def block(low: Lowering, ranges: tuple[Range, ...]) -> Block:
    """The sum of products of two neighbours each."""
    words = [variable(f"x{at}", *ends) for at, ends in enumerate(ranges)]
    total: Word = const(0)
    for word in words:
        low.input(word)
    for x, y in zip(words[::2], words[1::2], strict=True):
        total = total + x * y
    (net,) = low.lower([total])
    return low.block([("p", net)])


def verilog(made: Block, device: str) -> str:
    ports = {net.name: net.width for net in made.inputs} | {name: net.width for name, net in made.outputs}
    body = Body(DEVICES[device][1], ports)
    ((name, bits),) = body.add(made, {net.name: whole(net.name, net.width) for net in made.inputs}).items()
    heads = [f"input wire [{net.width - 1}:0] {net.name}" for net in made.inputs]
    head = f"module product({', '.join(heads)}, output wire [{ports['p'] - 1}:0] p);"
    return "\n".join([head, *body.lines, f"  assign {name} = {body.text(bits)};", "endmodule", ""])


def models(made: Block) -> list[str]:
    names = {name for cell in made.cells for name in PRIMITIVES.get(cell.op, ())}
    assert names
    return [(resources.files("hwq.rtl") / "models" / f"{name}.v").read_text(encoding="utf-8") for name in sorted(names)]


def bench(made: Block, ranges: tuple[Range, ...], total: str = "") -> str:
    """Counts the results that differ from a sum of products, or from `total`, and all of them."""
    names = [net.name for net in made.inputs]
    ((_, result),) = made.outputs
    registers = "\n".join(f"  reg [{net.width - 1}:0] {net.name};" for net in made.inputs)
    loops = "\n".join(
        f"    for (i{n} = {lo}; i{n} <= {hi}; i{n} = i{n} + 1)" for n, (lo, hi) in zip(names, ranges, strict=True)
    )
    total = total or " + ".join(f"i{x} * i{y}" for x, y in zip(names[::2], names[1::2], strict=True))
    return f"""
module bench;
{registers}
  wire [{result.width - 1}:0] p;
  reg [{result.width - 1}:0] right;
  integer {", ".join(f"i{name}" for name in names)}, wrong, all;
  product it({", ".join(f".{name}({name})" for name in names)}, .p(p));
  initial begin
    wrong = 0; all = 0;
{loops}
      begin
        {" ".join(f"{name} = i{name};" for name in names)} right = {total}; #1;
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


def right(ranges: tuple[Range, ...]) -> list[int]:
    """No sum wrong, of all that there are."""
    return [0, prod(hi - lo + 1 for lo, hi in ranges)]


@pytest.mark.parametrize("factors", FACTORS)
def test_every_product_is_right(tmp_path: Path, factors: tuple[Range, Range]) -> None:
    made = block(Gated("product"), factors)
    assert ran(tmp_path, bench(made, factors), verilog(made, "ecp5"), *models(made)) == right(factors)


@pytest.mark.parametrize("ranges", SUMS)
@pytest.mark.parametrize("ends", [False, True])
def test_every_sum_of_pairs_is_right(tmp_path: Path, ranges: tuple[Range, ...], ends: bool) -> None:
    made = block(Pairs("product", (), ends), ranges)
    assert ran(tmp_path, bench(made, ranges), verilog(made, "xc7"), *models(made)) == right(ranges)


THREE = ((-8, 7), (-4, 3), (-16, 15), (0, 1), (0, 1))


def test_every_sum_of_three_is_right(tmp_path: Path) -> None:
    """Three numbers and two carries: the table of such sums, and the place below them."""
    low = Pairs("product", (), True)
    nets = [low.input(variable(f"x{at}", *ends)) for at, ends in enumerate(THREE)]
    made = low.block([("p", low.cell("triple", nets, 6, True, "sum"))])
    assert ran(
        tmp_path, bench(made, THREE, "ix0 + ix1 + ix2 + ix3 + ix4"), verilog(made, "xc7"), *models(made)
    ) == right(THREE)


MAPPED: list[tuple[str, tuple[Range, ...], int]] = [
    ("ecp5", ((-128, 127), (-128, 127)), 70),
    ("ecp5", ((-128, 127), DIGIT), 10),
    ("xc7", ((-8, 7), DIGIT, (-2, 1), DIGIT, (-2, 1), DIGIT), 12),
]


@pytest.mark.parametrize(("device", "ranges", "luts"), MAPPED)
def test_the_mapped_product_takes_its_rows_and_is_right(
    tmp_path: Path, device: str, ranges: tuple[Range, ...], luts: int
) -> None:
    """What Yosys makes of it, on Yosys' own models of the cells: nothing beside the carry chains."""
    low = Gated("product") if device == "ecp5" else Pairs("product", (), True)
    made, file = block(low, ranges), tmp_path / "product.v"
    file.write_text(verilog(made, device), encoding="utf-8")
    assert measure([file], "product", device).lut == luts
    mapped = netlist([file], "product", device, tmp_path).read_text(encoding="utf-8")
    assert ran(tmp_path, bench(made, ranges), mapped) == right(ranges)
