"""Formal proof of an element: Yosys' SAT solver against a transcription of the definition that shares no code with it.

A row of one element and its decoders stand beside registers of the bench's own. Once the pipeline is full, from *any*
state, each sum must be the sum before it plus the products of the codes that entered so many cycles ago, and 0 after a
clear; where sums are loaded (`use=load`) the products alone, if they entered with a start. What a code is worth is a
table of `Format.value`, the standard's exact rational number; products and sums of integers are Verilog's `*` and `+`.
Of a wide operand w a problem is put for each of its codes: with a constant the solver need not find out that two
multipliers agree, which is beyond it.

Where a sum is in segments, of which the lower hold what belongs to later products, the claim is for their bits of one
moment. After a clear amid codes of zero these are 0, and where codes of zero followed, they are the sum that stands.

Where sums stand in banks, the word of a bank must be what it was two cycles ago and the product that was added then,
and what the cycle between brought if it had the same bank.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from pyosys import libyosys

from hwq.bits import evaluate
from hwq.datapath import Datapath, Plan, plan
from hwq.datapath.banks import banks
from hwq.datapath.schedule import pe_depth
from hwq.formats import Format, Special
from hwq.rtl import Manifest
from hwq.rtl.array import Top
from hwq.rtl.grid import sums_name
from hwq.rtl.modules import instance, part, wire

SAID = "sat.txt"
PROVED = "SAT proof finished - no model found: SUCCESS!"
FREE_BITS = 4  # of w, that the solver takes at once
RESERVED = 4
KINDS = {Special.NAN: 1, Special.PINF: 2, Special.NINF: 3}  # else 0, a number
PREPARE = ("hierarchy -top proof", "proc", "flatten", "opt -full", "memory_map", "opt_clean", "setattr -unset init w:*")


@dataclass(frozen=True)
class Proof:
    """Problems put to the solver, those that it proved, and what it said of the first that it did not."""

    problems: int
    proved: int
    doubt: str = ""


def prove(dp: Datapath, device: str, folder: Path, seconds: int = 300, stride: int = 1) -> Proof:
    """Prove the element of a datapath as it stands in a folder; `seconds` is the most that one problem may take.
    Of a wide operand every `stride`-th code has its problem."""
    manifest = Manifest.load(folder)
    problem = _problem(dp, device, manifest.top)
    (folder / "proof.v").write_text("\n".join(problem.text()) + "\n", "utf-8")
    design = libyosys.Design()
    for name in (*manifest.sources, "proof.v"):
        libyosys.run_pass(f"read_verilog {folder / name}", design)
    for command in PREPARE:
        libyosys.run_pass(command, design)
    steps, problems = problem.steps, _problems(dp, problem.steps - problem.depth)[::stride]
    for at, given in enumerate(problems):
        command = f"sat -seq {steps} -prove right 1 -prove-skip {steps - 1} {given} -timeout {seconds} proof"
        libyosys.run_pass(f"tee -q -o {folder / SAID} {command}", design)
        said = (folder / SAID).read_text("utf-8")
        if PROVED not in said:  # and not: no error, for a solver that gave up makes none
            return Proof(len(problems), at, f"{given}: {said[said.find('SAT') :]}")
    return Proof(len(problems), len(problems))


def _problems(dp: Datapath, step: int) -> list[str]:
    """What is set in each problem: nothing, or the code of the w that enters in a step."""
    fmt = dp.mac.w
    if fmt.bits <= FREE_BITS:
        return [""]
    codes = [code for code in range(1 << fmt.bits) if not fmt.reserved(code)]
    return [f"-set-at {step} w[{fmt.bits - 1}:0] {fmt.bits}'d{code}" for code in codes]


class _Problem:
    """The text of module `proof`: `right` is 1 where the element is."""

    def __init__(self, dp: Datapath, device: str, name: str) -> None:
        self.dp, self.mac, self.lanes = dp, dp.mac, dp.array.lanes
        self.top = Top(plan(dp, device), name)
        self.depth = pe_depth(dp)
        self.kept = self.depth  # cycles that codes are remembered
        self.formats: dict[str, Format] = {"a": dp.mac.a, "w": dp.mac.w}
        self.words = {name: word.width for name, word in self.top.plan.state.words.items()}
        self.across = self.top.tile["w"]
        self.loaded = "start" in self.top.row.widths

    @property
    def steps(self) -> int:
        """Cycles of which the claim is for the last."""
        return self.kept + 1

    def text(self) -> Iterator[str]:
        codes = {side: fmt.bits * self.lanes * self.top.tile[side] for side, fmt in self.formats.items()}
        yield "module proof(input clk, input clear, "
        yield f"  input [{codes['a'] - 1}:0] a, input [{codes['w'] - 1}:0] w, output right);"
        for side, fmt in self.formats.items():
            yield from _table("number", side, [_number(fmt, code) for code in range(1 << fmt.bits)], "signed ")
            yield from _table("kind", side, [_kind(fmt, code) for code in range(1 << fmt.bits)], "")
            yield from self._decoders(side)
            before = side
            for at in range(1, self.kept + 1):
                yield _register(f"{side}_{at}", codes[side], before)
                before = f"{side}_{at}"
        if self.loaded:
            for at in range(1, self.depth + 1):
                yield _register(f"started_{at}", 1, f"started_{at - 1}" if at > 1 else "clear")
        yield "  wire cleared = 1'b0;" if self.loaded else _register("cleared", 1, "clear")
        yield from self._row()
        yield from self._right()
        yield "endmodule"

    def _decoders(self, side: str) -> Iterator[str]:
        operand, leaf, tile = self.top.operands[side], self.top.blocks[f"decode_{side}"], self.top.tile[side]
        width = leaf.widths["fields"]
        yield wire(f"{side}_fields", width * self.lanes)
        for lane in range(self.lanes):
            each = [self._code(side, side, lane, at) for at in reversed(range(tile))]
            rests = operand.bits > operand.fmt.bits  # a bit more, for a zero that has no code
            code = "{" + ", ".join(f"1'b0, {one}" if rests else one for one in each) + "}"
            pins = {"code": code, "fields": part(f"{side}_fields", lane * width, width, width * self.lanes)}
            pins |= {"clk": "clk", "rst": "1'b0", "en": "1'b1"}
            yield from instance(leaf.name, f"decode_{side}_{lane}", {port.name: pins[port.name] for port in leaf.ports})

    def _row(self) -> Iterator[str]:
        pins = {
            "clk": "clk",
            "rst": "1'b0",
            "en": "1'b1",
            "clear": "clear",
            "start": f"started_{at_edge}" if (at_edge := self.top.plan.blocks["decode_a"].depth) else "clear",
            "a": "a_fields",
            "w": "w_fields",
            "w_q": "",
        }
        for row in range(self.top.tile["a"]):
            name = sums_name(row, self.top.tile["a"])
            yield wire(name, self.top.width)
            yield _register(f"{name}_before", self.top.width, name)
            pins[name] = name
        yield from instance(self.top.row.name, "row", {port.name: pins[port.name] for port in self.top.row.ports})

    def _code(self, side: str, name: str, lane: int, at: int) -> str:
        """One code of a vector of them: the element's `at`-th in a lane."""
        bits, tile = self.formats[side].bits, self.top.tile[side]
        return part(name, (lane * tile + at) * bits, bits, bits * tile * self.lanes)

    def _right(self) -> Iterator[str]:
        """Each sum of the element, and its flags, against those before and the codes that belong to them."""
        rights, unknown = [], []
        for row in range(self.top.tile["a"]):
            for col in range(self.across):
                name, sums = f"of_{row}_{col}", sums_name(row, self.top.tile["a"])
                terms = [f"{name}_{lane}" for lane in range(self.lanes)]
                for lane, term in enumerate(terms):
                    x = self._code("a", f"a_{self.depth}", lane, row)
                    yield from _term(term, x, self._code("w", f"w_{self.depth}", lane, col), self.formats)
                yield from self._sum(name, self._before(sums, col, "acc"), terms)
                unknown += [f"{term}_unknown" for term in terms]
                rights.append(f"{self._field(sums, col, 'acc')} == {name}")
                for flag in [word for word in self.words if word != "acc"]:
                    raised = [flag] if "nan" in self.words else ["nan", flag]  # where NaN has no flag, it is both
                    found = [f"{term}_{one}" for term in terms for one in raised]
                    set_ = " | ".join([self._before(sums, col, flag), *found])
                    rights.append(f"{self._field(sums, col, flag)} == (~cleared & ({set_}))")
        yield f"  assign right = {' | '.join(unknown)} | ({' & '.join(f'({one})' for one in rights)});"

    def _before(self, sums: str, col: int, name: str) -> str:
        """What products are added to: the sum, or a flag, that was there, or 0 where one starts with them."""
        before = self._field(f"{sums}_before", col, name)
        return f"(started_{self.depth} ? {self.words[name]}'h0 : {before})" if self.loaded else before

    def _field(self, vector: str, col: int, name: str) -> str:
        """The sum, or a flag, of one column in a row's sums."""
        widths = list(self.words.items())
        at = sum(width for _, width in widths[: list(self.words).index(name)])
        size = sum(self.words.values())
        return part(vector, col * size + at, self.words[name], size * self.across)

    def _sum(self, name: str, before: str, terms: list[str]) -> Iterator[str]:
        bits = self.words["acc"]
        wide = bits + max(abs(end) for end in self.mac.product_range).bit_length() + self.lanes
        yield f"  wire signed [{bits - 1}:0] {name}_before = {before};"
        yield f"  wire signed [{wide - 1}:0] {name}_all = {' + '.join([f'{name}_before', *terms])};"
        held = f"{name}_all"
        if getattr(self.mac.acc, "overflow", "wrap") == "sat":
            ends = (
                f"  localparam signed [{wide - 1}:0] {name}_hi = {(1 << bits - 1) - 1}, {name}_lo = -{1 << bits - 1};"
            )
            yield ends
            held = f"({held} > {name}_hi ? {name}_hi : {held} < {name}_lo ? {name}_lo : {held})"
        yield f"  wire [{bits - 1}:0] {name} = cleared ? 0 : {held};"


class _Segmented(_Problem):
    """An element whose sum is in segments, each a cycle behind the one below it: three claims of their moments."""

    def __init__(self, dp: Datapath, device: str, name: str) -> None:
        super().__init__(dp, device, name)
        self.widths = _segments(self.top.plan)
        self.kept += len(self.widths) - 2

    def _right(self) -> Iterator[str]:
        late, bits, depth = len(self.widths) - 1, self.words["acc"], self.depth
        yield from self._moment(bits)
        yield from _term("term", f"a_{depth}", f"w_{depth}", self.formats)
        for at in range(late):
            yield _register(f"cleared_{at}", 1, f"cleared_{at - 1}" if at else "cleared")
        for at in range(depth - late, depth + late):
            yield wire(f"zero_{at}", 1, f"number_a(a_{at}) == 0 && number_w(w_{at}) == 0")
        recent = " | ".join(["cleared", *(f"cleared_{at}" for at in range(late - 1))])
        before = " & ".join(f"zero_{at}" for at in range(depth, depth + late))
        after = " & ".join(f"zero_{at}" for at in range(depth - late, depth))
        yield f"  wire [{bits - 1}:0] sum = $signed(moment_before) + term;"
        yield f"  wire advances = {recent} | cleared_{late - 1} | moment == sum;"
        yield f"  wire starts = ~(cleared_{late - 1} & {before}) | moment == 0;"
        yield f"  wire ends = {recent} | ~({after}) | sums == moment;"
        yield "  assign right = term_unknown | (advances & starts & ends);"

    def _moment(self, bits: int) -> Iterator[str]:
        """The bits of each segment, those of a lower one as they were before: one sum."""
        parts, at = list[str](), 0
        for late, width in zip(reversed(range(len(self.widths))), self.widths, strict=True):
            yield wire(f"segment_{at}_0", width, part("sums", at, width, bits))
            for cycle in range(late):
                yield _register(f"segment_{at}_{cycle + 1}", width, f"segment_{at}_{cycle}")
            parts.insert(0, f"segment_{at}_{late}")
            at += width
        yield wire("moment", bits, f"{{{', '.join(parts)}}}")
        yield _register("moment_before", bits, "moment")


def _segments(made: Plan) -> list[int]:
    """The bits of each segment of an element's sum, the lowest first; none where the element holds several sums."""
    if made.tile != (1, 1):
        return []
    return [state.q.width for state in made.blocks["pe"].states if state.q.name.startswith("acc_")]


def _problem(dp: Datapath, device: str, name: str) -> _Problem:
    if "banks" in dp.uses:
        return _Banked(dp, device, name)
    return (_Segmented if len(_segments(plan(dp, device))) > 1 else _Problem)(dp, device, name)


class _Banked(_Problem):
    """An element with banks: the claim for two terms in turn, each of which may also be none, or clear its bank."""

    def __init__(self, dp: Datapath, device: str, name: str) -> None:
        super().__init__(dp, device, name)
        self.depth = self.kept = self.depth + 1
        self.banks = banks(dp.mac)
        self.words = {"acc": self.banks.width} | {name: 1 for name in self.words if name != "acc"}

    def text(self) -> Iterator[str]:
        for line in super().text():
            yield line.replace("input clear, ", "input clear, input none, input zero, ")

    def _decoders(self, side: str) -> Iterator[str]:
        operand = self.top.operands[side]
        codes = np.arange(1 << operand.fmt.bits)
        (exponents,) = evaluate([operand.fields["exp"]], {"code": codes})
        yield from _table("exponent", side, np.broadcast_to(exponents, codes.shape).tolist(), "")
        for line in super()._decoders(side):
            yield line.replace("1'b0, ", "zero, none, ")
        if side == "a":
            for name in ("none", "zero"):
                for at in range(1, self.depth + 1):
                    yield _register(f"{name}_{at}", 1, f"{name}_{at - 1}" if at > 1 else name)

    def _right(self) -> Iterator[str]:
        now, depth, width = "sums", self.depth, self.banks.width
        most = max(width, *(end.bit_length() for end in self.mac.product_range)) + 1
        yield _register("sums_long_before", self.top.width, "sums_before")
        for name, at in (("first", depth), ("second", depth - 1), ("third", depth - 2)):
            yield from _term(name, f"a_{at}", f"w_{at}", self.formats)
            yield f"  wire [9:0] {name}_exponent = exponent_a(a_{at}) + exponent_w(w_{at});"
            yield f"  wire [9:0] {name}_place = {name}_exponent >> {self.banks.low};"
            yield f"  wire signed [{most - 1}:0] {name}_wide = none_{at} ? 0 : {name};"
            yield f"  wire signed [{most - 1}:0] {name}_part = {name}_wide >>> ({name}_place << {self.banks.low});"
        field = self._field
        start = f"(zero_{depth} ? 0 : {field('sums_long_before', 0, 'acc')} + first_part)"
        yield f"  wire [{width - 1}:0] once = {start};"
        yield "  wire again = second_place == third_place;"
        yield f"  wire [{width - 1}:0] twice = again ? (zero_{depth - 1} ? 0 : once + second_part) : once;"
        rights = [f"first_place != third_place | {field(now, 0, 'acc')} == twice"]
        for flag in [word for word in self.words if word != "acc"]:
            set_ = f"{field('sums_before', 0, flag)} | second_{flag} & ~none_{depth - 1}"
            rights.append(f"{field(now, 0, flag)} == (~cleared & ({set_}))")
        known = " | ".join(f"{name}_unknown" for name in ("first", "second", "third"))
        yield f"  assign right = {known} | ({' & '.join(f'({one})' for one in rights)});"


def _number(fmt: Format, code: int) -> int:
    """What a code is worth in units of `2**lsb`; 0 if it is no number."""
    value = Fraction(0) if fmt.reserved(code) else fmt.value(code)
    return int(value / Fraction(2) ** fmt.lsb) if isinstance(value, Fraction) else 0


def _kind(fmt: Format, code: int) -> int:
    value = None if fmt.reserved(code) else fmt.value(code)
    return RESERVED if value is None else KINDS.get(value, 0) if isinstance(value, Special) else 0


def _table(name: str, side: str, entries: list[int], signed: str) -> Iterator[str]:
    bits = max(abs(entry) for entry in entries).bit_length() + 1
    yield f"  function {signed}[{bits - 1}:0] {name}_{side}(input [{(len(entries) - 1).bit_length() - 1}:0] code);"
    yield "    case (code)"
    yield from (f"      {code}: {name}_{side} = {entry};" for code, entry in enumerate(entries) if entry)
    yield f"      default: {name}_{side} = 0;"
    yield "    endcase"
    yield "  endfunction"


def _register(name: str, bits: int, value: str) -> str:
    return f"  reg [{bits - 1}:0] {name}; always @(posedge clk) {name} <= {value};"


def _term(name: str, x: str, y: str, formats: dict[str, Format]) -> Iterator[str]:
    """A product, and what it sets: inf * 0 is NaN, inf * x has the sign of both."""
    sizes = [max(abs(end) for end in fmt.integer_range).bit_length() + 1 for fmt in formats.values()]
    for side, code, size in zip("aw", (x, y), sizes, strict=True):
        yield f"  wire signed [{size - 1}:0] {name}_{side} = number_{side}({code});"
        yield f"  wire [3:0] {name}_{side}_kind = kind_{side}({code});"
        kind = f"{name}_{side}_kind"
        yield f"  wire {name}_{side}_inf = {kind} == 2 || {kind} == 3;"
        yield f"  wire {name}_{side}_zero = {kind} == 0 && {name}_{side} == 0;"
        yield f"  wire {name}_{side}_neg = {kind} == 3 || {kind} == 0 && {name}_{side} < 0;"
    a, w = f"{name}_a", f"{name}_w"
    yield f"  wire signed [{sum(sizes) - 1}:0] {name} = {a} * {w};"
    yield f"  wire {name}_unknown = {a}_kind == {RESERVED} || {w}_kind == {RESERVED};"
    yield f"  wire {name}_inf = {a}_inf | {w}_inf;"
    yield f"  wire {name}_nan = {a}_kind == 1 || {w}_kind == 1 || {name}_inf && ({a}_zero | {w}_zero);"
    yield f"  wire {name}_pinf = {name}_inf & ~{name}_nan & ({a}_neg == {w}_neg);"
    yield f"  wire {name}_ninf = {name}_inf & ~{name}_nan & ({a}_neg != {w}_neg);"
