"""Sums of products with ternary digits, for AMD's fabric: two products in one table a bit, sums of three numbers.

The LUT6_2 beside a carry takes the bits of two numbers and their digits, each whether it is nonzero and negative, and
adds them: six inputs, of which the carry is made by three. It knows no digit that is negative and zero. The complement
of the first number takes its one as the chain's carry-in; that of the second waits for a carry-in further on.

A sum of three numbers is a LUT6_2 a bit too, which hands a majority on to the next place (Kumm and Zipf 2014). That
output and the sum leave a slice through one multiplexer, so that the sum must end in the flip-flop beside it: it stands
before a register or the accumulator, and everywhere else numbers are added by twos.
"""

from __future__ import annotations

from collections.abc import Iterable

from hwq.bits.cells import Net
from hwq.bits.rows import Lowering
from hwq.bits.sums import Addend, bits_of, signed_bits
from hwq.bits.word import Word

__all__ = ["Pairs"]

LAYERS = ("mul", "align")  # cuts that a sum of products puts where it is narrowest, instead of after each product
DIGIT = (-1, 1)


class Pairs(Lowering):
    """Lowers sums in which several products have a ternary factor. `ends`: they end in the accumulator itself."""

    def __init__(self, name: str, cuts: Iterable[str] = (), ends: bool = True) -> None:
        cuts = tuple(cuts)
        super().__init__(name, [cut for cut in cuts if cut not in LAYERS])
        self.layers = [cut for cut in cuts if cut in LAYERS]
        self.ends = ends

    def _added(self, plain: list[Addend], carries: list[Net], products: list[Word], w: Word) -> Net:
        if not products:
            return super()._added(plain, carries, products, w)
        paired = [p for p in products if any((x.lo, x.hi) == DIGIT for x in p.args)]
        twins = [self._twin(*two, carries) for two in zip(paired[::2], paired[1::2], strict=False)]
        rest = [p for p in products if p not in paired] + paired[2 * len(twins) :]
        found = twins + [(self._mul(p), (p.lo, p.hi)) for p in rest]
        most = 2 if self.ends and plain else 1  # what is there at last, beside the accumulator
        for left, layer in reversed(list(enumerate(reversed(self.layers)))):
            found = self._few(found, most * 3**left, carries, triples=True)
            found = [(self.reg(net, layer), ends) for net, ends in found]
            carries[:] = [self.reg(carry, layer) for carry in carries]
        last = plain + self._few(found, most, carries, triples=False)
        if len(last) == 1 or len(carries) >= len(last):
            return self._chain(last, carries, w)
        return self.resize(self._one(last, carries, self.ends, w)[0], w.width, w.signed)

    def _twin(self, first: Word, second: Word, carries: list[Net]) -> Addend:
        """Two products, of which the second lacks its one where its digit is negative."""
        nets, (lo, hi) = list[Net](), (0, 0)
        for product, missing in ((first, 0), (second, 1)):
            x, digit = product.args if (product.args[1].lo, product.args[1].hi) == DIGIT else product.args[::-1]
            number, sign = self.resize(self.lower_one(x), signed_bits(x), True), self.lower_one(digit)
            nets += [number, sign]
            lo, hi = lo + min(x.lo, -x.hi - missing), hi + max(x.hi, -x.lo - missing)
        carries.append(self._bit(sign, 1))
        return self.cell("twin", nets, bits_of(lo, hi), True, "twin"), (lo, hi)

    def _few(self, found: list[Addend], most: int, carries: list[Net], triples: bool) -> list[Addend]:
        """At most so many numbers of the same sum."""
        return [self._one(found[at::most], carries, triples) for at in range(min(most, len(found)))]

    def _one(self, found: list[Addend], carries: list[Net], triples: bool, wanted: Word | None = None) -> Addend:
        """The sum, by twos, the narrowest first; of three at last where that is allowed."""
        zero = self.constant(0, 1)
        while len(found) > 1:
            found = sorted(found, key=lambda addend: -addend[0].width)
            taken = [found.pop() for _ in range(3 if triples and len(found) == 3 else 2)]
            ones = [carries.pop() if carries else zero for _ in taken[1:]]
            lo = sum(low for _, (low, _) in taken)
            hi = sum(high for _, (_, high) in taken) + sum(one is not zero for one in ones)
            width = bits_of(lo, hi)
            if wanted is not None and not found:
                lo, hi = max(lo, wanted.lo), min(hi, wanted.hi)
                width = min(bits_of(lo, hi), self._needed.get(wanted, width))
            nets = [net for net, _ in reversed(taken)]
            net = self.cell("triple" if len(taken) == 3 else "row", [*nets, *ones], width, lo < 0, "sum")
            found.append((net, (lo, hi)))
        return found[0]
