"""Reader 3: lowers a recorded text to rows, multiplexers, tables and registers.

Sums and products are in `sums`, shifts and the search for a leading bit in `shifts`.
"""

from __future__ import annotations

from collections.abc import Sequence

from hwq.bits.cells import Net, State
from hwq.bits.ints import topological
from hwq.bits.shifts import Shifts
from hwq.bits.word import Word

__all__ = ["Lowering"]


class Lowering(Shifts):
    """Builds one block from texts. `cuts` are the stages that are followed by a register."""

    def input(self, word: Word, cycle: int | None = 0, name: str = "") -> Net:
        """Enter a variable of the text as a port; a `cycle` of None holds still (a parameter, a state)."""
        net = Net(self.fresh(name or str(word.attr)), word.width, word.signed)
        self._net[word] = net
        self.cycle[net] = cycle
        if cycle is not None or word.op == "var":
            self.inputs.append(net)
        return net

    def state(self, word: Word) -> Net:
        """Enter a variable as a register with feedback; `feed` gives its next value."""
        net = Net(self.fresh(str(word.attr)), word.width, word.signed)
        self._net[word] = net
        self.cycle[net] = None
        return net

    def feed(self, q: Word, d: Word) -> None:
        self.states.append(State(self._net[q], self.resize(self._net[d], self._net[q].width, self._net[q].signed)))

    def bind(self, word: Word, net: Net) -> None:
        """A variable of the text is what a cell gives."""
        self._net[word] = net

    def register(self, word: Word, net: Net, stage: str) -> Net:
        """The word, from now on, is `net` one cycle later."""
        later = self.reg(net, stage)
        self._net[word] = later
        return later

    def lower(self, outputs: Sequence[Word]) -> list[Net]:
        """Lower the words that the outputs need; returns the outputs' nets."""
        order = topological(outputs)
        for w in order:
            for a in w.args:
                self._uses[a] = self._uses.get(a, 0) + 1
                if w.op in ("wrap", "low", "within"):
                    self._needed[a] = w.attr if isinstance(w.attr, int) else w.width
        self._needed = {w: n for w, n in self._needed.items() if self._uses[w] == 1}
        self._seen = {w.args: self.wanted(w) for w in order if w.op == "shr"}
        deferred = self._addends(order)
        for w in order:
            if w not in self._net and w not in deferred:
                net = self.constant(w.lo, w.width) if w.constant else getattr(self, f"_{w.op}")(w)
                self._net[w] = net
        return [self._net[w] for w in outputs]

    def _addends(self, order: Sequence[Word]) -> set[Word]:
        """Words that only one sum reads and that it can absorb: products, negations, constant shifts of those."""
        user = {a: w for w in order for a in w.args}
        absorbable: set[Word] = set()
        for w in order:
            inner = w.args[0] if w.args else w
            if self._uses.get(w, 0) != 1 or w in self._net:
                continue
            if w.op == "mul":
                ok = not any(c.startswith("mul") for c in self.cuts)
            elif w.op == "stage":
                ok = w.attr not in self.cuts and inner in absorbable
            elif w.op == "shl":
                ok = w.args[1].constant
            else:
                ok = w.op == "neg" or w.op == "within" and inner in absorbable
            if ok:
                absorbable.add(w)
        found: set[Word] = set()
        for w in reversed(order):
            if w in absorbable and (user[w].op == "add" or user[w] in found):
                found.add(w)
        return found

    def _get(self, w: Word) -> Net:
        return self._net[w]

    def _var(self, w: Word) -> Net:
        raise AssertionError(f"variable {w.attr} has no net")

    def _stage(self, w: Word) -> Net:
        net = self._get(w.args[0])
        return self.reg(net, str(w.attr)) if w.attr in self.cuts else net

    def _within(self, w: Word) -> Net:
        return self.resize(self._get(w.args[0]), w.width, w.signed)

    def _low(self, w: Word) -> Net:
        assert isinstance(w.attr, int)
        return self.resize(self.view(self._get(w.args[0]), 0, w.attr), w.width, False)

    def _wrap(self, w: Word) -> Net:
        assert isinstance(w.attr, int)
        return self.view(self._get(w.args[0]), 0, w.attr, True)

    def _logic(self, op: str, w: Word) -> Net:
        return self.cell(op, [self._get(a) for a in w.args], w.width, False, op)

    def _and(self, w: Word) -> Net:
        return self._logic("and", w)

    def _or(self, w: Word) -> Net:
        return self._logic("or", w)

    def _xor(self, w: Word) -> Net:
        return self._logic("xor", w)

    def _lt(self, w: Word) -> Net:
        """A comparison; an unsigned word against a power of two, or the number below one, by its top bits."""
        x, y = w.args
        net = self._get(x)
        if y.constant and y.lo == 0:
            return self.view(net, net.width - 1, 1) if net.signed else self.constant(0, 1)
        if y.constant and not x.signed and y.lo & (y.lo - 1) == 0:
            return self.empty(net, y.lo.bit_length() - 1, net.width)
        if x.constant and not y.signed and x.lo & (x.lo + 1) == 0:
            return self.some(self._get(y), x.lo.bit_length(), self._get(y).width)
        return self.cell("lt", [net, self._get(y)], 1, False, "lt")

    def _eq(self, w: Word) -> Net:
        return self.cell("eq", [self._get(a) for a in w.args], 1, False, "eq")

    def _mux(self, w: Word) -> Net:
        c, x, y = map(self._get, w.args)
        return self.cell(
            "select",
            [c, self.resize(y, w.width, w.signed), self.resize(x, w.width, w.signed)],
            w.width,
            w.signed,
            "sel",
        )

    def _lookup(self, w: Word) -> Net:
        return self.cell("table", [self._get(w.args[0])], w.width, w.signed, "table", w.attr)
