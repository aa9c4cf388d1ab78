"""Codes to bits and back: every width, dense digits, and blocks whose scale is stored once."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import torch

from hwq import HwqError, catalog, parse_format
from hwq.formats import Block, Format, pack_bits, packed_bytes, unpack_bits
from hwq.formats.scaled import Scaled

SHAPES = [(), (1,), (7,), (8,), (64,), (3, 5), (2, 3, 37), (0,), (4, 0), (0, 4)]


def some_codes(fmt: Format, shape: tuple[int, ...], seed: int = 0) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    if isinstance(fmt, Scaled):
        length = shape[-1] if shape else 1
        elements, scales = some_codes(fmt.element, shape, seed), some_codes(fmt.scale, (*shape[:-1], length), seed + 1)
        first = np.arange(length) // fmt.size * fmt.size
        zeros = fmt.shared_bits - fmt.scale.bits
        scales = (scales.astype(np.uint64) << zeros) + rng.integers(0, 1 << zeros, scales.shape, dtype=np.uint64)
        scale = scales[..., first].reshape(shape).astype(fmt.code_dtype)
        return np.asarray((scale << fmt.element.bits) | elements, dtype=fmt.code_dtype)
    if fmt.bits <= 16:
        return np.asarray(rng.choice(fmt.codes(), shape))
    words = np.asarray(rng.integers(0, 1 << 64, shape, dtype=np.uint64))
    return np.asarray(words >> np.uint64(64 - fmt.bits), dtype=fmt.code_dtype)


def digits(fmt: Format, codes: list[int], dense: bool) -> list[tuple[int, int]]:
    """(number, bits) of what is written for a run of codes of a plain format, by the definition."""
    valid = fmt.codes().tolist() if fmt.bits <= 8 else []
    v = len(valid)
    bits, group = min(((v**g - 1).bit_length() / g, g) for g in range(1, 9) if v**g <= 256)
    if not dense or not valid or bits == fmt.bits:
        return [(code, fmt.bits) for code in codes]
    ranks = [valid.index(code) for code in codes] + [0] * (-len(codes) % group)
    numbers = [sum(r * v**i for i, r in enumerate(ranks[at : at + group])) for at in range(0, len(ranks), group)]
    return [(n, round(bits * group)) for n in numbers]


def stream(fmt: Format, codes: np.ndarray[Any, Any], dense: bool) -> bytes:
    """The bytes, by the definition: one big number."""
    total, at = 0, 0
    for row in codes.reshape(-1, codes.shape[-1] if codes.ndim else 1).tolist() if codes.size else []:
        fields: list[tuple[int, int]] = []
        if isinstance(fmt, Scaled):
            low = fmt.element.bits
            for start in range(0, len(row), fmt.size):
                part = row[start : start + fmt.size]
                fields += [(part[0] >> low, fmt.shared_bits)]
                fields += digits(fmt.element, [c & ((1 << low) - 1) for c in part], dense)
        else:
            fields = digits(fmt, row, dense)
        for number, bits in fields:
            total |= number << at
            at += bits
    return total.to_bytes(-(-at // 8), "little")


def check(fmt: Format, shape: tuple[int, ...], dense: bool = False) -> None:
    codes = some_codes(fmt, shape)
    data = pack_bits(fmt, codes, dense)
    assert data.dtype == np.uint8 and data.shape == (packed_bytes(fmt, shape, dense),)
    assert data.tobytes() == stream(fmt, codes, dense)
    again = unpack_bits(fmt, data, shape, dense)
    assert again.dtype == fmt.code_dtype and again.shape == shape and np.array_equal(again, codes)
    tensor = torch.from_numpy(np.asarray(codes).astype(np.uint8 if fmt.bits <= 8 else np.int64))
    as_tensor = pack_bits(fmt, tensor, dense)
    assert as_tensor.dtype == torch.uint8 and as_tensor.numpy().tobytes() == data.tobytes()
    back = unpack_bits(fmt, as_tensor, shape, dense)
    assert back.dtype == tensor.dtype and torch.equal(back, tensor)


@pytest.mark.parametrize("bits", range(1, 65))
def test_every_width(bits: int) -> None:
    fmt = parse_format(f"uint({bits})")
    for shape in SHAPES:
        check(fmt, shape)
    assert packed_bytes(fmt, (3, 5)) == -(-15 * bits // 8)


@pytest.mark.parametrize("name", catalog)
def test_every_named_format(name: str) -> None:
    for shape in SHAPES:
        for dense in (False, True):
            check(catalog[name], shape, dense)


@pytest.mark.parametrize(
    ("text", "group", "bits"),
    [
        ("ternary", 5, 8),
        ("int(2,narrow)", 5, 8),
        ("int(3,narrow)", 2, 6),
        ("int(4,narrow)", 2, 8),
        ("int8", 1, 8),
        ("int(8,narrow)", 1, 8),
        ("uint(2)", 1, 2),
        ("int(12,narrow)", 1, 12),
    ],
)
def test_dense_groups(text: str, group: int, bits: int) -> None:
    """Of equal rates the smaller group: two of seven levels gain nothing."""
    fmt = parse_format(text)
    if len(fmt.codes()) in (7, 15):
        group, bits = 1, fmt.bits
    for n in (1, group, group + 1, 40 * group, 1001):
        assert packed_bytes(fmt, (n,), True) == -(-math.ceil(n / group) * bits // 8)
        check(fmt, (n,), True)


def test_ternary_takes_1_6_bits() -> None:
    fmt = parse_format("ternary")
    assert packed_bytes(fmt, (10, 1000), True) == 2000
    assert pack_bits(fmt, np.array([1, 0, 3, 0, 1]), True).tolist() == [1 + 2 * 9 + 81]
    assert packed_bytes(fmt, (10, 1000)) == 2500


@pytest.mark.parametrize(
    "text", ["mxfp4_e2m1", "mxfp6_e3m2", "nvfp4", "block(ternary,bf16,16)", "block(int(5),ue4m3,3)"]
)
def test_blocks_store_their_scale_once(text: str) -> None:
    fmt = parse_format(text)
    assert isinstance(fmt, Block)
    for shape in [*SHAPES, (2, 3 * fmt.size), (3, 2 * fmt.size + 5)]:
        check(fmt, shape)
        check(fmt, shape, True)
    bits = fmt.scale.bits + fmt.size * fmt.element.bits
    assert packed_bytes(fmt, (1024, 8 * fmt.size)) == 1024 * bits
    x = np.random.default_rng(1).normal(size=(3, 3 * fmt.size + 1))
    codes = fmt.encode(x)
    assert np.array_equal(unpack_bits(fmt, pack_bits(fmt, codes), codes.shape), codes)


def test_published_sizes() -> None:
    """OCP MX v1.0: 32 elements and a scale; NVFP4: 4.5 bits a number; MSFP-12: 4.5 bits."""
    assert packed_bytes(catalog["mxfp4_e2m1"], (32,)) == 17
    assert packed_bytes(catalog["mxfp6_e2m3"], (32,)) == 25
    assert packed_bytes(catalog["mxfp8_e4m3"], (32,)) == packed_bytes(catalog["mxint8"], (32,)) == 33
    assert packed_bytes(catalog["nvfp4"], (16,)) == packed_bytes(catalog["msfp12"], (16,)) == 9
    assert packed_bytes(parse_format("block(int4,bf16,128)"), (128,)) == 66


def test_layout_by_hand() -> None:
    fp4 = catalog["mxfp4_e2m1"]
    codes = fp4.encode(np.array([10, -5, 3, 0.4]))
    assert pack_bits(fp4, codes).tolist() == [128, 0xC6, 0x03]
    assert pack_bits(parse_format("uint(3)"), np.array([1, 2, 7])).tolist() == [0b11010001, 0b1]


@pytest.mark.parametrize(
    ("text", "call"),
    [
        (
            "int4 of shape (3,) is stored in 2 unsigned bytes, not uint8 (3,)",
            lambda f: unpack_bits(f, np.zeros(3, np.uint8), (3,)),
        ),
        (
            "int4 of shape (3,) is stored in 2 unsigned bytes, not int64 (2,)",
            lambda f: unpack_bits(f, np.zeros(2, int), (3,)),
        ),
        ("a shape must be whole numbers of at least 0, not (-1,)", lambda f: packed_bytes(f, (-1,))),
        (
            "a size must be a whole number, not 2.5",
            lambda f: unpack_bits(f, np.zeros(1, np.uint8), (2.5,)),
        ),
        ("codes of int4 must be between 0 and 15, not 16", lambda f: pack_bits(f, np.array([16]))),
        ("codes must be unsigned integers, not float64; encode(x) makes codes", lambda f: pack_bits(f, np.ones(2))),
    ],
)
def test_messages(text: str, call: Any) -> None:
    with pytest.raises(HwqError, match=f"^{re.escape(text)}$"):
        call(catalog["int4"])


def test_messages_of_what_is_stored() -> None:
    for text, call in (
        (
            "a group of 5 ternary codes must be below 243, not 250",
            lambda: unpack_bits(catalog["ternary"], np.array([250], np.uint8), (5,), True),
        ),
        (
            "code 2 of ternary is reserved; valid codes are in codes()",
            lambda: unpack_bits(catalog["ternary"], np.array([2], np.uint8), (1,)),
        ),
        (
            "codes of a block of nvfp4 must share one scale, not have several; encode along the last axis",
            lambda: pack_bits(catalog["nvfp4"], np.array([0x101, 0x201])),
        ),
    ):
        with pytest.raises(HwqError, match=f"^{re.escape(text)}$"):
            call()
