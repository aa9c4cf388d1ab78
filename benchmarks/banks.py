"""A structure that no plan has yet: exact sums of minifloats in banks that the exponent chooses. Three, with proof.

The accumulator of an element is a small memory. The high bits of a product's exponent are the address of a bank, the
low bits shift the product, and what stands there grows by it: one adder of a bank's width, and no shifter over the
whole range. The top shift bit is in the adder's table, and so is the zero that clears a bank. The indices that clear
and drain the banks come as operands whose significand is zero, so that an element has nothing for them.

When a tile is done, an adder at the foot of a column takes a word a cycle, the lowest bank first; its own low bits are
those of the sum. Its share is that of one of ROWS elements. A tile takes `banks` cycles to clear and `banks` cycles a
row to drain, where the array's own elements take one each: what is missing are those cycles in the schedule.

Memory is RAM32M with all its addresses the same, eight bits of 32 words in four LUT. What is counted is simulated, on
Yosys' models of the cells, against sums of rational numbers.
"""

from __future__ import annotations

import random
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.timing import Line
from hwq.bits import Word, evaluate
from hwq.bits.cells import Block
from hwq.bits.rows import Lowering
from hwq.bits.sums import bits_of
from hwq.datapath import Datapath, steps
from hwq.datapath.device import DEVICES
from hwq.datapath.elements import OPERAND
from hwq.datapath.operand import operands
from hwq.datapath.spec import Mac
from hwq.formats import Special
from hwq.rtl.cells import Body
from hwq.rtl.sites import table
from hwq.rtl.wires import Bits, whole
from hwq.synth import measure as synthesised
from hwq.synth import netlist

TEXTS = {"fp8_e4m3*fp8_e4m3 +fixed(48)": 2, "fp8_e5m2*fp8_e5m2 +fixed(80)": 3}  # low bits of those that are promised
LOWS = (3, 2, 1)
LIMIT = 85
ROWS = 8
TILES, TERMS = 40, 150
DEPTH = 2  # cycles from an operand to its bank: operand register, product register
FLAGS = ("nan", "pinf", "ninf")

_ADDER = table(
    lambda x, far, top, zero, _: (1 - (far if top else x)) & (1 - zero),  # of a bank's bit that is 1, which I5 is
    lambda x, far, top, zero, _: (far if top else x) & (1 - zero),
)


@dataclass(frozen=True)
class Banks:
    """An element whose banks are 2**`low` binary places apart."""

    mac: Mac
    low: int

    @cached_property
    def term(self) -> steps.Term:
        a, w = (operand.inputs(side) for side, operand in zip("aw", operands(self.mac), strict=True))
        return steps.product(self.mac, a, w)

    @property
    def near(self) -> Word:
        """The product, shifted by all low bits of its exponent but the top one."""
        return self.term.sig << self.term.exp.low(self.low - 1) if self.low > 1 else self.term.sig

    @property
    def far(self) -> int:
        """How far the top one of the low bits shifts."""
        return 1 << self.low - 1

    @property
    def count(self) -> int:
        return (self.term.exp.hi >> self.low) + 1

    @property
    def width(self) -> int:
        """Bits of a bank, after as many products as the Mac may have."""
        most = max(-self.near.lo, self.near.hi) << self.far
        return bits_of(-most * self.mac.k, most * self.mac.k)

    @cached_property
    def flags(self) -> tuple[str, ...]:
        return tuple(name for name in FLAGS if name in steps.state(self.mac).words)

    @cached_property
    def front(self) -> Block:
        """Operand registers, the product and its register, the flags: as in every element."""
        low, now, term = Lowering("front", ("mul",)), steps.state(self.mac), self.term
        for side, operand in zip("aw", operands(self.mac), strict=True):
            for word in operand.inputs(side).values():
                if not word.constant:
                    low.register(word, low.input(word), OPERAND)
        found = {"near": self.near, "top": (term.exp >> self.low - 1).low(1), "bank": term.exp >> self.low}
        held = {name: now.words[name] for name in self.flags}
        after = {name: word | getattr(term, name) for name, word in held.items()}
        for word in held.values():
            low.state(word)
        low.lower([*found.values(), *after.values()])
        for name, word in held.items():
            low.feed(word, after[name])
        return low.block([(name, low.net(word)) for name, word in (found | held).items()], aligned=False)

    def element(self) -> str:
        """The module: ports are the fields of both operands, the word of a bank, and the flags."""
        width, places = self.width, -(-self.width // 4)
        ports = {net.name: net.width for net in self.front.inputs}
        body = Body(DEVICES["xc7"][1], ports)
        found = body.add(self.front, {name: whole(name, bits) for name, bits in ports.items()})
        near, text = found["near"], body.text
        heads = [f"input [{bits - 1}:0] {name}" for name, bits in ports.items()]
        heads += [f"output [{width - 1}:0] word", *(f"output {name}_out" for name in self.flags)]
        rest = f"{4 * places - width}'b0, " * bool(4 * places - width)
        starts = ", ".join([*(f"carry_out[{4 * at - 1}]" for at in range(places - 1, 0, -1)), "1'b0"])
        site = {"I0": text(_signed(near, width)), "I1": text(_signed((0,) * self.far + near, width))}
        pins = ", ".join(f".{pin}({bits})" for pin, bits in site.items())
        return "\n".join(
            [
                f"module element(input clk, input rst, input en, input clear, input zero, {', '.join(heads)});",
                *body.lines,
                f"  wire [{width - 1}:0] made, passed;",
                f"  wire [{4 * places - 1}:0] total, carry_out;",
                f"  LUT6_2 #(.INIT({_ADDER})) site [{width - 1}:0] ({pins}, .I2({text(found['top'])}), .I3(zero),",
                "    .I4(1'b0), .I5(word), .O5(made), .O6(passed));",
                f"  CARRY4 chain [{places - 1}:0] (.CO(carry_out), .O(total), .CI({{{starts}}}), .CYINIT({places}'b0),",
                f"    .DI({{{rest}made}}), .S({{{rest}passed}}));",
                *self._memory(text((*found["bank"], 0, 0, 0, 0)[:5])),
                *(f"  assign {name}_out = {text(found[name])};" for name in self.flags),
                "endmodule",
                "",
            ]
        )

    def _memory(self, address: str) -> Iterator[str]:
        blocks = -(-self.width // 8)
        yield f"  wire [{8 * blocks - 1}:0] held, next = total;"
        yield f"  assign word = held[{self.width - 1}:0];"
        for block in range(blocks):
            pairs = [(port, f"[{8 * block + 2 * at + 1}:{8 * block + 2 * at}]") for at, port in enumerate("ABCD")]
            pins = [f".ADDR{port}({address}), .DI{port}(next{at}), .DO{port}(held{at})" for port, at in pairs]
            yield f"  RAM32M ram{block} (.WCLK(clk), .WE(en), {', '.join(pins)});"

    def foot(self) -> str:
        """The module at the foot of a column: what it has, as many places lower, and one word."""
        width, apart = self.width + 1, 1 << self.low
        below, total = apart * (self.count - 1), self.mac.acc_bits
        return f"""module foot(input clk, input first, input take,
  input [{width - 2}:0] word, output [{total - 1}:0] sum);
  reg signed [{width - 1}:0] high;
  reg [{below - 1}:0] low;
  (* keep *) wire [{width - 1}:0] base = {{{{{apart}{{high[{width - 1}]}}}}, high[{width - 1}:{apart}]}};
  (* keep *) wire [{width - 1}:0] next = base + {{word[{width - 2}], word}};
  always @(posedge clk) if (first) high <= 0; else if (take) high <= next;
  always @(posedge clk) if (take) low <= {{high[{apart - 1}:0], low[{below - 1}:{apart}]}};
  assign sum = {{{{{total}{{high[{width - 1}]}}}}, high, low}};
endmodule
"""


def _signed(bits: Bits, width: int) -> Bits:
    return (bits + (bits[-1],) * width)[:width]


def measure() -> Iterator[Line]:
    """An element and its share of the foot of a column, for banks that lie 8, 4 and 2 places apart."""
    for text, promised in TEXTS.items():
        for low in LOWS:
            banks = Banks(Datapath.parse(text).mac, low)
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                for module, verilog in (("element", banks.element()), ("foot", banks.foot())):
                    (folder / f"{module}.v").write_text(verilog, encoding="utf-8")
                areas = [synthesised([folder / f"{m}.v"], m, "xc7").lut or 0 for m in ("element", "foot")]
                wrong = simulated(banks, folder)
            note = f"element {areas[0]}, foot of a column {areas[1]}; {wrong} of {TILES} sums of {TERMS} wrong"
            title = f"xc7 {text}, {banks.count} banks of {banks.width} bits, of {ROWS} rows"
            yield Line(title, areas[0] + areas[1] / ROWS, "LUT", LIMIT if low == promised else None, note)


def simulated(banks: Banks, folder: Path) -> int:
    """How many sums of the mapped netlist, or flags, differ from those of rational numbers."""
    tiles = list(_tiles(banks.mac))
    lines = [line for a, w, _ in tiles for line in _beats(banks, a, w)]
    (folder / "beats.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "column.v").write_text(_column(banks), encoding="utf-8")
    files = [folder / f"{module}.v" for module in ("column", "element", "foot")]
    mapped = netlist(files, "column", "xc7", folder)
    (folder / "bench.v").write_text(_bench(banks, len(lines)), encoding="utf-8")
    subprocess.run(["iverilog", "-g2005", "-o", "bench", "-s", "bench", "bench.v", mapped.name], cwd=folder, check=True)
    done = subprocess.run(["vvp", "-n", "bench"], cwd=folder, check=True, capture_output=True, text=True)
    said = done.stdout.split()
    if len(said) != len(tiles):
        raise ValueError(f"each of {len(tiles)} tiles must have its sum, not {len(said)} of them")
    return sum(line != expected for line, (_, _, expected) in zip(said, tiles, strict=True))


def _tiles(mac: Mac) -> Iterator[tuple[list[int], list[int], str]]:
    """Codes of both operands, and the sum as the bench prints it. Every fourth tile has a special number."""
    draw, codes = random.Random(7), range(1 << mac.a.bits)
    finite = [code for code in codes if isinstance(mac.a.value(code), Fraction)]
    special = [code for code in codes if code not in finite]
    for tile in range(TILES):
        a, w = ([draw.choice(finite) for _ in range(TERMS)] for _ in "aw")
        if tile % 4 == 3:
            draw.choice((a, w))[draw.randrange(TERMS)] = draw.choice(special)
        yield a, w, _expected(mac, a, w)


def _float(value: Fraction | Special) -> float:
    return float(value.value if isinstance(value, Special) else value)


def _expected(mac: Mac, a: Sequence[int], w: Sequence[int]) -> str:
    total, raised = Fraction(0), set[str]()
    for x, y in zip(map(mac.a.value, a), map(mac.w.value, w), strict=True):
        if isinstance(x, Fraction) and isinstance(y, Fraction):
            total += x * y
        else:
            product = _float(x) * _float(y)
            raised.add("nan" if product != product else "pinf" if product > 0 else "ninf")
    number = int(total / Fraction(2) ** mac.product_lsb) % (1 << mac.acc_bits)
    flags = "".join(str(int(name in raised)) for name in FLAGS if name in steps.state(mac).words)
    return f"{number:0{-(-mac.acc_bits // 4)}x}_{flags}"


def _beats(banks: Banks, a: Sequence[int], w: Sequence[int]) -> Iterator[str]:
    """The bits of each cycle: the fields of both operands, and zero, first, take and done of those DEPTH before."""
    pair = operands(banks.mac)
    decoded = [dict(zip(o.fields, evaluate(list(o.fields.values()), {"code": np.array(codes)}), strict=True))
               for o, codes in zip(pair, (a, w), strict=True)]  # fmt: skip
    names = [(net.name, net.width) for net in banks.front.inputs]

    def beat(values: dict[str, int]) -> str:
        return "".join(f"{values.get(name, 0) & (1 << bits) - 1:0{bits}b}" for name, bits in names)

    indices = []
    for index in range(banks.count):
        one = min(index << banks.low, pair[0].fields["exp"].hi)
        indices.append(beat({"a_exp": one, "w_exp": (index << banks.low) - one}))
    data = [beat({f"{side}_{name}": int(np.broadcast_to(values, len(a))[at])
                  for side, fields in zip("aw", decoded, strict=True) for name, values in fields.items()})
            for at in range(len(a))]  # fmt: skip
    fields = [*indices, *data, *indices, *[beat({})] * (DEPTH + 1)]
    last = len(indices) + len(data)
    for at, bits in enumerate(fields):
        place = at - DEPTH
        zero, take = 0 <= place < len(indices), last <= place < last + len(indices)
        yield bits + "".join(str(int(bit)) for bit in (zero, place == last - 1, take, place == last + len(indices)))


def _column(banks: Banks) -> str:
    ports = ", ".join(f"input [{net.width - 1}:0] {net.name}" for net in banks.front.inputs)
    pins = ", ".join(f".{net.name}({net.name})" for net in banks.front.inputs)
    flags = "".join(f", .{name}_out(flags[{at}])" for at, name in enumerate(reversed(banks.flags)))
    return f"""module column(input clk, input rst, {ports}, input zero, input first, input take,
  output [{banks.mac.acc_bits - 1}:0] sum, output [{len(banks.flags) - 1}:0] flags);
  wire [{banks.width - 1}:0] word;
  element it(.clk(clk), .rst(rst), .en(1'b1), .clear(zero), .zero(zero), {pins}, .word(word){flags});
  foot below(.clk(clk), .first(first), .take(take), .word(word), .sum(sum));
endmodule
"""


def _bench(banks: Banks, beats: int) -> str:
    ports = {net.name: net.width for net in banks.front.inputs} | dict.fromkeys(("zero", "first", "take"), 1)
    width = sum(ports.values()) + 1
    registers = "".join(f"  reg [{bits - 1}:0] {name};\n" for name, bits in ports.items())
    pins = ", ".join(f".{name}({name})" for name in ports)
    return f"""module bench;
  reg clk, rst, done;
{registers}  wire [{banks.mac.acc_bits - 1}:0] sum;
  wire [{len(banks.flags) - 1}:0] flags;
  reg [{width - 1}:0] beats [0:{beats - 1}];
  integer at;
  column it(.clk(clk), .rst(rst), {pins}, .sum(sum), .flags(flags));
  initial begin
    $readmemb("beats.txt", beats);
    clk = 0; rst = 0;
    for (at = 0; at < {beats}; at = at + 1) begin
      {{{", ".join(ports)}, done}} = beats[at]; #1;
      if (done) $display("%h_%b", sum, flags);
      clk = 1; #1; clk = 0; #1;
    end
  end
endmodule
"""
