"""Sums for cell libraries: every addend in one tree of full adders, one adder behind it, no kept rows.

The addends are columns of bits. A stage takes three bits of a column into a sum and a carry (Dadda 1965, without his
half adders), all columns at once, one word a row of full adders, until no column has more than two. A sign is one
inverted bit and a constant, -2**n * s = 2**n * ~s - 2**n (Baugh and Wooley 1973); the constants of all signs are one.
Where its ones stand above the tree they take 1 from what is there, and give it back if the tree carries: a chain of
"or". What is left, two words at most, is one row, which a synthesiser makes an adder of its choice, or with `prefix`
the fastest one (Kogge and Stone 1973): larger at the area end, smaller for a clock. benchmarks/asic.py measures both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hwq.bits.cells import Net
from hwq.bits.rows import Lowering
from hwq.bits.sums import Addend, bits_of, factors, signed_bits
from hwq.bits.word import Word

__all__ = ["Compressed"]

Bit = tuple[Net, int]  # a wire: a net and its place in it
Shifted = tuple[Net, int]  # a net and the power of two that it is multiplied with
Column = list[Bit]

# What a bit of a digit's multiple, a full adder and a digit's recoding cost, over an "and": in two-input gates.
_MULTIPLE, _FULL_ADDER, _RECODING = 3, 5, 4


class Compressed(Lowering):
    """Lowers `add`, `mul` and `neg` to trees. Cuts inside a product keep its rows, which is where they cut."""

    def __init__(self, name: str, cuts: Iterable[str] = (), prefix: bool = False) -> None:
        super().__init__(name, cuts)
        self.prefix = prefix
        self._one: Bit = (self.constant(1, 1), 0)
        self._zero: Bit = (self.constant(0, 1), 0)
        self._adders = 0

    def total(self, addends: Sequence[Shifted], width: int) -> Net:
        """The sum of nets times powers of two, modulo 2**width."""
        columns, constant = self._columns(addends, width)
        top = width - _leading_ones(constant, width)
        if any(len(column) > 1 for column in columns[top + 1 :]):
            top = width  # more than one word reaches up there: its ones are bits like others
        for at in range(top):
            if constant >> at & 1:
                columns[at].append(self._one)
        self._reduce(columns, top)
        self._decrement(columns, top)
        return self._resolve(columns)

    def _columns(self, addends: Sequence[Shifted], width: int) -> tuple[list[Column], int]:
        """Bits by their weight, and the constant: of constant addends and of signs that are not at the top."""
        columns: list[Column] = [[] for _ in range(width)]
        constant = 0
        for net, by in addends:
            if net.value is not None:
                constant += (net.value - (net.signed << net.width) * (net.value >> net.width - 1)) << by
                continue
            bits: Column = [(net, at) for at in range(net.width)]
            if net.signed and by + net.width < width:
                bits[-1] = self.cell("not", [self.view(net, net.width - 1, 1)], 1, False, f"{net.name}_plus"), 0
                constant -= 1 << by + net.width - 1
            for at, bit in enumerate(bits[: max(0, width - by)], by):
                columns[at].append(bit)
        return columns, constant % (1 << width)

    def _reduce(self, columns: list[Column], top: int) -> None:
        """Full adders, stage by stage, until no column below `top` has more than two bits."""
        while any(len(column) > 2 for column in columns[:top]):
            taken = [[column[i : i + 3] for i in range(0, len(column) - 2, 3)] for column in columns[:top]]
            for at, triples in enumerate(taken):
                columns[at] = columns[at][3 * len(triples) :]
            for rank in range(max(len(triples) for triples in taken)):
                self._full_adders(
                    {at: triples[rank] for at, triples in enumerate(taken) if rank < len(triples)}, columns
                )

    def _full_adders(self, row: Mapping[int, Column], columns: list[Column]) -> None:
        """One full adder a column: its three bits leave a sum here and a carry in the next column."""
        x, y, z = (self._word([bits[i] for bits in row.values()]) for i in range(3))
        width, number = len(row), self._adders
        self._adders += 1
        odd = self.cell("xor", [x, y], width, False, f"odd{number}")
        sums = self.cell("xor", [odd, z], width, False, f"save{number}")
        both = self.cell("and", [x, y], width, False, f"both{number}")
        rest = self.cell("and", [odd, z], width, False, f"rest{number}")
        carries = self.cell("or", [both, rest], width, False, f"carry{number}")
        for place, at in enumerate(row):
            columns[at].append((sums, place))
            if at + 1 < len(columns):
                columns[at + 1].append((carries, place))

    def _decrement(self, columns: list[Column], top: int) -> None:
        """Add ones from `top` upwards to columns of one bit each, and of one more at `top`, which the tree carried.

        x - 1 + c of a bit is ~(x ^ c), and it hands x | c on, which is c or any x below.
        """
        while top < len(columns) and len(columns[top]) > 2:
            columns[top].append(self._one)
            top += 1
            self._reduce(columns, top)
        above = columns[top:]
        if not above:
            return
        if len(above[0]) < 2:
            columns[top:] = [[*column, self._one] for column in above]
            return
        bits = [column[0] if column else self._zero for column in above]
        word, width = self._word(bits), len(bits)
        carries = self._word([above[0][1], *bits[:-1]])
        for distance in _powers(width):
            carries = self.cell("or", [carries, self._up(carries, distance)], width, False, "any")
        flipped = self.cell("xor", [word, carries], width, False, "down")
        sums = self.cell("not", [flipped], width, False, "high")
        columns[top:] = [[(sums, place)] for place in range(width)]

    def _resolve(self, columns: Sequence[Column]) -> Net:
        """The sum of at most two words. Below the first column of two bits there is nothing to add."""
        start = next((at for at, column in enumerate(columns) if len(column) > 1), len(columns))
        low = [column[0] if column else self._zero for column in columns[:start]]
        pairs = [[*column, self._zero, self._zero][:2] for column in columns[start:]]
        if not pairs:
            return self._word(low)
        x, y = (self._word([pair[i] for pair in pairs]) for i in range(2))
        high = self._prefix(x, y) if self.prefix else self.cell("row", [x, y, self._zero[0]], x.width, False, "sum")
        return self._word([*low, *((high, at) for at in range(x.width))])

    def _prefix(self, x: Net, y: Net) -> Net:
        """x + y: what one, two, four, ... columns make of a carry, until that is all the columns below each."""
        width = x.width
        half = self.cell("xor", [x, y], width, False, "half")
        made, passed = self.cell("and", [x, y], width, False, "made"), half
        for distance in _powers(width - 1):
            reached = self.cell("and", [passed, self._up(made, distance)], width, False, f"reached{distance}")
            made = self.cell("or", [made, reached], width, False, f"made{2 * distance}")
            passed = self.cell("and", [passed, self._up(passed, distance)], width, False, f"passed{2 * distance}")
        return self.cell("xor", [half, self._up(made, 1)], width, False, "sum")

    def _up(self, net: Net, by: int) -> Net:
        """Shifted towards the top, in the same width: wires only."""
        return self.cell("cat", [self.constant(0, by), self.view(net, 0, net.width - by)], net.width, False, net.name)

    def _word(self, bits: Sequence[Bit]) -> Net:
        """A word of bits, the first lowest: wires only."""
        runs: list[tuple[Net, int, int]] = []  # a net, where in it a run starts, how long it is
        for net, at in bits:
            if runs and runs[-1][0] is net and net.value is None and sum(runs[-1][1:]) == at:
                runs[-1] = (net, runs[-1][1], runs[-1][2] + 1)
            else:
                runs.append((net, at, 1))
        pieces = [self.view(net, at, length) for net, at, length in runs]
        return pieces[0] if len(pieces) == 1 else self.cell("cat", pieces, len(bits), False, "word")

    # -- what a text's sums and products become ---------------------------------------------------------------------

    def _chain(self, plain: list[Addend], carries: list[Net], w: Word) -> Net:
        lo, hi = sum(low for _, (low, _) in plain), sum(high for _, (_, high) in plain) + len(carries)
        nets = [*(net for net, _ in plain), *carries]
        return self._number([(net, 0) for net in nets], w, max(lo, w.lo), min(hi, w.hi))

    def _fusable(self, base: Net, product: Word) -> bool:
        return True

    def _fused(self, acc: Net, products: Sequence[Word], w: Word) -> Net:
        parts = [part for product in products for part in self._multiples(*product.args)]
        return self._number([(acc, 0), *parts], w, w.lo, w.hi)

    def _product(self, x: Word, y: Word, base: Addend | None = None) -> Net:
        if self._cut_inside:
            return super()._product(x, y, base)
        ends = [u * v for u in (x.lo, x.hi) for v in (y.lo, y.hi)]
        lo, hi = min(ends), max(ends)
        return self._signed_as(self.total(self._multiples(x, y), bits_of(lo, hi)), lo < 0)

    def _number(self, addends: Sequence[Shifted], w: Word, lo: int, hi: int) -> Net:
        """A sum in [lo, hi] as the net of a word, no wider than its readers look."""
        width = min(bits_of(lo, hi), self._needed.get(w, 1 << 30))
        return self.resize(self._signed_as(self.total(addends, width), lo < 0), w.width, w.signed)

    def _signed_as(self, net: Net, signed: bool) -> Net:
        return self.resize(net, net.width, signed)

    @property
    def _cut_inside(self) -> bool:
        return any(cut.startswith("mul") and cut != "mul" for cut in self.cuts)

    def _multiples(self, x: Word, y: Word) -> list[Shifted]:
        """The partial products of two factors, with the carries of those that are complements."""
        plain, coded = factors(x, y)
        many, few = self.resize(self.lower_one(plain), signed_bits(plain), True), self._signed(coded)
        digits = (few.width + 1) // 2
        multiples = digits * (_MULTIPLE * (many.width + 1) + _FULL_ADDER * (many.width + 2) + _RECODING)
        if multiples > few.width * many.width * (_FULL_ADDER + 1):
            return self._gated(many, few)
        found: list[Shifted] = []
        for j in range(digits):
            window = [self._bit(few, i) for i in (2 * j - 1, 2 * j, 2 * j + 1)]
            reach = 1 if 2 * j + 1 == few.width else 2  # the top digit of an odd number is -1, 0 or 1
            found += [(self._digit(many, window, j, reach), 2 * j), (window[2], 2 * j)]
        return found

    def _gated(self, many: Net, few: Net) -> list[Shifted]:
        """One factor under each bit of the other; its sign bit takes the complement, and one more."""
        top, found = few.width - 1, list[Shifted]()
        for at in range(few.width):
            gate = self.resize(self.view(few, at, 1, True), many.width, True)
            found.append((self.cell("and", [many, gate], many.width, True, f"part{at}"), at))
        minus = self.cell("not", [found[top][0]], many.width, True, f"part{top}_minus")
        return [*found[:top], (minus, top), (self._one[0], top)]


def _leading_ones(value: int, width: int) -> int:
    """How many of the top bits are ones."""
    return width - (~value & (1 << width) - 1).bit_length()


def _powers(width: int) -> list[int]:
    """1, 2, 4, ... below a width."""
    return [1 << at for at in range((width - 1).bit_length())] if width > 1 else []
