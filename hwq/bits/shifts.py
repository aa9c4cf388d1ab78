"""Shifts by a word, what they lose, and the search for a leading bit, as stages of one 4:1 multiplexer a bit.

A shift up works from the narrowest stage on. So does a shift down, but from the widest where few bits of its result
are read, so that every stage keeps only what the later ones can bring into sight. The search for the leading bit of a
number finds the digits of a shift down in that order: where the number is then shifted by them, the stages are the
same cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hwq.bits.cells import Net
from hwq.bits.sums import Sums, bits_of
from hwq.bits.word import Word

__all__ = ["Shifts"]

Stage = tuple[Net, Net, int, Net]  # what is shifted, by which digit, the unit of that, the result


class Shifts(Sums):
    """Lowers `shl`, `shr`, `lost` and `excess`."""

    def __init__(self, name: str, cuts: Iterable[str] = ()) -> None:
        super().__init__(name, cuts)
        self._seen: dict[tuple[Word, ...], int] = {}  # how many bits are read of x >> n

    def wanted(self, w: Word) -> int:
        """The low bits of a word that somebody reads."""
        return min(w.width, self._needed.get(w, w.width))

    def some(self, net: Net, lo: int, hi: int) -> Net:
        """Whether any of the bits [lo, hi) is set."""
        if hi - lo == 1 and lo < net.width:
            return self.view(net, lo, 1)
        none = self.empty(net, lo, hi)
        return (
            self.constant(1 - none.value, 1) if none.value is not None else self.cell("not", [none], 1, False, "some")
        )

    def empty(self, net: Net, lo: int, hi: int) -> Net:
        """Whether all of the bits [lo, hi) are 0."""
        hi = hi if net.signed else min(hi, net.width)
        if hi <= lo:
            return self.constant(1, 1)
        low = min(lo, net.width - 1)
        return self.cell("eq", [self.view(net, low, hi - low), self.constant(0, 1)], 1, False, "none")

    def _shl(self, w: Word) -> Net:
        x, n = w.args
        net = self._net[x]
        if n.constant:
            return self.resize(self.shifted(net, n.lo), w.width, w.signed)
        amount, (lo, hi) = self._net[n], (x.lo, x.hi)
        for at, take in _digits(n.hi.bit_length(), True):
            steps = [j << at for j in range(1 << take)]
            reach = min(steps[-1], n.hi)
            lo, hi = min(lo, lo << reach), max(hi, hi << reach)
            width = bits_of(lo, hi)
            legs = [self.resize(self.shifted(net, s), width, lo < 0) for s in steps]
            net = self.cell("select", [self.view(amount, at, take), *legs], width, lo < 0, "shift")
        return self.resize(net, w.width, w.signed)

    def _shr(self, w: Word) -> Net:
        x, n = w.args
        net = self._net[x]
        if n.constant:
            return self._down(net, n.lo, w.width, w.signed)
        for _, _, _, out in self._stages(net, n, self.wanted(w)):
            net = out
        return self.resize(net, w.width, w.signed)

    def _lost(self, w: Word) -> Net:
        """Of each stage what falls below its result, as far as its digit says."""
        x, n = w.args
        if n.constant:
            return self.some(self._net[x], 0, n.lo)
        parts: list[Net] = []
        for net, digit, unit, _ in self._stages(self._net[x], n, self._seen.get(w.args, 1)):
            below = [self.some(net, j * unit, (j + 1) * unit) for j in range((1 << digit.width) - 1)]
            one, two = (self.view(digit, j, 1) for j in (0, digit.width - 1))
            reached = [one] if digit.width == 1 else [self._bits("or", one, two), two, self._bits("and", one, two)]
            parts += [self._bits("and", some, there) for some, there in zip(below, reached, strict=True)]
        return self._bits("or", *parts)

    def _bits(self, op: str, *nets: Net) -> Net:
        return self.cell(op, nets, 1, False, "lost") if len(nets) > 1 else nets[0]

    def _stages(self, net: Net, n: Word, width: int) -> Iterator[Stage]:
        """The stages of a shift down of which `width` low bits are looked at."""
        unit, most = 1, n.hi
        while n.op == "shl" and n.args[1].constant:
            unit, n = unit << n.args[1].lo, n.args[0]
        amount, left = self.lower_one(n), (1 << (most // unit).bit_length()) - 1
        for at, take in _digits(left.bit_length(), width >= net.width):
            left -= ((1 << take) - 1) << at
            digit = self.view(amount, at, take)
            out = self._stage_down(net, digit, unit << at, width + unit * left)
            yield net, digit, unit << at, out
            net = out

    def _stage_down(self, net: Net, digit: Net, unit: int, width: int) -> Net:
        width = min(net.width, width)
        legs = [self._down(net, j * unit, width, net.signed) for j in range(1 << digit.width)]
        return self.cell("select", [digit, *legs], width, net.signed, "shift")

    def _down(self, net: Net, by: int, width: int, signed: bool) -> Net:
        """The bits from `by` on: wires only."""
        if by < net.width:
            return self.view(net, by, width, signed)
        return (
            self.resize(self.view(net, net.width - 1, 1, True), width, signed)
            if net.signed
            else self.constant(0, width)
        )

    def _excess(self, w: Word) -> Net:
        """Which of the places above the low ones leads, two bits of the answer at a time; then as near as they say."""
        (m,), n = w.args, w.attr
        assert isinstance(n, int)
        net, sign = self._plain(m, n + (1 << w.hi.bit_length()) - 1)
        digits: list[Net] = []
        for at, take in _digits(w.hi.bit_length(), False):
            unit = 1 << at
            found = [self._leads(net, sign, n - 1 + j * unit, n - 1 + (j + 1) * unit) for j in range(1, 1 << take)]
            digits.insert(0, found[0] if take == 1 else self._coded(*found))
            net = self._stage_down(net, digits[0], unit, n + unit - 1)
        return self.resize(self.cell("cat", digits, w.hi.bit_length(), False, "excess"), w.width, False)

    def _coded(self, one: Net, two: Net, three: Net) -> Net:
        """How far the highest of three is, as two bits."""
        upper = self._bits("or", two, three)
        above = self.cell("not", [two], 1, False, "below")
        return self.cell("cat", [self._bits("or", three, self._bits("and", one, above)), upper], 2, False, "place")

    def _plain(self, m: Word, width: int) -> tuple[Net, Net | None]:
        """A word whose bits are all inverted under a sign as it was before, and that sign: see `search.flipped`."""
        if m.op == "xor" and m.args[0].width == width and m.args[1].op == "mux":
            x, (minus, ones, none) = m.args[0], m.args[1].args
            if none.constant and none.lo == 0 and ones.constant and ones.lo == (1 << width) - 1:
                return self._net[x], self._net[minus]
        return self._net[m], None

    def _leads(self, net: Net, sign: Net | None, lo: int, hi: int) -> Net:
        """Whether any of the bits [lo, hi) differs from the sign."""
        if sign is None or lo >= net.width:
            return self.some(net, lo, hi)
        width = hi - lo
        plain, signs = self.view(net, lo, width), self.resize(self.view(sign, 0, 1, True), width)
        return self.some(self.cell("xor", [plain, signs], width, False, "apart"), 0, width)


def _digits(bits: int, ascending: bool) -> list[tuple[int, int]]:
    """(place, bits) of the digits of a number, from its low or its high end: two bits each, the last what is left."""
    pairs = [(at, min(2, bits - at)) for at in range(0, bits, 2)]
    return pairs if ascending else [(bits - at - take, take) for at, take in pairs]
