"""Products of leading axes and grouped convolutions, against plain Python numbers and against one product at a time."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

import hwq
from hwq import Params
from hwq.datapath import Datapath, emulate

torch.set_num_threads(1)

# The oracle: numbers and sums written here from the formats' definitions, with nothing of hwq.

NAN, PINF, NINF = "nan", "+inf", "-inf"
Number = Fraction | str


def two_complement(bits: int):
    return lambda code: Fraction(code - (code >> (bits - 1) << bits))


def e4m3(code: int) -> Number:
    """OCP FP8 E4M3: bias 7, no infinity, NaN where all but the sign is ones."""
    sign, exp, man = 1 - 2 * (code >> 7), code >> 3 & 15, code & 7
    if (exp, man) == (15, 7):
        return NAN
    return sign * (Fraction(man, 8) + (exp > 0)) * Fraction(2) ** (max(exp, 1) - 7)


def e5m2(code: int) -> Number:
    """OCP FP8 E5M2: IEEE 754's layout, bias 15."""
    sign, exp, man = 1 - 2 * (code >> 7), code >> 2 & 31, code & 3
    if exp == 31:
        return NAN if man else PINF if sign > 0 else NINF
    return sign * (Fraction(man, 4) + (exp > 0)) * Fraction(2) ** (max(exp, 1) - 15)


def times(x: Number, y: Number) -> Number:
    if NAN in (x, y) or (isinstance(x, str) or isinstance(y, str)) and 0 in (x, y):
        return NAN
    if isinstance(x, str) or isinstance(y, str):
        down = sum(v == NINF if isinstance(v, str) else v < 0 for v in (x, y))
        return NINF if down == 1 else PINF
    return x * y


def dot(terms: list[Number], unit: Fraction, bits: int, saturates: bool, flags: int) -> int:
    """The code of a sum in two's complement, its flags (nan, +inf, -inf: as many as there are) above it."""
    half, total = 1 << (bits - 1), 0
    for term in terms:
        if not isinstance(term, str):
            total += int(term / unit)
            assert term % unit == 0
            total = min(max(total, -half), half - 1) if saturates else (total + half) % (2 * half) - half
    nan = NAN in terms or PINF in terms and NINF in terms
    pinf, ninf = PINF in terms and not nan, NINF in terms and not nan
    number = 0 if nan else half - 1 if pinf else -half if ninf else total
    high = sum(int(flag) << (flags - 1 - j) for j, flag in enumerate((nan, pinf, ninf)[:flags]))
    return high << bits | number % (2 * half)


# text, the operands' numbers, the weight of the sum's last bit, its bits, whether it saturates, how many flags it has
CASES = {
    "int8*int8 +fixed(40)": (two_complement(8), two_complement(8), 0, 40, False, 0),
    "int8*int8 +fixed(15)": (two_complement(8), two_complement(8), 0, 15, False, 0),
    "int8*int8 +fixed(15,sat)": (two_complement(8), two_complement(8), 0, 15, True, 0),
    "int8*int4 +fixed(70,sat)": (two_complement(8), two_complement(4), 0, 70, True, 0),
    "fp8_e4m3*int4 +fixed(50)": (e4m3, two_complement(4), -9, 50, False, 1),
    "fp8_e4m3*int4 +fixed(20,sat)": (e4m3, two_complement(4), -9, 20, True, 1),
    "fp8_e4m3*fp8_e4m3 +fixed(30)": (e4m3, e4m3, -18, 30, False, 1),
    "fp8_e5m2*int8 +fixed(60)": (e5m2, two_complement(8), -16, 60, False, 3),
    "fp8_e5m2*fp8_e5m2 +fixed(45,sat)": (e5m2, e5m2, -32, 45, True, 3),
}


def wanted(text: str, a: list[int], w: list[int]) -> int:
    left, right, lsb, *rest = CASES[text]
    terms = [times(left(x), right(y)) for x, y in zip(a, w, strict=True)]
    return dot(terms, Fraction(2) ** lsb, *rest)


def drawn(bits: int, shape: tuple[int, ...], rng: np.random.Generator, every: bool = True) -> np.ndarray:
    """Any codes; or, not `every` one, those whose magnitudes are small and no special's."""
    codes = rng.integers(0, 1 << bits, shape)
    return (codes if every else codes & (1 << (bits - 1) | (1 << (bits - 2)) - 1)).astype(np.uint8)


def image_and_kernel(text: str, shape, kernel, every: bool) -> tuple[np.ndarray, np.ndarray]:
    mac, rng = Datapath.parse(text).mac, np.random.default_rng(sum(map(ord, text)))
    return drawn(mac.a.bits, shape, rng, every), drawn(mac.w.bits, kernel, rng, every)


@pytest.mark.parametrize("text", CASES)
@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize(
    ("left", "right", "lead"),
    [
        ((3, 4, 6), (3, 5, 6), (3,)),
        ((2, 3, 20, 9), (2, 3, 1, 9), (2, 3)),
        ((4, 1), (2, 3, 1), (2,)),
        ((2, 1, 2, 5), (3, 2, 5), (2, 3)),
    ],
)
def test_products_of_leading_axes_equal_python_numbers(text, every, left, right, lead):
    mac = Datapath.parse(f"{text} k=32").mac
    a, w = image_and_kernel(text, left, right, every)
    x, y = np.broadcast_to(a, (*lead, *left[-2:])), np.broadcast_to(w, (*lead, *right[-2:]))
    want = np.empty((*lead, left[-2], right[-2]), dtype=object)
    for *g, m, n in np.ndindex(want.shape):
        want[(*g, m, n)] = wanted(text, x[(*g, m)].tolist(), y[(*g, n)].tolist())
    got = hwq.matmul(mac, a, w)
    np.testing.assert_array_equal(got.astype(object), want)
    if mac.output.bits < 64:
        again = hwq.matmul(mac, torch.from_numpy(a), torch.from_numpy(w))
        assert again.is_contiguous()
        np.testing.assert_array_equal(again.numpy().astype(object), want)


MOVES = [  # C, O, kernel, stride, padding, dilation, groups
    (3, 3, (3, 3), (1, 1), (1, 1), (1, 1), 3),
    (3, 6, (2, 3), (2, 1), (0, 2), (1, 2), 3),
    (2, 10, (3, 2), (1, 2), (2, 0), (2, 1), 2),
    (6, 4, (2, 2), (1, 2), (1, 0), (2, 1), 2),
    (4, 8, (1, 1), (3, 2), (0, 0), (1, 1), 4),
    (1, 2, (3, 3), (2, 3), (1, 1), (2, 1), 1),
]


@pytest.mark.parametrize("text", CASES)
@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize(("c", "o", "kernel", "stride", "padding", "dilation", "groups"), MOVES)
def test_grouped_convolutions_equal_python_numbers(text, every, c, o, kernel, stride, padding, dilation, groups):
    mac = Datapath.parse(f"{text} k=32").mac
    x, w = image_and_kernel(text, (2, c, 5, 6), (o, c // groups, *kernel), every)
    size = [(5, 6)[d] + 2 * padding[d] - dilation[d] * (kernel[d] - 1) - 1 for d in (0, 1)]
    want = np.empty((2, o, size[0] // stride[0] + 1, size[1] // stride[1] + 1), dtype=object)
    for b, ch, i, j in np.ndindex(want.shape):
        terms, first = [], ch // (o // groups) * (c // groups)
        for ic, u, v in np.ndindex(c // groups, *kernel):
            row, col = i * stride[0] + u * dilation[0] - padding[0], j * stride[1] + v * dilation[1] - padding[1]
            terms.append(int(x[b, first + ic, row, col]) if 0 <= row < 5 and 0 <= col < 6 else 0)
        want[b, ch, i, j] = wanted(text, terms, w[ch].reshape(-1).tolist())
    got = hwq.conv2d(mac, x, w, None, stride, padding, dilation, groups)
    assert want.size and got.flags.c_contiguous
    np.testing.assert_array_equal(got.astype(object), want)
    if mac.output.bits < 64:
        again = hwq.conv2d(mac, torch.from_numpy(x), torch.from_numpy(w), None, stride, padding, dilation, groups)
        np.testing.assert_array_equal(again.numpy().astype(object), want)


# One product at a time, for every kind of accumulator.

KINDS = (
    "int8*int8",
    "int8*int8 ->int8[bias,requant,relu]",
    "int8*int8 +fixed(16,sat) ->int8[bias,requant]",
    "int8*int8 +fixed(17)",
    "int8*int8 +fixed(14,sat) order=tree(3)",
    "fp8_e4m3*int4 ->fp8_e4m3[requant]",
    "fp8_e4m3*int4 +fixed(18,2,rne)",
    "fp8_e4m3*fp8_e4m3 +fp32",
    "fp8_e4m3*fp8_e4m3 +fp32 order=tree(4)",
    "fp8_e4m3*fp8_e5m2 +bf16 ->bf16[bias,relu]",
    "fp8_e5m2*fp8_e5m2 ->fp16",
    "bf16*bf16 ->bf16",
    "fp16*fp16 +align(volta)",
    "mxfp4_e2m1*mxfp4_e2m1 ->bf16",
    "int8*int8 ->int4[requant] round=sr",
)


def codes(fmt, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return rng.choice(fmt.codes() if fmt.bits <= 16 else fmt.encode(rng.normal(size=99)), shape)


def loaded(mac, shape: tuple[int, ...], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Every parameter that the Mac loads; seeds too, where it rounds by chance."""
    found = {}
    if "bias" in mac.steps:
        found["bias"] = codes(mac.acc_format, shape, rng) if mac.floats else rng.integers(0, 1 << 12, shape)
    if "requant" in mac.steps:
        found |= {"mul": rng.integers(1 << 15, 1 << 16, shape), "shift": rng.integers(18, 30, shape)}
    return found | ({"seed": rng.integers(1, 1 << 20, shape)} if mac.round == "sr" else {})


def same(got, want) -> None:
    """Codes of either library, bit for bit."""
    assert got.dtype == want.dtype and got.shape == want.shape and 0 not in got.shape
    np.testing.assert_array_equal(np.asarray(got), np.asarray(want))


@pytest.mark.parametrize("text", KINDS)
@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy])
def test_a_batch_is_its_products_one_by_one(text, library):
    mac, rng = Datapath.parse(f"{text} k=64").mac, np.random.default_rng(1)
    for g, m, n, k in ((5, 7, 6, 24), (3, 40, 1, 9), (4, 20, 17, 3)):
        x, y = codes(mac.a, (g, m, k), rng), codes(mac.w, (g, n, k), rng)
        given = Params(**loaded(mac, (n,), rng))
        x, y = (library(z if library is np.asarray else z.astype(np.int64)) for z in (x, y))
        each = [hwq.matmul(mac, left, right, given) for left, right in zip(x, y, strict=True)]
        want = np.stack(each) if library is np.asarray else torch.stack(each)
        same(hwq.matmul(mac, x, y, given), want)


@pytest.mark.parametrize("text", KINDS)
@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy])
def test_a_grouped_convolution_is_its_groups_one_by_one(text, library, monkeypatch):
    mac, rng = Datapath.parse(f"{text} k=64").mac, np.random.default_rng(2)
    for c, o, groups in ((6, 6, 6), (6, 12, 6), (6, 4, 2)):
        x, w = codes(mac.a, (3, c, 7, 6), rng), codes(mac.w, (o, c // groups, 3, 2), rng)
        x, w = (library(z if library is np.asarray else z.astype(np.int64)) for z in (x, w))
        given, inputs, outputs = loaded(mac, (o,), rng), c // groups, o // groups
        each = []
        for g in range(groups):
            rows = slice(g * outputs, (g + 1) * outputs)
            part = Params(**{name: p[rows] for name, p in given.items()})
            each.append(hwq.conv2d(mac, x[:, g * inputs : (g + 1) * inputs], w[rows], part, (1, 2), (0, 0), (2, 1)))
        want = np.concatenate(each, 1) if library is np.asarray else torch.cat(each, 1)
        for block in (1 << 28, 30000):
            with monkeypatch.context() as patch:
                patch.setattr(emulate, "_BLOCK", block)
                same(hwq.conv2d(mac, x, w, Params(**given), (1, 2), (0, 0), (2, 1), groups), want)


def test_blocks_of_a_batch_are_its_whole(monkeypatch):
    rng = np.random.default_rng(4)
    for text in ("int8*int8 ->int4[requant] round=sr", "fp8_e5m2*fp8_e5m2 ->bf16", "int8*int8 +fixed(14,sat)"):
        mac = Datapath.parse(text).mac
        x, y = codes(mac.a, (7, 9, 12), rng), codes(mac.w, (7, 5, 12), rng)
        given = Params(**loaded(mac, (5,), rng))
        want = hwq.matmul(mac, x, y, given)
        for block in (1, 3000, 20000):
            with monkeypatch.context() as patch:
                patch.setattr(emulate, "_BLOCK", block)
                same(hwq.matmul(mac, x, y, given), want)


def test_an_empty_batch_is_empty_and_terms_are_counted():
    mac, empty = Datapath.parse("int8*int8 k=8").mac, np.zeros((0, 3, 4), np.uint8)
    assert hwq.matmul(mac, empty, empty).shape == (0, 3, 3)
    assert hwq.matmul(mac, empty.reshape(3, 0, 4), empty.reshape(3, 0, 4)).shape == (3, 0, 0)
    long = np.zeros((2, 3, 9), np.uint8)
    with pytest.raises(hwq.HwqError, match="K must be between 1 and k=8 of the Mac, not 9;"):
        hwq.matmul(mac, long, long)
    with pytest.raises(hwq.HwqError, match="K must be between 1 and k=8 of the Mac, not 9;"):
        hwq.conv2d(mac, np.zeros((1, 2, 4, 4), np.uint8), np.zeros((2, 1, 3, 3), np.uint8), groups=2)
    most = np.full((2, 3, 8), 128, np.uint8)
    assert (mac.output.decode(hwq.matmul(mac, most, most)) == 8 * 128 * 128).all()


@pytest.mark.parametrize(
    ("left", "right", "given", "message"),
    [
        (
            (2, 3, 4),
            (3, 3, 4),
            None,
            r"leading axes must broadcast where w has any, .*, not \(2, 3, 4\) and \(3, 3, 4\)",
        ),
        ((4,), (2, 3, 4), None, r"leading axes must broadcast where w has any, .*, not \(4,\) and \(2, 3, 4\)"),
        ((2, 3, 4), (2, 3, 5), None, r"matmul takes a\[..., K\] and w\[N, K\], not \(2, 3, 4\) and \(2, 3, 5\)"),
        ((2, 3, 4), (2, 3, 4), (3, 3), r"params.mul must have one code per output channel \(3\), not shape \(3, 3\)"),
        ((2, 3, 4), (3, 4), (2, 3), r"params.mul must have one code per output channel \(3\), not shape \(2, 3\)"),
    ],
)
def test_batches_wrong(left, right, given, message):
    mac = Datapath.parse("int8*int8 ->int8[requant]").mac
    params = Params(mul=np.full(given or (), 1 << 15), shift=3)
    with pytest.raises(hwq.HwqError, match=message) as caught:
        hwq.matmul(mac, np.zeros(left, np.uint8), np.zeros(right, np.uint8), params)
    assert "\n" not in str(caught.value)
