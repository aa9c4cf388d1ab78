"""Which machine arithmetic computes a dot product exactly: chosen by proof from ranges, never by trial."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from hwq.datapath.accumulators import Align, Exact, Fixed, Float
from hwq.datapath.spec import Mac
from hwq.formats import MiniFloat

__all__ = ["Path", "candidates", "linear", "magnitude"]

INT8, FLOAT32, CHUNKS = "8-bit integers", "float32", "float32 chunks"
FLOAT64, LIMBS, ORDERED = "float64", "limbs", "ordered"
ADDITIONS32, ADDITIONS64, GROUPS = "float32 additions", "float64 additions", "groups"

_FLOAT32, _FLOAT64, _INT32 = 24, 53, 31  # integers to 2**this are exact
_FEWEST = 16  # terms below which int8 is no faster; and torch 2.13 multiplies int8 wrongly where K is 1
_SHORTEST = 256  # terms below which float32 chunks are no faster than float64


@dataclass(frozen=True)
class Path:
    """One way to compute the sums, and the proof that it is exact; `chunk` terms go into one call."""

    name: str
    why: str
    chunk: int

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


@lru_cache(maxsize=1024)
def magnitude(mac: Mac) -> tuple[int, int]:
    """The largest magnitudes of the operands (a, w) in units of their lsb."""
    a, w = (max(-lo, hi) for lo, hi in (mac.a.integer_range, mac.w.integer_range))
    return a, w


def linear(mac: Mac, bound: int) -> bool:
    """True if the accumulator is the exact sum, or that modulo 2**bits, whatever the order; `bound` holds |sum|."""
    if not isinstance(mac.acc, Fixed):
        return isinstance(mac.acc, Exact)
    return mac.acc_lsb == mac.product_lsb and (mac.acc.overflow == "wrap" or bound < 1 << (mac.acc_bits - 1))


def candidates(mac: Mac, k: int, bytewise: bool, bound: int | None = None) -> Iterator[Path]:
    """Every path that is exact for sums of `k` terms, the fastest first.

    `bound` on the magnitude of any partial sum is by default that of the formats; the caller may know a tighter one
    from the codes. `int8`: there are fast products of int8 that accumulate in int32.
    """
    a, w = magnitude(mac)
    worst = k * a * w if bound is None else bound
    if linear(mac, worst):
        yield from _linear(mac, k, bytewise, worst)
        yield Path(ORDERED, "any accumulator can be run one term after the other", k)
    else:
        yield from _rounding(mac, k)
        yield Path(GROUPS if mac.tree > 1 else ORDERED, _why(mac, worst), mac.tree if mac.tree > 1 else k)


def _why(mac: Mac, worst: int) -> str:
    if isinstance(mac.acc, Align):
        return f"{mac.acc.lanes} products at a time are aligned to the largest of them and of the sum so far"
    terms = f"the exact sum of {mac.tree} products" if mac.tree > 1 else "each product"
    if isinstance(mac.acc, Float):
        return f"the sum is rounded to {mac.acc.format} after {terms}"
    if mac.acc_lsb > mac.product_lsb:
        return f"{terms} is rounded to a multiple of 2**{mac.acc_lsb} before it is added"
    return f"|sum| <= {worst} may pass {(1 << (mac.acc_bits - 1)) - 1}, where the accumulator saturates"


# name, exponent and fraction bits of the floats that processors add as IEEE 754 says
_MACHINE = ((ADDITIONS32, 8, 23), (ADDITIONS64, 11, 52))


def _rounding(mac: Mac, k: int) -> Iterator[Path]:
    """A processor's own additions: products that it has exactly, no number below its normal ones, no overflow.

    Every sum is a multiple of the product's last place. k roundings let it grow by less than a factor of 4.
    """
    if not isinstance(mac.acc, Float) or mac.tree > 1:
        return
    digits = sum(f.unpack(f.code_word).mag.width for f in (mac.a, mac.w))
    sums = (4 * k * max(map(abs, mac.product_range))).bit_length() + mac.product_lsb
    ends = [max(map(abs, f.integer_range)).bit_length() + f.lsb for f in (mac.a, mac.w)]
    least = min(mac.product_lsb, mac.a.lsb, mac.w.lsb)
    for name, exp, man in _MACHINE:
        same = any(mac.acc.format == MiniFloat(exp, man, specials="inf", overflow=o) for o in ("sat", "inf", "nan"))
        top = (1 << (exp - 1)) - 1
        if same and digits <= man + 1 and least > -top and max(sums, *ends) <= top:
            yield Path(name, f"products of {digits} digits are exact, sums normal and below 2**{top}", k)


@lru_cache(maxsize=1024)
def _fits_int8(mac: Mac) -> bool:
    ends = (*mac.a.integer_range, *mac.w.integer_range)
    return min(ends) >= -128 and max(ends) <= 127


def _linear(mac: Mac, k: int, bytewise: bool, worst: int) -> Iterator[Path]:
    a, w = magnitude(mac)
    if bytewise and k >= _FEWEST and _fits_int8(mac) and worst < 1 << _INT32:
        yield Path(INT8, f"operands fit 8 bits and |sum| <= {worst} < 2**{_INT32}", k)
    if max(worst, a, w) <= 1 << _FLOAT32:
        yield Path(FLOAT32, f"|sum| <= {worst} <= 2**{_FLOAT32}", k)
    chunk = (1 << _FLOAT32) // (a * w)
    if _SHORTEST <= chunk < k and max(a, w) <= 1 << _FLOAT32:
        yield Path(CHUNKS, f"|sum| <= 2**{_FLOAT32} for every {chunk} terms", chunk)
    if max(worst, a, w) <= 1 << _FLOAT64:
        yield Path(FLOAT64, f"|sum| <= {worst} <= 2**{_FLOAT64}", k)
    yield Path(LIMBS, f"|sum| < 2**{worst.bit_length()} is split into sums of limbs <= 2**{_FLOAT64}", k)
