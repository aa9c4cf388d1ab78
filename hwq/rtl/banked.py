"""The top of an array whose sums stand in banks: indices enter where operands do, and feet add words up to sums.

A column's words come a cycle after those of the column before it, so do its sums and its results; each result waits in
its own part of the output register for the last one. What is on its way stands still while a result is not taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hwq.datapath import Plan
from hwq.datapath.banks import FOOT, indices
from hwq.datapath.schedule import output_depth, tail
from hwq.datapath.steps import state
from hwq.rtl.array import Top
from hwq.rtl.drain import index_bits
from hwq.rtl.modules import assigned, instance, part, register, wire

__all__ = ["Banked"]


class Banked(Top):
    """The modules of a datapath with `use=banks`: streams and results as of every array."""

    def __init__(self, plan: Plan, name: str) -> None:
        super().__init__(plan, name)
        self.copied = False  # everything moves and waits with the results
        self.moves, self.clocks = self.opens, {**self.clocks, "en": self.opens}

    # -- operands -------------------------------------------------------------------------------------------------

    def _handshakes(self) -> Iterator[str]:
        yield from super()._handshakes()
        yield "  // indices of banks: codes of their exponents, above them that they are none and whether to clear"
        for side, codes in zip("aw", zip(*indices(self.plan.dp.mac), strict=True), strict=True):
            bits = self.operands[side].bits
            above = ["clear | wipe", "1'b1"] * (side == "a")
            yield from self._table(f"{side}_bank", codes, self.operands[side].fmt.bits)
            value = f"{{{', '.join([*above, f'{side}_bank'])}}}" if above else f"{side}_bank"
            yield wire(f"{side}_index", bits, value)
            for lane in range(2, self.size[side]):
                yield from register(self._index(side, lane), bits, self._index(side, lane - 1), self.moves)

    def _table(self, name: str, codes: Sequence[int], bits: int) -> Iterator[str]:
        """codes[index], and the first one where there is no such bank."""
        wide = index_bits(self.plan.dp)
        entries = [*codes, *[codes[0]] * ((1 << wide) - len(codes))]
        for bit in range(bits):
            column = sum((entry >> bit & 1) << at for at, entry in enumerate(entries))
            yield f"  localparam [{(1 << wide) - 1}:0] {name.upper()}_{bit} = {1 << wide}'h{column:x};"
        found = ", ".join(f"{name.upper()}_{bit}[index]" for bit in reversed(range(bits)))
        yield wire(name, bits, f"{{{found}}}")

    def _index(self, side: str, lane: int) -> str:
        """The index that enters that lane."""
        return f"{side}_index_{lane}" if lane > 1 else f"{side}_index"

    def _entering(self, side: str, lane: int, code: str, enters: str) -> str:
        """The codes, or an index while none enter."""
        code = f"{{2'h0, {code}}}" if side == "a" else code
        return f"{enters} ? {code} : {self._index(side, lane)}"

    # -- results --------------------------------------------------------------------------------------------------

    def _results(self) -> Iterator[str]:
        yield "  // results: a foot a column adds up the words of row after row, for one epilogue a column"
        depth = tail(self.plan.dp)
        before = "row_done" if depth == 1 else f"{{valid[{depth - 2}:0], row_done}}"
        yield from register("valid", depth, before, self.opens)  # a bit for each cycle after a row's end
        for col in range(self.array.cols):
            yield from self._waits(col)
        if self.readout is not None and self.array.rows > 1:
            yield from self._readouts(self.readout)
        else:
            yield wire("finished", self.width, "sums_0")
        for col in range(self.array.cols):
            yield from self._column(col)
        yield from self._output()

    def _column(self, col: int) -> Iterator[str]:
        """One column's words, the sum that they are, its parameters and its epilogue."""
        foot, first = self.blocks[FOOT], col * self.width // self.array.cols
        at, total = first + foot.widths["word"], f"total_{col}"
        pins = {"clk": "clk", "en": self.opens, "clear": f"~take_{col} & {self.opens}"}
        pins |= {"word": part("finished", first, at - first, self.width), "acc": total}
        yield wire(total, foot.widths["acc"])
        yield from instance(foot.name, f"foot_{col}", {port.name: pins[port.name] for port in foot.ports})
        given = {"acc": total}
        for name, word in state(self.plan.dp.mac).words.items():
            if name != "acc":
                given[name] = part("finished", at, word.width, self.width)
                at += word.width
        yield from self._epilogue(col, given)

    def _waits(self, col: int) -> Iterator[str]:
        """What a column does, a cycle after the one before it."""
        bits = (self.array.rows - 1).bit_length()
        for name, width in {"take": 1, **({"below": bits} if bits else {})}.items():
            if col:
                yield from register(f"{name}_{col}", width, f"{name}_{col - 1}", self.opens)
            else:
                yield wire(f"{name}_0", width, name)

    def _goes_on(self, col: int) -> str:
        return self._done(col)

    def _done(self, late: int) -> str:
        """Whether a row is done, so many cycles later."""
        return part("valid", late - 1, 1, tail(self.plan.dp)) if late else "row_done"

    def _output(self) -> Iterator[str]:
        """The output register, whose parts are filled column by column."""
        bits, cols, depth = self.plan.dp.mac.output.bits, self.array.cols, tail(self.plan.dp)
        for col in range(cols):
            enable = f"{self._done(col + output_depth(self.plan.dp) - 1)} & {self.opens}"
            yield from register(f"payload_{col}", bits, f"code_{col}", enable)
        codes = [f"payload_{col}" for col in reversed(range(cols))]
        yield assigned("o_payload", f"{{{', '.join(codes)}}}" if cols > 1 else codes[0])
        yield assigned("offers", part("valid", depth - 1, 1, depth))
        yield assigned("o_valid", "offers & ~rst")
        yield assigned("o_last", "tail & done")
