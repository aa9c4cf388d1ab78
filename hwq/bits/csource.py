"""Reader of C: prints a recorded text as the statements of a C99 function, for people and for any compiler.

Each node is computed in the narrowest of int32_t, int64_t and limbs (see `cwide`) that its proved range needs, so that
no operation overflows; what C99 leaves to the compiler for negative numbers (shifts) is written without it. Results
equal `ints.evaluate`, which the tests check.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hwq.bits.cwords import arguments, c_size, declaration, limb_list, literal, mask, size_of, terms, wrapped
from hwq.bits.ints import topological
from hwq.bits.word import Word

__all__ = ["Body"]

_INLINE = 44  # characters up to which an expression that is used once stands inside its user's
_LIMBS = 96  # bits of the least array of limbs
_OPERATOR = {"mul": "*", "and": "&", "or": "|", "xor": "^", "lt": "<", "eq": "=="}
_ARITHMETIC = ("mul", "shl", "mux", "add", "neg", "lookup")  # compilers suspect these in a condition
_PLACE = re.compile(r"[\w.]+")  # a variable or a member: it needs no other name


@dataclass(frozen=True)
class _Value:
    """A node's C expression: of 32 or 64 bits, or a pointer to `size / 32` limbs."""

    text: str
    size: int
    whole: bool = True  # stands as an operand without parentheses

    @property
    def operand(self) -> str:
        return self.text if self.whole else f"({self.text})"


class Body:
    """The statements of a function that computes `outputs`; `inputs` gives each variable's C expression.

    `assign` ends it. `functions` are the names of what it calls, for `cwide.library`.
    """

    def __init__(self, outputs: Sequence[Word], inputs: Mapping[str, str]) -> None:
        self.lines: list[str] = []
        self.functions: set[str] = set()
        self._inputs = inputs
        self._values: dict[Word, _Value] = {}
        self._wider: dict[tuple[Word, int], str] = {}
        self._count = 0
        order = topological(outputs, arguments)
        self._uses = Counter(outputs) + Counter(a for w in order for a in arguments(w))
        for word in order:
            self._values[word] = self._named(word, self._render(word))

    def assign(self, target: str, word: Word) -> None:
        """Store an output in a variable of its C type."""
        value = self._values[word]
        size = c_size(word)
        if size <= 64:
            self._line(f"{target} = {value.text};")
        else:
            self._line(f"memcpy({target}, {self._limbs(word, size // 32)}, {size // 8});")

    def _line(self, text: str) -> None:
        self.lines.append(wrapped(f"    {text}"))

    def _name(self) -> str:
        self._count += 1
        return f"t{self._count}"

    def _call(self, function: str, *given: object) -> str:
        self.functions.add(function)
        return f"{function}({', '.join(map(str, given))})"

    def _named(self, word: Word, value: _Value) -> _Value:
        """The value by a name of its own, if it is used often or long."""
        free = value.size > 64 or _PLACE.fullmatch(value.text) or word.constant
        if free or (self._uses[word] == 1 and len(value.text) <= _INLINE):
            return value
        name = self._name()
        width = f"{'s' if word.signed else 'u'}{word.width}"
        self._line(f"const {declaration(name, word)} = {value.text}; /* {width} */")
        return _Value(name, value.size)

    def _render(self, word: Word) -> _Value:
        if word.op == "const":
            size = c_size(word)
            return _Value(literal(word.lo, size) if size <= 64 else "", size, word.lo >= 0)
        if word.op == "var":
            return _Value(self._inputs[str(word.attr)], c_size(word))
        if word.op in ("within", "stage"):
            return self._fitted(word, self._values[word.args[0]])
        if word.op in ("lookup", "mux"):
            return self._lookup(word) if word.op == "lookup" else self._mux(word)
        size = max(c_size(word), *map(c_size, arguments(word)), self._between(word))
        return self._scalar(word, size) if size <= 64 else self._wide(word)

    def _between(self, word: Word) -> int:
        """Bits of what occurs on the way to a node: the partial sums, the factor that stands for a shift."""
        if word.op == "shl" and word.args[0].signed:
            return size_of(0, 1 << word.args[1].hi)
        lo = hi = most = 0
        for minus, x in terms(word) if word.op == "add" else ():
            lo, hi = (lo - x.hi, hi - x.lo) if minus else (lo + x.lo, hi + x.hi)
            most = max(most, size_of(lo, hi))
        return most

    def _fitted(self, word: Word, value: _Value) -> _Value:
        """A value that is known to be in the word's range, in the word's type."""
        size = c_size(word)
        if value.size > 64 >= size:
            value = _Value(self._call("wide_get", value.text), 64)
        if size == 32 < value.size:
            return _Value(f"(int32_t){value.operand}", 32)
        return value

    # operations in one machine integer

    def _operands(self, words: Sequence[Word], size: int) -> list[str]:
        """The operands of an operation in that size: the first is cast to it, and C converts the others."""
        first, *rest = words
        value = self._values[first]
        if first.constant and size == 64:
            text = f"({literal(first.lo, 64)})"
        else:
            text = f"(int64_t){value.operand}" if value.size < size else value.operand
        return [text, *(self._values[w].operand for w in rest)]

    def _scalar(self, w: Word, size: int) -> _Value:
        operation = getattr(self, f"_{w.op}", self._binary)
        return self._fitted(w, operation(w, size))

    def _binary(self, w: Word, size: int) -> _Value:
        if w.op in ("lt", "eq"):
            x, y = (self._values[a].operand for a in w.args)
            return _Value(f"{x} {_OPERATOR[w.op]} {y}", 32, False)
        x, y = self._operands(w.args, size)
        return _Value(f"{x} {_OPERATOR[w.op]} {y}", size, False)

    def _add(self, w: Word, size: int) -> _Value:
        (minus, first), *rest = terms(w)
        text = ("-" if minus else "") + self._operands([first], size)[0]
        for minus, x in rest:
            if x.constant and x.lo < 0 and c_size(-x) == c_size(x):
                minus, x_text = not minus, literal(-x.lo, c_size(x))
            else:
                x_text = self._values[x].operand
            text += f" {'-' if minus else '+'} {x_text}"
        return _Value(text, size, False)

    def _neg(self, w: Word, size: int) -> _Value:
        x, s = w.args
        (text,) = self._operands([x], size)
        if s.constant:
            return _Value(f"-{text}", size, False)
        return _Value(f"{self._condition(s)} ? -{text} : {text}", size, False)

    def _shl(self, w: Word, size: int) -> _Value:
        x, n = w.args
        text, by = self._operands(w.args, size)
        if not x.signed:
            return _Value(f"{text} << {by}", size, False)
        if n.constant:
            return _Value(f"{text} * {literal(1 << n.lo, size_of(0, 1 << n.lo))}", size, False)
        return _Value(f"{text} * ((int{size}_t)1 << {by})", size, False)

    def _shr(self, w: Word, size: int) -> _Value:
        x, n = (self._values[a] for a in arguments(w))
        if w.args[0].signed:
            return _Value(self._call(f"floor{x.size}", x.text, n.text), x.size)
        return _Value(f"{x.operand} >> {n.operand}", x.size, False)

    def _excess(self, w: Word, size: int) -> _Value:
        return _Value(self._call("excess64", self._values[w.args[0]].text, w.attr), 32)

    def _lost(self, w: Word, size: int) -> _Value:
        return _Value(self._call("lost64", *(self._values[a].text for a in w.args)), 32)

    def _low(self, w: Word, size: int) -> _Value:
        assert isinstance(w.attr, int)
        return _Value(f"{self._operands(w.args, size)[0]} & {mask(w.attr)}", size, False)

    def _wrap(self, w: Word, size: int) -> _Value:
        assert isinstance(w.attr, int)
        half = literal(1 << (w.attr - 1), size_of(0, 1 << (w.attr - 1)))
        text = f"(({self._operands(w.args, size)[0]} & {mask(w.attr)}) ^ {half}) - {half}"
        return _Value(text, size, False)

    def _condition(self, word: Word) -> str:
        value = self._values[word]
        suspect = word.op in _ARITHMETIC and not _PLACE.fullmatch(value.text)
        return f"{value.operand} != 0" if suspect else value.operand

    def _mux(self, w: Word) -> _Value:
        c, x, y = w.args
        size = max(map(c_size, (w, x, y)))
        if size > 64:
            limbs = max(c_size(w), _LIMBS) // 32
            name = self._name()
            x_text, y_text = self._limbs(x, limbs), self._limbs(y, limbs)
            self._line(f"const uint32_t *const {name} = {self._condition(c)} ? {x_text} : {y_text};")
            return self._fitted(w, _Value(name, 32 * limbs))
        x_text, y_text = (v.operand if " ? " in v.text else v.text for v in (self._values[x], self._values[y]))
        return self._fitted(w, _Value(f"{self._condition(c)} ? {x_text} : {y_text}", size, False))

    def _lookup(self, w: Word) -> _Value:
        assert isinstance(w.attr, tuple)
        size, name = c_size(w), f"table{self._name()[1:]}"
        if size <= 64:
            self._line(f"static const int{size}_t {name}[] = {{{', '.join(literal(v, size) for v in w.attr)}}};")
        else:
            rows = ", ".join(f"{{{limb_list(v, size // 32)}}}" for v in w.attr)
            self._line(f"static const uint32_t {name}[][{size // 32}] = {{{rows}}};")
        return _Value(f"{name}[{self._values[w.args[0]].text}]", size)

    # operations on limbs

    def _limbs(self, word: Word, n: int) -> str:
        """A pointer to at least `n` limbs of the word."""
        value = self._values[word]
        if value.size >= max(_LIMBS, 32 * n) and not word.constant:
            return value.text
        if (word, n) not in self._wider:
            self._wider[word, n] = name = self._name()
            if word.constant:
                self._line(f"static const uint32_t {name}[] = {{{limb_list(word.lo, n)}}};")
            elif value.size <= 64:
                self._line(f"uint32_t {name}[{n}];")
                self._line(f"{self._call('wide_set', name, value.text, n)};")
            else:
                self._line(f"uint32_t {name}[{n}];")
                self._line(f"{self._call('wide_extend', name, value.text, value.size // 32, n)};")
        return self._wider[word, n]

    def _let(self, function: str, n: int, *given: object) -> str:
        name = self._name()
        self._line(f"uint32_t {name}[{n}];")
        self._line(f"{self._call(function, name, *given, n)};")
        return name

    def _wide(self, w: Word) -> _Value:
        """An operation modulo as many limbs as the result needs, but all of an argument's where the high ones count."""
        if w.op in ("lt", "eq"):
            n = max(map(c_size, w.args)) // 32
            return _Value(self._call(f"wide_{w.op}", *(self._limbs(a, n) for a in w.args), n), 32)
        if w.op in ("excess", "lost"):
            n = max(_LIMBS, c_size(w.args[0])) // 32
            by = w.attr if w.op == "excess" else self._values[w.args[1]].text
            return _Value(self._call(f"wide_{w.op}", self._limbs(w.args[0], n), by, n), 32)
        n = max(_LIMBS, c_size(w), c_size(w.args[0]) if w.op in ("shr", "wrap", "low") else 0) // 32
        if w.op == "add":
            name = self._wide_sum(w, n)
        elif w.op in ("mul", "and", "or", "xor"):
            name = self._let(f"wide_{w.op}", n, *(self._limbs(a, n) for a in w.args))
        elif w.op == "neg":
            name = self._let("wide_negate_if", n, self._limbs(w.args[0], n), self._values[w.args[1]].text)
        elif w.op in ("shl", "shr"):
            function = "wide_shl" if w.op == "shl" else "wide_floor"
            name = self._let(function, n, self._limbs(w.args[0], n), self._values[arguments(w)[1]].text)
        else:
            name = self._let("wide_low", n, self._limbs(w.args[0], n), w.attr, int(w.op == "wrap"))
        return self._fitted(w, _Value(name, 32 * n))

    def _wide_sum(self, w: Word, n: int) -> str:
        (minus, first), *rest = terms(w)
        total = self._limbs(first, n)
        if minus:
            total = self._let("wide_negate_if", n, total, 1)
        for minus, x in rest:
            total = self._let("wide_sub" if minus else "wide_add", n, total, self._limbs(x, n))
        return total
