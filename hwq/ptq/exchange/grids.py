"""Formats as the integers that other runtimes store: which even grid a format is, and in what container it fits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hwq.errors import HwqError
from hwq.formats import Format

__all__ = ["Grid", "evenly", "span_bits"]

CONTAINERS = (2, 4, 8, 16)


@dataclass(frozen=True)
class Grid:
    """The numbers `low..high` times `2**lsb`, stored as integers of so many bits: a number is `stored - zero`."""

    low: int
    high: int
    lsb: int
    bits: int
    signed: bool
    zero: int

    @property
    def is_full(self) -> bool:
        """True if the container saturates where the format does."""
        return self.high - self.low + 1 == 1 << self.bits

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """The numpy type that stores it, of 8 bits or more."""
        return np.dtype(f"{'i' if self.signed else 'u'}{max(8, self.bits) // 8}")


def span_bits(low: int, high: int) -> int:
    """Bits of a two's complement integer (unsigned from 0 on) that has `low` and `high`."""
    return max(1, high.bit_length()) if low >= 0 else 1 + max(high.bit_length(), (~low).bit_length())


def evenly(fmt: Format, what: str, least: int = 8) -> Grid:
    """The grid of a format whose values are consecutive integers times a power of two, of `least` bits or more.

    Others are refused, as are those of more than 16 bits; `what` names the value.
    """
    low, high = fmt.integer_range
    bits = next((n for n in CONTAINERS if n >= least and high - low < 1 << n), None)
    if fmt.blocked or bits is None or not _is_even(fmt):
        raise HwqError(f"{what} must be integers of at most {CONTAINERS[-1]} bits for this style, not {fmt}")
    half = 1 << (bits - 1)
    signed = low < 0 and -half <= low and high < half
    return Grid(low, high, fmt.lsb, bits, signed, 0 if signed or low >= 0 else -low)


@lru_cache(maxsize=256)
def _is_even(fmt: Format) -> bool:
    low, high = fmt.integer_range
    return len(np.unique(fmt.integers()[fmt.codes()])) == high - low + 1
