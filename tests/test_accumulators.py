"""Accumulators that round, against rational arithmetic written from the definitions, and against numpy's floats."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from itertools import product as pairs

import numpy as np
import pytest

import hwq
from hwq.datapath import Datapath, Mac
from hwq.formats import Format, Special

NAN, PINF, NINF = Special.NAN, Special.PINF, Special.NINF
Number = Fraction | Special


# The oracle: numbers are Fractions or specials, codes are found by their values.


@cache
def values(fmt: Format) -> list[Number]:
    assert fmt.bits <= 16 and len(fmt.codes()) == 1 << fmt.bits
    return [fmt.value(code) for code in range(1 << fmt.bits)]


@cache
def minus_zero(fmt: Format) -> int | None:
    return next((code for code in range(1 << fmt.bits) if fmt.negative_zero(code)), None)


def times(x: Number, y: Number) -> Number:
    if not isinstance(x, Special) and not isinstance(y, Special):
        return x * y
    if NAN in (x, y) or 0 in (x, y):
        return NAN
    negative = [v is NINF if isinstance(v, Special) else v < 0 for v in (x, y)]
    return NINF if negative[0] != negative[1] else PINF


def plus(x: Number, y: Number) -> Number:
    if not isinstance(x, Special) and not isinstance(y, Special):
        return x + y
    if NAN in (x, y) or {x, y} == {PINF, NINF}:
        return NAN
    return x if isinstance(x, Special) else y


def floor_log2(x: Fraction) -> int:
    n = abs(x).numerator.bit_length() - abs(x).denominator.bit_length()
    return n if Fraction(2) ** n <= abs(x) else n - 1


def whole(x: Fraction, mode: str) -> int:
    floor, rest = divmod(x.numerator, x.denominator)
    if not rest or mode == "rdn":
        return floor
    if mode == "rtz":
        return floor + (x < 0)
    double = 2 * rest - x.denominator
    return floor + (double > 0 or double == 0 and floor % 2)


class Ieee:
    """Sign, exponent, fraction with gradual underflow: a number and the sign of its zero, rounded by definition."""

    def __init__(self, fmt: Format) -> None:
        self.precision = fmt.unpack(fmt.code_word).mag.width
        self.least = fmt.lsb
        self.top = fmt.extremes[1]
        self.overflow = fmt.overflow
        self.inf, self.nan = fmt.has_inf, fmt.has_nan

    def ulp(self, x: Fraction) -> Fraction:
        return Fraction(2) ** max(floor_log2(x) - self.precision + 1, self.least)

    def round(self, x: Fraction, mode: str = "rne") -> Number:
        if x == 0:
            return x
        ulp = self.ulp(x)
        y = whole(x / ulp, mode) * ulp
        if abs(y) <= self.top:
            return y
        if self.overflow == "nan":
            return NAN
        end = self.top if y > 0 else -self.top
        return (PINF if y > 0 else NINF) if self.overflow == "inf" else end


@cache
def ieee(fmt: Format) -> Ieee:
    return Ieee(fmt)


@cache
def codes_of(fmt: Format) -> dict[Number, int]:
    found = {}
    for code in range(1 << fmt.bits):
        if not fmt.negative_zero(code):
            found.setdefault(fmt.value(code), code)
    return found


def value(fmt: Format, code: int) -> Number:
    return fmt.value(code)


def summed(mac: Mac, terms: list[Number]) -> Number:
    """`s = round(s + exact sum of a group)`; what the format has no code for is remembered beside it."""
    f = ieee(mac.acc_format)
    s: Number = Fraction(0)
    beside: Number = Fraction(0)
    for at in range(0, len(terms), mac.tree):
        group: Number = Fraction(0)
        for term in terms[at : at + mac.tree]:
            held = not isinstance(term, Special) or (f.nan if term is NAN else f.inf)
            group, beside = plus(group, term if held else Fraction(0)), plus(beside, Fraction(0) if held else term)
        total = plus(s, group)
        s = total if isinstance(total, Special) else f.round(total)
    return plus(s, beside)


def accumulated(mac: Mac, terms: list[Number]) -> Number:
    """What the accumulator's code says, a special that has no code as saturation or 0."""
    f, s = ieee(mac.acc_format), summed(mac, terms)
    if s is NAN and not f.nan:
        return Fraction(0)
    if s in (PINF, NINF) and not f.inf:
        return f.top if s is PINF else -f.top
    return s


def draw(fmt: Format, shape: tuple[int, int], rng: np.random.Generator, special: bool) -> np.ndarray:
    """Rows of one kind each: any numbers, small, large, extremes and zeros, pairs that cancel; some with specials."""
    table = values(fmt)
    finite = sorted((c for c, v in enumerate(table) if not isinstance(v, Special)), key=lambda c: abs(table[c]))
    order = np.array(finite, dtype=fmt.code_dtype)
    n, k = shape
    rows = []
    for j in range(n):
        match j % 6:
            case 0 | 1:
                row = rng.choice(order, k)
            case 2:
                row = rng.choice(order[: max(4, len(order) // 4)], k)
            case 3:
                row = rng.choice(order[-max(4, len(order) // 4) :], k)
            case 4:
                row = np.where(rng.random(k) < 0.3, order[0], rng.choice(order[-2:], k))
            case _:
                row = rng.choice(order, k)
                row[1::2] = row[0 : k - k % 2 : 2] if k % 2 == 0 else row[0 : k - 1 : 2]
        if special and j % 5 == 4:
            row[rng.integers(k)] = rng.integers(len(table))
        rows.append(row)
    return np.stack(rows)


def check(text: str, m: int, n: int, k: int, rng: np.random.Generator, special: bool = True) -> int:
    mac = Datapath.parse(text).mac
    a, w = draw(mac.a, (m, k), rng, special), draw(mac.w, (n, k), rng, special)
    codes = hwq.matmul(mac, a, w)
    wrong = []
    for i, j in pairs(range(m), range(n)):
        terms = [times(values(mac.a)[x], values(mac.w)[y]) for x, y in zip(a[i].tolist(), w[j].tolist(), strict=True)]
        want = accumulated(mac, terms)
        if mac.output.value(int(codes[i, j])) != want:
            wrong.append((i, j, mac.output.value(int(codes[i, j])), want))
    assert not wrong, f"{text}: {len(wrong)} of {m * n}, first {wrong[0]}"
    return m * n


FLOATS = (
    "bf16",
    "fp16",
    "fp32",
    "fp(5,6)",
    "fp(4,3,nan,ovf=nan)",
    "fp(3,2)",
    "fp(5,10,inf,ovf=inf)",
    "fp(8,23,inf,ovf=inf)",
    "fp(4,3,bias=8,fnuz)",
)
OPERANDS = (
    "int8*int8",
    "fp8_e4m3*fp8_e4m3",
    "fp8_e5m2*fp8_e5m2",
    "fp4_e2m1*fp4_e2m1",
    "bf16*int4",
    "fp16*fp16",
    "fp8_e4m3fnuz*uint8",
)


@pytest.mark.parametrize("acc", FLOATS)
@pytest.mark.parametrize("operands", OPERANDS)
def test_float_sums_are_rounded_once_a_term(operands, acc):
    rng = np.random.default_rng(1)
    compared = sum(check(f"{operands} +{acc}", 12, 12, k, rng) for k in (1, 2, 9, 40))
    assert compared == 4 * 144
