"""Area of whole MACs by synthesis, against their bars: ours, a plain `*` description, the best known, a counting bound.

A count is of T1, cells of the pinned Yosys, of the processing element with its operand registers, clock enable, start
and special flags, unless the line names another part. The plain description is Verilog with one `*`, the shift and the
sum left to Yosys; its count hangs on what was mapped before it, and is printed to be compared with, not relied on.
The bound counts carry rows, a LUT a bit (ECP5: two bits in a CCU2C of two), and takes every multiplexer, table and gate
beside them for nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.timing import Line
from hwq.bits import variable
from hwq.bits.cells import Block
from hwq.bits.gated import Gated
from hwq.bits.rows import Lowering
from hwq.costmodel.fabrics import FABRICS
from hwq.costmodel.features import features
from hwq.datapath import Datapath, plan, steps
from hwq.datapath.device import DEVICES
from hwq.datapath.operand import operands
from hwq.datapath.spec import Mac
from hwq.rtl import leaves, top_name
from hwq.rtl.cells import Body
from hwq.rtl.wires import whole
from hwq.synth import Job, Row, measure_designs, measure_many

MULTIPLIER = "multiplier"
UNITS = {"xc7": "LUT", "ecp5": "LUT", "ge": "GE"}


@dataclass(frozen=True)
class Bar:
    """A part of a datapath on a device, the most that it may take, and the best that is known of it.

    `share`: the line is of one of that many products. `plain`: whether a plain description is measured beside it.
    `sites`: of tables and carries that share a place (T1p), where each place of a chain is one.
    """

    text: str
    limit: float | None
    best: str
    device: str = "xc7"
    part: str = "pe"
    share: int = 1
    plain: bool = True
    sites: bool = False


BARS = (
    Bar("int8*int8 +fixed(32)", 61, "61 rows from Amaranth, 166 or 295 behavioural"),
    Bar("int8*int4 +fixed(24)", 35, "35 rows"),
    Bar("int4*int4 +fixed(16)", 23, "23 rows, 44 behavioural"),
    Bar("int8*ternary +fixed(20)", 22, "22 rows, 42 behavioural"),
    Bar("fp4_e2m1*fp4_e2m1 +fixed(20)", 29, "29 table of magnitudes and one row"),
    Bar("fp6_e2m3*fp6_e2m3 +fixed(24)", 48, "48 as int7 rows"),
    Bar("fp6_e3m2*fp6_e3m2 +fixed(32)", 58, "60 signed text"),
    Bar("fp8_e4m3*fp8_e4m3 +fixed(48) cut=mul", 114, "113, 116 with the NaN flag"),
    Bar("fp8_e5m2*fp8_e5m2 +fixed(80)", 150, "150 signed text"),
    Bar("fp8_e5m2*fp8_e5m2 +fixed(80) cut=mul", 150, "150 signed text"),
    Bar("fp8_e4m3*fp8_e4m3 +fixed(48) use=dsp", 2, "one DSP58, beside it none", plain=False),
    Bar("fp8_e4m3*fp(4,3,inf) +fixed(48) use=dsp", 2, "one DSP48E2, beside it none", plain=False),
    Bar("int8*int8 +fixed(24) @1x1x4", 48.5, "48.5 rows chained", share=4, plain=False),
    Bar("fp4_e2m1*fp4_e2m1 +fixed(20) @1x1x8", 24, "29 alone", share=8, plain=False),
    Bar("int8*ternary +fixed(20) @1x1x16", None, "8.6 LUT6_2 sites by hand", share=16, plain=False),
    Bar("int8*ternary +fixed(20) @1x1x16 cut=mul use=pairs", 8.6, "8.6 by hand", share=16, plain=False, sites=True),
    Bar("fp8_e4m3*fp8_e4m3 +fixed(48) ->fp8_e4m3", 120, "none", part="epilogue", plain=False),
    Bar("fp8_e4m3*fp8_e4m3 +fixed(48) ->bf16", None, "none", part="epilogue", plain=False),
    Bar("int8*int8", 72, "70 CCU2C rows by hand", device="ecp5", part=MULTIPLIER),
    Bar("int8*ternary +fixed(20) use=gated", 24, "23 CCU2C rows by hand", device="ecp5"),
    Bar("int8*int8 +fixed(32)", None, "122 Booth rows", device="ecp5"),
    Bar("int8*int8 +fixed(32) use=gated", None, "102 CCU2C rows by hand", device="ecp5"),
    Bar("fp8_e4m3*fp8_e4m3 +fixed(48) cut=mul", None, "232 behavioural shifter", device="ecp5"),
    Bar("int8*int8 +fixed(32)", None, "892 of Nangate45 (712 um2)", device="ge"),
    Bar("fp8_e4m3*fp8_e4m3 +fixed(48)", None, "1199 of Nangate45 (957 um2)", device="ge"),
)

# whole arrays of xc7, with control, edges, read-out and epilogues
ARRAYS = {"int8*int8 +fixed(32) @8x8": 4800, "int8*int8 +fixed(24) @4x4/ws k=4": 852}


def measure() -> Iterator[Line]:
    """One line a bar: our count, its limit, then the plain description, the best known and the bound; then arrays."""
    yield from _elements()
    for text, limit in ARRAYS.items():
        (row,) = measure_designs([(Datapath.parse(text), "top")], "xc7", workers=1)
        yield Line(f"xc7 top {text}", _count(row), "LUT", limit, f"{row.ff} FF")


def _elements() -> Iterator[Line]:
    with tempfile.TemporaryDirectory() as folder:
        jobs = [_jobs(Path(folder) / str(at), bar) for at, bar in enumerate(BARS)]
        rows = iter(measure_many([job for pair in jobs for job in pair], workers=1))
        for bar, pair in zip(BARS, jobs, strict=True):
            ours, *plain = (_count(next(rows)) / bar.share for _ in pair)
            ours = max(ours, _places(bar) / bar.share) if bar.sites else ours
            others = [f"plain {count:g}" for count in plain] + [f"best known {bar.best}", f"bound {_bound(bar):g}"]
            title = f"{bar.device} {bar.part} {bar.text}" + f", of {bar.share}" * (bar.share > 1)
            yield Line(title, ours, "sites" if bar.sites else UNITS[bar.device], bar.limit, "; ".join(others))


def _count(row: Row) -> float:
    count = row.ge if row.lut is None else row.lut
    if not count:
        raise ValueError(f"a module must have cells, not {count} of them: {row.design}")
    return count


def _places(bar: Bar) -> int:
    """Places of carry chains: the bits of each, and one for a second carry that enters it."""
    cells = _block(bar).cells
    bits = sum(cell.out.width for cell in cells if cell.op in ("row", "twin", "triple"))
    return bits + sum(cell.op == "triple" and cell.args[4].value is None for cell in cells)


def _jobs(folder: Path, bar: Bar) -> list[Job]:
    """Our module and, where there is one, the plain description."""
    folder.mkdir()
    dp = Datapath.parse(bar.text)
    if bar.part == MULTIPLIER:
        name, text = "product", _module(_block(bar), bar.device)
    else:
        leaf = leaves(plan(dp, bar.device), top_name(dp))[bar.part]
        name, text = leaf.name, leaf.text
    modules = [(name, text)]
    if bar.plain:
        modules.append(("plain", _plain_product(dp.mac) if bar.part == MULTIPLIER else _plain(dp.mac)))
    jobs = []
    for module, verilog in modules:
        file = folder / f"{module}.v"
        file.write_text(verilog, encoding="utf-8")
        jobs.append(Job.of([file], module, bar.device, design=bar.text))
    return jobs


def _block(bar: Bar) -> Block:
    """What is measured, as cells."""
    dp = Datapath.parse(bar.text)
    if bar.part != MULTIPLIER:
        return plan(dp, bar.device).blocks[bar.part]
    a, w = (variable(name, *fmt.integer_range) for name, fmt in (("a", dp.mac.a), ("w", dp.mac.w)))
    low = (Gated if bar.device == "ecp5" else Lowering)("product")
    for word in (a, w):
        low.input(word)
    (net,) = low.lower([a * w])
    return low.block([("p", net)])


def _module(block: Block, device: str) -> str:
    """A module of its own for a block without registers."""
    ports = {net.name: net.width for net in block.inputs} | {name: net.width for name, net in block.outputs}
    body = Body(DEVICES[device][1], ports)
    driven = body.add(block, {net.name: whole(net.name, net.width) for net in block.inputs})
    heads = [f"input [{net.width - 1}:0] {net.name}" for net in block.inputs]
    heads += [f"output [{net.width - 1}:0] {name}" for name, net in block.outputs]
    ends = [f"  assign {name} = {body.text(bits)};" for name, bits in driven.items()]
    return "\n".join([f"module {block.name}({', '.join(heads)});", *body.lines, *ends, "endmodule", ""])


def _bound(bar: Bar) -> float:
    """LUTs of the carry rows; gate equivalents have none, a row's adders being the mapper's."""
    exact = FABRICS[bar.device].exact
    found = features(_block(bar), bar.device)
    return sum(exact[name] * count for name, count in found.items() if name in exact) / bar.share


def _plain_product(mac: Mac) -> str:
    a, w = mac.a.bits, mac.w.bits
    return (
        f"module plain(input signed [{a - 1}:0] a, input signed [{w - 1}:0] w, output signed [{a + w - 1}:0] p);\n"
        "  assign p = a * w;\nendmodule\n"
    )


def _plain(mac: Mac) -> str:
    """A first draft of an element of the same ports: decoded operands, `*`, a shift, a sum, sticky flags."""
    fields = {f"{p}_{k}": w for p, o in zip("aw", operands(mac), strict=True) for k, w in o.inputs(p).items()}
    ports = {name: word for name, word in fields.items() if not word.constant}
    flags = [name for name in ("nan", "pinf", "ninf") if name in steps.state(mac).words]
    heads = [f"input {'signed ' * w.signed}[{w.width - 1}:0] {name}_d" for name, w in ports.items()]
    heads += [f"output reg signed [{mac.acc_bits - 1}:0] acc", *(f"output reg {flag}" for flag in flags)]
    registers = [f"  reg {'signed ' * w.signed}[{w.width - 1}:0] {name};" for name, w in ports.items()]
    taken = " ".join(f"{name} <= {name}_d;" for name in ports)
    signed = [name if fields[name].signed else f"$signed({{1'b0, {name}}})" for name in ("a_sig", "w_sig")]
    exponents = [name for name in ("a_exp", "w_exp") if name in ports]
    term = f"({' * '.join(signed)}) <<< ({' + '.join(f'{{1{chr(39)}b0, {e}}}' for e in exponents)})"
    lines = [
        f"module plain(input clk, input clear, input en, {', '.join(heads)});",
        *registers,
        f"  always @(posedge clk) if (en) begin {taken} end",
        f"  wire signed [{mac.acc_bits - 1}:0] term = {term if exponents else ' * '.join(signed)};",
        "  always @(posedge clk) if (clear) acc <= 0; else if (en) acc <= acc + term;",
        *(_plain_flag(flag, ports) for flag in flags),
        "endmodule",
    ]
    return "\n".join([*lines, ""])


def _plain_flag(flag: str, ports: Collection[str]) -> str:
    """A sticky flag: any NaN, an infinity times zero; an infinity by its sign."""
    nan, inf, neg = ([f"{p}_{kind}" for p in "aw" if f"{p}_{kind}" in ports] for kind in ("nan", "inf", "neg"))
    if flag == "nan":
        crossed = [f"({p}_inf & ~|{q}_sig)" for p, q in ("aw", "wa") if f"{p}_inf" in inf]
        value = " | ".join([*nan, *crossed])
    else:
        value = f"({' | '.join(inf)}) & ({'~' * (flag == 'pinf')}({' ^ '.join(neg)}))"
    return f"  always @(posedge clk) if (clear) {flag} <= 0; else if (en) {flag} <= {flag} | {value};"
