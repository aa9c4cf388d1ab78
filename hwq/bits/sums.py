"""Sums and products as carry chains.

A product is radix-4 Booth rows (Booth 1951, MacSorley 1961): one row a digit of the narrower factor. A conditional
negation is an exclusive or with a carry, a lone bit a carry-in. A product that is added to a state register starts from
that register's low part: the fused multiply-accumulate of FPGA practice (Kumm, Abbas, Zipf, ARITH 2015).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hwq.bits.cells import GATED, Net
from hwq.bits.netlist import Netlist
from hwq.bits.word import Word

__all__ = ["Sums", "bits_of", "factors", "signed_bits"]

Addend = tuple[Net, tuple[int, int]]  # a net and its range


class Sums(Netlist):
    """Lowers `add`, `mul` and `neg`."""

    def __init__(self, name: str, cuts: Iterable[str] = ()) -> None:
        super().__init__(name, cuts)
        self._net: dict[Word, Net] = {}
        self._uses: dict[Word, int] = {}
        self._needed: dict[Word, int] = {}  # low bits that the only reader of a word looks at
        self._under: set[Net] = set()  # numbers under a bit, which a row's tables take in where they are its addend

    def net(self, word: Word) -> Net:
        """The net that carries a word."""
        return self._net[word]

    def gated(self, net: Net, off: Net, stem: str) -> Net:
        """A number, or 0 where `off` is 1."""
        found = self.cell("select", [off, net, self.constant(0, net.width)], net.width, net.signed, stem, GATED)
        self._under.add(found)
        return found

    def _mul(self, w: Word) -> Net:
        return self.resize(self._product(w.args[0], w.args[1]), w.width, w.signed)

    def _neg(self, w: Word) -> Net:
        return self._sum([(w, 0)], w)

    def _add(self, w: Word) -> Net:
        bit = _complement(w)
        if bit is not None:
            return self.cell("not", [self.lower_one(bit)], 1, False, "not")
        return self._sum([(t, 0) for t in w.args], w)

    def _sum(self, terms: list[tuple[Word, int]], w: Word) -> Net:
        """Widest plain addend first; lone bits ride as carries; products come last, over what is there."""
        plain: list[Addend] = []
        carries: list[Net] = []
        products: list[Word] = []
        for term, by in terms:
            while term not in self._net and term.op in ("within", "stage", "shl"):
                by += term.args[1].lo if term.op == "shl" else 0
                term = term.args[0]
            if term in self._net or term.constant:
                net = self._net.get(term) or self.constant(term.lo, term.width)
                if net.width == 1 and not net.signed and not by and not term.constant:
                    carries.append(net)
                else:
                    plain.append((self.shifted(net, by), (term.lo << by, term.hi << by)))
            elif term.op == "mul" and not by:
                products.append(term)
            elif term.op == "mul":
                plain.append((self.shifted(self._mul(term), by), (term.lo << by, term.hi << by)))
            else:
                self._negation(term, by, plain, carries)
        return self._added(plain, carries, products, w)

    def _added(self, plain: list[Addend], carries: list[Net], products: list[Word], w: Word) -> Net:
        """The sum of numbers, of bits that ride as carries, and of products."""
        plain.sort(key=lambda t: -t[0].width)
        if products and not carries and len(plain) == 1 and all(self._fusable(plain[0][0], p) for p in products):
            return self.resize(self._fused(plain[0][0], products, w), w.width, w.signed)
        plain += [(self._mul(p), (p.lo, p.hi)) for p in products]
        plain.sort(key=lambda t: -t[0].width)
        return self._chain(plain, carries, w)

    def _negation(self, term: Word, by: int, plain: list[Addend], carries: list[Net]) -> None:
        """-x is its complement and one more."""
        x, s = term.args
        net = self._net.get(x) or self.lower_one(x)
        net = self.shifted(net, by)
        lo, hi = min(x.lo, ~x.hi) << by, max(x.hi, ~x.lo) << by
        width = bits_of(min(lo, -1), hi + (1 << by))
        wide = self.resize(net, width, True)
        if s.constant:
            flipped = self.cell("not", [wide], width, True, f"n_{net.name}")
        else:
            sign = self.resize(self.view(self._net[s], 0, 1, True), width, True)
            flipped = self.cell("xor", [wide, sign], width, True, f"{net.name}_s")
        plain.append((flipped, (min(lo, -1), hi + (1 << by))))
        carries.append(self.constant(1, 1) if s.constant else self._net[s])

    def lower_one(self, w: Word) -> Net:
        """Lower a deferred word after all."""
        if w not in self._net:
            for a in w.args:
                self.lower_one(a)
            self._net[w] = getattr(self, f"_{w.op}")(w)
        return self._net[w]

    def _chain(self, plain: list[Addend], carries: list[Net], w: Word) -> Net:
        """Rows, the narrowest addends first, so that only the last row has the width of the widest."""
        nothing = self.constant(0, 1), (0, 0)
        plain = plain or [nothing]
        while len(plain) > 1 or carries:
            addend, (alo, ahi) = plain.pop() if len(plain) > 1 else nothing
            base, (lo, hi) = plain.pop()
            carry, kind = carries.pop(0) if carries else self.constant(0, 1), None
            if base in self._under and carry.value == 0 and addend.width + (not addend.signed) < base.width:
                base, addend, kind = addend, base, GATED
            lo, hi = lo + alo, hi + ahi + (carry.value != 0)
            width = bits_of(lo, hi)
            if not plain and not carries:
                lo, hi = max(lo, w.lo), min(hi, w.hi)
                width = min(bits_of(lo, hi), self._needed.get(w, width))
            plain.append((self.cell("row", [base, addend, carry], width, lo < 0, "sum", kind), (lo, hi)))
            plain.sort(key=lambda t: -t[0].width)
        return self.resize(plain[0][0], w.width, w.signed)

    def _fusable(self, base: Net, product: Word) -> bool:
        """A state register over a product that is narrower than it."""
        is_state = self.cycle[base] is None and base.value is None
        x, _ = factors(product.args[0], product.args[1])
        return is_state and base.signed and base.width > product.width and base.width > signed_bits(x)

    def _fused(self, acc: Net, products: Sequence[Word], w: Word) -> Net:
        """Products over a register: what is there runs through their rows, one after the other, and at last its top.

        Beneath the multiple of its digit, the first row of a product takes as many bits for nothing. They enter as a
        signed number, that is too low where its top bit is set: that bit is the carry into the row of the upper parts.
        """
        first, second = products[0].args
        several = len(products) > 1  # a lone product takes one bit fewer: its measured rows are of that
        n = min(acc.width - 1, signed_bits(factors(first, second)[0]) + several)
        total, lo, hi = self.view(acc, 0, n, True), -(1 << n - 1), (1 << n - 1) - 1
        for product in products:
            lo, hi = lo + product.lo, hi + product.hi
            total = self._over(total, product, bits_of(lo, hi))
        width = min(bits_of(w.lo, w.hi), self._needed.get(w, acc.width + 1))
        return self._joined(acc, total, n, width, "acc")

    def _over(self, total: Net, product: Word, width: int) -> Net:
        """A product over a sum, as a number of that width."""
        x, y = product.args
        n = min(total.width, signed_bits(factors(x, y)[0]) + 1)
        low = self.view(total, 0, n, True), (-(1 << n - 1), (1 << n - 1) - 1)
        over = self._product(x, y, low)
        return over if n == total.width else self._joined(total, over, n, width, "chain")

    def _joined(self, base: Net, over: Net, n: int, width: int, stem: str) -> Net:
        """A sum of `width` bits, from `over`, to which the low n bits of the base are added already."""
        upper, carry = self.view(base, n, base.width - n, True), self.view(base, n - 1, 1)
        high = self.view(over, n, min(over.width, width) - n, True)
        top = self.cell("row", [upper, high, carry], width - n, True, f"{stem}_high")
        return self.cell("cat", [self.view(over, 0, n), top], width, True, f"{stem}_next")

    def _product(self, x: Word, y: Word, base: Addend | None = None) -> Net:
        """Radix-4 Booth rows of one factor by the digits of the other, over `base`."""
        plain, coded = factors(x, y)
        total, start = base or (self.constant(0, 1), (0, 0))
        bounds = start
        many, few = self.lower_one(plain), self._signed(coded)
        digits = (few.width + 1) // 2
        lows: list[Net] = []
        for j in range(digits):
            # the digit is formed where its row is, so that a cut delays the factors and not their multiples
            many = self.at(many, self.cycle[total])
            window = [self.at(self._bit(few, i), self.cycle[total]) for i in (2 * j - 1, 2 * j, 2 * j + 1)]
            span = _digit_range(coded, j, digits)
            part = self._digit(self.resize(many, signed_bits(plain), True), window, j, max(-span[0], span[1]))
            ends = [d * v for d in span for v in (plain.lo, plain.hi)]
            exact = _total_range(plain, coded, j, digits, start)  # seen from this row's place
            bounds = max(bounds[0] + min(ends), exact[0] >> 2 * j), min(bounds[1] + max(ends), exact[1] >> 2 * j)
            width = max(bits_of(min(bounds[0], -1), bounds[1]), 3)
            total = self.cell("row", [total, part, window[2]], width, True, f"row{j}")
            if j < digits - 1:
                total = self.reg(total, f"mul{j + 1}") if f"mul{j + 1}" in self.cuts else total
                lows.append(self.view(total, 0, 2))
                total = self.view(total, 2, width - 2, True)
                bounds = bounds[0] >> 2, bounds[1] >> 2
        if not lows:
            return total
        return self.cell("cat", [*lows, total], 2 * len(lows) + total.width, True, "product")

    def _digit(self, many: Net, window: list[Net], j: int, reach: int) -> Net:
        """Digit j, of three recoded bits, times `many`; complemented where negative. `reach` is the largest digit."""
        select = self.cell("cat", window, 3, False, f"digit{j}")
        return self.cell("booth", [many, select], many.width + (reach > 1), True, f"part{j}", reach)

    def _signed(self, w: Word) -> Net:
        return self.resize(self.lower_one(w), signed_bits(w), True)

    def _bit(self, net: Net, index: int) -> Net:
        if index < 0:
            return self.constant(0, 1)
        return self.view(net, min(index, net.width - 1), 1)


def _complement(w: Word) -> Word | None:
    """The bit x where the sum is 1 - x."""
    if len(w.args) != 2 or not w.args[1].constant or w.args[1].lo != 1:
        return None
    x, s = w.args[0].args if w.args[0].op == "neg" else (w, w)
    return x if s.constant and s.lo == 1 and (x.lo, x.hi) == (0, 1) else None


def bits_of(lo: int, hi: int) -> int:
    if lo < 0:
        return max((~lo).bit_length(), hi.bit_length()) + 1
    return max(1, hi.bit_length())


def signed_bits(w: Word) -> int:
    """Bits of the word as two's complement."""
    return w.width + (not w.signed)


def factors(x: Word, y: Word) -> tuple[Word, Word]:
    """(plain, recoded). A row costs about plain + 1 LUT, so the choice with fewer row cells is taken; of equals y."""
    cells = [(signed_bits(p) + 1) * ((signed_bits(c) + 1) // 2) - signed_bits(c) % 2 for p, c in ((x, y), (y, x))]
    return (y, x) if cells[1] < cells[0] else (x, y)


def _total_range(x: Word, y: Word, j: int, digits: int, base: tuple[int, int]) -> tuple[int, int]:
    """What base and the product with y's digits up to j can be: those digits are y's low bits as a signed number."""
    low = (y.lo, y.hi) if j == digits - 1 else (-(2 << 2 * j), (2 << 2 * j) - 1)
    ends = [v * u for v in (x.lo, x.hi) for u in low]
    return base[0] + min(ends), base[1] + max(ends)


def _digit_range(w: Word, j: int, digits: int) -> tuple[int, int]:
    """What Booth digit j of a number in [lo, hi] can be; the top digit sees only what is left of the range."""
    if j < digits - 1:
        return -2, 2
    half = 1 << (2 * j - 1) if j else 0
    return max(-2, (w.lo + half) >> (2 * j)), min(2, (w.hi + half) >> (2 * j))
