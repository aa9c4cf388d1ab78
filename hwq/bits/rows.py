"""Reader 3: lowers a recorded text to rows, multiplexers, tables and registers.

Sums become carry chains: a product is radix-4 Booth rows (Booth 1951, MacSorley 1961), a conditional negation an
exclusive or with a carry, a lone bit a carry-in. A product that is added to a state register starts from that register's
low part, which is the fused multiply-accumulate of FPGA practice (Kumm, Abbas, Zipf, ARITH 2015). Shifts by a word are
4:1 multiplexer stages, narrowest first.

Every net knows its cycle; operands of one cell are brought to one cycle by registers, each made once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hwq.bits.cells import Block, Cell, Net, State
from hwq.bits.ints import topological
from hwq.bits.word import Word

__all__ = ["Lowering"]

Nets = list[tuple[Net, Word | None]]


class Lowering:
    """Builds one block. `cuts` are the stages that are followed by a register."""

    def __init__(self, name: str, cuts: Iterable[str] = ()) -> None:
        self.name = name
        self.cuts = frozenset(cuts)
        self.cells: list[Cell] = []
        self.inputs: list[Net] = []
        self.states: list[State] = []
        self.outputs: list[tuple[str, Net]] = []
        self._net: dict[Word, Net] = {}
        self._cycle: dict[Net, int | None] = {}
        self._delayed: dict[tuple[Net, int], Net] = {}
        self._names: dict[str, int] = {}
        self._constants: dict[tuple[int, int, bool], Net] = {}
        self._uses: dict[Word, int] = {}
        self._needed: dict[Word, int] = {}  # low bits that the only reader of a word looks at
        self._made: dict[tuple[str, tuple[Net, ...], object, int, bool], Net] = {}

    # -- nets -----------------------------------------------------------------------------------------------------

    def _fresh(self, stem: str) -> str:
        """A name that no other net has, whatever stem that one grew from."""
        count = self._names.get(stem, 0)
        while count and f"{stem}_{count}" in self._names:
            count += 1
        name = f"{stem}_{count}" if count else stem
        self._names[stem] = count + 1
        self._names.setdefault(name, 1)
        return name

    def input(self, word: Word, cycle: int | None = 0) -> Net:
        """Enter a variable of the text as a port; a `cycle` of None holds still (a parameter, a state)."""
        net = Net(self._fresh(str(word.attr)), word.width, word.signed)
        self._net[word] = net
        self._cycle[net] = cycle
        if cycle is not None or word.op == "var":
            self.inputs.append(net)
        return net

    def state(self, word: Word) -> Net:
        """Enter a variable as a register with feedback; `feed` gives its next value."""
        net = Net(self._fresh(str(word.attr)), word.width, word.signed)
        self._net[word] = net
        self._cycle[net] = None
        return net

    def feed(self, q: Word, d: Word) -> None:
        self.states.append(State(self._net[q], self._fit(self._net[d], self._net[q].width, self._net[q].signed)))

    def register(self, word: Word, net: Net, stage: str) -> Net:
        """The word, from now on, is `net` one cycle later."""
        later = self._reg(net, stage)
        self._net[word] = later
        return later

    def constant(self, value: int, width: int | None = None, signed: bool | None = None) -> Net:
        signed = value < 0 if signed is None else signed
        width = width or max(1, value.bit_length() if value >= 0 else (~value).bit_length() + 1)
        key = (value & ((1 << width) - 1), width, signed)
        if key not in self._constants:
            net = Net(f"c{width}_{key[0]}{'s' * signed}", width, signed, key[0])
            self._constants[key] = net
            self._cycle[net] = None
        return self._constants[key]

    def _cell(self, op: str, args: Sequence[Net], width: int, signed: bool, stem: str, attr: object = None) -> Net:
        cycles = [c for a in args if (c := self._cycle[a]) is not None]
        cycle = max(cycles) if cycles else None
        placed = tuple(self._at(a, cycle) for a in args)
        key = (op, placed, attr, width, signed)
        if key not in self._made:
            net = Net(self._fresh(stem), width, signed)
            self._cycle[net] = cycle
            self.cells.append(Cell(op, net, placed, attr))
            self._made[key] = net
        return self._made[key]

    def _reg(self, net: Net, stage: str) -> Net:
        if net.value is not None or self._cycle[net] is None:
            return net
        cycle = self._cycle[net]
        assert cycle is not None
        key = (net, cycle + 1)
        if key not in self._delayed:
            later = Net(self._fresh(f"{net.name}_q"), net.width, net.signed)
            self._cycle[later] = cycle + 1
            self.cells.append(Cell("reg", later, (net,), stage))
            self._delayed[key] = later
        return self._delayed[key]

    def _at(self, net: Net, cycle: int | None) -> Net:
        """The net as it stands at a later cycle."""
        have = self._cycle[net]
        if cycle is None or have is None:
            return net
        assert have <= cycle, f"{net.name} is of cycle {have}, not at most {cycle}"
        while self._cycle[net] != cycle:
            net = self._reg(net, "delay")
        return net

    def _fit(self, net: Net, width: int, signed: bool | None = None) -> Net:
        """Truncate or extend: wires only."""
        signed = net.signed if signed is None else signed
        if net.width == width and net.signed == signed:
            return net
        return self._view(net, 0, width, signed)

    def _view(self, net: Net, lo: int, width: int, signed: bool = False) -> Net:
        if net.value is not None:
            value = net.value - (1 << net.width) if net.signed and net.value >> (net.width - 1) else net.value
            return self.constant(value >> lo, width, signed)
        return self._cell("view", [net], width, signed, f"{net.name}_{lo}", lo)

    def _not(self, bit: Net) -> Net:
        return self.constant(1 - bit.value, 1) if bit.value is not None else self._cell("not", [bit], 1, False, f"n_{bit.name}")

    def net(self, word: Word) -> Net:
        """The net that carries a word."""
        return self._net[word]

    def fit(self, net: Net, width: int) -> Net:
        """An output of `width` unsigned bits."""
        return self._fit(net, width, False)

    # -- words ----------------------------------------------------------------------------------------------------

    def lower(self, outputs: Sequence[Word]) -> list[Net]:
        """Lower the words that the outputs need; returns the outputs' nets."""
        order = topological(outputs)
        for w in order:
            for a in w.args:
                self._uses[a] = self._uses.get(a, 0) + 1
                if w.op in ("wrap", "low") and isinstance(w.attr, int):
                    self._needed[a] = w.attr
        self._needed = {w: n for w, n in self._needed.items() if self._uses[w] == 1}
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
        return self._reg(net, str(w.attr)) if w.attr in self.cuts else net

    def _within(self, w: Word) -> Net:
        return self._fit(self._get(w.args[0]), w.width, w.signed)

    def _low(self, w: Word) -> Net:
        assert isinstance(w.attr, int)
        return self._fit(self._view(self._get(w.args[0]), 0, w.attr), w.width, False)

    def _wrap(self, w: Word) -> Net:
        assert isinstance(w.attr, int)
        return self._view(self._get(w.args[0]), 0, w.attr, True)

    def _logic(self, op: str, w: Word) -> Net:
        return self._cell(op, [self._get(a) for a in w.args], w.width, False, op)

    def _and(self, w: Word) -> Net:
        return self._logic("and", w)

    def _or(self, w: Word) -> Net:
        return self._logic("or", w)

    def _xor(self, w: Word) -> Net:
        return self._logic("xor", w)

    def _lt(self, w: Word) -> Net:
        x, y = w.args
        net = self._get(x)
        if y.constant and y.lo == 0:
            return self._view(net, net.width - 1, 1) if net.signed else self.constant(0, 1)
        return self._cell("lt", [net, self._get(y)], 1, False, "lt")

    def _eq(self, w: Word) -> Net:
        return self._cell("eq", [self._get(a) for a in w.args], 1, False, "eq")

    def _mux(self, w: Word) -> Net:
        c, x, y = map(self._get, w.args)
        return self._cell("select", [c, self._fit(y, w.width, w.signed), self._fit(x, w.width, w.signed)], w.width, w.signed, "sel")

    def _lookup(self, w: Word) -> Net:
        return self._cell("table", [self._get(w.args[0])], w.width, w.signed, "table", w.attr)

    # -- shifts ---------------------------------------------------------------------------------------------------

    def _shl(self, w: Word) -> Net:
        x, n = w.args
        net = self._get(x)
        if n.constant:
            return self._fit(self._shifted(net, n.lo), w.width, w.signed)
        return self._barrel(net, self._get(n), (x.lo, x.hi), n.hi, left=True)

    def _shifted(self, net: Net, by: int) -> Net:
        return self._cell("cat", [self.constant(0, by), net], net.width + by, net.signed, f"{net.name}_x{1 << by}") if by else net

    def _shr(self, w: Word) -> Net:
        x, n = w.args
        net = self._get(x)
        if n.constant:
            return self._view(net, n.lo, w.width, w.signed) if n.lo < net.width else self._sign(net, w)
        return self._fit(self._barrel(net, self._get(n), (x.lo, x.hi), n.hi, left=False), w.width, w.signed)

    def _sign(self, net: Net, w: Word) -> Net:
        return self._fit(self._view(net, net.width - 1, 1, True), w.width, w.signed) if net.signed else self.constant(0, w.width)

    def _barrel(self, net: Net, amount: Net, bounds: tuple[int, int], most: int, left: bool) -> Net:
        """Stages of one 4:1 multiplexer a bit: the low pair of amount bits first, a lone top bit last."""
        (lo, hi), at = bounds, 0
        digits = most.bit_length()
        while at < digits:
            take = min(2, digits - at)
            select = self._view(amount, at, take)
            steps = [j << at for j in range(1 << take)]
            if left:
                reach = min(steps[-1], most)
                lo, hi = min(lo, lo << reach), max(hi, hi << reach)
            width = _width(lo, hi)
            legs = [self._moved(net, s, width, left, lo < 0) for s in steps]
            net = self._cell("select", [select, *legs], width, lo < 0, "shift")
            at += take
        return net

    def _moved(self, net: Net, by: int, width: int, left: bool, signed: bool) -> Net:
        if left:
            return self._fit(self._shifted(net, by), width, signed)
        if by >= net.width:
            return self._fit(self._view(net, net.width - 1, 1, True), width, signed) if net.signed else self.constant(0, width)
        return self._fit(self._view(net, by, net.width - by, net.signed), width, signed)

    # -- sums -----------------------------------------------------------------------------------------------------

    def _mul(self, w: Word) -> Net:
        return self._fit(self._product(*w.args, None), w.width, w.signed)

    def _neg(self, w: Word) -> Net:
        return self._sum([(w, 0)], w)

    def _add(self, w: Word) -> Net:
        return self._sum([(t, 0) for t in w.args], w)

    def _sum(self, terms: list[tuple[Word, int]], w: Word) -> Net:
        """Widest plain addend first; lone bits ride as carries; products come last, over what is there."""
        plain: list[tuple[Net, tuple[int, int]]] = []
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
                    plain.append((self._shifted(net, by), (term.lo << by, term.hi << by)))
            elif term.op == "mul" and not by:
                products.append(term)
            elif term.op == "mul":
                plain.append((self._shifted(self._mul(term), by), (term.lo << by, term.hi << by)))
            else:
                self._negation(term, by, plain, carries)
        plain.sort(key=lambda t: -t[0].width)
        if products and not carries and len(plain) == 1 and len(products) == 1 and self._fusable(plain[0][0], products[0]):
            return self._fit(self._fused(plain[0][0], products[0], w), w.width, w.signed)
        plain += [(self._mul(p), (p.lo, p.hi)) for p in products]
        plain.sort(key=lambda t: -t[0].width)
        return self._chain(plain, carries, w)

    def _negation(self, term: Word, by: int, plain: list[tuple[Net, tuple[int, int]]], carries: list[Net]) -> None:
        """-x is its complement and one more."""
        x, s = term.args
        net = self._net.get(x) or self.lower_one(x)
        net = self._shifted(net, by)
        lo, hi = min(x.lo, ~x.hi) << by, max(x.hi, ~x.lo) << by
        width = _width(min(lo, -1), hi + (1 << by))
        wide = self._fit(net, width, True)
        if s.constant:
            flipped = self._cell("not", [wide], width, True, f"n_{net.name}")
        else:
            sign = self._fit(self._view(self._get(s), 0, 1, True), width, True)
            flipped = self._cell("xor", [wide, sign], width, True, f"{net.name}_s")
        plain.append((flipped, (min(lo, -1), hi + (1 << by))))
        carries.append(self.constant(1, 1) if s.constant else self._get(s))

    def lower_one(self, w: Word) -> Net:
        """Lower a deferred word after all."""
        if w not in self._net:
            for a in w.args:
                self.lower_one(a)
            self._net[w] = getattr(self, f"_{w.op}")(w)
        return self._net[w]

    def _chain(self, plain: list[tuple[Net, tuple[int, int]]], carries: list[Net], w: Word) -> Net:
        if not plain:
            plain = [(carries.pop(), (0, 1))]
        total, (lo, hi) = plain[0]
        rest = plain[1:]
        while rest or carries:
            addend, (alo, ahi) = rest.pop(0) if rest else (self.constant(0, 1), (0, 0))
            carry = carries.pop(0) if carries else self.constant(0, 1)
            lo, hi = lo + alo, hi + ahi + (carry.value != 0)
            if not rest and not carries:
                lo, hi = max(lo, w.lo), min(hi, w.hi)
            width = min(_width(lo, hi), self._needed.get(w, 1 << 30))
            total = self._cell("row", [total, addend, carry], width, lo < 0, "sum")
        return self._fit(total, w.width, w.signed)

    def _fusable(self, base: Net, product: Word) -> bool:
        """A state register over a product that is narrower than it."""
        is_state = self._cycle[base] is None and base.value is None
        x, _ = _factors(product)
        return is_state and base.signed and base.width > product.width and base.width > _signed_width(x)

    def _fused(self, acc: Net, product: Word, w: Word) -> Net:
        """Low part of acc through the product's rows, then one row for its upper part.

        The low n bits enter row 0 as a signed number, that is 2**n too low where their top bit is set: that bit is the
        carry into the upper row.
        """
        n = _signed_width(_factors(product)[0])
        low = self._view(acc, 0, n, True)
        total = self._product(*product.args, (low, (-(1 << (n - 1)), (1 << (n - 1)) - 1)))
        upper = self._view(acc, n, acc.width - n, True)
        carry = self._view(acc, n - 1, 1)
        width = min(_width(w.lo, w.hi), self._needed.get(w, acc.width + 1)) - n
        high = self._view(total, n, total.width - n, True)
        top = self._cell("row", [upper, self._fit(high, min(high.width, width), True), carry], width, True, "acc_high")
        return self._cell("cat", [self._view(total, 0, n), top], n + width, True, "acc_next")

    def _product(self, x: Word, y: Word, base: tuple[Net, tuple[int, int]] | None) -> Net:
        """Radix-4 Booth rows of the wider factor by the digits of the narrower one, over `base`."""
        big, small = _factors_of(x, y)
        many, few = self._signed(big), self._signed(small)
        digits = (few.width + 1) // 2
        total, bounds = base or (self.constant(0, 1), (0, 0))
        lows: list[Net] = []
        shift = 0
        for j in range(digits):
            # the digit is formed where its row is, so that a cut delays the factors and not their multiples
            now = self._cycle[total]
            many, few = (self._at(f, now) if self._cycle[f] is not None else f for f in (many, few))
            window = [self._bit(few, i) for i in (2 * j - 1, 2 * j, 2 * j + 1)]
            d_lo, d_hi = _digit_range(small, j, digits)
            reach = max(-d_lo, d_hi)
            select = self._cell("cat", window, 3, False, f"digit{j}")
            ends = [d * v for d in (d_lo, d_hi) for v in (big.lo, big.hi)]
            digit_width = many.width + (reach > 1)
            digit = self._cell("booth", [many, select], digit_width, True, f"part{j}", reach)
            last = j == digits - 1
            bounds = bounds[0] + min(ends), bounds[1] + max(ends)
            if last:  # the exact total: base + x * y, seen from this row's place
                whole = [big.lo * v for v in (small.lo, small.hi)] + [big.hi * v for v in (small.lo, small.hi)]
                first = base[1] if base else (0, 0)
                bounds = max(bounds[0], (first[0] + min(whole)) >> shift), min(bounds[1], (first[1] + max(whole)) >> shift)
            width = max(_width(min(bounds[0], -1), bounds[1]), 3)
            total = self._cell("row", [total, digit, window[2]], width, True, f"row{j}")
            if not last:
                if f"mul{j + 1}" in self.cuts:
                    total = self._reg(total, f"mul{j + 1}")
                lows.append(self._view(total, 0, 2))
                total = self._view(total, 2, width - 2, True)
                bounds = bounds[0] >> 2, bounds[1] >> 2
                shift += 2
        if not lows:
            return total
        return self._cell("cat", [*lows, total], sum(v.width for v in lows) + total.width, True, "product")

    def _signed(self, w: Word) -> Net:
        net = self._net.get(w) or self.lower_one(w)
        return self._fit(net, _signed_width(w), True)

    def _bit(self, net: Net, index: int) -> Net:
        if index < 0:
            return self.constant(0, 1)
        return self._view(net, min(index, net.width - 1), 1)

    # -- the block ------------------------------------------------------------------------------------------------

    def block(self, outputs: Sequence[tuple[str, Net]], aligned: bool = True) -> Block:
        """The finished netlist; outputs leave at one cycle if `aligned`. Unused cells are dropped."""
        ends = [n for _, n in outputs] + [s.d for s in self.states]
        cycles = [c for n in ends if (c := self._cycle[n]) is not None]
        depth = max(cycles, default=0)
        final = [(name, self._at(n, depth) if aligned else n) for name, n in outputs]
        needed = {n for _, n in final} | {s.d for s in self.states}
        kept: list[Cell] = []
        for cell in reversed(self.cells):
            if cell.out in needed:
                kept.append(cell)
                needed.update(cell.args)
        return Block(self.name, tuple(self.inputs), tuple(final), tuple(self.states), tuple(reversed(kept)), depth)


def _width(lo: int, hi: int) -> int:
    if lo < 0:
        return max((~lo).bit_length(), hi.bit_length()) + 1
    return max(1, hi.bit_length())


def _signed_width(w: Word) -> int:
    return w.width + (not w.signed)


def _factors_of(x: Word, y: Word) -> tuple[Word, Word]:
    """(wider, narrower): the narrower factor is recoded; of equals the second, the weight."""
    return (y, x) if _signed_width(y) > _signed_width(x) else (x, y)


def _factors(product: Word) -> tuple[Word, Word]:
    return _factors_of(*product.args)


def _digit_range(w: Word, j: int, digits: int) -> tuple[int, int]:
    """What Booth digit j of a number in [lo, hi] can be; the top digit sees only what is left of the range."""
    if j < digits - 1:
        return -2, 2
    half = 1 << (2 * j - 1) if j else 0
    return max(-2, (w.lo + half) >> (2 * j)), min(2, (w.hi + half) >> (2 * j))
