"""Products of ECP5: a row a bit of one factor, the other factor gated within the carry chain's own tables.

Half a CCU2C is a table of four inputs whose output passes the carry on, and a table of its first two inputs that makes
one. A gated row adds `(x & gate) ^ minus` to what is on the first input, without a table beside the chain: the table of
two inputs would be wrong for a `minus` without its `gate`, which never is. The first row adds two gated numbers. A
radix-4 digit, of five inputs, needs two tables a bit outside: rows of 8 bits by 8 take 70 LUT4 instead of 101.
"""

from __future__ import annotations

from hwq.bits.cells import Net
from hwq.bits.rows import Lowering
from hwq.bits.sums import Addend, bits_of, factors, signed_bits
from hwq.bits.word import Word

__all__ = ["Gated"]

Range = tuple[int, int]


class Gated(Lowering):
    """Lowers `mul` to gated rows: one a bit, or between cuts one a digit of two bits."""

    def _product(self, x: Word, y: Word, base: Addend | None = None) -> Net:
        if self._cut_inside:
            if base is not None or not self._by_digits(x, y):
                return super()._product(x, y, base)
            return self._side_by_side(self._digits(*factors(x, y)))
        plain, gates = (x, y) if signed_bits(y) <= signed_bits(x) else (y, x)
        many = self.resize(self.lower_one(plain), signed_bits(plain), True)
        few = self.lower_one(gates)
        ends = plain.lo, plain.hi
        if (gates.lo, gates.hi) == (-1, 1):  # a sign and whether it is zero
            return self._row(base, many, self._bit(few, 0), self._bit(few, 1), ends)[0]
        signs = [self.constant(0, 1)] * (few.width - few.signed) + [self._bit(few, few.width - 1)] * few.signed
        lows: list[Net] = []
        at = 0
        if base is None and few.width - few.signed > 1:
            total, bounds = self._pair(many, few, ends)
            if few.width == 2:
                return total
            lows, base, at = [self.view(total, 0, 2)], self._above(total, bounds, 2), 2
        while at < len(signs):
            total, bounds = self._row(base, many, self._bit(few, at), signs[at], ends)
            at += 1
            if at < len(signs):
                lows.append(self.view(total, 0, 1))
                base = self._above(total, bounds, 1)
        width = sum(net.width for net in lows) + total.width
        return self.cell("cat", [*lows, total], width, True, "product") if lows else total

    def in_turn(self, product: Word) -> bool:
        """Whether the product is made digit by digit, with registers between some and behind the last."""
        return "mul" in self.cuts and self._cut_inside and self._by_digits(*product.args)

    def digits(self, product: Word) -> list[Net]:
        """The bits of such a product, lowest first: a net for each cycle, of those that a register then holds."""
        found: dict[int, list[Net]] = {}
        for j, net in enumerate(self._digits(*factors(*product.args)), 1):
            cycle = (self.cycle[net] or 0) + (f"mul{j}" not in self.cuts)
            found.setdefault(cycle, []).append(self.at(net, cycle))
        return [self._side_by_side(nets) for nets in found.values()]

    @property
    def _cut_inside(self) -> bool:
        return any(cut.startswith("mul") and cut != "mul" for cut in self.cuts)

    def _side_by_side(self, nets: list[Net]) -> Net:
        return nets[0] if len(nets) == 1 else self.cell("cat", nets, sum(n.width for n in nets), True, "product")

    def _by_digits(self, x: Word, y: Word) -> bool:
        return signed_bits(factors(x, y)[1]) >= 4

    def _digits(self, plain: Word, coded: Word) -> list[Net]:
        """A row a digit, where cuts are: the lowest two bits gate the first row, radix-4 digits the others.

        A table chooses x or 2x for a digit; whether it is nothing, and its sign, are a table each for the whole row.
        Two bits of each row but the last are the product's.
        """
        many, few = self.resize(self.lower_one(plain), signed_bits(plain), True), self._signed(coded)
        total, bounds = self._pair(many, few, (plain.lo, plain.hi))
        digits = (few.width + 1) // 2
        lows: list[Net] = []
        for j in range(1, digits):
            total = self.reg(total, f"mul{j}") if f"mul{j}" in self.cuts else total
            lows.append(self.view(total, 0, 2))
            many = self.at(many, self.cycle[total])
            window = [self.at(self._bit(few, 2 * j + k), self.cycle[total]) for k in (-1, 0, 1)]
            if j == 1:
                window[0] = self.constant(0, 1)  # it is counted in the first row
            number, gate, minus = self._chosen(many, window)
            ends = 2 * plain.lo, 2 * plain.hi
            total, bounds = self._row(self._above(total, bounds, 2), number, gate, minus, ends)
        return [*lows, total]

    def _chosen(self, many: Net, window: list[Net]) -> tuple[Net, Net, Net]:
        """x or 2x, whether the digit of these three bits is not zero, and whether it is negative."""
        below, low, high = window
        wide = [self.resize(net, many.width + 1, True) for net in (self.shifted(many, 1), many)]
        if below.value is not None:
            one, gate, minus = low, self.cell("or", [low, high], 1, False, "some"), high
        else:
            one = self.cell("xor", [below, low], 1, False, "one")
            gate = self.cell("or", [one, self.cell("xor", [low, high], 1, False, "two")], 1, False, "some")
            least = self.cell("not", [self.cell("and", [below, low], 1, False, "ones")], 1, False, "less")
            minus = self.cell("and", [high, least], 1, False, "minus")
        return self.cell("select", [one, *wide], many.width + 1, True, "chosen"), gate, minus

    def _above(self, total: Net, bounds: Range, places: int) -> Addend:
        return self.view(total, places, total.width - places, True), (bounds[0] >> places, bounds[1] >> places)

    def _pair(self, many: Net, few: Net, ends: Range) -> tuple[Net, Range]:
        """The number under the lowest bit of the other, and twice that under the next."""
        bounds = 3 * min(ends[0], 0), 3 * max(ends[1], 0)
        twice = self.shifted(many, 1)
        nets = [many, self._bit(few, 0), twice, self._bit(few, 1)]
        return self.cell("pair", nets, bits_of(min(bounds[0], -1), bounds[1]), True, "row"), bounds

    def _row(self, base: Addend | None, many: Net, gate: Net, minus: Net, ends: Range) -> tuple[Net, Range]:
        """What is there and a gated number, subtracted where `minus` says so."""
        start, (lo, hi) = base or (self.constant(0, 1), (0, 0))
        least, most = (-ends[1], -ends[0]) if gate is minus else ends
        if gate is not minus and minus.value is None:  # either
            least, most = min(ends[0], -ends[1]), max(ends[1], -ends[0])
        bounds = lo + min(least, 0), hi + max(most, 0)
        width = bits_of(min(bounds[0], -1), bounds[1])
        return self.cell("gated", [start, many, gate, minus], width, True, "row"), bounds
