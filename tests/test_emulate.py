"""The emulator against rational arithmetic written here from `Format.value` alone, and its paths against each other."""

from __future__ import annotations

from bisect import bisect_left
from fractions import Fraction
from functools import cache
from itertools import product as pairs

import numpy as np
import pytest
import torch

import hwq
from hwq.bits import const, evaluate
from hwq.datapath import Datapath, Fixed, Mac, emulate, explain, paths, steps
from hwq.datapath.operand import operands
from hwq.datapath.params import columns
from hwq.formats import Format, Special

torch.set_num_threads(1)

PAIRS = (
    "int8*int8",
    "int4*int4",
    "int8*ternary",
    "uint8*int8",
    "fp4_e2m1*fp4_e2m1",
    "fp6_e2m3*fp6_e2m3",
    "fp6_e3m2*fp6_e2m3",
    "fp8_e4m3*fp8_e4m3",
    "fp8_e4m3*int4",
    "fp8_e5m2*fp8_e5m2",
    "fp8_e4m3fnuz*fp8_e5m2",
    "bf16*int8",
)
OUTPUTS = ("", " ->int8[bias,requant,relu]", " ->fp8_e4m3[bias,requant]", " ->bf16", " ->fp8_e5m2[requant,relu]", " ->int4[bias]")
ROUNDS = ("rne", "rtz", "rdn", "rup", "rna")


# The oracle: rational numbers, and integers in units of the accumulator's last place.


@cache
def values(fmt: Format) -> dict[int, Fraction | Special]:
    return {int(c): fmt.value(int(c)) for c in fmt.codes()}


def times(x: Fraction | Special, y: Fraction | Special) -> Fraction | Special:
    if not isinstance(x, Special) and not isinstance(y, Special):
        return x * y
    if Special.NAN in (x, y) or 0 in (x, y):
        return Special.NAN
    signs = [v is Special.NINF if isinstance(v, Special) else v < 0 for v in (x, y)]
    return Special.NINF if signs[0] != signs[1] else Special.PINF


def nearest(x: Fraction, mode: str) -> int:
    floor, rest = divmod(x.numerator, x.denominator)
    if not rest:
        return floor
    if mode == "rtz":
        return floor + (x < 0)
    double = 2 * rest - x.denominator
    up = mode == "rne" and (double > 0 or double == 0 and floor % 2 == 1)
    return floor + up


def accumulated(mac: Mac, terms: list[Fraction | Special]) -> tuple[int, bool, bool, bool]:
    """The accumulator in units of its last place after these products, and its flags nan, +inf, -inf."""
    unit, total = Fraction(2) ** mac.acc_lsb, 0
    half = 1 << (mac.acc_bits - 1)
    for term in terms:
        if isinstance(term, Special):
            continue
        number = term / unit
        whole = number.numerator if number.denominator == 1 else nearest(number, mac.acc.rounding)
        total += whole
        if isinstance(mac.acc, Fixed) and mac.acc.overflow == "sat":
            total = min(max(total, -half), half - 1)
        elif isinstance(mac.acc, Fixed):
            total = (total + half) % (2 * half) - half
        else:
            assert -half <= total < half
    return total, Special.NAN in terms, Special.PINF in terms, Special.NINF in terms


@cache
def ladder(fmt: Format) -> tuple[list[Fraction], list[int]]:
    """The finite values in order, and their codes; -0 is left out."""
    rows = sorted((v, c) for c, v in values(fmt).items() if isinstance(v, Fraction) and not fmt.negative_zero(c))
    return [v for v, _ in rows], [c for _, c in rows]


@cache
def specials(fmt: Format) -> dict[Special, int]:
    return {v: c for c, v in values(fmt).items() if isinstance(v, Special)}


@cache
def negative_zero(fmt: Format) -> int | None:
    return next((c for c in values(fmt) if fmt.negative_zero(c)), None)


def rounded(fmt: Format, x: Fraction, mode: str) -> int:
    """The code of the neighbour that `mode` takes; beyond the ends, the end."""
    numbers, codes = ladder(fmt)
    at = bisect_left(numbers, x)
    if at == len(numbers) or at == 0 or numbers[at] == x:
        found = min(at, len(numbers) - 1)
    else:
        below, above = x - numbers[at - 1], numbers[at] - x
        match mode:
            case "rdn":
                up = False
            case "rup":
                up = True
            case "rtz":
                up = x < 0
            case "rne":
                up = above < below or above == below and codes[at] % 2 == 0
            case _:
                up = above < below or above == below and x > 0
        found = at if up else at - 1
    minus = negative_zero(fmt) if x < 0 and numbers[found] == 0 else None
    return codes[found] if minus is None else minus


def expected(mac: Mac, a: list[int], w: list[int], bias: int, mul: int, shift: int) -> int | Special:
    """The result code, or NAN for whatever code of a nan."""
    terms = [times(values(mac.a)[x], values(mac.w)[y]) for x, y in zip(a, w, strict=True)]
    total, nan, pinf, ninf = accumulated(mac, terms)
    nan, pinf, ninf = (nan or pinf and ninf), pinf and not (nan or ninf), ninf and not (nan or pinf)
    if mac.out is None:
        flags = [nan] * mac.has_nan + [pinf, ninf] * mac.has_inf
        high = int("0" + "".join(str(int(f)) for f in flags), 2)
        half = 1 << (mac.acc_bits - 1)
        number = 0 if nan else half - 1 if pinf else -half if ninf else total
        return high << mac.acc_bits | number % (2 * half)
    if "bias" in mac.steps:
        half = 1 << (mac.acc_bits - 1)
        total += (bias + half) % (2 * half) - half
    x = total * Fraction(2) ** mac.acc_lsb
    if "requant" in mac.steps:
        x *= Fraction(mul, 1 << shift)
    if "relu" in mac.steps:
        x, clipped = max(x, Fraction(0)), ninf
        x, ninf = (Fraction(0) if clipped else x), False
    if nan:
        return Special.NAN if Special.NAN in specials(mac.out) else rounded(mac.out, Fraction(0), "rne")
    if pinf or ninf:
        end = Special.PINF if pinf else Special.NINF
        return specials(mac.out).get(end, ladder(mac.out)[1][-1 if pinf else 0])
    return rounded(mac.out, x, mac.round)


# Cases.


def accumulators(pair: str) -> list[str]:
    """Every kind, narrow enough to wrap or to saturate within a few terms, and coarse enough to round."""
    mac = Datapath.parse(f"{pair} k=4").mac
    bits, frac = mac.exact_bits - 2, -mac.product_lsb
    coarse = frac - min(4, (bits - 2) // 2)
    wide = bits - (frac - coarse) + 3
    return [
        "",
        f"+fixed({bits})",
        f"+fixed({bits + 16})",
        f"+fixed({bits},sat)",
        f"+fixed({bits + 16},sat)",
        f"+fixed({wide},{coarse})",
        f"+fixed({wide},{coarse},rne)",
        f"+fixed({wide - 4},{coarse},sat,rtz)",
        f"+fixed({wide - 4},{coarse},sat,rne)",
    ]


def macs(pair: str) -> list[Mac]:
    """Each accumulator handing out itself and into one output; outputs and roundings take turns."""
    found = []
    for j, acc in enumerate(accumulators(pair)):
        turn = j + PAIRS.index(pair)
        found.append(Datapath.parse(f"{pair} {acc} k=4608").mac)
        out, rounding = OUTPUTS[1 + turn % (len(OUTPUTS) - 1)], ROUNDS[turn % len(ROUNDS)]
        found.append(Datapath.parse(f"{pair} {acc}{out} k=4608 round={rounding}").mac)
    return found


def operand(fmt: Format, rows: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """Random finite codes; extremes; any codes; small ones; zeros and extremes in turn."""
    every = fmt.codes()
    finite = np.array([c for c, v in values(fmt).items() if isinstance(v, Fraction)], dtype=every.dtype)
    order = sorted(finite.tolist(), key=lambda c: (abs(values(fmt)[c]), c))
    ends = np.array(order[-2:], dtype=every.dtype)
    kinds = [
        rng.choice(finite, k),
        rng.choice(ends, k),
        rng.choice(every, k),
        rng.choice(np.array(order[: max(2, len(order) // 2)], dtype=every.dtype), k),
        np.where(np.arange(k) % 3 == 0, ends[1], every.dtype.type(0)),
        np.full(k, ends[0]),
    ]
    return np.stack([kinds[j % len(kinds)] for j in range(rows)])


def parameters(mac: Mac, n: int, rng: np.random.Generator) -> tuple[list[int], list[int], list[int]]:
    """Scales that bring sums of a few terms into and beyond the output's range."""
    numbers, _ = ladder(mac.out) if mac.out else ([Fraction(1)], None)
    typical = max(1, 4 * max(abs(p) for p in mac.product_range)) * Fraction(2) ** mac.product_lsb / numbers[-1]
    shift = 15 + (typical.numerator.bit_length() - typical.denominator.bit_length())
    bias = [int(rng.integers(-(1 << 20), 1 << 20)) % (1 << mac.acc_bits) for _ in range(n)]
    return bias, rng.integers(1 << 15, 1 << 16, n).tolist(), np.clip(shift + rng.integers(-3, 4, n), 0, 63).tolist()


def given(mac: Mac, bias: list[int], mul: list[int], shift: list[int]) -> hwq.Params:
    requant = "requant" in mac.steps
    codes = np.array(bias, dtype=object) if "bias" in mac.steps else None
    return hwq.Params(bias=codes, mul=mul if requant else None, shift=shift if requant else None)


def mismatches(mac: Mac, m: int, n: int, k: int, rng: np.random.Generator) -> tuple[int, int]:
    a, w = operand(mac.a, m, k, rng), operand(mac.w, n, k, rng)
    bias, mul, shift = parameters(mac, n, rng)
    codes = hwq.matmul(mac, a, w, given(mac, bias, mul, shift))
    assert codes.shape == (m, n)
    wrong = 0
    for i, j in pairs(range(m), range(n)):
        want = expected(mac, a[i].tolist(), w[j].tolist(), bias[j], mul[j], shift[j])
        got = int(codes[i, j])
        wrong += (mac.output.value(got) if want is Special.NAN else got) != want
    return m * n, wrong


@pytest.mark.parametrize("pair", PAIRS)
def test_dot_products_equal_rational_arithmetic(pair, capsys):
    rng = np.random.default_rng(PAIRS.index(pair))
    compared = wrong = 0
    seen = set()
    for mac in macs(pair):
        for m, n, k in ((6, 6, int(rng.integers(1, 40))), (3, 1, 200)):
            count, bad = mismatches(mac, m, n, k, rng)
            compared, wrong = compared + count, wrong + bad
        seen.add(str(mac.acc))
        assert wrong == 0, f"{wrong} of {compared} differ in {mac}"
    assert compared >= 700 and len(seen) == 9
    with capsys.disabled():
        print(f"{pair}: {compared} dot products, {wrong} mismatches")


@pytest.mark.parametrize("pair", PAIRS)
def test_long_dot_products_equal_rational_arithmetic(pair):
    rng = np.random.default_rng(99)
    compared = 0
    for mac in macs(pair)[::2]:
        count, bad = mismatches(mac, 2, 1, 4608, rng)
        compared += count
        assert bad == 0, str(mac)
    assert compared == 18
