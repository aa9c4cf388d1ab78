"""AMD's DSP58: its model against integers, the elements that it makes, what it cannot take.

The equations are those of AM004: M = A * B, or in INT8 mode the sum of the products of three numbers of 9 bits in A and
three of 8 in B; P = M, P + M or C + M. Registers are enabled one by one, and a reset wins over an enable.
"""

import os
import random
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import pytest

from hwq.datapath import Datapath, plan
from hwq.errors import HwqError
from hwq.rtl import emit
from hwq.rtl.emit import sources
from hwq.rtl.hard import model
from hwq.sim import check
from hwq.sim.tools import verilator_environment
from hwq.synth.target import target

LANES = {"INT24": ((27, 24),), "INT8": ((9, 8),) * 3}  # bits of the numbers in A and B, the lowest first
STARTS = {"000": "nothing", "010": "P", "011": "C"}  # of OPMODE
USED = [  # a register before and after the multipliers, after the sum; what the sum starts from
    (1, 1, 1, "010"),
    (1, 0, 1, "010"),
    (0, 1, 1, "010"),
    (0, 0, 1, "010"),
    (1, 1, 1, "011"),
    (1, 0, 1, "011"),
    (1, 1, 0, "000"),
    (0, 0, 0, "000"),
]
CONTROLS = ("RSTA", "RSTB", "RSTM", "RSTP", "CEA2", "CEB2", "CEM", "CEP")
BENCH = """
module bench;
  reg clk = 0;
  reg [{width}:0] rows [0:{last}];
  reg [{width}:0] row;
  wire [57:0] p;
  integer at;
  DSP58 #(.DSP_MODE("{mode}"), .AREG({inside}), .BREG({inside}), .MREG({piped}), .PREG({sums})) it (
    .CLK(clk), .A(row[33:0]), .B(row[57:34]), .C(row[115:58]), .P(p), {controls},
    .OPMODE(9'b00{start}0101), .INMODE(5'h0), .ALUMODE(4'h0), .NEGATE(3'h0));
  initial begin
    $readmemh("rows.hex", rows);
    for (at = 0; at <= {last}; at = at + 1) begin
      row = rows[at]; #1 clk = 1; #1 clk = 0;
      $display("%h", p);
    end
  end
endmodule
"""

Factors = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Row:
    """A cycle: two factors a lane, what C brings, and the bits of CONTROLS."""

    factors: Factors
    above: int
    controls: Sequence[int]

    def packed(self, mode: str) -> int:
        """The bits of A, B, C and the controls, lowest first; those of A that are only added are ones."""
        number, at = 0, 0
        for side, port in enumerate((34, 24)):
            start = at
            for pair, widths in zip(self.factors, LANES[mode], strict=True):
                number |= pair[side] % (1 << widths[side]) << at
                at += widths[side]
            number |= (1 << start + port) - (1 << at)
            at = start + port
        number |= self.above % (1 << 58) << at
        return number | sum(bit << at + 58 + place for place, bit in enumerate(self.controls))


@dataclass
class Oracle:
    """The block as integers. Both registers before the multipliers hold both factors, of which each serves one."""

    inside: int
    piped: int
    sums: int
    start: str
    a: Factors = ()
    b: Factors = ()
    m: int = 0
    p: int = 0
    seen: list[int] = field(default_factory=list)

    def clock(self, row: Row) -> None:
        rsta, rstb, rstm, rstp, cea, ceb, cem, cep = row.controls
        m, total = self._product(row), self._total(row)
        none = [(0, 0)] * len(row.factors)
        self.a = none if rsta else row.factors if cea else self.a
        self.b = none if rstb else row.factors if ceb else self.b
        self.m = 0 if rstm else m if cem else self.m
        self.p = 0 if rstp else total if cep else self.p
        self.seen.append((self.p if self.sums else self._total(row)) % (1 << 58))

    def _product(self, row: Row) -> int:
        a, b = (self.a, self.b) if self.inside else (row.factors, row.factors)
        return sum(x[0] * y[1] for x, y in zip(a, b, strict=True))

    def _total(self, row: Row) -> int:
        m = self.m if self.piped else self._product(row)
        return m + {"nothing": 0, "P": self.p, "C": row.above}[STARTS[self.start]]


def corners(bits: int) -> list[int]:
    top = 1 << bits - 1
    return [-top, -1, 0, 1, top - 1]


def rows(mode: str, seed: int) -> Iterator[Row]:
    """A reset, then every pair of corners in each lane alone and in all, then anything under any controls."""
    rng, lanes = random.Random(seed), LANES[mode]
    none, going = [(0, 0)] * len(lanes), (0,) * 4 + (1,) * 4
    yield Row(none, 0, (1,) * 8)
    for only in (*range(len(lanes)), None):
        for pair in product(*map(corners, lanes[0])):
            yield Row([pair if at == only or only is None else (0, 0) for at in range(len(lanes))], 0, going)
    for _ in range(2000):
        factors = [tuple(_any(rng, bits) for bits in widths) for widths in lanes]
        controls = [rng.random() < 0.02 for _ in range(4)] + [rng.random() < 0.8 for _ in range(4)]
        yield Row(factors, _any(rng, 58), [int(bit) for bit in controls])  # type: ignore[arg-type]


def _any(rng: random.Random, bits: int) -> int:
    return rng.choice(corners(bits)) if rng.random() < 0.2 else rng.randrange(-1 << bits - 1, 1 << bits - 1)


@pytest.mark.parametrize("mode", LANES)
@pytest.mark.parametrize("used", USED, ids=str)
def test_the_model_does_what_the_manual_says(tmp_path: Path, mode: str, used: tuple[int, int, int, str]) -> None:
    cycles = list(rows(mode, seed=7))
    oracle = Oracle(*used)
    for row in cycles:
        oracle.clock(row)
    inside, piped, sums, start = used
    pins = ", ".join(f".{name}(row[{116 + at}])" for at, name in enumerate(CONTROLS))
    width = 116 + len(CONTROLS) - 1
    bench = BENCH.format(
        mode=mode, inside=inside, piped=piped, sums=sums, start=start, controls=pins, width=width, last=len(cycles) - 1
    )
    (tmp_path / "bench.v").write_text(model("DSP58") + bench, "utf-8")
    (tmp_path / "rows.hex").write_text("\n".join(f"{row.packed(mode):x}" for row in cycles) + "\n", "utf-8")
    subprocess.run(["iverilog", "-g2005", "-o", "bench", "-s", "bench", "bench.v"], cwd=tmp_path, check=True)
    done = subprocess.run(["vvp", "-n", "bench"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"{number:015x}" for number in oracle.seen]
    assert len(set(oracle.seen)) > 1000


@pytest.mark.parametrize(
    "text",
    [
        "fp8_e4m3*fp8_e4m3 +fixed(48) cut=mul use=dsp",
        "uint8*int8 +fixed(24) @2x2x3 cut=unpack,mul use=dsp",
        "int8*uint8 @2x1x3/tree use=dsp",
    ],
)
def test_verilator_gives_the_emulators_bits_too(text: str) -> None:
    report = check(Datapath.parse(text), device="versal", vectors=60, simulator="verilator")
    assert report.passed
    assert report.compared >= 60


def test_lanes_in_a_block_take_the_cycles_that_are_promised() -> None:
    """Under pauses of every stream, which the global enable and the codes of zero let through."""
    report = check(Datapath.parse("int8*int8 +fixed(24) @2x3x3 use=dsp"), device="versal", vectors=40, bench="cocotb")
    assert report.passed
    assert report.cycles == report.expected_cycles + report.stalled
    assert report.stalled > 0


@pytest.mark.parametrize("text", ["int8*uint8 +fixed(58) @1x2x3 cut=mul use=dsp", "fp(4,3)*fp(4,3) +fixed(48) use=dsp"])
def test_the_text_around_a_block_is_silent(tmp_path: Path, text: str) -> None:
    manifest = emit(Datapath.parse(text), tmp_path, "versal")
    files = [*manifest.files, "models/DSP58.v"]
    environment = dict(verilator_environment())
    for command in (
        ["verilator", "--quiet", "--lint-only", "--top-module", manifest.top, *files],
        ["iverilog", "-g2005", "-Wall", "-o", os.devnull, *files],
    ):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.stdout + done.stderr == ""


def test_products_that_fit_need_no_logic() -> None:
    """Two numbers of 19 bits enter one block whole, where DSP48E2 takes half of one; so do three of 9 by 8 bits."""
    for text, mode, sizes in [
        ("fp(4,3)*fp(4,3) +fixed(48) use=dsp", "INT24", (19, 19)),
        ("uint8*int8 +fixed(32) @1x1x3 use=dsp", "INT8", (9, 8)),
    ]:
        made = plan(Datapath.parse(text), "versal")
        assert tuple(operand.size for operand in made.operands) == sizes  # type: ignore[attr-defined]
        assert {cell.op for cell in made.blocks["pe"].cells} == {"reg", "hard"}
        assert f'.DSP_MODE("{mode}")' in written(text)
    halves = plan(Datapath.parse("fp(4,3)*fp(4,3) +fixed(48) use=dsp"), "xcup").operands
    assert "twice" in halves[1].fields


def written(text: str) -> str:
    return "\n".join(sources(Datapath.parse(text), "versal")[1].values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int8*int8 @1x1x4 use=dsp", "use=dsp needs lanes that a DSP58 takes at once, at most 3, not 4; write fewer"),
        ("uint8*uint8 @1x1x3 use=dsp", "a DSP58 of 3 lanes multiplies 9 x 8 bits into 58, not 9 x 9 into 29 as"),
        ("int8*int8 +fixed(59) @1x1x3 use=dsp", "a DSP58 of 3 lanes multiplies 9 x 8 bits into 58, not 8 x 8 into 59"),
        ("int8*int8 +fixed(59) use=dsp", "a DSP58 multiplies 27 x 24 bits into 58, not 8 x 8 into 59 as"),
        ("fp8_e5m2*int4 use=dsp", "a DSP58 multiplies 27 x 24 bits into 58, not 33 x 4 into"),
        ("fp(2,4,nan)*int8 @1x1x3 use=dsp", "use=dsp needs lanes without nan and infinities, not of fp(2,4,nan)*int8"),
        ("int8*int8 @2x2x3 use=dsp2", "use=dsp2 serves 1 x 2 sums that stay, not @2x2x3; write rows and columns that"),
        ("int8*int8 @1x1x3 cut=mul1 use=dsp", "a multiplier block can be cut at unpack and mul, not at mul1"),
        ("int8*int8 @1x1x3 use=dsp decode=pe", "use=dsp takes operands that are decoded at the edge, not decode=pe"),
        (
            "int8*int8 +fixed(16,sat) @1x1x3 order=tree(3) use=dsp",
            "needs a sum that a block can keep, exact or wrapping",
        ),
        ("int8*int8 +fixed(32,-2) @1x1x3 use=dsp", "needs a sum on the product's grid, not"),
        ("int8*ternary @1x1x2 use=pairs", "use=pairs needs the carry cells of xc7 or xcup, not versal; leave it out"),
    ],
)
def test_what_a_block_cannot_take_is_refused(text: str, message: str) -> None:
    with pytest.raises(HwqError, match=re.escape(message)) as refused:
        plan(Datapath.parse(text), "versal")
    assert "\n" not in str(refused.value)


def test_lanes_are_refused_where_no_block_adds_them() -> None:
    with pytest.raises(HwqError, match="needs lanes that a DSP48E2 takes at once, at most 1, not 3; write fewer"):
        plan(Datapath.parse("int8*int8 @1x1x3 use=dsp"), "xcup")


def test_there_is_no_flow_for_the_device() -> None:
    with pytest.raises(HwqError, match="to be synthesised, not 'versal'"):
        target("versal")
