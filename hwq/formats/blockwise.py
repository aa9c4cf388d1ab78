"""encode and quantize of block formats on arrays: their texts in loops over blocks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from hwq.bits import Word, variable
from hwq.bits.blocks import SHARED
from hwq.errors import HwqError
from hwq.formats.arrays import _mode, _noise, check_codes, holds
from hwq.formats.arrays import decode as plain_decode
from hwq.formats.intake import CARRIERS, as_floats, bits_of, float_bits_of, like, like_numbers, to_numpy
from hwq.formats.rounding import STOCHASTIC, check_rounding
from hwq.formats.scaled import Scaled

__all__ = ["decode", "encode", "encode_under", "quantize", "texts"]


def texts(fmt: Scaled, carrier: str, rounding: str) -> tuple[Mapping[str, Word], Word, Word, Word]:
    """(measures, shared, code, number) as `compile_blocks` takes them; code and number over "code" and "shared"."""
    source = CARRIERS[carrier][0]
    chosen = fmt.shared_code(source)
    shared = variable(SHARED, chosen.lo, chosen.hi)
    element = fmt.element_code(source.unpack(source.code_word), source, shared, _mode(rounding))
    code = element | (shared << fmt.element.bits)
    number = source.pack(fmt.unpack(code), fmt.lsb, "rne")
    return fmt.measures(source.code_word, source), chosen, code, number


@lru_cache(maxsize=256)
def _compiled(fmt: Scaled, carrier: str, rounding: str, to_number: bool) -> Any:
    from hwq.bits.blocks import compile_blocks

    raw = CARRIERS[carrier][1]
    measures, chosen, code, number = texts(fmt, carrier, rounding)
    output, result = (number, raw) if to_number else (code, fmt.code_dtype)
    inputs = {"code": raw} | ({"noise": np.uint16} if rounding == STOCHASTIC else {})
    return compile_blocks(measures, chosen, [output], inputs, [result], fmt.size)


def _run(fmt: Scaled, raw: np.ndarray[Any, Any], carrier: str, rounding: str, seed: int, to_number: bool) -> Any:
    """The texts over raw patterns; blocks run along the last axis, a lone number is a block."""
    arrays = (raw, *_noise(rounding, seed, raw))
    rows = [a.reshape(-1, a.shape[-1] if a.ndim and a.size else 1) for a in arrays]
    return _compiled(fmt, carrier, rounding, to_number)(rows)[0].reshape(raw.shape)


def encode(fmt: Scaled, x: Any, rounding: str = "rne", seed: int = 1) -> Any:
    check_rounding(rounding, stochastic=True)
    raw, carrier = as_floats(*bits_of(x))
    return like(_run(fmt, raw, carrier, rounding, seed, False), x)


@lru_cache(maxsize=256)
def _element(fmt: Scaled, carrier: str) -> tuple[tuple[int, int], Any]:
    """The range of what a block shares, and the text of a code under it, element by element."""
    from hwq.bits.loops import compile_map

    _, chosen, code, _ = texts(fmt, carrier, "rne")
    inputs = {"code": CARRIERS[carrier][1], SHARED: np.int64}
    return (chosen.lo, chosen.hi), compile_map([code], inputs, [fmt.code_dtype])


def encode_under(fmt: Scaled, x: Any, shared: Any) -> Any:
    raw, carrier = as_floats(*bits_of(x))
    (low, high), run = _element(fmt, carrier)
    given = np.broadcast_to(to_numpy(shared).astype(np.int64), raw.shape)
    if given.size and not low <= int(given.min()) <= int(given.max()) <= high:
        found = f"{given.min()}..{given.max()}"
        raise HwqError(f"what blocks of {fmt} share must be {low}..{high}, not {found}; shared(x) chooses it")
    return like(run([raw, given])[0], x)


@lru_cache(maxsize=64)
def _values(fmt: Scaled) -> np.ndarray[Any, Any]:
    """The value of every code, from those of factors and scales, in the dtype of `decode`."""
    parts = []
    for part in (fmt.scale, fmt.factor):
        table = np.zeros(1 << part.bits)
        table[part.codes()] = part.decode(part.codes())
        parts.append(table)
    with np.errstate(invalid="ignore"):  # an infinity times zero
        table = np.multiply.outer(*parts).reshape(-1)
    table = table.astype("float32" if holds(fmt, "float32") else "float64")
    table.setflags(write=False)
    return table


def decode(fmt: Scaled, codes: Any) -> Any:
    array = check_codes(fmt, codes)
    if fmt.bits > 16:
        return plain_decode(fmt, codes)
    return like(np.asarray(_values(fmt)[array]), codes)


def quantize(fmt: Scaled, x: Any, rounding: str = "rne", seed: int = 1) -> Any:
    check_rounding(rounding, stochastic=True)
    raw, carrier = float_bits_of(x)
    digits = (fmt.unpack(fmt.code_word).mag.hi - 1).bit_length()
    if digits > CARRIERS[carrier][0].man + 1:
        raise HwqError(f"{carrier} cannot hold the {digits} digits of {fmt}; convert x to a wider float first")
    out = _run(fmt, raw, carrier, rounding, seed, True)
    return like_numbers(out, carrier, x)
