"""What a number format is: a specification on rationals, and two texts on integers of known range."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from functools import lru_cache, wraps
from typing import Any

import numpy as np

from hwq.bits import Word, const, evaluate, negate_if, variable
from hwq.errors import HwqError
from hwq.formats.fields import whole
from hwq.formats.rounding import Rounding

__all__ = ["Format", "Special", "Unpacked"]


class Special(Enum):
    """A code that is no number."""

    NAN = "nan"
    PINF = "+inf"
    NINF = "-inf"


@dataclass(frozen=True)
class Unpacked:
    """A number as the datapath sees it: `(-1)**neg * mag * 2**(exp + lsb)` with flags beside it.

    `lsb` belongs to whoever holds the record (the format, or the accumulator's grid). `nan` and `inf` are the
    constant 0 where they cannot occur, and their logic disappears with them. `normal` says that `mag` has its top bit
    set wherever `exp` > 0, which spares the rounder a search for the leading one.
    """

    neg: Word
    mag: Word
    exp: Word
    nan: Word
    inf: Word
    normal: bool = False

    @property
    def sig(self) -> Word:
        """The signed significand."""
        return negate_if(self.mag, self.neg)

    @property
    def fixed(self) -> Word:
        """The number as one signed integer in units of `2**lsb` (the integer embedding)."""
        return self.sig << self.exp

    @classmethod
    def of(cls, x: Word, exp: Word | int = 0, nan: Word | int = 0, inf: Word | int = 0) -> Unpacked:
        """A signed integer `x * 2**exp`, taken apart."""
        neg = x < 0
        mag = negate_if(x, neg).within(0, max(x.hi, -x.lo))
        exp, nan, inf = (w if isinstance(w, Word) else const(w) for w in (exp, nan, inf))
        return cls(neg, mag, exp, nan, inf)


class Format(ABC):
    """A set of codes, what each means, and how numbers come to be codes.

    A family is a frozen dataclass that states `bits`, `lsb`, `value`, `unpack`, `pack` and its text. Everything else
    follows from those. A code is an unsigned bit pattern, `0 <= code < 2**bits`.
    """

    @property
    @abstractmethod
    def bits(self) -> int:
        """Stored bits of one code."""

    @property
    @abstractmethod
    def lsb(self) -> int:
        """Every finite value is an integer multiple of `2**lsb`."""

    @abstractmethod
    def value(self, code: int) -> Fraction | Special:
        """The specification: what `code` means, exactly, without bit tricks. Refuses a reserved code."""

    @abstractmethod
    def unpack(self, code: Word) -> Unpacked:
        """The circuit of a decoder."""

    @abstractmethod
    def pack(self, x: Unpacked, lsb: int, rounding: Rounding) -> Word:
        """The circuit of a rounder: the code nearest to `x` (in units of `2**lsb`) under `rounding`."""

    def decoded(self, code: Word, carrier: Format) -> Word:
        """The text of the carrier's code of the number that `code` stands for."""
        return carrier.pack(self.unpack(code), self.lsb, "rne")

    @property
    @abstractmethod
    def text(self) -> str:
        """The parametric text, such as `fp(4,3,nan)`."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in ("value", "reserved", "negative_zero"):
            if name in cls.__dict__:
                setattr(cls, name, _of_whole_codes(cls.__dict__[name]))

    has_nan: bool = False
    has_inf: bool = False
    overflow: str = "sat"  # what a finite number beyond the largest becomes: "sat" the largest, "nan", "inf", or "wrap"
    ties_by_rank: bool = False  # a tie goes to the value of even rank (the least is 0), not to the even multiple
    uneven: bool = False  # values at no regular steps, between which stochastic rounding would take a division
    blocked: bool = False  # numbers share scales, so that none is rounded alone: `pack` is refused
    block: int = 1  # numbers, consecutive along the last axis, that are encoded together

    def reserved(self, code: int) -> bool:
        """True for a bit pattern that no value has."""
        return False

    def valid(self, code: Word) -> Word:
        """The circuit of "not reserved", which formats of more than 16 bits need for their arrays."""
        return const(1)

    def negative_zero(self, code: int) -> bool:
        """True for the code of -0, which `value` cannot tell from 0."""
        return False

    def subnormal(self, on: bool) -> Format:
        """The same format with or without subnormals; itself where that changes nothing. Refused where it cannot be."""
        return self

    def __str__(self) -> str:
        from hwq.formats.catalog import catalog

        return catalog.name_of(self) or self.text

    def codes(self) -> np.ndarray[Any, Any]:
        """All valid codes, ascending, as the format's code dtype. Formats to 16 bits only."""
        if self.bits > 16:
            raise HwqError(f"codes() enumerates formats to 16 bits, not {self} with {self.bits}")
        return np.array([c for c in range(1 << self.bits) if not self.reserved(c)], dtype=self.code_dtype)

    @property
    def code_dtype(self) -> np.dtype[Any]:
        """The smallest unsigned numpy dtype that holds a code."""
        for dtype in (np.uint8, np.uint16, np.uint32, np.uint64):
            if self.bits <= np.dtype(dtype).itemsize * 8:
                return np.dtype(dtype)
        raise HwqError(f"a code must fit 64 bits to be stored, not {self.bits} for {self}")

    @property
    def code_word(self) -> Word:
        """An input that carries a code."""
        return variable("code", 0, (1 << self.bits) - 1)

    @property
    def max(self) -> float:
        """The largest finite value."""
        return _as_float(self, self.extremes[1])

    @property
    def min(self) -> float:
        """The least finite value."""
        return _as_float(self, self.extremes[0])

    @property
    def span(self) -> tuple[float, float]:
        """(least, largest) number to which a scale outside of the format brings others: its ends, unless blocked."""
        return self.min, self.max

    @property
    def extremes(self) -> tuple[Fraction, Fraction]:
        """(least, largest) finite value, exactly."""
        return _extremes(self)

    @property
    def least_positive(self) -> Fraction:
        """The smallest positive value, exactly."""
        return _least_positive(self)

    @property
    def integer_range(self) -> tuple[int, int]:
        """(least, largest) finite value in units of `2**lsb`: the range of the integer embedding."""
        lo, hi = self.extremes
        unit = Fraction(2) ** self.lsb
        return int(lo / unit), int(hi / unit)

    def integers(self) -> np.ndarray[Any, Any]:
        """`value / 2**lsb` of every code as int64 (0 where the code is special or reserved), index = code."""
        return _integers(self)

    def encode(self, x: Any, rounding: str = "rne", seed: int = 1) -> Any:
        """The code of each element of `x` (numpy or torch, any shape), rounded once. NaN gives nan, or 0 without it.

        `rounding` "sr" takes a word of noise for each element in C order, from `seed`: see `hwq.formats.rounding`.
        """
        from hwq.formats.arrays import encode

        return encode(self, x, rounding, seed)

    def shared(self, x: Any) -> Any:
        """What the code of each element of `x` shares with those of its block, as `encode` chooses it; 0 if nothing."""
        from hwq.formats.intake import like

        return like(np.zeros(np.shape(x), dtype=np.uint8), x)

    def encode_under(self, x: Any, shared: Any) -> Any:
        """The code of each element of `x` alone, where what its block shares is given: `encode(x)` if nothing is."""
        return self.encode(x)

    def decode(self, codes: Any) -> Any:
        """The value of each code: float32 where it holds every value of the format, else float64.

        A format of more than 53 significant bits is rounded to float64, once.
        """
        from hwq.formats.arrays import decode

        return decode(self, codes)

    def quantize(self, x: Any, rounding: str = "rne", seed: int = 1) -> Any:
        """`decode(encode(x))` in `x`'s own dtype, rounded once. A dtype too narrow for the format is refused."""
        from hwq.formats.arrays import quantize

        return quantize(self, x, rounding, seed)


def _as_float(fmt: Format, number: Fraction) -> float:
    try:
        near = float(number)
    except OverflowError:
        near = 0.0
    if not near and number:
        raise HwqError(f"float64 does not reach to the ends of {fmt}; use extremes, which are exact")
    return near


def _of_whole_codes(method: Callable[[Any, int], Any]) -> Callable[[Any, int], Any]:
    """The method on Python's integers, whose arithmetic does not wrap, whatever kind of whole number it is given."""

    @wraps(method)
    def call(self: Any, code: int) -> Any:
        return method(self, whole("a code", code))

    return call


@lru_cache(maxsize=65536)
def _extremes(fmt: Format) -> tuple[Fraction, Fraction]:
    out = fmt.unpack(fmt.code_word)
    if fmt.bits <= 16:
        found = [v for c in fmt.codes().tolist() if isinstance(v := fmt.value(c), Fraction)]
        return min(found), max(found)
    # wide formats: the ends of a monotone code range, on both signs
    top = 1 << (fmt.bits - 1)
    ends = [v for c in (0, top - 1, top, 2 * top - 1) if isinstance(v := fmt.value(c), Fraction)]
    codes = [fmt.pack(Unpacked.of(const(s), const(out.exp.hi + out.mag.width)), fmt.lsb, "rtz").lo for s in (-1, 1)]
    ends += [v for c in codes if isinstance(v := fmt.value(c), Fraction)]
    return min(ends), max(ends)


@lru_cache(maxsize=65536)
def _least_positive(fmt: Format) -> Fraction:
    if fmt.bits > 16:
        # every value is a multiple of the last place: rounded up, one last place is the first of them
        (code,) = evaluate([fmt.pack(Unpacked.of(const(1)), fmt.lsb, "rup")], {})
        found = [fmt.value(int(code))]
    else:
        codes = fmt.codes()
        u = fmt.unpack(fmt.code_word)
        neg, mag, exp = evaluate([u.neg, u.mag, u.exp], {"code": codes.astype(np.int64)})
        size = np.ldexp(np.asarray(mag, dtype=np.float64), np.asarray(exp, dtype=np.int64) - u.exp.hi // 2)
        first = np.where((size > 0) & (np.asarray(neg) == 0), size, np.inf)
        found = [fmt.value(int(codes[np.argmin(np.broadcast_to(first, codes.shape))]))]
    if not isinstance(found[0], Fraction) or found[0] <= 0:
        raise HwqError(f"{fmt} has no positive value; its ends are {fmt.extremes[0]} and {fmt.extremes[1]}")
    return found[0]


@lru_cache(maxsize=128)  # of up to half a megabyte each
def _integers(fmt: Format) -> np.ndarray[Any, Any]:
    if fmt.bits > 16:
        raise HwqError(f"a table of values needs a format to 16 bits, not {fmt} with {fmt.bits}")
    code = fmt.code_word
    u = fmt.unpack(code)
    valid = fmt.codes().astype(np.int64)
    sig, exp, nan, inf = evaluate([u.sig, u.exp, u.nan, u.inf], {"code": valid})
    finite = 1 - np.maximum(nan, inf)
    table = np.zeros(1 << fmt.bits, dtype=np.int64)
    wide = np.broadcast_to(np.asarray(sig * finite, dtype=object) << np.asarray(exp, dtype=object), valid.shape)
    if any(abs(int(v)) >= 1 << 62 for v in wide):
        raise HwqError(f"{fmt} has values beyond 62 bits of 2**{fmt.lsb}; use its unpacked form")
    table[valid] = wide.astype(np.int64)
    table.setflags(write=False)
    return table
