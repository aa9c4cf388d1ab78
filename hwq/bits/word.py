"""Integers whose exact range is known, recorded as a hash-consed graph.

A bit-level text (a format's `unpack`, a Mac's `step`, ...) is written once over `Word`s. Nothing runs while it is
read: operators only record nodes and compute exact ranges. The readers in `ints` (numbers), `source` (compiled
scalar code) and `rows` (hardware) then walk the same graph, so a width is a function of a proved range and never
typed by hand.
The algebra is closed: `OPS` is all that a reader must know.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from weakref import WeakValueDictionary

__all__ = ["OPS", "Word", "const", "lookup", "maximum", "minimum", "mux", "negate_if", "variable"]

OPS = {
    "var": "a named input",
    "const": "a known integer",
    "add": "n-ary sum",
    "mul": "product",
    "neg": "x if not s else -x",
    "shl": "x * 2**n, n >= 0",
    "shr": "floor(x / 2**n), n >= 0",
    "and": "bitwise and of two non-negative words",
    "or": "bitwise or of two non-negative words",
    "xor": "bitwise exclusive or of two non-negative words",
    "excess": "max(0, bits of x - n): how far x >= 0 reaches above its n low bits",
    "lost": "1 if x is no multiple of 2**n, n >= 0",
    "lt": "1 if x < y else 0",
    "eq": "1 if x == y else 0",
    "mux": "x if c else y",
    "low": "the n low bits, read unsigned",
    "wrap": "the n low bits, read as two's complement",
    "lookup": "table[index]",
    "within": "x, claimed to lie in a narrower range; checked in every integer run",
    "stage": "x, after the named pipeline stage",
}


class Word:
    """One node: `lo <= value <= hi`, exactly. Equal nodes are one object, so identity is equality."""

    __slots__ = ("__weakref__", "args", "attr", "hi", "lo", "op")

    op: str
    args: tuple[Word, ...]
    attr: object
    lo: int
    hi: int

    @property
    def width(self) -> int:
        """Bits that hold every value of the range; two's complement if `signed`."""
        if self.lo < 0:
            return max((~self.lo).bit_length(), self.hi.bit_length()) + 1
        return max(1, self.hi.bit_length())

    @property
    def signed(self) -> bool:
        return self.lo < 0

    @property
    def constant(self) -> bool:
        return self.lo == self.hi

    def __repr__(self) -> str:
        return f"<{self.op} {self.attr} [{self.lo}, {self.hi}]>"

    def __add__(self, other: Word | int) -> Word:
        return _add((self, other))

    __radd__ = __add__

    def __sub__(self, other: Word | int) -> Word:
        return _add((self, negate_if(_lift(other), 1)))

    def __rsub__(self, other: Word | int) -> Word:
        return _add((other, negate_if(self, 1)))

    def __neg__(self) -> Word:
        return negate_if(self, 1)

    def __mul__(self, other: Word | int) -> Word:
        other = _lift(other)
        c, x = (self, other) if self.constant else (other, self)
        if c.constant and c.lo in (0, 1):
            return x if c.lo else c
        ends = [x * y for x in (self.lo, self.hi) for y in (other.lo, other.hi)]
        return _node("mul", (self, other), None, min(ends), max(ends))

    __rmul__ = __mul__

    def __lshift__(self, n: Word | int) -> Word:
        n = _amount(n)
        if n.hi == 0:
            return self
        ends = [x << s for x in (self.lo, self.hi) for s in (n.lo, n.hi)]
        return _node("shl", (self, n), None, min(ends), max(ends))

    def __rshift__(self, n: Word | int) -> Word:
        n = _amount(n)
        if n.hi == 0:
            return self
        ends = [x >> s for x in (self.lo, self.hi) for s in (n.lo, n.hi)]
        return _node("shr", (self, n), None, min(ends), max(ends))

    def __and__(self, other: Word | int) -> Word:
        x, y = _bitwise(self, other)
        if x.constant or y.constant:
            c, v = (x, y) if x.constant else (y, x)
            if c.lo == 0 or (c.lo + 1 & c.lo == 0 and v.hi <= c.lo):
                return c if c.lo == 0 else v
        return _node("and", (x, y), None, 0, min(x.hi, y.hi))

    __rand__ = __and__

    def __or__(self, other: Word | int) -> Word:
        return _or_xor("or", self, other)

    __ror__ = __or__

    def __xor__(self, other: Word | int) -> Word:
        return _or_xor("xor", self, other)

    __rxor__ = __xor__

    def __lt__(self, other: Word | int) -> Word:
        other = _lift(other)
        return _node("lt", (self, other), None, int(self.hi < other.lo), int(self.lo < other.hi))

    def __gt__(self, other: Word | int) -> Word:
        return _lift(other) < self

    def __le__(self, other: Word | int) -> Word:
        return self < _lift(other) + 1

    def __ge__(self, other: Word | int) -> Word:
        return _lift(other) < self + 1

    def eq(self, other: Word | int) -> Word:
        """1 if equal, else 0 (a method: `==` stays identity, which hash-consing needs)."""
        other = _lift(other)
        if self is other:
            return const(1)
        possible = int(self.lo <= other.hi and other.lo <= self.hi)
        return _node("eq", (self, other), None, possible * (self.constant and other.constant), possible)

    def low(self, n: int) -> Word:
        """The `n` low bits, as a non-negative number."""
        if self.lo >= 0 and self.hi < 1 << n:
            return self
        return _node("low", (self,), n, 0, (1 << n) - 1)

    def wrap(self, n: int) -> Word:
        """The `n` low bits, as two's complement: overflow as a written decision."""
        if -(1 << (n - 1)) <= self.lo and self.hi < 1 << (n - 1):
            return self
        return _node("wrap", (self,), n, -(1 << (n - 1)), (1 << (n - 1)) - 1)

    def excess(self, n: int) -> Word:
        """How far a non-negative number reaches above its `n` low bits: by that many places it is shifted to fit."""
        assert self.lo >= 0, f"excess takes non-negative words: {self}"
        ends = [max(0, x.bit_length() - n) for x in (self.lo, self.hi)]
        return _node("excess", (self,), n, *ends)

    def lost(self, n: Word | int) -> Word:
        """1 if a shift down by `n` loses a one, else 0."""
        n = _amount(n)
        if n.hi == 0:
            return const(0)
        return _node("lost", (self, n), None, 0, int(self.lo != 0 or self.hi != 0))

    def clamp(self, lo: int, hi: int) -> Word:
        """Saturate to [lo, hi]."""
        return minimum(maximum(self, lo), hi)

    def within(self, lo: int, hi: int) -> Word:
        """Claim a narrower range than the algebra can prove. The integer reader checks every claim."""
        if lo <= self.lo and self.hi <= hi:
            return self
        return _node("within", (self,), None, max(lo, self.lo), min(hi, self.hi))

    def stage(self, name: str) -> Word:
        """The value as it stands after pipeline stage `name`; a constant needs no register."""
        return self if self.constant else _node("stage", (self,), name, self.lo, self.hi)


_nodes: WeakValueDictionary[tuple[object, ...], Word] = WeakValueDictionary()


def _node(op: str, args: tuple[Word, ...], attr: object, lo: int, hi: int) -> Word:
    if lo == hi and op not in ("const", "var"):
        return const(lo)
    key = (op, tuple(map(id, args)), attr, lo, hi)
    word = _nodes.get(key)
    if word is None:
        word = object.__new__(Word)
        word.op, word.args, word.attr, word.lo, word.hi = op, args, attr, lo, hi
        _nodes[key] = word
    return word


def const(value: int) -> Word:
    """A known integer."""
    return _node("const", (), int(value), int(value), int(value))


def variable(name: str, lo: int, hi: int) -> Word:
    """An input of the text, `lo <= name <= hi`."""
    assert lo <= hi, f"lo <= hi must hold for {name!r}, not {lo} > {hi}"
    return const(lo) if lo == hi else _node("var", (), name, lo, hi)


def _lift(x: Word | int) -> Word:
    return x if isinstance(x, Word) else const(x)


def _amount(n: Word | int) -> Word:
    n = _lift(n)
    assert n.lo >= 0, f"a shift amount may not be negative: {n}"
    return n


def _bitwise(x: Word, y: Word | int) -> tuple[Word, Word]:
    y = _lift(y)
    assert x.lo >= 0 and y.lo >= 0, f"bitwise operators take non-negative words: {x}, {y}"
    return x, y


def _or_xor(op: str, x: Word, y: Word | int) -> Word:
    x, y = _bitwise(x, y)
    if x.hi == 0 or y.hi == 0:
        return y if x.hi == 0 else x
    return _node(op, (x, y), None, 0, (1 << max(x.hi.bit_length(), y.hi.bit_length())) - 1)


def _add(terms: Iterable[Word | int]) -> Word:
    """n-ary: a sum of sums is one sum, and its constants are one constant."""
    flat: list[Word] = []
    total = 0
    for term in map(_lift, terms):
        for t in term.args if term.op == "add" else (term,):
            if t.constant:
                total += t.lo
            else:
                flat.append(t)
    if total or not flat:
        flat.append(const(total))
    if len(flat) == 1:
        return flat[0]
    return _node("add", tuple(flat), None, sum(t.lo for t in flat), sum(t.hi for t in flat))


def negate_if(x: Word, s: Word | int) -> Word:
    """`-x` where `s` is 1, else `x`. Undoing it with the same `s` gives `x` back, so a signed significand is free."""
    s = _lift(s)
    if s.constant and s.lo == 0 or x.constant and x.lo == 0:
        return x
    inner = x.args[0] if x.op == "within" else x
    if inner.op == "neg" and inner.args[1] is s:
        return inner.args[0]
    ends = [-x.lo, -x.hi] if s.constant else [-x.lo, -x.hi, x.lo, x.hi]
    return _node("neg", (x, s), None, min(ends), max(ends))


def mux(c: Word, x: Word | int, y: Word | int) -> Word:
    """`x` where `c` is 1, else `y`."""
    x, y = _lift(x), _lift(y)
    if c.constant:
        return x if c.lo else y
    if x is y:
        return x
    return _node("mux", (c, x, y), None, min(x.lo, y.lo), max(x.hi, y.hi))


def maximum(x: Word, y: Word | int) -> Word:
    y = _lift(y)
    if x.lo >= y.hi or y.lo >= x.hi:
        return x if x.lo >= y.hi else y
    return _node("mux", (x < y, y, x), None, max(x.lo, y.lo), max(x.hi, y.hi))


def minimum(x: Word, y: Word | int) -> Word:
    y = _lift(y)
    if x.hi <= y.lo or y.hi <= x.lo:
        return x if x.hi <= y.lo else y
    return _node("mux", (y < x, y, x), None, min(x.lo, y.lo), min(x.hi, y.hi))


def lookup(index: Word, table: Sequence[int]) -> Word:
    """`table[index]`; the index must not leave the table."""
    table = tuple(map(int, table))
    assert index.lo >= 0 and index.hi < len(table), f"index {index} leaves a table of {len(table)}"
    inner = index.args[0] if index.op == "within" else index
    if inner.op == "lookup" and isinstance(inner.attr, tuple) and inner.hi < len(table):
        return lookup(inner.args[0], [table[at] for at in inner.attr])  # a table of a table is a table
    return _node("lookup", (index,), table, min(table), max(table))
