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
from hwq.datapath import Datapath, Fixed, Mac, emulate, explain, params, paths, steps
from hwq.datapath.operand import operands
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
OUTPUTS = (
    "->int8[bias,requant,relu]",
    "->fp8_e4m3[bias,requant]",
    "->bf16",
    "->fp8_e5m2[requant,relu]",
    "->int4[bias]",
)
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
        out, rounding = OUTPUTS[turn % len(OUTPUTS)], ROUNDS[j % len(ROUNDS)]
        found.append(Datapath.parse(f"{pair} {acc} {out} k=4608 round={rounding}").mac)
    return found


@cache
def by_magnitude(fmt: Format) -> np.ndarray:
    """The codes of finite values, the smallest magnitude first."""
    finite = [(abs(v), c) for c, v in values(fmt).items() if isinstance(v, Fraction)]
    return np.array([c for _, c in sorted(finite)], dtype=fmt.code_dtype)


def operand(fmt: Format, rows: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """Random finite codes; extremes; any codes; small ones; zeros and extremes in turn."""
    every, order = fmt.codes(), by_magnitude(fmt)
    ends = order[-2:]
    kinds = [
        rng.choice(order, k),
        rng.choice(ends, k),
        rng.choice(every, k),
        rng.choice(order[: max(2, len(order) // 2)], k),
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
def test_dot_products_equal_rational_arithmetic(pair, say):
    rng = np.random.default_rng(PAIRS.index(pair))
    compared = wrong = 0
    kinds = set()
    for mac in macs(pair):
        for m, n, k in ((6, 6, int(rng.integers(1, 40))), (3, 1, 200)):
            count, bad = mismatches(mac, m, n, k, rng)
            compared, wrong = compared + count, wrong + bad
        kinds.add(mac.acc)
        assert wrong == 0, f"{wrong} of {compared} differ in {mac}"
    assert compared >= 700 and len(kinds) == 9
    say(f"{pair}: {compared} dot products of its emulator against rational arithmetic, {wrong} mismatches")


@pytest.mark.parametrize("pair", PAIRS)
def test_long_dot_products_equal_rational_arithmetic(pair):
    rng = np.random.default_rng(99)
    compared = 0
    for mac in macs(pair)[::2]:
        count, bad = mismatches(mac, 2, 1, 4608, rng)
        compared += count
        assert bad == 0, str(mac)
    assert compared == 18


# Every path, and the definition.


def every_path(mac: Mac, k: int) -> list[tuple[paths.Path, bool]]:
    return [(path, lib) for lib in (False, True) for path in paths.candidates(mac, k, lib and emulate.has_int8())]


def test_every_path_gives_the_same_bits():
    rng = np.random.default_rng(5)
    met, compared = set(), 0
    for pair, accs in [(p, ("", "+fixed(20)", "+fixed(70,sat)")) for p in PAIRS[:10]] + [
        ("bf16*int8", ("+fixed(20)",))
    ]:
        for acc in accs:
            mac = Datapath.parse(f"{pair} {acc} ->int8[bias,requant] k=600").mac
            for k in (1, 600):
                a, w = operand(mac.a, 6, k, rng), operand(mac.w, 5, k, rng)
                loaded = params.columns(mac, given(mac, *parameters(mac, 5, rng)), 5)
                found = every_path(mac, k)
                results = [emulate.product(mac, a, w, loaded, lib, path) for path, lib in found]
                for other in results[1:]:
                    np.testing.assert_array_equal(results[0], other)
                met |= {path.name for path, _ in found}
                compared += len(results) - 1
    assert met - {"8-bit integers"} == {"float32", "float32 chunks", "float64", "limbs", "ordered"}
    assert ("8-bit integers" in met) == emulate.has_int8()
    assert compared > 200


def test_float32_chunks_are_exact_and_taken_where_the_whole_sum_is_not():
    rng = np.random.default_rng(6)
    mac = Datapath.parse("int8*int8 k=4608").mac
    a, w = operand(mac.a, 6, 4608, rng), operand(mac.w, 5, 4608, rng)
    found = every_path(mac, 4608)
    assert [path.name for path, lib in found if not lib] == ["float32 chunks", "float64", "limbs", "ordered"]
    first, *others = [emulate.product(mac, a, w, {}, lib, path) for path, lib in found]
    for other in others:
        np.testing.assert_array_equal(first, other)


@pytest.mark.parametrize(
    "text",
    [
        "int8*int8 +fixed(17,sat) ->int8[bias,requant,relu]",
        "fp8_e5m2*fp8_e5m2",
        "fp8_e5m2*fp8_e4m3fnuz +fixed(40,12,sat,rne) ->fp8_e5m2[bias,requant,relu]",
        "bf16*bf16 ->bf16",
        "fp8_e4m3*int4 +fixed(20) ->fp6_e2m3[requant]",
    ],
)
def test_the_emulator_runs_the_text_of_a_step(text):
    """The recorded texts, read as Python integers one term after the other, specials included."""
    mac, rng, k = Datapath.parse(text).mac, np.random.default_rng(8), 12
    a, w = operand(mac.a, 6, k, rng), operand(mac.w, 6, k, rng)
    bias, mul, shift = parameters(mac, 6, rng)
    got = hwq.matmul(mac, a, w, given(mac, bias, mul, shift))
    names = tuple(steps.state(mac).words)
    left, right = np.repeat(np.arange(6), 6), np.tile(np.arange(6), 6)
    now = {name: np.zeros(36, dtype=object) for name in names}
    term = steps.product(mac, *(o.inputs(p) for o, p in zip(operands(mac), "aw", strict=True)))
    after = list(steps.step(mac, steps.state(mac), term).words.values())
    for j in range(k):
        fields = {}
        for operand_, prefix, codes in zip(operands(mac), "aw", (a[left, j], w[right, j]), strict=True):
            decoded = evaluate(list(operand_.fields.values()), {"code": codes})
            fields |= {f"{prefix}_{name}": v for name, v in zip(operand_.fields, decoded, strict=True)}
        now = dict(zip(names, evaluate(after, now | fields), strict=True))
    loaded = {name: np.array(v, dtype=object)[right] for name, v in (("bias", bias), ("mul", mul), ("shift", shift))}
    code = steps.finish(mac, steps.state(mac), steps.parameters(mac))
    want = evaluate([code], now | loaded)[0]
    assert code is not const(0)
    np.testing.assert_array_equal(got.reshape(-1).astype(object), want)


def test_weights_may_prove_that_nothing_saturates():
    mac = Datapath.parse("int8*int8 +fixed(20,sat)").mac
    ones = np.ones((3, 100), dtype=np.uint8)
    assert emulate.chosen(mac, ones, torch=False).name == "float32"
    assert emulate.chosen(mac, ones * 127, torch=False).name == "ordered"
    assert explain(mac, 100).name == "ordered"


# Libraries, shapes, memory.


@pytest.mark.parametrize(
    "text", ["int8*int8 ->int8[requant]", "fp8_e4m3*fp8_e4m3", "bf16*int8 ->bf16", "int4*int4 +fixed(9,sat)"]
)
def test_numpy_and_torch_agree_and_shapes_are_kept(text):
    mac, rng = Datapath.parse(text).mac, np.random.default_rng(3)
    a, w = operand(mac.a, 6, 8, rng).reshape(2, 3, 8), operand(mac.w, 4, 8, rng)
    loaded = given(mac, *parameters(mac, 4, rng))
    codes = hwq.matmul(mac, a, w, loaded)
    assert codes.shape == (2, 3, 4) and codes.dtype == mac.output.code_dtype
    for dtype in (torch.int64, torch.int32):
        tensors = torch.from_numpy(a.astype(np.int64)).to(dtype), torch.from_numpy(w.astype(np.int64)).to(dtype)
        found = hwq.matmul(mac, *tensors, loaded)
        assert found.dtype == (torch.uint8 if mac.output.bits <= 8 else torch.int64)
        np.testing.assert_array_equal(found.numpy().astype(np.uint64), codes.astype(np.uint64))
    np.testing.assert_array_equal(hwq.matmul(mac, a[0, 0], w, loaded), codes[0, 0])
    np.testing.assert_array_equal(hwq.matmul(mac, a.transpose(1, 0, 2), w, loaded), codes.transpose(1, 0, 2))
    assert hwq.matmul(mac, a[:0], w, loaded).shape == (0, 3, 4)


def test_wide_accumulators_come_out_as_python_integers():
    mac = Datapath.parse("bf16*bf16").mac
    one = int(mac.a.encode(np.ones(1))[0])
    codes = hwq.matmul(mac, np.array([[one, one]]), np.array([[one, one ^ 0x8000], [one, one]]))
    assert codes.dtype == object and [int(c) for c in codes[0]] == [0, 2 << -mac.acc_lsb]


def test_rows_are_taken_in_blocks_that_fit_the_memory(monkeypatch):
    rng = np.random.default_rng(4)
    for text in ("int8*int8", "fp8_e5m2*fp8_e5m2 ->bf16", "int8*int8 +fixed(16,sat)"):
        mac = Datapath.parse(text).mac
        a, w = operand(mac.a, 30, 20, rng), operand(mac.w, 6, 20, rng)
        image, kernel = a.reshape(3, 2, 10, 10), w[:, :18].reshape(6, 2, 3, 3)
        whole = hwq.matmul(mac, a, w), hwq.conv2d(mac, image, kernel)
        with monkeypatch.context() as patch:
            patch.setattr(emulate, "_BLOCK", 4000)
            assert emulate.block_rows(20, 6) == 7
            np.testing.assert_array_equal(hwq.matmul(mac, a, w), whole[0])
            np.testing.assert_array_equal(hwq.conv2d(mac, image, kernel), whole[1])


def test_lowered_precision_of_torch_does_not_reach_the_sums():
    mac, rng = Datapath.parse("fp6_e3m2*fp6_e3m2 k=80").mac, np.random.default_rng(2)
    a, w = (torch.from_numpy(operand(mac.a, 96, 80, rng)) for _ in range(2))
    assert explain(mac, 80).name == "float32"
    want = hwq.matmul(mac, a, w)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        assert torch.equal(hwq.matmul(mac, a, w), want)
    finally:
        torch.set_float32_matmul_precision(before)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(hwq.matmul(mac, a, w), want)


# Convolution.


def naive(mac: Mac, x, w, loaded, stride, padding, dilation, groups):
    """Seven loops of gathering, and one dot product an output."""
    (b, _, h, width), (o, cg, kh, kw) = x.shape, w.shape
    zero = next(code for code, v in values(mac.a).items() if v == 0)
    rows = (h + 2 * padding[0] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    cols = (width + 2 * padding[1] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    out = np.zeros((b, o, rows, cols), dtype=object)
    for n, ch, i, j in np.ndindex(out.shape):
        first = ch // (o // groups) * cg
        terms = []
        for ic, u, v in np.ndindex(cg, kh, kw):
            y, z = i * stride[0] + u * dilation[0] - padding[0], j * stride[1] + v * dilation[1] - padding[1]
            inside = 0 <= y < h and 0 <= z < width
            terms.append(int(x[n, first + ic, y, z]) if inside else zero)
        out[n, ch, i, j] = expected(mac, terms, w[ch].reshape(-1).tolist(), *(p[ch] for p in loaded))
    return out


@pytest.mark.parametrize(
    "text", ["int8*int8 ->int8[bias,requant,relu]", "fp6_e2m3*int4 +fixed(12,sat)", "fp8_e4m3*ternary ->bf16"]
)
@pytest.mark.parametrize(
    ("c", "o", "kernel", "stride", "padding", "dilation", "groups"),
    [
        (2, 3, (3, 3), (1, 1), (1, 1), (1, 1), 1),
        (4, 6, (3, 2), (2, 1), (0, 2), (1, 2), 2),
        (3, 3, (2, 2), (1, 2), (1, 0), (2, 1), 3),
        (3, 2, (1, 1), (3, 2), (0, 0), (1, 1), 1),
    ],
)
def test_convolution_equals_naive_loops(text, c, o, kernel, stride, padding, dilation, groups):
    mac, rng = Datapath.parse(text).mac, np.random.default_rng(1)
    finite_a, finite_w = by_magnitude(mac.a), by_magnitude(mac.w)
    x = rng.choice(finite_a, (2, c, 5, 6))
    w = rng.choice(finite_w, (o, c // groups, *kernel))
    loaded = parameters(mac, o, rng)
    want = naive(mac, x, w, loaded, stride, padding, dilation, groups)
    got = hwq.conv2d(mac, x, w, given(mac, *loaded), stride, padding, dilation, groups)
    assert want.size > 0
    np.testing.assert_array_equal(got.astype(object), want)
    tensors = torch.from_numpy(x.astype(np.int64)), torch.from_numpy(w.astype(np.int64))
    again = hwq.conv2d(mac, *tensors, given(mac, *loaded), stride, padding, dilation, groups)
    assert again.is_contiguous()
    np.testing.assert_array_equal(again.numpy().astype(object), want)


# What explain says, and what is refused.


@pytest.mark.parametrize(
    ("text", "k", "library", "line"),
    [
        ("int8*int8", 64, "numpy", "float32: |sum| <= 1048576 <= 2**24"),
        ("int8*int8 k=4608", 4608, "numpy", "float32 chunks: |sum| <= 2**24 for every 1024 terms"),
        ("fp8_e4m3*fp8_e4m3", 4096, "torch", "float64: |sum| <= 215504279044096 <= 2**53"),
        ("bf16*int8", 16, "torch", "limbs: |sum| < 2**272 is split into sums of limbs <= 2**53"),
        (
            "int8*int8 +fixed(20,sat)",
            4096,
            "torch",
            "ordered: |sum| <= 67108864 may pass 524287, where the accumulator saturates",
        ),
        (
            "int8*int8 +fixed(20,-2)",
            4,
            "torch",
            "ordered: each product is rounded to a multiple of 2**2 before it is added",
        ),
    ],
)
def test_explain_says_which_path_and_why(text, k, library, line):
    assert str(explain(Datapath.parse(text).mac, k, library)) == line


def test_explain_names_int8_exactly_where_the_processor_has_it():
    path = explain(Datapath.parse("int8*int8").mac)
    assert (path.name == "8-bit integers") == emulate.has_int8()
    assert path.chunk == 4096


INT8 = Datapath.parse("int8*int8 k=8").mac
REQUANT = Datapath.parse("int8*int8 ->int8[requant]").mac
CODES = np.zeros((2, 4), dtype=np.uint8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: hwq.matmul(INT8, CODES, CODES[:, :3]),
            r"matmul takes a\[..., K\] and w\[N, K\], not \(2, 4\) and \(2, 3\)",
        ),
        (
            lambda: hwq.matmul(INT8, np.zeros((1, 9), int), np.zeros((1, 9), int)),
            r"K must be between 1 and k=8 of the Mac, not 9;",
        ),
        (lambda: hwq.matmul(INT8, CODES[:, :0], CODES[:, :0]), "K must be between 1 and k=8 of the Mac, not 0;"),
        (lambda: hwq.matmul(INT8, CODES - 1.0, CODES), "codes must be unsigned integers, not float64"),
        (lambda: hwq.matmul(INT8, CODES.astype(int) - 1, CODES), "codes of int8 must be between 0 and 255, not -1"),
        (lambda: hwq.matmul(Datapath.parse("int8*ternary").mac, CODES, CODES + 2), "code 2 of ternary is reserved"),
        (
            lambda: hwq.matmul(REQUANT, CODES, CODES),
            r"params.mul must be given for a requant step, not None; pass Params\(mul=codes\)",
        ),
        (
            lambda: hwq.matmul(INT8, CODES, CODES, hwq.Params(bias=[0, 0])),
            r"params.bias needs a bias step, not \(\); leave it None",
        ),
        (
            lambda: hwq.matmul(REQUANT, CODES, CODES, hwq.Params(mul=[1, 2, 3], shift=0)),
            r"params.mul must have one code per output channel \(2\), not shape \(3,\)",
        ),
        (
            lambda: hwq.matmul(REQUANT, CODES, CODES, hwq.Params(mul=1 << 15, shift=[0, 64])),
            "params.shift must be codes between 0 and 63, not 64",
        ),
        (
            lambda: hwq.matmul(REQUANT, CODES, CODES, hwq.Params(mul=[1 << 15, 5], shift=0)),
            "params.mul must be codes between 32768 and 65535, not 5",
        ),
        (
            lambda: hwq.matmul(REQUANT, CODES, CODES, hwq.Params(mul=0.5, shift=0)),
            r"params.mul must be codes \(integers\), not float64",
        ),
        (
            lambda: hwq.matmul(
                Datapath.parse("fp8_e5m2*fp8_e5m2").mac, torch.zeros(1, 1, dtype=torch.uint8), CODES[:1, :1]
            ),
            r"torch holds codes of up to 64 bits, not 80 of flagged\(fixed\(77,32\),inf\); add ->format or use numpy",
        ),
        (lambda: hwq.matmul("int8*int8", CODES, CODES), r"the numerics must be a Mac, not str int8\*int8; "),
        (
            lambda: hwq.matmul(Datapath(INT8), CODES, CODES),
            r"the numerics must be a Mac, not Datapath int8\*int8 k=8; ",
        ),
        (lambda: hwq.conv2d(None, CODES, CODES), "the numerics must be a Mac, not NoneType None; "),
        (lambda: explain("int8*int8"), r"the numerics must be a Mac, not str int8\*int8; "),
        (lambda: conv(stride=None), "stride must be one or two whole numbers of at least 1, not None"),
        (lambda: conv(stride=1.5), "stride must be one or two whole numbers of at least 1, not 1.5"),
        (lambda: conv(groups=None), "groups must divide C=2 into w's 2 channels and O=3 evenly, not None"),
        (lambda: explain(INT8, 4, "jax"), "library must be numpy or torch, not 'jax'"),
        (lambda: explain(INT8, 9), "K must be between 1 and k=8 of the Mac, not 9; give the datapath a larger k="),
        (
            lambda: hwq.conv2d(INT8, CODES, CODES),
            r"conv2d takes x\[B, C, H, W\] and w\[O, C/groups, kh, kw\], not \(2, 4\) and \(2, 4\)",
        ),
        (lambda: conv(stride=0), "stride must be one or two whole numbers of at least 1, not 0"),
        (lambda: conv(padding=(1, 2, 3)), r"padding must be one or two whole numbers of at least 0, not \(1, 2, 3\)"),
        (
            lambda: conv(dilation=9),
            r"the kernel must fit the padded image, not \(2, 2\) with dilation \(9, 9\) in \(4, 4\)",
        ),
        (lambda: conv(groups=2), "groups must divide C=2 into w's 2 channels and O=3 evenly, not 2"),
    ],
)
def test_bad_input_is_one_line(call, message):
    with pytest.raises(hwq.HwqError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def conv(**options):
    return hwq.conv2d(INT8, np.zeros((1, 2, 4, 4), np.uint8), np.zeros((3, 2, 2, 2), np.uint8), **options)


def test_moves_may_be_numpy_integers():
    assert conv(stride=np.int64(2), padding=(np.int32(1), 0), groups=np.int8(1)).shape == (1, 3, 3, 2)


@pytest.mark.parametrize("library", [np.asarray, torch.tensor])
def test_a_convolution_without_filters_is_empty(library):
    x, w = (library(np.zeros(shape, np.uint8)) for shape in ((1, 2, 4, 4), (0, 2, 2, 2)))
    assert tuple(hwq.conv2d(INT8, x, w).shape) == (1, 0, 3, 3)
