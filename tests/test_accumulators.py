"""Accumulators that round, against rational arithmetic written from the definitions, and against numpy's floats."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from itertools import product as pairs

import numpy as np
import pytest

import hwq
from hwq.datapath import PRESETS, Datapath, Mac
from hwq.formats import Format, Special

NAN, PINF, NINF = Special.NAN, Special.PINF, Special.NINF
Number = Fraction | Special


# The oracle: numbers are Fractions or specials, codes are found by their values.


@cache
def values(fmt: Format) -> list[Number]:
    assert fmt.bits <= 16 and len(fmt.codes()) == 1 << fmt.bits
    return [fmt.value(code) for code in range(1 << fmt.bits)]


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
        if mac.output.value(int(codes[i, j])) != want or mac.output.negative_zero(int(codes[i, j])):
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


# Aligned sums: exponents and values by definition, then integers.


@cache
def exponents(fmt: Format) -> list[tuple[int, int]]:
    """(value in units of 2**lsb, exponent: that of the leading one, or of the least normal number below it)."""
    least = fmt.lsb + ieee(fmt).precision - 1
    unit, found = Fraction(2) ** fmt.lsb, []
    for v in values(fmt):
        number = Fraction(0) if isinstance(v, Special) else v
        found.append((int(number / unit), max(floor_log2(number), least) if number else least))
    return found


def cut(x: int, places: int, mode: str) -> int:
    """x * 2**places as an integer: toward zero, or to nearest."""
    if places >= 0:
        return x << places
    if mode == "rtz":
        return (abs(x) >> -places) * (1 if x >= 0 else -1)
    return whole(Fraction(x, 1 << -places), "rne")


def fused(acc, s: Number, products: list[tuple[int, int]], lsb: int) -> Number:
    """The aligned sum of s and of products (number in units of 2**lsb, exponent); zeros have no exponent."""
    f = ieee(acc.format)
    if isinstance(s, Special):
        return s
    unit = Fraction(2) ** acc.format.lsb
    summands = [(p, e, lsb) for p, e in products if p]
    if s:
        summands.append((int(s / unit), max(floor_log2(s), acc.format.lsb + f.precision - 1), acc.format.lsb))
    if not summands:
        return Fraction(0)
    last = max(e for _, e, _ in summands) - acc.bits
    total = sum(cut(p, at - last, acc.mode) for p, _, at in summands)
    return f.round(total * Fraction(2) ** last, acc.rounding)


def aligned(mac: Mac, a: list[int], w: list[int]) -> Number:
    x, y = exponents(mac.a), exponents(mac.w)
    special = mac.has_nan and [times(values(mac.a)[i], values(mac.w)[j]) for i, j in zip(a, w, strict=True)]
    s: Number = Fraction(0)
    for at in range(0, len(a), mac.acc.lanes):
        group = range(at, min(at + mac.acc.lanes, len(a)))
        for term in (special[k] for k in group if special and isinstance(special[k], Special)):
            s = plus(s, term)
        products = [(x[a[k]][0] * y[w[k]][0], x[a[k]][1] + y[w[k]][1]) for k in group]
        s = fused(mac.acc, s, products, mac.product_lsb)
    return s


def check_aligned(text: str, m: int, n: int, k: int, rng: np.random.Generator) -> int:
    mac = Datapath.parse(text).mac
    a, w = draw(mac.a, (m, k), rng, mac.has_nan), draw(mac.w, (n, k), rng, mac.has_nan)
    codes, left, right = hwq.matmul(mac, a, w).tolist(), a.tolist(), w.tolist()
    wrong = []
    for i, j in pairs(range(m), range(n)):
        want = aligned(mac, left[i], right[j])
        if mac.output.value(codes[i][j]) != want or mac.output.negative_zero(codes[i][j]):
            wrong.append((left[i], right[j], mac.output.value(codes[i][j]), want))
    assert not wrong, f"{text}: {len(wrong)} of {m * n}, first {wrong[0]}"
    return m * n


def published() -> list[tuple[str, str]]:
    """Each preset with operands that its hardware has; those of 16 bits take turns, bf16 has no binary16 sum."""
    wide = ("fp16*fp16", "bf16*bf16")
    narrow = ("fp8_e4m3*fp8_e4m3", "fp8_e5m2*fp8_e4m3", "fp4_e2m1*fp8_e5m2", "fp8_e5m2*fp8_e5m2")
    return [
        (name, narrow[j % 4] if "fp8" in name else wide[0 if "half" in name or j < 4 else j // 2 % 2])
        for j, name in enumerate(PRESETS)
    ]


@pytest.mark.parametrize(("name", "operands"), published())
def test_aligned_sums_of_published_hardware(name, operands):
    rng = np.random.default_rng(2)
    lanes = PRESETS[name].lanes
    compared = sum(check_aligned(f"{operands} +align({name})", 60, 60, k, rng) for k in (1, lanes, 2 * lanes + 3))
    assert compared == 10_800


@pytest.mark.parametrize(
    "acc",
    [
        "align(3,6,rne)",
        "align(4,3,rne,fp(4,3))",
        "align(1,9,rtz,bf16,rne)",
        "align(5,12,rtz,fp(5,2,inf))",
        "align(2,40,rne,fp16)",
    ],
)
@pytest.mark.parametrize("operands", ["int8*int8", "fp8_e5m2*int4", "fp4_e2m1*fp4_e2m1", "fp6_e2m3*fp6_e3m2"])
def test_aligned_sums_of_any_parameters(operands, acc):
    rng = np.random.default_rng(3)
    assert sum(check_aligned(f"{operands} +{acc}", 20, 20, k, rng) for k in (2, 17)) == 800


@pytest.mark.parametrize("order", ["tree(2)", "tree(3)", "tree(16)", "tree(64)"])
@pytest.mark.parametrize(
    "text", ["int8*int8 +fp16", "fp8_e4m3*fp8_e4m3 +bf16", "fp8_e5m2*int4 +fp(5,2,inf,ovf=inf)", "bf16*int4 +fp(5,6)"]
)
def test_groups_are_added_exactly_and_rounded_once(text, order):
    rng = np.random.default_rng(4)
    assert sum(check(f"{text} order={order}", 10, 10, k, rng) for k in (1, 16, 37)) == 300
