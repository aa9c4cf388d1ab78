"""Accumulators that round, against rational arithmetic written from the definitions, and against numpy's floats."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import product as pairs

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hwq
from hwq.bits import evaluate
from hwq.costmodel import estimate
from hwq.datapath import (
    PRESETS,
    Align,
    Datapath,
    Fixed,
    Float,
    Mac,
    emulate,
    explain,
    narrowest_safe,
    overflows,
    paths,
    plan,
    steps,
)
from hwq.datapath.draw import Draw
from hwq.datapath.operand import operands
from hwq.formats import Format, MiniFloat, Special
from hwq.sim import check as check_design
from hwq.synth import measure_designs

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


@cache
def by_magnitude(fmt: Format) -> np.ndarray:
    """The codes of numbers, the smallest magnitude first."""
    numbers = [(abs(v), c) for c, v in enumerate(values(fmt)) if not isinstance(v, Special)]
    return np.array([c for _, c in sorted(numbers)], dtype=fmt.code_dtype)


def draw(
    fmt: Format, shape: tuple[int, int], rng: np.random.Generator, special: bool, opposite: bool = False
) -> np.ndarray:
    """Rows of one kind each: any numbers, small, large, extremes and zeros, pairs; some with specials.

    Pairs against `opposite` pairs cancel.
    """
    order = by_magnitude(fmt)
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
                row = np.repeat(rng.choice(order, (k + 1) // 2), 2)[:k]
                if opposite:
                    row[1::2] = fmt.encode(-fmt.decode(row[1::2]))
        if special and j % 5 == 4:
            row[rng.integers(k)] = rng.integers(1 << fmt.bits)
        rows.append(row)
    return np.stack(rows)


def check(text: str, m: int, n: int, k: int, rng: np.random.Generator, special: bool = True) -> int:
    mac = Datapath.parse(text).mac
    a, w = draw(mac.a, (m, k), rng, special), draw(mac.w, (n, k), rng, special, True)
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
    "p3109_k8p2",
    "p3109_k8p3",
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


@pytest.mark.parametrize(
    ("operands", "acc"),
    [(o, a) for i, o in enumerate(OPERANDS) for j, a in enumerate(FLOATS) if (i + j) % 3 == 0 or "fp8_e5m2" in o],
)
def test_float_sums_are_rounded_once_a_term(operands, acc):
    rng = np.random.default_rng(1)
    compared = sum(check(f"{operands} +{acc}", 12, 12, k, rng) for k in (1, 9, 40))
    assert compared == 3 * 144


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
    a, w = draw(mac.a, (m, k), rng, mac.has_nan), draw(mac.w, (n, k), rng, mac.has_nan, True)
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


# A second oracle: numpy's own floats, term after term.

SINGLE, HALF = "fp(8,23,inf,ovf=inf)", "fp(5,10,inf,ovf=inf)"


@pytest.mark.parametrize(
    ("operands", "acc", "work", "kept"),
    [
        *((o, SINGLE, np.float32, np.float32) for o in ("fp8_e4m3*fp8_e4m3", "fp8_e5m2*fp8_e5m2", "int8*int8")),
        *((o, SINGLE, np.float32, np.float32) for o in ("fp16*fp8_e4m3", "fp16*int4")),
        # products and float16 sums are exact in float64, so that one conversion rounds once
        *((o, HALF, np.float64, np.float16) for o in ("fp8_e4m3*fp8_e4m3", "int4*int4")),
        *((o, HALF, np.float64, np.float16) for o in ("fp6_e3m2*fp6_e2m3", "fp4_e2m1*fp4_e2m1")),
    ],
)
def test_numpy_adds_alike(operands, acc, work, kept):
    mac, rng = Datapath.parse(f"{operands} +{acc}").mac, np.random.default_rng(5)
    a, w = draw(mac.a, (30, 50), rng, True), draw(mac.w, (30, 50), rng, True, True)
    x, y = mac.a.decode(a).astype(work), mac.w.decode(w).astype(work)
    s = np.zeros((30, 30), kept)
    with np.errstate(all="ignore"):
        for k in range(50):
            s = (s.astype(work) + x[:, k, None] * y[None, :, k]).astype(kept)
    np.testing.assert_array_equal(mac.output.decode(hwq.matmul(mac, a, w)).astype(kept), s)
    assert np.isfinite(s).sum() > 100


# The processor's own additions, at the edges of what proves them.


@pytest.mark.parametrize(
    ("text", "k", "name"),
    [
        ("fp8_e4m3*fp8_e4m3 +fp32", 4096, "float32 additions"),
        ("fp16*fp16 +fp(8,23,inf,ovf=inf)", 4096, "float32 additions"),  # 22 digits
        ("uint(12)*uint(12) +fp32", 4096, "float32 additions"),  # 24 digits
        ("uint(13)*uint(12) +fp32", 9, "ordered"),  # 25 digits
        ("bf16*int8 +fp32", 9, "ordered"),  # products below the normal numbers
        ("fp(8,7,bias=63,inf)*uint4 +fp32", 9, "ordered"),  # sums beyond 2**127
        ("fp(5,2,bias=-120)*fp(5,2,bias=150) +fp32", 9, "ordered"),  # operands beyond 2**127, products not
        ("fp8_e4m3*fp8_e4m3 +fp(8,23)", 9, "ordered"),  # another format of 32 bits
        ("bf16*bf16 +fp(11,52,inf)", 4096, "float64 additions"),
        ("fp8_e4m3*fp8_e4m3 +bf16", 9, "ordered"),
        ("fp8_e4m3*fp8_e4m3 +fp32 order=tree(2)", 9, "groups"),
    ],
)
def test_a_path_is_taken_where_it_is_proved(text, k, name):
    mac = Datapath.parse(text).mac
    assert explain(mac, k, "numpy").name == name
    rng = np.random.default_rng(7)
    a, w = draw(mac.a, (12, k), rng, True), draw(mac.w, (12, k), rng, True, True)
    found = [emulate.product(mac, a, w, {}, False, path) for path in paths.candidates(mac, k, False)]
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)
    assert len(found) == 1 + ("additions" in name)


# Epilogues read the value of a float sum; the text of a step is what runs.


def expected_output(mac: Mac, terms: list[Number], bias: Number, mul: int, shift: int) -> Number:
    x = summed(mac, terms)
    x = plus(x, bias) if "bias" in mac.steps else x
    if "requant" in mac.steps and not isinstance(x, Special):
        x = x * Fraction(mul, 1 << shift)
    if "relu" in mac.steps and (x is NINF or not isinstance(x, Special) and x < 0):
        x = Fraction(0)
    if x is NAN:
        return NAN if mac.out.has_nan else Fraction(0)
    low, high = mac.out.extremes
    if isinstance(x, Special):
        return x if mac.out.has_inf else (high if x is PINF else low)
    if mac.out.bits == 8 and mac.out.lsb == 0:
        return min(max(Fraction(whole(x, "rne")), low), high)
    return ieee(mac.out).round(x)


@pytest.mark.parametrize(
    "text",
    [
        "fp8_e4m3*fp8_e4m3 +bf16 ->int8[bias,requant,relu]",
        "fp8_e5m2*fp8_e5m2 +fp(5,6) ->fp8_e5m2[bias]",
        "int8*int8 +fp(4,3,nan) ->fp16[requant]",
        "fp8_e5m2*int4 +fp32 ->fp8_e4m3[relu]",
        "fp8_e4m3*fp8_e4m3 +bf16 ->int8[bias,requant] order=tree(3)",
        "fp8_e4m3*fp8_e4m3 +align(4,23,rtz,fp16) ->bf16",
    ],
)
def test_an_epilogue_reads_the_number(text):
    mac, rng = Datapath.parse(text).mac, np.random.default_rng(8)
    a, w = draw(mac.a, (18, 11), rng, True), draw(mac.w, (18, 11), rng, True, True)
    params = Draw(mac, 1).params(18, 11)
    codes, compared = hwq.matmul(mac, a, w, params), 0
    sums = hwq.matmul(replace(mac, out=None, epilogue=()), a, w)
    for i, j in pairs(range(18), range(18)):
        terms = [times(values(mac.a)[x], values(mac.w)[y]) for x, y in zip(a[i].tolist(), w[j].tolist(), strict=True)]
        if "align" in text:
            want = mac.acc_format.value(int(sums[i, j]))
        else:
            bias = mac.acc_format.value(int(params.bias[j])) if params.bias is not None else Fraction(0)
            mul, shift = (int(params.mul[j]), int(params.shift[j])) if params.mul is not None else (1, 0)
            want = expected_output(mac, terms, bias, mul, shift)
        assert mac.out.value(int(codes[i, j])) == (
            ieee(mac.out).round(want) if "align" in text and not isinstance(want, Special) else want
        )
        compared += 1
    assert compared == 324


@pytest.mark.parametrize(
    "text",
    [
        "fp8_e4m3*fp8_e4m3 +bf16",
        "fp8_e5m2*fp8_e5m2 +fp(5,6) ->int8[bias]",
        "fp8_e5m2*int4 +fp(4,3,nan) order=tree(4)",
        "int8*int8 +fixed(12,-3,sat,rne) order=tree(3)",
        "fp8_e5m2*fp8_e5m2 +align(3,9,rtz,fp16,rne)",
    ],
)
def test_the_emulator_runs_the_text_of_a_step(text):
    """The recorded texts, read as Python integers one term or one group of lanes after the other."""
    mac, rng = Datapath.parse(text).mac, np.random.default_rng(9)
    lanes = mac.acc.lanes if isinstance(mac.acc, Align) else 1
    k = 6 * lanes - 1 if mac.tree == 1 else 11
    a, w = draw(mac.a, (8, k), rng, True), draw(mac.w, (8, k), rng, True, True)
    params = Draw(mac, 2).params(8, k)
    got = hwq.matmul(mac, a, w, params)
    now = steps.state(mac)
    sides = [[o.inputs(f"{p}{lane}") for o, p in zip(operands(mac), "aw", strict=True)] for lane in range(lanes)]
    after = list(steps.step(mac, now, *(steps.product(mac, *side) for side in sides)).words.values())
    left, right = np.repeat(np.arange(8), 8), np.tile(np.arange(8), 8)
    held = {name: np.zeros(64, dtype=object) for name in now.words}
    for at in range(0, k, lanes):
        fields = {}
        for lane in range(lanes):
            for operand, prefix, codes in zip(operands(mac), "aw", (a[left], w[right]), strict=True):
                code = codes[:, at + lane] if at + lane < k else np.zeros(64, dtype=codes.dtype)
                decoded = evaluate(list(operand.fields.values()), {"code": code})
                fields |= {f"{prefix}{lane}_{n}": v for n, v in zip(operand.fields, decoded, strict=True)}
        held = dict(zip(held, evaluate(after, held | fields), strict=True))
    given = {n: np.asarray(getattr(params, n), dtype=object)[right] for n in steps.parameters(mac)}
    want = evaluate([steps.finish(mac, now, steps.parameters(mac))], held | given)[0]
    np.testing.assert_array_equal(got.reshape(-1).astype(object), want)


# Overflows and certified widths.


@pytest.mark.parametrize("acc", ["", "+fixed(12)", "+fixed(12,sat)", "+fixed(8,-1,sat,rne)", "+fixed(7,-1)"])
@pytest.mark.parametrize("operands", ["int8*int4", "fp6_e2m3*int4"])
def test_overflows_are_counted(operands, acc):
    mac, rng = Datapath.parse(f"{operands} {acc}").mac, np.random.default_rng(10)
    a, w = draw(mac.a, (12, 40), rng, False), draw(mac.w, (12, 40), rng, False, True)
    unit = Fraction(2) ** mac.acc_lsb
    half, saturates = 1 << (mac.acc_bits - 1), getattr(mac.acc, "overflow", "") == "sat"
    events, affected, ends = 0, 0, [Fraction(0)]
    for i, j in pairs(range(12), range(12)):
        total, exact, own = 0, Fraction(0), 0
        for x, y in zip(a[i].tolist(), w[j].tolist(), strict=True):
            term = values(mac.a)[x] * values(mac.w)[y]
            exact += term
            ends.append(exact)
            after = total + whole(term / unit, getattr(mac.acc, "rounding", "rdn"))
            total = min(max(after, -half), half - 1) if saturates else (after + half) % (2 * half) - half
            own += after != total
        events, affected = events + own, affected + (own > 0)
    lo, hi = (int(e / Fraction(2) ** mac.product_lsb) for e in (min(ends), max(ends)))
    bits = max((~lo).bit_length() if lo < 0 else 0, hi.bit_length()) + 1
    found = overflows(mac, a, w)
    assert (found.outputs, found.terms, found.affected, found.events, found.bits) == (144, 40, affected, events, bits)
    assert (events > 0) == bool(acc)


def test_a_certified_width_holds_and_is_the_least():
    mac, rng = Datapath.parse("int4*int4 +fixed(20,sat)").mac, np.random.default_rng(11)
    w = draw(mac.w, (6, 9), rng, False, True)
    bits = narrowest_safe(mac, w)
    low, high = mac.a.encode(np.array([-8.0, 7.0]))
    signs = mac.w.decode(w) < 0
    worst = np.concatenate([np.where(signs, low, high), np.where(signs, high, low)]).astype(np.uint8)
    assert overflows(replace(mac, acc=Fixed(bits, overflow="sat")), worst, w).events == 0
    assert overflows(replace(mac, acc=Fixed(bits - 1, overflow="sat")), worst, w).events > 0
    assert overflows(mac, worst, w).bits == bits


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m, c: overflows(m("+bf16"), c, c),
            r"overflows are counted of \+fixed\(...\) added in order, not of \+bf16",
        ),
        (lambda m, c: overflows(m("k=2"), c, c), r"overflows takes a\[..., K\] and w\[N, K\] with 1 <= K <= 2, not"),
        (lambda m, c: narrowest_safe(m("+align(volta)"), c), r"a certified width needs \+exact or \+fixed\(...\), not"),
        (lambda m, c: narrowest_safe(m(""), c[0]), r"weights must be codes \[N, ...\] of at least one product, not"),
        (lambda m, c: plan(Datapath(m("+align(volta)"))), r"takes 4 products at once, not 1; write @1x1x4$"),
        (
            lambda m, c: plan(Datapath(m("+bf16 order=tree(2)"))),
            r"order=tree\(2\) takes as many products at once, not 1; write @1x1x2$",
        ),
    ],
)
def test_what_makes_no_sense_is_one_line(call, message):
    with pytest.raises(hwq.HwqError, match=message) as caught:
        call(lambda text: Datapath.parse(f"int4*int4 {text}").mac, np.zeros((2, 3), np.uint8))
    assert "\n" not in str(caught.value)


@given(
    st.one_of(
        st.builds(Align, st.integers(1, 64), st.integers(1, 64), st.sampled_from(["rtz", "rne"])),
        st.builds(
            Align,
            st.integers(1, 64),
            st.integers(1, 64),
            st.sampled_from(["rtz", "rne"]),
            st.builds(MiniFloat, st.integers(2, 8), st.integers(1, 23)),
            st.sampled_from(["", "rtz", "rne"]),
        ),
        st.builds(Float, st.builds(MiniFloat, st.integers(2, 11), st.integers(1, 52))),
        st.builds(Fixed, st.integers(2, 900), st.none(), st.sampled_from(["wrap", "sat"])),
    ),
    st.integers(1, 99),
)
@settings(max_examples=200, deadline=None)
def test_every_accumulator_is_read_back(acc, tree):
    mac = Mac(hwq.parse_format("int(4)"), hwq.parse_format("int(4)"), acc, tree=1 if isinstance(acc, Align) else tree)
    dp = Datapath(mac)
    assert Datapath.parse(str(dp)) == dp == Datapath.parse(dp.parametric())


# Hardware: the same text as rows.


@pytest.mark.parametrize(
    "text",
    [
        "fp4_e2m1*fp4_e2m1 +fp(4,3)",
        "fp8_e5m2*fp8_e5m2 +fp(4,3) @2x2 cut=mul,align",
        "fp8_e5m2*int4 +fp(4,3,nan) ->int8[bias,requant,relu]",
    ],
)
def test_verilog_of_float_sums(text):
    report = check_design(Datapath.parse(text), exhaustive=False, vectors=80)
    assert report.passed, report
    assert report.compared >= 80


@pytest.mark.parametrize("text", ["fp4_e2m1*fp4_e2m1 +fp(4,3)", "fp8_e4m3*fp8_e4m3 +bf16 cut=mul,align"])
def test_registers_of_float_sums_are_those_of_synthesis(text):
    dp = Datapath.parse(text)
    (row,) = measure_designs([(dp, "pe")], "xc7")
    cost = estimate(dp, "xc7").pe.figures
    assert row.ff == cost["ff"].value == plan(dp, "xc7").blocks["pe"].flip_flops > 0
    assert row.lut is not None
    assert row.lut / 2 < cost["lut"].value < row.lut * 2
