"""How C holds a word: its type, its literals, and what a reader of C takes for a node's arguments."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from hwq.bits.word import Word, const, minimum

__all__ = ["arguments", "c_size", "declaration", "limb_list", "literal", "mask", "size_of", "terms", "wrapped"]

_LINE = 110


def _bits(lo: int, hi: int) -> int:
    """Bits of a signed integer that holds [lo, hi]."""
    return 1 + max((~lo if lo < 0 else lo).bit_length(), (~hi if hi < 0 else hi).bit_length())


def size_of(lo: int, hi: int) -> int:
    """Bits of the C type that holds [lo, hi]: 32 and 64 are int32_t and int64_t, a larger multiple of 32 is limbs."""
    bits = _bits(lo, hi)
    return 32 if bits <= 32 else 64 if bits <= 64 else -(-bits // 32) * 32


def c_size(word: Word) -> int:
    """Bits of the word's C type."""
    return size_of(word.lo, word.hi)


def declaration(name: str, word: Word) -> str:
    """The declaration of a variable that holds the word."""
    size = c_size(word)
    return f"int{size}_t {name}" if size <= 64 else f"uint32_t {name}[{size // 32}]"


def wrapped(line: str) -> str:
    """A statement, or a comment's paragraph, on lines of readable length."""
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(line, _LINE, subsequent_indent=f"{indent}    ", break_long_words=False, break_on_hyphens=False)


def literal(value: int, size: int) -> str:
    """A number as a constant of 32 or 64 bits; a negative one wants parentheses."""
    if value == -(1 << (size - 1)):
        return f"INT{size}_MIN"
    if size == 32:
        return str(value)
    return f"INT64_C({value})" if value >= 0 else f"-INT64_C({-value})"


def mask(bits: int) -> str:
    """As many ones, at most 63."""
    return hex((1 << bits) - 1) if bits < 32 else f"INT64_C({hex((1 << bits) - 1)})"


def terms(word: Word) -> list[tuple[bool, Word]]:
    """A sum's terms as (subtracted, word), an added one first where there is one."""
    signed = [(True, a.args[0]) if a.op == "neg" and a.args[1].constant else (False, a) for a in word.args]
    first = next((j for j, (minus, _) in enumerate(signed) if not minus), 0)
    return [signed[first], *signed[:first], *signed[first + 1 :]]


def arguments(word: Word) -> Sequence[Word]:
    """What is computed before a node is; a shift by the whole of a number gives what one by all but its sign gives."""
    if word.op == "add":
        return [x for _, x in terms(word)]
    if word.op == "shr":
        return [word.args[0], minimum(word.args[1], const(c_size(word.args[0]) - 1))]
    return word.args


def limb_list(value: int, n: int) -> str:
    """The elements of an array of limbs."""
    return ", ".join(f"0x{(value >> 32 * j) & 0xFFFFFFFF:08x}" for j in range(n))
