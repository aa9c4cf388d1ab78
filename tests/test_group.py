"""Groups with a zero point against their definition in fractions."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from fractions import Fraction
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from hwq import Datapath, HwqError, catalog, matmul, parse_format
from hwq.bits import evaluate
from hwq.formats import ROUNDINGS, Format, Group, Special, pack_bits, packed_bytes, unpack_bits
from hwq.formats.blockwise import texts
from hwq.formats.group import Difference
from hwq.formats.intake import CARRIERS

Array = np.ndarray[Any, Any]
NAMED = tuple(name for name in catalog if isinstance(catalog[name], Group))
TEXTS = (
    "group(uint4,bf16,5)",
    "group(uint4,fp16,5)",
    "group(uint4,ue4m3,5)",
    "group(uint4,e8m0,5)",
    "group(uint4,e8m0,5,near)",
    "group(uint4,bf16,5,up)",
    "group(uint(3),fp(5,2),5)",  # without NaN
    "group(uint8,bf16,5)",
    "group(uint(1),uint(6),5)",
    "group(uint2,fp8_e4m3,5)",
)
TYPES = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
ROUND = {
    "rne": round,
    "rna": lambda x: math.floor(abs(x) + Fraction(1, 2)) * (1 if x > 0 else -1),
    "rtz": math.trunc,
    "rdn": math.floor,
    "rup": math.ceil,
}


def group(text: str) -> Group:
    fmt = parse_format(text)
    assert isinstance(fmt, Group)
    return fmt


# the definition, in fractions


@cache
def positive(fmt: Format) -> list[tuple[Fraction, int]]:
    """(value, code) of the positive codes, ascending."""
    values = {c: fmt.value(c) for c in fmt.codes().tolist()}
    return sorted((v, c) for c, v in values.items() if isinstance(v, Fraction) and v > 0)


@cache
def values(fmt: Format) -> list[Fraction]:
    return [v for v, _ in positive(fmt)]


def scale_of(fmt: Group, span: Fraction) -> tuple[Fraction, int]:
    """The scale nearest to that, or the next above; a tie goes to the even code."""
    found, known = positive(fmt.scale), values(fmt.scale)
    at = bisect_left(known, span)
    if at == len(known) or at == 0:
        return found[max(0, at - 1)]
    below, above = found[at - 1], found[at]
    if fmt.rule == "up" or above[0] - span < span - below[0]:
        return above
    if above[0] - span > span - below[0]:
        return below
    unit = above[0] - below[0]  # even multiples of the distance are those of even last places
    return above if above[0] / unit % 2 == 0 else below


@cache
def nan_code(fmt: Format) -> int:
    """The scale's code of a group with a NaN: a quiet one, where there are several."""
    nans = [c for c in range(1 << (fmt.bits - (fmt.min < 0))) if fmt.value(c) is Special.NAN]
    return nans[len(nans) // 2]


def expected(fmt: Group, numbers: list[float], rounding: str = "rne") -> list[int]:
    """The codes of one group."""
    bits, top = fmt.element.bits, (1 << fmt.element.bits) - 1
    finite = [Fraction(x) if math.isfinite(x) else None for x in numbers]
    if None in finite and fmt.scale.has_nan:
        return [nan_code(fmt.scale) << 2 * bits] * len(numbers)
    low = min(0, *[x for x in finite if x is not None], 0)
    high = max(0, *[x for x in finite if x is not None], 0)
    scale, code = scale_of(fmt, (high - low) / top) if None not in finite else positive(fmt.scale)[-1]
    zero = min(round(-low / scale), top)
    if any(math.copysign(1, x) < 0 for x, known in zip(numbers, finite, strict=True) if known is None):
        zero = top
    found = []
    for number, x in zip(numbers, finite, strict=True):
        beyond = 0 if math.isnan(number) else top if number > 0 else -top
        steps = beyond if x is None else ROUND[rounding](x / scale)
        found.append(code << 2 * bits | zero << bits | min(max(steps + zero, 0), top))
    return found


def rows(kind: str, count: int, size: int, seed: int) -> Array:
    """Groups of every sort, in that dtype."""
    rng = np.random.default_rng(seed)
    info = ml_dtypes.finfo(TYPES[kind])
    most, least = float(info.max), float(info.smallest_subnormal)
    x = rng.normal(size=(count, size)) * np.exp2(rng.uniform(-6, 6, (count, 1)))
    sort = np.arange(count) % 10
    x[sort == 1] = np.abs(x[sort == 1])
    x[sort == 2] = -np.abs(x[sort == 2])
    x[sort == 3] = x[sort == 3][:, :1]
    x[sort == 4] *= rng.integers(0, 2, x[sort == 4].shape)
    x[sort == 5] = rng.integers(-9, 10, x[sort == 5].shape) * least
    x[sort == 6] *= np.exp2(rng.uniform(-40, 40, x[sort == 6].shape))  # far apart, so that one is lost in the other
    x[sort == 7] = rng.choice([most, -most, most / 3, 1.0, least, 0.0], x[sort == 7].shape)
    x[sort == 8] = rng.integers(-15, 16, x[sort == 8].shape) * np.exp2(rng.integers(-5, 6, (len(x[sort == 8]), 1)))
    return np.clip(x, -most, most).astype(TYPES[kind])


def compared(fmt: Group, x: Array, rounding: str = "rne") -> int:
    codes = fmt.encode(x, rounding)
    want = []
    for row in x.astype(np.float64).tolist():
        want.append(
            [c for at in range(0, len(row), fmt.size) for c in expected(fmt, row[at : at + fmt.size], rounding)]
        )
    wrong = np.flatnonzero((codes != np.array(want)).any(1))
    assert not wrong.size, (len(wrong), x[wrong[0]].tolist(), codes[wrong[0]].tolist(), want[wrong[0]])
    return len(x) * -(-x.shape[1] // fmt.size)


@pytest.mark.parametrize("text", TEXTS)
def test_codes_are_the_definitions(text: str) -> None:
    """Random groups and corners of all dtypes; the last group of a row is short."""
    fmt = group(text)
    count = sum(compared(fmt, rows(kind, 300, 8, seed)) for seed, kind in enumerate(TYPES))
    assert count == 4 * 600


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("text", ["group(uint4,bf16,5)", "group(uint(3),e8m0,5)"])
def test_elements_are_rounded_once(text: str, rounding: str) -> None:
    assert compared(group(text), rows("float32", 400, 5, 7), rounding) == 400


@pytest.mark.parametrize("text", ["group(uint4,bf16,2)", "group(uint4,fp16,2)", "group(uint8,ue4m3,2)"])
def test_scales_around_every_power_of_two(text: str) -> None:
    """The range at each power of two of float32, times the number of steps, and one last place to either side."""
    fmt = group(text)
    top = (1 << fmt.element.bits) - 1
    spans = np.ldexp(np.float64(top), np.arange(-126 - fmt.element.bits, 128 - fmt.element.bits)).astype(np.float32)
    assert len(spans) == 254
    spans = np.concatenate([np.nextafter(spans, np.float32(0)), spans, np.nextafter(spans, np.float32(np.inf))])
    for share in (0, 0.25, 1):
        x = np.stack([spans * np.float32(share), spans * np.float32(share) - spans], 1)
        assert compared(fmt, x) == 762


def test_scales_around_ties() -> None:
    """Ranges half way between two scales, which a number that is lost beside the other decides."""
    fmt = group("group(uint4,bf16,2)")
    scales = np.arange(129, 256, dtype=np.float64) - 0.5
    for beside in (0.0, -(2.0**-60), 2.0**-60, -(2.0**-1000)):
        x = np.stack([15 * scales, np.full(len(scales), beside)], 1)
        assert compared(fmt, x) == 127


@pytest.mark.parametrize("text", TEXTS)
def test_nan_and_infinities(text: str) -> None:
    fmt = group(text)
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, 5)).astype(np.float32)
    x[np.arange(60), rng.integers(0, 5, 60)] = np.tile([np.nan, np.inf, -np.inf], 20)
    assert compared(fmt, x) == 60
    assert np.isnan(fmt.decode(fmt.encode(x))).all() == fmt.scale.has_nan
    assert not fmt.quantize(np.zeros((3, 5))).any() and fmt.value(int(fmt.encode(np.zeros(1))[0])) == 0


def test_the_worked_example() -> None:
    """Three bits from -1 to 2: a scale of 3/7, of which a group's is the nearest number, and a zero point of 2."""
    fmt = group("group(uint(3),fp(4,11),5)")
    x = np.array([-1, -0.3, 0, 0.4, 2])
    codes = fmt.encode(x)
    assert (codes & 7).tolist() == [0, 1, 2, 3, 7] and set((codes >> 3 & 7).tolist()) == {2}
    scale = fmt.scale.value(int(codes[0]) >> 6)
    assert isinstance(scale, Fraction) and abs(scale * 7 / 3 - 1) < Fraction(1, 1 << 12)
    assert [fmt.value(c) / scale for c in codes.tolist()] == [-2, -1, 0, 1, 5]


@pytest.mark.parametrize("carrier", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("text", TEXTS[:4])
def test_the_definition_is_what_is_compiled(text: str, carrier: str) -> None:
    """The texts read as integers, group by group, and their numbers as those of the codes."""
    fmt = group(text)
    x = rows(carrier, 80, 5, 9)
    raw = x.view(CARRIERS[carrier][1]).astype(np.int64)
    measures, chosen, code, number = texts(fmt, carrier, "rne")
    most = dict(zip(measures, (m.max(1) for m in evaluate([*measures.values()], {"code": raw})), strict=True))
    (shared,) = evaluate([chosen], most)
    codes, numbers = evaluate([code, number], {"code": raw, "shared": np.repeat(shared, 5).reshape(raw.shape)})
    assert np.array_equal(fmt.encode(x).astype(np.int64), codes.astype(np.int64))
    if fmt.unpack(fmt.code_word).mag.hi.bit_length() <= CARRIERS[carrier][0].man + 1:
        assert np.array_equal(fmt.quantize(x).view(CARRIERS[carrier][1]).astype(np.int64), numbers)


@pytest.mark.parametrize("text", TEXTS)
def test_codes_are_unpacked(text: str) -> None:
    fmt = group(text)
    rng = np.random.default_rng(1)
    codes = np.unique(rng.integers(0, 1 << fmt.bits, 4000))
    u = fmt.unpack(fmt.code_word)
    columns = [np.broadcast_to(v, codes.shape) for v in evaluate([u.neg, u.mag, u.exp, u.nan, u.inf], {"code": codes})]
    unit, bits = Fraction(2) ** fmt.lsb, fmt.element.bits
    for code, neg, mag, exp, nan, inf in zip(codes.tolist(), *(c.tolist() for c in columns), strict=True):
        scale, steps = fmt.scale.value(code >> 2 * bits), (code % (1 << bits)) - (code >> bits) % (1 << bits)
        value = fmt.value(code)
        assert (nan, inf) == (value is Special.NAN, value in (Special.PINF, Special.NINF))
        if isinstance(scale, Fraction):
            assert value == scale * steps == (-1) ** neg * mag * 2**exp * unit
            assert fmt.negative_zero(code) == (neg == 1 and mag == 0)
        else:
            assert isinstance(value, Special) and (value is Special.NAN) == (scale is Special.NAN or steps == 0)
    found = fmt.decode(codes)
    want = [float(v.value if isinstance(v := fmt.value(c), Special) else v) for c in codes.tolist()]
    assert found.tolist() == pytest.approx(want, 0, 0, True)
    top, scales = (1 << bits) - 1, list(map(fmt.scale.value, fmt.scale.codes().tolist()))
    ends = [v * top for v in scales if isinstance(v, Fraction)]
    assert fmt.extremes == (min(*ends, *[-v for v in ends]), max(*ends, *[-v for v in ends]))
    assert fmt.least_positive == values(fmt.scale)[0]


def test_the_difference_is_a_format_of_its_own() -> None:
    fmt = Difference(parse_format("uint(3)"))
    assert [fmt.value(c) for c in (0, 7, 7 << 3, 63)] == [0, 7, -7, 0] and fmt.text == "uint(3)-uint(3)"
    found = fmt.encode(np.array([-9.0, -2.5, 0, 3.4, 99]))
    assert [fmt.value(int(c)) for c in found] == [-7, -2, 0, 3, 7]


# arrays, bits and datapaths


@pytest.mark.parametrize("text", [*NAMED, "group(uint(3),ue4m3,7)"])
def test_any_library_and_layout(text: str) -> None:
    fmt = group(text)
    x = np.random.default_rng(0).normal(size=(3, 4, 150)).astype(np.float32)
    codes = fmt.encode(x)
    tensor = torch.from_numpy(x)
    for layout in (tensor, tensor.transpose(0, 2).contiguous().transpose(0, 2)):
        assert np.array_equal(fmt.encode(layout).numpy(), codes) and fmt.encode(layout).dtype == torch.int64
        assert np.array_equal(fmt.quantize(layout).numpy(), fmt.decode(codes))
    for at in range(0, 150, fmt.size):
        assert np.array_equal(fmt.encode(x[..., at : at + fmt.size]), codes[..., at : at + fmt.size])
    step = fmt.quantize(x).max() / fmt.element.max
    assert np.abs(fmt.quantize(x) - x).max() < 1.1 * step * 2


@pytest.mark.parametrize("text", [*NAMED, *TEXTS])
def test_scale_and_zero_point_are_stored_once(text: str) -> None:
    fmt = group(text)
    bits = fmt.element.bits
    x = np.random.default_rng(2).normal(size=(3, 2 * fmt.size + 3))
    codes = fmt.encode(x)
    for dense in (False, True):
        data = pack_bits(fmt, codes, dense)
        row = 3 * (fmt.scale.bits + bits) + (2 * fmt.size + 3) * bits
        assert data.size == packed_bytes(fmt, codes.shape, dense) == -(-3 * row // 8)
        assert np.array_equal(unpack_bits(fmt, data, codes.shape, dense), codes)
    stream, at = int.from_bytes(pack_bits(fmt, codes).tobytes(), "little"), 0
    for row_codes in codes.tolist():
        for start in range(0, len(row_codes), fmt.size):
            part = row_codes[start : start + fmt.size]
            assert stream >> at & ((1 << fmt.scale.bits + bits) - 1) == part[0] >> bits
            at += fmt.scale.bits + bits
            for code in part:
                assert stream >> at & ((1 << bits) - 1) == code & ((1 << bits) - 1)
                at += bits
    mixed = codes.copy()
    mixed[0, 0] ^= 1 << bits  # another zero point
    with pytest.raises(HwqError, match=r"^codes of a block of .* must share one scale, not have several"):
        pack_bits(fmt, mixed)


@pytest.mark.parametrize("text", ["group(uint4,bf16,8)*int8", "group(uint(3),e8m0,8)*group(uint4,ue4m3,8)"])
def test_sums_are_of_exact_products(text: str) -> None:
    a, w = (parse_format(part) for part in text.split("*"))
    rng = np.random.default_rng(6)
    x, y = a.encode(rng.normal(size=(3, 30))), w.encode(rng.normal(size=(4, 30)) * 8)
    mac = Datapath.parse(f"{text} +exact k=32").mac
    found = matmul(mac, x, y)
    for i in range(3):
        for j in range(4):
            total = sum(Fraction(a.value(int(p))) * w.value(int(q)) for p, q in zip(x[i], y[j], strict=True))
            assert mac.output.value(int(found[i, j])) == total


# texts and messages


def test_texts() -> None:
    for text in TEXTS:
        fmt = group(text)
        assert parse_format(str(fmt)) == parse_format(fmt.text) == fmt
    assert str(group("group(uint4, bf16, 128)")) == "group(uint4,bf16,128,near)"
    assert group("group(uint4,e8m0,128)").rule == "up" and group("group(uint4,fp(8,0,nan),128)").rule == "up"
    text = "group(uint4,bf16,128,near)*int8 +fixed(32,20)"
    assert str(Datapath.parse(text)) == text
    assert {str(fmt) for fmt in map(catalog.__getitem__, NAMED)} == set(NAMED) and NAMED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("group(uint4,bf16)", "group takes an element, a scale, a size and perhaps a rule, not 'group(uint4,bf16)'"),
        ("group(int4,bf16,8)", "a group's element must be an unsigned integer of at most 8 bits, not int4; block(...)"),
        ("group(uint(9),bf16,8)", "a group's element must be an unsigned integer of at most 8 bits, not uint(9)"),
        ("group(uint(4,zp=8),bf16,8)", "a group's element must be an unsigned integer of at most 8 bits, not uint(4"),
        ("group(uint4,bf16,8,max)", "a scale's rule must be one of near, up, not 'max'"),
        ("group(uint4,bf16,0)", "a group must have between 1 and 65536 numbers, not 0"),
        ("group(uint4,fp32,8)", "a group's element and scale must have at most 16 bits, not uint4 and fp32"),
        ("group(uint4,group(uint4,bf16,8),8)", "a group's element and scale must be plain formats, not blocks"),
        ("block(group(uint4,bf16,8),bf16,8)", "a block's element and scale must be plain formats, not blocks"),
        ("group(uint4,int(16),8)", "a scale must have at most 12 significant bits, not 16 as int16 has"),
    ],
)
def test_messages(text: str, message: str) -> None:
    with pytest.raises(HwqError, match=f"^{re.escape(message)}"):
        parse_format(text)
