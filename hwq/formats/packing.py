"""Codes as bits in memory: one stream, the first code in the lowest bits of the first byte, nothing between codes.

A plain format takes `bits` a code. A block format takes for each block what it shares once, the scale's code (above a
group's zero point), and then the codes of its elements; a short block at the end of a row takes fewer. `dense` writes
digits instead of codes where the number v of valid codes is no power of two: groups of g codes in the fewest bits b
that hold v**g numbers, at most 8, as the number `sum(rank(code i) * v**i)`, where a code's rank is its place among the
valid ones. Of all g it is the one with the fewest bits a code, and of those the least: five trits in 8 bits, three
digits of five levels in 7, three of six in 8. Where that saves nothing codes are written as they are. The last group of
a row, or of a block, is filled up with rank 0, and the last byte with zeros.
"""

from __future__ import annotations

import math
from functools import lru_cache
from numbers import Integral
from typing import Any

import numpy as np

from hwq.errors import HwqError
from hwq.formats.arrays import check_codes
from hwq.formats.base import Format
from hwq.formats.fields import listed, whole
from hwq.formats.intake import like, to_numpy
from hwq.formats.scaled import Scaled

__all__ = ["pack_bits", "packed_bytes", "unpack_bits"]

Array = np.ndarray[Any, Any]
_GROUP_BITS = 8


def pack_bits(fmt: Format, codes: Any, dense: bool = False) -> Any:
    """The codes as uint8 [packed_bytes(fmt, shape, dense)], in their library; blocks run along the last axis."""
    array = check_codes(fmt, codes)
    if not array.size:
        return like(np.empty(0, dtype=np.uint8), codes)
    rows = array.reshape(math.prod(array.shape[:-1]), -1)
    stream = _block_bits(fmt, rows, dense) if isinstance(fmt, Scaled) else _bits(*_symbols(fmt, rows, dense))
    return like(np.packbits(stream.reshape(-1), bitorder="little"), codes)


def unpack_bits(fmt: Format, data: Any, shape: tuple[int, ...], dense: bool = False) -> Any:
    """The codes of that shape that `pack_bits` made `data` of, in the library of `data`."""
    shape, stored = _checked_shape(shape), to_numpy(data)
    want = packed_bytes(fmt, shape, dense)
    if stored.dtype != np.uint8 or stored.shape != (want,):
        raise HwqError(f"{fmt} of shape {shape} is stored in {want} unsigned bytes, not {stored.dtype} {stored.shape}")
    if not math.prod(shape):
        return like(np.empty(shape, dtype=fmt.code_dtype), data)
    length = shape[-1] if shape else 1
    rows = math.prod(shape) // length
    stream = np.unpackbits(stored, count=rows * _row_bits(fmt, length, dense), bitorder="little").reshape(rows, -1)
    codes = _block_codes(fmt, stream, length, dense) if isinstance(fmt, Scaled) else _codes(fmt, stream, length, dense)
    return like(check_codes(fmt, codes.reshape(shape)), data)


def packed_bytes(fmt: Format, shape: tuple[int, ...], dense: bool = False) -> int:
    """Bytes of a packed array: `ceil(rows * bits of a row / 8)`.

    A row of n codes has `n * bits` of a plain format; `ceil(n / size) * shared_bits + n * element.bits` of a block
    format; dense `ceil(n / g) * b`, in a block format for each of its blocks.
    """
    shape = _checked_shape(shape)
    length = shape[-1] if shape else 1
    return -(-math.prod(shape[:-1]) * _row_bits(fmt, length, dense) // 8)


def _checked_shape(shape: Any) -> tuple[int, ...]:
    one = isinstance(shape, Integral) and not isinstance(shape, bool)
    sizes = tuple(whole("a size", n) for n in ([shape] if one else listed("a shape", shape)))
    if min(sizes, default=0) < 0:
        raise HwqError(f"a shape must be whole numbers of at least 0, not {shape!r}")
    return sizes


def _row_bits(fmt: Format, length: int, dense: bool) -> int:
    if isinstance(fmt, Scaled):
        full, rest = divmod(length, fmt.size)
        return sum(
            count * (fmt.shared_bits + _row_bits(fmt.element, n, dense))
            for count, n in ((full, fmt.size), (int(rest > 0), rest))
        )
    group, bits = _group(fmt) if dense else (1, fmt.bits)
    return -(-length // group) * bits


@lru_cache(maxsize=1024)
def _group(fmt: Format) -> tuple[int, int]:
    """(codes, bits) of a dense group; one code as it is where nothing is gained."""
    if fmt.bits > _GROUP_BITS:
        return 1, fmt.bits
    levels = len(fmt.codes())
    choices = [(group, (levels**group - 1).bit_length()) for group in range(1, _GROUP_BITS + 1)]
    return min((c for c in choices if c[1] <= _GROUP_BITS), key=lambda c: (c[1] / c[0], c[0]))


def _plain(fmt: Format, dense: bool) -> bool:
    return not dense or _group(fmt) == (1, fmt.bits)


def _symbols(fmt: Format, codes: Array, dense: bool) -> tuple[Array, int]:
    """(numbers [..., groups], bits of each): the codes themselves, or groups of digits."""
    if _plain(fmt, dense):
        return codes, fmt.bits
    group, bits = _group(fmt)
    valid = fmt.codes()
    digits = np.zeros(1 << fmt.bits, dtype=np.uint8)
    digits[valid] = np.arange(len(valid))
    whole = -(-codes.shape[-1] // group) * group
    padded = np.zeros((*codes.shape[:-1], whole), dtype=np.uint8)
    padded[..., : codes.shape[-1]] = digits[codes]
    weights = (len(valid) ** np.arange(group)).astype(np.uint8)  # of at most 2**8 numbers: none needs more
    return (padded.reshape(*codes.shape[:-1], -1, group) * weights).sum(-1, dtype=np.uint8), bits


def _codes(fmt: Format, stream: Array, length: int, dense: bool) -> Array:
    """Codes [..., length] of bits [..., row bits]."""
    if _plain(fmt, dense):
        return _numbers(stream.reshape(*stream.shape[:-1], length, fmt.bits), fmt.code_dtype)
    group, bits = _group(fmt)
    valid = fmt.codes()
    numbers = _numbers(stream.reshape(*stream.shape[:-1], -1, bits), np.dtype(np.uint8))
    if numbers.size and int(numbers.max()) >= len(valid) ** group:
        raise HwqError(f"a group of {group} {fmt} codes must be below {len(valid) ** group}, not {int(numbers.max())}")
    digits = numbers[..., None] // (len(valid) ** np.arange(group)).astype(np.uint8) % len(valid)
    return np.asarray(valid[digits].reshape(*stream.shape[:-1], -1)[..., :length])


def _bits(numbers: Array, bits: int) -> Array:
    """uint8 zeros and ones [..., n * bits], the lowest bit of each number first."""
    raw = np.ascontiguousarray(numbers, dtype=numbers.dtype.newbyteorder("<"))
    bytewise = raw.view(np.uint8).reshape(*raw.shape, raw.itemsize)
    return np.unpackbits(bytewise, axis=-1, count=bits, bitorder="little").reshape(*raw.shape[:-1], -1)


def _numbers(stream: Array, dtype: np.dtype[Any]) -> Array:
    """Numbers [..., n] of bits [..., n, bits]."""
    packed = np.packbits(stream, axis=-1, bitorder="little")
    raw = np.zeros((*stream.shape[:-1], dtype.itemsize), dtype=np.uint8)
    raw[..., : packed.shape[-1]] = packed
    return raw.view(dtype.newbyteorder("<"))[..., 0].astype(dtype, copy=False)


def _parts(fmt: Scaled, length: int) -> list[tuple[slice, int, int]]:
    """(which codes, blocks, codes of each): the full blocks of a row, and the short one."""
    full = length // fmt.size
    parts = [(slice(full * fmt.size), full, fmt.size), (slice(full * fmt.size, None), 1, length - full * fmt.size)]
    return [part for part in parts if part[1] * part[2]]


def _block_bits(fmt: Scaled, rows: Array, dense: bool) -> Array:
    streams = []
    for where, count, size in _parts(fmt, rows.shape[1]):
        codes = rows[:, where].reshape(len(rows), count, size)
        shared = codes[..., :1] >> fmt.element.bits
        if (codes >> fmt.element.bits != shared).any():
            raise HwqError(
                f"codes of a block of {fmt} must share one scale, not have several; encode along the last axis"
            )
        elements = (codes & ((1 << fmt.element.bits) - 1)).astype(fmt.element.code_dtype)
        fields = (_bits(shared, fmt.shared_bits), _bits(*_symbols(fmt.element, elements, dense)))
        streams.append(np.concatenate(fields, axis=-1).reshape(len(rows), -1))
    return np.concatenate(streams, axis=1)


def _block_codes(fmt: Scaled, stream: Array, length: int, dense: bool) -> Array:
    codes = np.empty((len(stream), length), dtype=fmt.code_dtype)
    at = 0
    for where, count, size in _parts(fmt, length):
        bits = fmt.shared_bits + _row_bits(fmt.element, size, dense)
        fields = stream[:, at : at + count * bits].reshape(len(stream), count, bits)
        shared = _numbers(fields[..., None, : fmt.shared_bits], fmt.code_dtype)
        elements = _codes(fmt.element, fields[..., fmt.shared_bits :], size, dense)
        codes[:, where] = ((shared << fmt.element.bits) | elements).reshape(len(stream), -1)
        at += count * bits
    return codes
