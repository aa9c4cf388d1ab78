"""What a model takes and gives: codes of known width, as C passes them and as SystemVerilog does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property

from hwq.bits import Word, variable
from hwq.bits.cwords import c_size, declaration
from hwq.datapath import Datapath
from hwq.datapath.accumulators import Align
from hwq.datapath.names import top_name
from hwq.datapath.operand import operands
from hwq.datapath.steps import SEED, Term, parameters, product
from hwq.formats import Format

__all__ = ["Model", "Port", "described", "moving", "named"]

_MEANING = {
    "bias": "of the channel's bias: {acc}",
    "mul": "m of the channel's scale m * 2**-s, its top bit set",
    "shift": "s of the channel's scale m * 2**-s",
    SEED: "the state of the channel's noise, not 0; every result replaces it by the next one's",
}


@dataclass(frozen=True)
class Port:
    """A code of `bits` bits: an unsigned integer of C to 64 bits, else 32-bit limbs, the least significant first.

    A `carried` one is replaced by what the channel's next result takes.
    """

    name: str
    bits: int
    meaning: str
    carried: bool = False

    @property
    def limbs(self) -> int:
        """Elements of the array that passes the code, 0 where it is a plain integer."""
        return -(-self.bits // 32) if self.bits > 64 else 0

    @property
    def words(self) -> int:
        """32-bit words of the code."""
        return -(-self.bits // 32)

    @property
    def c_type(self) -> str:
        return f"uint{next((n for n in (8, 16, 32, 64) if self.bits <= n), 32) if not self.limbs else 32}_t"

    @property
    def argument(self) -> str:
        """The declaration of the code as an argument."""
        if self.carried:
            return f"{self.c_type} *{self.name}"
        return f"const uint32_t {self.name}[{self.limbs}]" if self.limbs else f"{self.c_type} {self.name}"

    @property
    def result(self) -> str:
        """The declaration of the argument that the code is written to."""
        return f"uint32_t {self.name}[{self.limbs}]" if self.limbs else f"{self.c_type} *{self.name}"

    @property
    def variable(self) -> str:
        """The declaration of a variable that holds the code."""
        return f"{self.c_type} {self.name}[{self.limbs}]" if self.limbs else f"{self.c_type} {self.name}"

    @property
    def array(self) -> str:
        """The declaration of an array of them as an argument."""
        return f"{'' if self.carried else 'const '}{self.c_type} *{self.name}"

    @property
    def address(self) -> str:
        """The variable as the place of a result."""
        return self.name if self.limbs else f"&{self.name}"

    @property
    def given(self) -> str:
        """The variable as an argument."""
        return self.address if self.carried else self.name

    def element(self, index: str) -> str:
        """The code at that index of an array of them."""
        if self.limbs:
            return f"{self.name} + {self.limbs} * ({index})"
        if self.carried:
            return f"{self.name} + {index}"
        return f"{self.name}[{index}]"

    def masked(self, text: str) -> str:
        """An integer of the port's type without the bits that no code has."""
        if self.bits in (8, 16, 32, 64):
            return text
        suffix = "u" if self.bits <= 32 else "ull"
        return f"({text} & {hex((1 << self.bits) - 1)}{suffix})"

    def loaded(self, word: Word) -> tuple[list[str], str]:
        """Statements that bring the code into the C type of its word, and the expression that they leave."""
        size = c_size(word)
        if size <= 64:
            return [], f"(int{size}_t){self.masked(f'*{self.name}' if self.carried else self.name)}"
        name = f"{self.name}_limbs"
        if not self.limbs:
            halves = f"(uint32_t)({self.name} & 0xffffffffu), (uint32_t)({self.name} >> 32), 0"
            return [f"    const {declaration(name, word)} = {{{halves}}};"], name
        lines = [f"    {declaration(name, word)};", f"    memcpy({name}, {self.name}, {4 * self.limbs});"]
        if self.bits % 32:
            lines.append(f"    {name}[{self.limbs - 1}] &= {hex((1 << self.bits % 32) - 1)}u;")
        lines += [f"    {name}[{j}] = 0;" for j in range(self.limbs, size // 32)]
        return lines, name

    def stored(self, word: Word) -> str:
        """The statement that writes `code`, a variable of the word's C type, to the result."""
        if self.limbs:
            return f"    memcpy({self.name}, code, {4 * self.limbs});"
        return f"    *{self.name} = {f'({self.c_type})code' if c_size(word) <= 64 else 'wide_bits(code)'};"


@dataclass(frozen=True)
class Model:
    """A datapath and the names and ports of its reference model."""

    dp: Datapath

    @property
    def top(self) -> str:
        return top_name(self.dp)

    @property
    def operands(self) -> tuple[Port, Port]:
        mac = self.dp.mac
        return Port("a", mac.a.bits, described(mac.a)), Port("w", mac.w.bits, described(mac.w))

    @property
    def params(self) -> tuple[Port, ...]:
        """The run-time parameters of one output channel."""
        acc = described(self.dp.mac.acc_format)
        words = parameters(self.dp.mac)
        bits = {name: word.hi.bit_length() for name, word in words.items()}
        return tuple(Port(name, n, _MEANING[name].format(acc=acc), name == SEED) for name, n in bits.items())

    @property
    def out(self) -> Port:
        return Port("out", self.dp.mac.output.bits, described(self.dp.mac.output))

    def macro(self, name: str) -> str:
        """The name of a constant of the header."""
        return f"{self.top.upper()}_{name}"

    @property
    def lanes(self) -> int:
        """Products that one step of the accumulator takes side by side."""
        acc = self.dp.mac.acc
        return acc.lanes if isinstance(acc, Align) else 1

    @cached_property
    def term(self) -> dict[str, Word]:
        """The fields of one product."""
        mac = self.dp.mac
        a, w = (named(prefix, operand.fields) for prefix, operand in zip("aw", operands(mac), strict=True))
        found = product(mac, a, w)
        return {field.name: getattr(found, field.name) for field in fields(Term)}


def moving(words: Mapping[str, Word]) -> dict[str, Word]:
    """What varies, and has a place in a struct."""
    return {name: word for name, word in words.items() if not word.constant}


def named(prefix: str, words: Mapping[str, Word]) -> dict[str, Word]:
    """The words as inputs of a text."""
    return {name: variable(f"{prefix}_{name}", word.lo, word.hi) for name, word in words.items()}


def described(fmt: Format) -> str:
    """A format's name and parameters."""
    name, text = str(fmt), fmt.text
    return name if name == text else f"{name} = {text}"
