"""Block formats against their definition in fractions, other libraries, and products of fractions."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any

import gfloat
import gfloat.formats
import ml_dtypes
import numpy as np
import pytest
import torch

from hwq import Datapath, HwqError, Mac, catalog, conv2d, matmul, parse_format
from hwq.bits import evaluate
from hwq.formats import ROUNDINGS, Block, Format, Int, Special, packed_bytes
from hwq.formats.blockwise import texts
from hwq.formats.intake import CARRIERS
from hwq.formats.scaled import Scaled
from hwq.testing.nearest import Nearest

Array = np.ndarray[Any, Any]

MX = ("mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e3m2", "mxfp6_e2m3", "mxfp4_e2m1", "mxint8")
NAMED = (*MX, "nvfp4", "msfp12", "msfp13", "msfp14", "msfp15", "msfp16")
OTHERS = (
    "block(int4,bf16,128)",
    "block(int8,fp16,64)",
    "block(uint4,bf16,32)",
    "block(ternary,bf16,16)",
    "block(fp4_e2m1,ue4m3,16)",
    "block(fp8_e4m3,bf16,128)",
    "block(fp6_e3m2,fp(5,2),8)",
    "block(int4,uint(6),8)",
)
RULES = ("floor", "even", "ceil", "rceil", "max")
POWERS = ("floor", "even", "ceil", "rceil")


def ruled(text: str, rule: str) -> Block:
    """That format with another rule."""
    fmt = block(text)
    found = parse_format(f"block({fmt.element},{fmt.scale},{fmt.size},{rule})")
    assert isinstance(found, Block)
    return found


def block(text: str) -> Block:
    fmt = parse_format(text)
    assert isinstance(fmt, Block)
    return fmt


EVERY = [*[block(name) for name in NAMED], *[ruled(name, rule) for name in NAMED for rule in POWERS[1:]]]
EVERY = list(
    dict.fromkeys(
        [*EVERY, *map(block, OTHERS), *[ruled(OTHERS[k % len(OTHERS)], rule) for k, rule in enumerate(POWERS)]]
    )
)


# the definition, in fractions


def floor_log2(x: Fraction) -> int:
    guess = x.numerator.bit_length() - x.denominator.bit_length()
    return guess if x >= Fraction(2) ** guess else guess - 1


def ceil_log2(x: Fraction) -> int:
    e = floor_log2(x)
    return e + (x > Fraction(2) ** e)


@cache
def value_of(fmt: Format) -> dict[int, Fraction | Special]:
    return {code: fmt.value(code) for code in fmt.codes().tolist()}


@cache
def numbers(fmt: Format) -> list[Fraction]:
    """The values that encoding may give, ascending; of a two's complement integer without the least."""
    values = sorted(v for v in value_of(fmt).values() if isinstance(v, Fraction))
    values = [v for v, above in zip(values, [*values[1:], None], strict=True) if v != above]
    return values[1:] if values[0] < 0 and -values[0] not in values[-2:] else values


@cache
def positive(fmt: Format) -> list[Fraction]:
    return numbers(fmt)[bisect_right(numbers(fmt), 0) :]


def nearest(values: list[Fraction], x: Fraction, rounding: str = "rne") -> Fraction:
    """The value that a rounding gives, ends included; a tie goes to the even multiple of the distance."""
    if x <= values[0] or x >= values[-1]:
        return values[0] if x <= values[0] else values[-1]
    below = bisect_right(values, x) - 1
    lo, hi = values[below], values[below + 1]
    if x == lo:
        return lo
    middle = (lo + hi) / 2
    up = {
        "rne": x > middle or x == middle and (hi / (hi - lo)) % 2 == 0,
        "rna": x > middle or x == middle and x > 0,
        "rtz": x < 0,
        "rdn": False,
        "rup": True,
    }[rounding]
    return hi if up else lo


def scale_of(fmt: Block, m: Fraction) -> Fraction:
    """The scale of a block whose largest magnitude is m."""
    scales, most = positive(fmt.scale), numbers(fmt.element)[-1]
    if m == 0:
        return scales[0]
    if fmt.rule == "max":
        return nearest(scales, m / most)
    emax, step = floor_log2(most), most - numbers(fmt.element)[-2]
    if fmt.rule == "even":
        digits = Fraction(2) ** (floor_log2(step) - emax)  # the last fraction bit of a number below 2
        unit = Fraction(2) ** floor_log2(m)
        m = round(m / unit / digits) * digits * unit
    exponent = {
        "floor": floor_log2(m) - emax,
        "even": floor_log2(m) - emax,
        "ceil": ceil_log2(m) - emax,
        "rceil": ceil_log2(m / most),
    }[fmt.rule]
    return Fraction(2) ** min(max(exponent, floor_log2(scales[0])), floor_log2(scales[-1]))


def expected(fmt: Block, row: list[float], rounding: str = "rne") -> list[tuple[Fraction, Fraction]]:
    """(scale, element) of each number of one row."""
    found = []
    for at in range(0, len(row), fmt.size):
        part = [Fraction(v) for v in row[at : at + fmt.size]]
        scale = scale_of(fmt, max(map(abs, part)))
        found += [(scale, nearest(numbers(fmt.element), x / scale, rounding)) for x in part]
    return found


def parts(fmt: Block, codes: Array) -> list[tuple[Fraction | Special, Fraction | Special]]:
    """(scale, element) of each code, by the specification of either."""
    low = (1 << fmt.element.bits) - 1
    return [
        (value_of(fmt.scale)[c >> fmt.element.bits], value_of(fmt.element)[c & low]) for c in codes.ravel().tolist()
    ]


def around_powers() -> Array:
    """float32: every power of two of a normal number, and its two neighbours."""
    powers = np.ldexp(np.float32(1), np.arange(-126, 128)).astype(np.float32)
    assert len(powers) == 254
    return np.concatenate([np.nextafter(powers, np.float32(0)), powers, np.nextafter(powers, np.float32(np.inf))])


# scales


@pytest.mark.parametrize("fmt", EVERY, ids=str)
def test_scales_around_every_power_of_two(fmt: Block) -> None:
    largest = around_powers()
    rng = np.random.default_rng(5)
    x = (rng.uniform(-1, 1, (len(largest), fmt.size)) * largest[:, None]).astype(np.float32)
    x[np.arange(len(x)), rng.integers(0, fmt.size, len(x))] = largest * rng.choice([-1, 1], len(x))
    assert np.array_equal(np.abs(x).max(1), largest)
    codes = fmt.encode(x)
    scales = [value_of(fmt.scale)[c] for c in (codes[:, 0] >> fmt.element.bits).tolist()]
    assert scales == [scale_of(fmt, Fraction(float(m))) for m in largest]
    assert (codes >> fmt.element.bits == codes[:, :1] >> fmt.element.bits).all()


@pytest.mark.parametrize("fmt", EVERY, ids=str)
def test_scales_around_every_threshold(fmt: Block) -> None:
    """Where a rule changes its mind: the largest element, and half a last place below a power of two."""
    below, most = numbers(fmt.element)[-2:]
    marks = [most, 2 * most, (3 * most - below) / 2]
    marks += [most * (x + y) / 2 for x, y in zip(positive(fmt.scale)[:40], positive(fmt.scale)[1:41], strict=True)]
    points = np.array([float(m) * 2.0**k for m in marks for k in (-140, -126, -3, 0, 1, 7, 100)])
    points = points[(points > 0) & (points < 3e38)].astype(np.float32)
    small = np.float32([0, 1e-45, 3e-45, 2**-127, 2**-128, 2**-126, 3.4028235e38, 2.0**127])
    x = np.concatenate([points, np.nextafter(points, np.float32(0)), np.nextafter(points, np.float32(np.inf)), small])
    x = x[np.isfinite(x)][:, None]
    found = [scale for scale, _ in parts(fmt, fmt.encode(x))]
    assert len(found) > 100
    assert found == [scale_of(fmt, Fraction(float(v))) for v in x[:, 0]]


# elements


ROUNDED = [(fmt, mode) for fmt in EVERY for mode in ROUNDINGS if mode == "rne" or str(fmt) in (*NAMED, OTHERS[0])]


@pytest.mark.parametrize(("fmt", "rounding"), ROUNDED, ids=str)
def test_elements_are_nearest(fmt: Block, rounding: str) -> None:
    """bf16 bit patterns of one binade and of many, with a short block at the end of each row."""
    rng = np.random.default_rng(11)
    length = min(2 * fmt.size + 3, 80)
    wide = rng.integers(0, 1 << 16, (2, length)).astype(np.uint16).view(ml_dtypes.bfloat16).astype(np.float32)
    near = rng.normal(size=(3, length)) * 2.0 ** rng.integers(-9, 4, (3, 1))
    tiny = np.ldexp(rng.integers(-9, 10, (2, length)), -130)
    x = (
        np.concatenate([np.nan_to_num(wide, posinf=0, neginf=0), near, tiny])
        .astype(ml_dtypes.bfloat16)
        .astype(np.float32)
    )
    codes = fmt.encode(x, rounding)
    found = parts(fmt, codes)
    want = [pair for row in x.tolist() for pair in expected(fmt, row, rounding)]
    wrong = [(v, f, w) for v, f, w in zip(x.ravel().tolist(), found, want, strict=True) if f != w]
    assert not wrong, (len(wrong), wrong[0])


@pytest.mark.parametrize("name", NAMED)
def test_elements_of_many_random_blocks(name: str) -> None:
    """By tables in float64, where the quotient is exact: 2**18 bf16 numbers."""
    fmt = block(name)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(1 << 12, 64)).astype(ml_dtypes.bfloat16).astype(np.float64) * 2.0 ** rng.integers(
        -30, 30, (1 << 12, 1)
    )
    codes = fmt.encode(x)
    scale = np.array([float(v) if isinstance(v, Fraction) else np.nan for v in value_of(fmt.scale).values()])
    scales = scale[codes >> fmt.element.bits]
    if fmt.rule == "max":
        x = scales * np.ldexp(rng.integers(-48, 49, x.shape), -3)  # whose quotients are exact
        x.reshape(-1, fmt.size)[:, 0] = scales.reshape(-1, fmt.size)[:, 0] * float(fmt.element.max)
        codes = fmt.encode(x)
        assert np.array_equal(scale[codes >> fmt.element.bits], scales)
    quotient = x / scales
    table = Nearest(fmt.element)
    want = table.encode(np.clip(quotient, float(-fmt.element.max), float(fmt.element.max)), "rne")
    assert np.array_equal(codes & ((1 << fmt.element.bits) - 1), want)


COMPILED = (*NAMED, "block(int4,bf16,128)", "block(fp8_e4m3,fp16,8,even)")
NARROW = [(text, ("float16", "bfloat16")[k % 2]) for k, text in enumerate(COMPILED)]  # they take turns


@pytest.mark.parametrize(("text", "carrier"), [*[(text, "float32") for text in COMPILED], *NARROW])
def test_the_definition_is_what_is_compiled(text: str, carrier: str) -> None:
    """The texts read as integers, block by block, in arrays of every library."""
    fmt = block(text)
    rng = np.random.default_rng(9)
    dtype = {"bfloat16": ml_dtypes.bfloat16}.get(carrier, carrier)
    x = (rng.normal(size=(40, fmt.size)) * 2.0 ** rng.integers(-14, 9, (40, 1))).astype(dtype)
    raw = x.view(CARRIERS[carrier][1]).astype(np.int64)
    measures, chosen, code, number = texts(fmt, carrier, "rne")
    (measured,) = evaluate([*measures.values()], {"code": raw})
    (shared,) = evaluate([chosen], {"largest": measured.max(1)})
    codes, numbers = evaluate([code, number], {"code": raw, "shared": np.repeat(shared, fmt.size).reshape(raw.shape)})
    assert np.array_equal(fmt.encode(x).astype(np.int64), codes.astype(np.int64))
    if fmt.unpack(fmt.code_word).mag.hi.bit_length() <= CARRIERS[carrier][0].man + 1:
        assert np.array_equal(fmt.quantize(x).view(CARRIERS[carrier][1]).astype(np.int64), numbers)


# other libraries

GFLOAT = {fmt.name: fmt for fmt in gfloat.formats.all_block_formats}


@pytest.mark.parametrize("name", MX)
def test_gfloat_quantizes_alike(name: str) -> None:
    """Its INT8 uses -2, which OCP MX allows and ours leaves out."""
    fmt, theirs = block(name), GFLOAT[name]
    assert (theirs.k, theirs.block_size_bytes * 8) == (fmt.size, fmt.size * fmt.element.bits + fmt.scale.bits)
    x = np.random.default_rng(3).normal(size=(100, 32)) * 2.0 ** np.arange(-60, 40)[:, None]
    want = np.array([gfloat.quantize_block(theirs, row, gfloat.compute_scale_amax) for row in x])
    codes = fmt.encode(x)
    low = codes & ((1 << fmt.element.bits) - 1)
    scale = [gfloat.decode_float(theirs.stype, int(c)).fval for c in codes[:, 0] >> fmt.element.bits]
    element = np.array([gfloat.decode_float(theirs.etype, int(c)).fval for c in low.ravel()]).reshape(x.shape)
    assert np.array_equal(fmt.decode(codes), element * np.array(scale)[:, None])
    unused = want == -2 * np.array(scale)[:, None] if name == MX[-1] else np.zeros(x.shape, dtype=bool)
    assert unused.sum() < 20
    assert np.array_equal(fmt.quantize(x)[~unused], want[~unused])
    assert (fmt.quantize(x)[unused] == want[unused] * 127 / 128).all()


CASTS = {
    "mxfp8_e4m3": lambda x: torch.from_numpy(x).to(torch.float8_e4m3fn).view(torch.uint8).numpy(),
    "mxfp8_e5m2": lambda x: torch.from_numpy(x).clamp(-57344, 57344).to(torch.float8_e5m2).view(torch.uint8).numpy(),
    "mxfp6_e3m2": lambda x: x.astype(ml_dtypes.float6_e3m2fn).view(np.uint8),
    "mxfp6_e2m3": lambda x: x.astype(ml_dtypes.float6_e2m3fn).view(np.uint8),
    "mxfp4_e2m1": lambda x: x.astype(ml_dtypes.float4_e2m1fn).view(np.uint8),
}


@pytest.mark.parametrize("name", CASTS)
def test_casts_of_torch_and_ml_dtypes_are_the_elements(name: str) -> None:
    fmt = block(name)
    rng = np.random.default_rng(8)
    x = rng.normal(size=(1 << 11, 64)).astype(ml_dtypes.bfloat16).astype(np.float32)
    x = np.ldexp(x, rng.integers(-50, 50, (1 << 11, 1))).astype(np.float32)
    codes = fmt.encode(x)
    scales = (codes >> fmt.element.bits).astype(np.uint8)
    blocks = np.abs(x).reshape(-1, 32).max(1)
    emax = int(np.frexp(fmt.element.max)[1]) - 1
    assert np.array_equal(scales.reshape(-1, 32)[:, 0].astype(int) - 127, np.frexp(blocks)[1] - 1 - emax)
    values = torch.from_numpy(scales).view(torch.float8_e8m0fnu).float().numpy()
    assert np.array_equal(values, scales.view(ml_dtypes.float8_e8m0fnu).astype(np.float32))
    low = (codes & ((1 << fmt.element.bits) - 1)).astype(np.uint8)
    assert np.array_equal(low, CASTS[name](x / values))


def test_the_scale_of_nvfp4_is_torchs_cast() -> None:
    """Where the quotient is exact in float32, and above the smallest normal scale, at which torchao clamps it."""
    fmt = block("nvfp4")
    scales = np.arange(0x08, 0x7F, dtype=np.uint8)
    exact = torch.from_numpy(scales).view(torch.float8_e4m3fn).double()
    points = torch.cat([exact, (exact[1:] + exact[:-1]) / 2])
    x = points[:, None] * 6
    want = (x[:, 0] / 6).to(torch.float8_e4m3fn).view(torch.uint8).numpy()
    assert np.array_equal((fmt.encode(x).numpy()[:, 0] >> 4), want)


# corners


def test_worked_examples() -> None:
    """Blocks of four 4-bit numbers, floor, as the reference has them."""
    fmt = parse_format("block(fp4_e2m1,e8m0,4)")
    x = np.array([10, -5, 3, 0.4, 15.9, 0, 0, 0])
    assert fmt.quantize(x).tolist() == [8, -4, 3, 0, 12, 0, 0, 0]
    assert fmt.quantize(x, "rna").tolist() == [12, -6, 3, 0, 12, 0, 0, 0]
    assert fmt.encode(x).tolist() == [128 << 4 | c for c in (0b0110, 0b1100, 0b0011, 0, 0b0111, 0, 0, 0)]


@pytest.mark.parametrize("text", [*MX, "msfp12", *[f"block(fp4_e2m1,e8m0,32,{rule})" for rule in POWERS]])
def test_a_power_of_two_passes_through(text: str) -> None:
    fmt = block(text)
    x = np.random.default_rng(1).normal(size=(50, 64)).astype(np.float32)
    for k in (-100, -1, 1, 40, 100):
        assert np.array_equal(fmt.quantize(np.ldexp(x, k)), np.ldexp(fmt.quantize(x), k))


@pytest.mark.parametrize("fmt", [*map(block, (*NAMED, *OTHERS)), *[ruled(MX[4], rule) for rule in POWERS[1:]]], ids=str)
def test_zeros_and_specials(fmt: Block) -> None:
    size, bits = fmt.size, fmt.element.bits
    least = positive(fmt.scale)[0]
    codes = fmt.encode(np.zeros(size, np.float32))
    assert value_of(fmt.scale)[int(codes[0]) >> bits] == least and not (codes & ((1 << bits) - 1)).any()
    assert not fmt.quantize(np.zeros((2, size), np.float32)).any()
    for special in (np.nan, np.inf, -np.inf):
        x = np.ones((2, size), np.float32)
        x[0, size // 2] = special
        codes = fmt.encode(x)
        assert np.array_equal(codes[1], fmt.encode(np.ones(size, np.float32)))
        if fmt.scale.has_nan:
            assert fmt.scale.value(int(codes[0, 0]) >> bits) is Special.NAN
            assert (codes[0] == codes[0, 0]).all() and not codes[0, 0] & ((1 << bits) - 1)
            assert np.isnan(fmt.decode(codes[0])).all() and np.isnan(fmt.quantize(x)[0]).all()
        else:
            assert fmt.scale.value(int(codes[0, 0]) >> bits) == fmt.scale.extremes[1]
            top = {np.inf: fmt.element.max, -np.inf: max(fmt.element.min, -fmt.element.max)}.get(special, 0)
            assert value_of(fmt.element)[int(codes[0, size // 2]) & ((1 << bits) - 1)] == top


def test_a_nan_scale_is_ocps() -> None:
    fmt = block(MX[4])
    assert fmt.encode(np.array([np.nan, 1])).tolist() == [0xFF0, 0xFF0]
    assert fmt.value(0xFF3) is Special.NAN
    assert block(MX[1]).value(0x7F << 8 | 0x7C) is Special.PINF
    assert block(MX[5]).value(0x7F << 8 | 0x80) == -2  # decoded, though not used
    assert block(MX[5]).encode(np.array([-1.999])).tolist() == [0x7F81]


@pytest.mark.parametrize("text", [*NAMED, "block(fp(3,1,inf),e8m0,4)", "block(int4,fp(3,2),4)"])
def test_every_code_is_unpacked(text: str) -> None:
    fmt = block(text)
    codes = fmt.codes().astype(np.int64)
    u = fmt.unpack(fmt.code_word)
    columns = [np.broadcast_to(v, codes.shape) for v in evaluate([u.neg, u.mag, u.exp, u.nan, u.inf], {"code": codes})]
    step = max(1, len(codes) // 2500)
    unit, found = Fraction(2) ** fmt.lsb, set()
    for code, neg, mag, exp, nan, inf in zip(*(c[::step].tolist() for c in (codes, *columns)), strict=True):
        value = fmt.value(code)
        found.add(type(value))
        assert (nan, inf) == (value is Special.NAN, value in (Special.PINF, Special.NINF))
        if isinstance(value, Fraction):
            assert (-1) ** neg * mag * 2**exp * unit == value
            assert fmt.negative_zero(code) == (neg == 1 and mag == 0)
        else:
            assert mag == 0 and (nan or neg == (value is Special.NINF))
    decoded = fmt.decode(fmt.codes()[::step])
    want = [fmt.value(c) for c in fmt.codes()[::step].tolist()]
    assert decoded.tolist() == pytest.approx(
        [float(v.value if isinstance(v, Special) else v) for v in want], 0, 0, True
    )
    x, y = ([v for v in value_of(part).values() if isinstance(v, Fraction)] for part in (fmt.element, fmt.scale))
    products = [p * q for p in (min(x), max(x)) for q in (min(y), max(y))]
    assert fmt.extremes == (min(products), max(products))


# arrays


@pytest.mark.parametrize("text", ["mxfp4_e2m1", "nvfp4", "block(int4,bf16,8)"])
def test_any_shape_and_layout(text: str) -> None:
    """Blocks run along the last axis, whatever the strides; the last one of a row may be short."""
    fmt = block(text)
    x = np.random.default_rng(0).normal(size=(3, 5, 77)) * 2.0 ** np.arange(-38, 39)
    codes = fmt.encode(x)
    assert codes.shape == x.shape and codes.dtype == fmt.code_dtype
    for at in range(0, 77, fmt.size):
        part = slice(at, at + fmt.size)
        assert np.array_equal(fmt.encode(x[..., part]), codes[..., part])
    tensor = torch.from_numpy(x)
    for layout in (tensor, tensor.transpose(0, 2).contiguous().transpose(0, 2)):
        assert fmt.encode(layout).dtype == torch.int64 and np.array_equal(fmt.encode(layout).numpy(), codes)
        assert np.array_equal(fmt.quantize(layout).numpy(), fmt.decode(codes))
    flipped = np.ascontiguousarray(x.swapaxes(0, 2)).swapaxes(0, 2)
    assert np.array_equal(fmt.encode(flipped[:, ::2]), codes[:, ::2])
    assert np.array_equal(fmt.encode(tensor[1, 2]).numpy(), codes[1, 2])
    top = np.float32(fmt.element.max)  # over a scale of 1
    assert fmt.encode(top).shape == () and fmt.decode(fmt.encode(top)) == top
    for shape in ((0,), (0, 5), (5, 0)):
        assert fmt.encode(np.zeros(shape)).shape == fmt.quantize(np.zeros(shape, np.float32)).shape == shape
    assert np.array_equal(fmt.encode([1, -2, 3]), fmt.encode(np.array([1.0, -2, 3])))


def test_long_rows_and_many_rows_by_several_threads() -> None:
    fmt = block("mxfp4_e2m1")
    x = np.random.default_rng(4).normal(size=1 << 19).astype(np.float32)
    whole = fmt.encode(x)
    assert np.array_equal(whole, fmt.encode(x.reshape(-1, 32)).ravel())
    odd = x[: 5000 * 100].reshape(5000, 100)
    short = fmt.encode(odd)
    padded = np.zeros((5000, 128), np.float32)
    padded[:, :100] = odd
    assert np.array_equal(short, fmt.encode(padded)[:, :100])


def test_results_beyond_the_dtype_become_infinity() -> None:
    """Only rules that round up reach beyond float32, and only from its last binade."""
    x = np.array([3.4e38, 1], dtype=np.float32)
    assert np.isfinite(block("mxfp4_e2m1").quantize(x)).all()
    assert np.isinf(parse_format("block(fp4_e2m1,e8m0,32,even)").quantize(x)[0])
    assert np.isfinite(parse_format("block(fp4_e2m1,e8m0,32,even)").quantize(x.astype(np.float64))).all()


def test_stochastic_rounding_is_of_each_elements_noise() -> None:
    fmt = block("mxint8")
    x = np.full((1, 1 << 16), 0.3, np.float32)
    x[:, ::32] = 1
    found = fmt.quantize(x, "sr", 7)
    assert np.array_equal(found, fmt.quantize(x, "sr", 7)) and not np.array_equal(found, fmt.quantize(x, "sr", 8))
    rest = found[x != 1]
    assert set(rest.tolist()) == {19 / 64, 20 / 64} and abs(rest.mean() - 0.3) < 1e-4
    assert np.array_equal(np.unique(found[:, ::32]), [1])


# datapaths


def fractions(fmt: Format, codes: Array) -> list[list[Fraction]]:
    found = [[fmt.value(code) for code in row] for row in codes.tolist()]
    assert all(isinstance(v, Fraction) for row in found for v in row)
    return found  # type: ignore[return-value]


def dots(a: Format, w: Format, x: Array, y: Array) -> list[list[list[Fraction]]]:
    """The products of each sum, in order."""
    return [
        [[p * q for p, q in zip(row, column, strict=True)] for column in fractions(w, y)] for row in fractions(a, x)
    ]


@pytest.mark.parametrize(
    "text",
    ["mxfp4_e2m1*mxfp4_e2m1", "mxfp8_e4m3*mxint8", "nvfp4*nvfp4", "block(int4,ue4m3,8)*int8", "mxfp8_e5m2*nvfp4"],
)
def test_sums_are_of_exact_products(text: str) -> None:
    """An exact accumulator, and fixed ones in the order of k, against fractions."""
    a, w = (parse_format(part) for part in text.split("*"))
    rng = np.random.default_rng(6)
    x, y = a.encode(rng.normal(size=(3, 70))), w.encode(rng.normal(size=(4, 70)) * 8)
    terms = dots(a, w, x, y)
    mac = Datapath.parse(f"{text} +exact k=128").mac
    found = fractions_of_sums(mac, matmul(mac, x, y))
    assert found == [[sum(products) for products in row] for row in terms]
    for acc, frac, ends, sat in (("fixed(32,8)", 8, 31, False), ("fixed(14,6,sat)", 6, 13, True)):
        mac = Datapath.parse(f"{text} +{acc} k=128").mac
        got = fractions_of_sums(mac, matmul(mac, x, y))
        for row, sums in zip(terms, got, strict=True):
            for products, value in zip(row, sums, strict=True):
                total = 0
                for product in products:
                    total += math.floor(product * 2**frac)
                    total = min(max(total, -(1 << ends)), (1 << ends) - 1) if sat else total
                assert value * 2**frac == total


def fractions_of_sums(mac: Mac, codes: Array) -> list[list[Fraction]]:
    return [[v for c in row if isinstance(v := mac.output.value(int(c)), Fraction)] for row in codes.tolist()]


def test_padding_of_a_convolution_is_a_zero() -> None:
    """Blocks run along the last axis of what was encoded; the codes then mean the same wherever they go."""
    fmt = block("block(fp4_e2m1,e8m0,4)")
    rng = np.random.default_rng(3)
    x, w = fmt.encode(rng.normal(size=(1, 2, 3, 5))), fmt.encode(rng.normal(size=(2, 2, 3, 3)))
    mac = Datapath.parse("block(fp4_e2m1,e8m0,4)*block(fp4_e2m1,e8m0,4) +fixed(32,10) k=32").mac
    found = conv2d(mac, x, w, padding=1)
    image = np.pad(fmt.decode(x), ((0, 0), (0, 0), (1, 1), (1, 1)))
    kernel = fmt.decode(w)
    for o in range(2):
        for i in range(3):
            for j in range(5):
                products = image[0, :, i : i + 3, j : j + 3] * kernel[o]
                assert float(mac.output.value(int(found[0, o, i, j]))) == np.floor(products * 1024).sum() / 1024


@pytest.mark.parametrize("text", ["binary", "block(binary,e8m0,8)", "log4"])
def test_what_has_no_zero_pads_nothing(text: str) -> None:
    mac = Datapath.parse(f"{text}*int4 k=32").mac
    x, w = mac.a.encode(np.ones((1, 1, 3, 3))), mac.w.encode(np.ones((1, 1, 3, 3)))
    assert float(mac.output.value(int(conv2d(mac, x, w)[0, 0, 0, 0]))) == 9
    with pytest.raises(HwqError, match=r"^padding needs a code of 0, but .* has none; choose a format with a zero"):
        conv2d(mac, x, w, padding=1)


@pytest.mark.parametrize("text", ["mxfp4_e2m1", "nvfp4", "mxint8[bias,relu]", "w4g128"])
def test_no_datapath_ends_in_a_block(text: str) -> None:
    """A processing element has one number at a time: neither an output nor an accumulator can be of a block."""
    name = text.partition("[")[0]
    fmt = parse_format(name)
    message = rf"^an output must round one number alone, not {name}, whose scale is that of a block; use a format such"
    with pytest.raises(HwqError, match=message):
        Datapath.parse(f"int4*int4 ->{text}")
    with pytest.raises(HwqError, match=message):
        Mac(parse_format("int4"), parse_format("int4"), out=fmt)
    with pytest.raises(HwqError, match=r"^an (output must round one number alone|accumulator must be a float)"):
        Datapath.parse(f"int4*int4 +{name}")


# texts and messages


def test_texts() -> None:
    fmt = block("mxfp4_e2m1")
    assert (str(fmt), fmt.text) == ("mxfp4_e2m1", "block(fp(2,1),fp(8,0,nan,unsigned,nozero),32,floor)")
    assert parse_format("block(fp(2,1), fp(8,0,nan,unsigned,nozero), 32)") == fmt
    assert str(ruled("mxfp4_e2m1", "even")) == "block(fp4_e2m1,e8m0,32,even)"
    assert str(parse_format("block(fp4_e2m1,fp(4,3,nan),16,max)")) == "nvfp4"
    for fmt in EVERY:
        assert parse_format(str(fmt)) == parse_format(fmt.text) == fmt
        if fmt.bits <= 16:
            text = f"{fmt}*int4 ->fp16"
            assert str(Datapath.parse(text)) == text and Datapath.parse(text).mac.a == fmt


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("block(int4,bf16)", "block takes an element, a scale, a size and perhaps a rule, not 'block(int4,bf16)'"),
        ("block(int4,bf16,8,max,1)", "block takes an element, a scale, a size and perhaps a rule, not"),
        ("block(int4,bf16,x)", "block(...) takes 1 whole number(s), not 'block(int4,bf16,x)'"),
        ("block(int4,bf16,0)", "a block must have between 1 and 65536 numbers, not 0"),
        ("block(int4,bf16,8,up)", "a scale's rule must be one of floor, even, ceil, rceil, max, not 'up'"),
        ("block(int4,fp32,8)", "a block's element and scale must have at most 16 bits, not int4 and fp32"),
        ("block(int(17),e8m0,8)", "a block's element and scale must have at most 16 bits, not int(17) and e8m0"),
        ("block(mxint8,e8m0,8)", "a block's element and scale must be plain formats, not blocks"),
        ("block(int4,int(16),8)", "a scale must have at most 12 significant bits, not 16 as int16 has"),
        (
            "block(int4,fp(5,2,inf,ovf=inf),8)",
            "a scale must be a float or an integer that saturates, not fp(5,2,inf,ovf=inf)",
        ),
        ("block(int4,ternary,8)", "a scale must be a float or an integer that saturates, not ternary"),
    ],
)
def test_messages(text: str, message: str) -> None:
    with pytest.raises(HwqError, match=f"^{re.escape(message)}"):
        parse_format(text)


def test_messages_of_arrays() -> None:
    fmt, wide = block("block(int4,bf16,8)"), block("block(int8,bf16,8)")
    for call, message in (
        (lambda: wide.quantize(np.ones(8, np.float16)), "float16 cannot hold the 15 digits of block(int8,bf16,8,max)"),
        (lambda: fmt.quantize(np.ones(8, np.int32)), "quantize needs a float array, not integers"),
        (lambda: fmt.encode(np.ones(8), "up"), "round must be one of"),
        (lambda: fmt.outer_scale(float("nan")), "the largest magnitude must be a whole number, a fraction or a finite"),
        (lambda: fmt.value(1 << 20), "block(int4,bf16,8,max) has no code 1048576"),
    ):
        with pytest.raises(HwqError, match=f"^{re.escape(message)}"):
            call()


def test_the_outer_scale_spans_the_tensor() -> None:
    fmt = block("nvfp4")
    x = np.random.default_rng(12).normal(size=(8, 64)) * 1e-6
    outer = fmt.outer_scale(float(np.abs(x).max()))
    assert outer == np.abs(x).max() / (6 * 448) and fmt.outer_scale(0.0) == 1.0
    found = fmt.quantize(x / outer) * outer
    assert (found - x).std() < 0.12 * x.std() and not fmt.quantize(x).any()
    assert (fmt.encode(x / outer) >> 4).max() == fmt.scale.encode(np.array([448.0]))[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Block(np.ones(3), catalog["e8m0"], 32), "a block is made of two formats, not array"),  # type: ignore[arg-type]
        (lambda: Block("int8", catalog["e8m0"], 32), "a block is made of two formats, not 'int8'"),  # type: ignore[arg-type]
        (lambda: Block(catalog["int8"], catalog["e8m0"], True), "size must be a whole number, not True"),
        (lambda: Block(catalog["int8"], catalog["e8m0"], 8, np.ones(2)), "a scale's rule must be one of"),  # type: ignore[arg-type]
        (lambda: catalog["nvfp4"].outer_scale(np.ones(3)), "the largest magnitude must be a whole number, a fraction"),  # type: ignore[attr-defined]
        (lambda: catalog["nvfp4"].outer_scale(-1.0), "the largest magnitude must be a finite number of at least 0"),  # type: ignore[attr-defined]
        (lambda: packed_bytes(catalog["int4"], None), "a shape must be a list of numbers, not None"),  # type: ignore[arg-type]
        (lambda: packed_bytes(catalog["int4"], (2, -1)), "a shape must be whole numbers of at least 0"),
        (lambda: packed_bytes(catalog["int4"], (2, 1.5)), "a size must be a whole number, not 1.5"),  # type: ignore[arg-type]
    ],
)
def test_blocks_and_packing_refuse_in_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(HwqError) as error:
        call()
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("fmt", [*map(block, (*OTHERS, *NAMED)), catalog["w4g128"]], ids=str)
def test_numbers_under_what_their_block_shares_are_those_of_the_block(fmt: Scaled) -> None:
    x = np.random.default_rng(3).normal(size=(5, 150)) * np.logspace(-3, 3, 150)
    codes, shared = fmt.encode(x), fmt.shared(x)
    assert (fmt.encode_under(x, shared) == codes).all()
    assert (
        fmt.encode_under(torch.from_numpy(x[:, 7]), torch.from_numpy(shared[:, 7].astype(int))).numpy() == codes[:, 7]
    ).all()
    for start in range(0, 150, fmt.block):
        assert (shared[:, start : start + fmt.block] == shared[:, start : start + 1]).all()
    # under what another block shares: the nearest of its elements' values, found in fractions
    bits, given = fmt.element.bits, int(shared[0, 0])
    beside = [c for c in range(given << bits, given + 1 << bits) if not fmt.reserved(c)]
    own = [v for c in beside if isinstance(v := fmt.value(c), Fraction)]
    if isinstance(fmt.element, Int) and fmt.element.signed:
        own.remove(min(own))  # the most negative integer stays unused
    for number, code in zip(x[1, ::10].tolist(), fmt.encode_under(x[1, ::10], given).tolist(), strict=True):
        assert code in beside
        assert abs(Fraction(fmt.value(code)) - Fraction(number)) == min(abs(v - Fraction(number)) for v in own)


def test_what_blocks_share_wrong() -> None:
    with pytest.raises(
        HwqError, match=r"^what blocks of mxint8 share must be 0\.\.255, not 256\.\.256; shared\(x\) chooses it$"
    ):
        catalog["mxint8"].encode_under(np.ones(3), 256)


def test_a_plain_number_shares_nothing() -> None:
    x = np.linspace(-300, 300, 77).reshape(7, 11)
    for fmt in (catalog["int8"], catalog["fp8_e4m3"], catalog["ternary"]):
        assert fmt.block == 1
        assert fmt.span == (fmt.min, fmt.max)
        assert (fmt.shared(x) == 0).all()
        assert (fmt.encode_under(x, fmt.shared(x)) == fmt.encode(x)).all()


def test_spans_are_of_elements_under_a_scale_of_one() -> None:
    spans = {"mxint8": (-2, 127 / 64), "nvfp4": (-6, 6), "w4g128": (-15, 15), "block(int4,uint(6),8)": (-504, 441)}
    assert {name: parse_format(name).span for name in spans} == spans
    assert parse_format("block(fp4_e2m1,fp(5,2,bias=17),8)").span == (-1.5, 1.5)  # a scale's middle exponent is 2**-2
