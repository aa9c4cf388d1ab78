"""encode, decode and quantize on arrays: the formats' own texts, compiled; numpy and torch in, the same kind out."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from hwq.bits import Word, const, lookup
from hwq.errors import HwqError
from hwq.formats.base import Format
from hwq.formats.intake import CARRIERS, WHOLE, bits_of, float_bits_of, is_torch, like, like_numbers, to_numpy
from hwq.formats.minifloat import MiniFloat
from hwq.formats.rounding import STOCHASTIC, Rounding, check_rounding, first_state, noise, noise_words

__all__ = ["check_codes", "decode", "encode", "holds", "quantize"]

Run = Callable[..., np.ndarray[Any, Any]]

_COMPARED = 4  # reserved codes up to which a code is compared with each


def _compiled(output: Word, code: Any, result: Any, noisy: bool = False) -> Run:
    """The text of `output`, a function of "code" (and "noise"), from arrays of one dtype to an array of another."""
    from hwq.bits.loops import compile_map

    run = compile_map([output], {"code": code} | ({"noise": np.uint16} if noisy else {}), [result])
    return lambda *arrays: run(arrays)[0]


def _mode(rounding: str) -> Rounding:
    return noise() if rounding == STOCHASTIC else rounding


# Recording a text takes a hundred times as long as running it on a row of weights: once for each format is enough.
@lru_cache(maxsize=1024)
def _encoder(fmt: Format, carrier: str, rounding: str) -> Run:
    source, raw = {**CARRIERS, **WHOLE}[carrier]
    code = fmt.pack(source.unpack(source.code_word), source.lsb, _mode(rounding))
    return _compiled(code, raw, fmt.code_dtype, rounding == STOCHASTIC)


@lru_cache(maxsize=1024)
def _decoder(fmt: Format, carrier: str) -> Run:
    source, raw = CARRIERS[carrier]
    return _compiled(fmt.decoded(fmt.code_word, source), fmt.code_dtype, raw)


@lru_cache(maxsize=1024)
def _quantizer(fmt: Format, carrier: str, rounding: str) -> Run:
    source, raw = CARRIERS[carrier]
    code = fmt.pack(source.unpack(source.code_word), source.lsb, _mode(rounding))
    return _compiled(fmt.decoded(code, source), raw, raw, rounding == STOCHASTIC)


def _noise(rounding: str, seed: int, like: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
    """The noise of each element, if the rounding takes any."""
    state = first_state(seed)
    return (noise_words(state, like.size).reshape(like.shape),) if rounding == STOCHASTIC else ()


def encode(fmt: Format, x: Any, rounding: str = "rne", seed: int = 1) -> Any:
    check_rounding(rounding, stochastic=True)
    raw, carrier = bits_of(x)
    return like(_encoder(fmt, carrier, rounding)(raw, *_noise(rounding, seed, raw)), x)


@lru_cache(maxsize=1024)
def holds(fmt: Format, carrier: str) -> bool:
    """True if every finite value of `fmt` is a number of the carrier, bit for bit."""
    source = CARRIERS[carrier][0]
    if fmt.bits <= 8:
        return all(_is_in(source, v) for c in fmt.codes().tolist() if isinstance(v := fmt.value(c), Fraction))
    u = fmt.unpack(fmt.code_word)
    return (u.mag.hi - 1).bit_length() <= source.man + 1 and _reaches(fmt, carrier)  # 2**p itself has one digit


def _reaches(fmt: Format, carrier: str) -> bool:
    """True if neither end of the format, nor its last place, is beyond the carrier's."""
    source = CARRIERS[carrier][0]
    return fmt.lsb >= source.lsb and max(map(abs, fmt.extremes)) <= source.extremes[1]


def _is_in(source: MiniFloat, number: Fraction) -> bool:
    """True if the number is a whole number of last places of the carrier, and not beyond its end."""
    steps = abs(number) / Fraction(2) ** source.lsb
    digits = steps.numerator.bit_length() - (steps.numerator & -steps.numerator).bit_length() + 1 if number else 0
    return steps.denominator == 1 and digits <= source.man + 1 and abs(number) <= source.extremes[1]


def check_codes(fmt: Format, codes: Any) -> np.ndarray[Any, Any]:
    """The codes as the format's own dtype, or one line on what is wrong with them."""
    array = to_numpy(codes)
    if array.dtype.kind not in "iu" and array.size:
        raise HwqError(f"codes must be unsigned integers, not {array.dtype}; encode(x) makes codes")
    if fmt.bits == 64 and array.dtype == np.int64 and is_torch(codes):
        array = array.view(np.uint64)  # a tensor has no wider integer: it holds the pattern
    if array.size and (array.dtype.kind != "u" or array.dtype.itemsize * 8 > fmt.bits):
        low, high = int(array.min()), int(array.max())
        top = (1 << fmt.bits) - 1
        if low < 0 or high > top:
            raise HwqError(f"codes of {fmt} must be between 0 and {top}, not {low if low < 0 else high}")
    array = array.astype(fmt.code_dtype, copy=False)
    if array.size and (valid := _validator(fmt)) is not None:
        good = valid(array)
        if not good.all():
            bad = int(array[np.asarray(good == 0)].reshape(-1)[0])
            raise HwqError(f"code {bad} of {fmt} is reserved; valid codes are in codes()")
    return array


@lru_cache(maxsize=1024)
def _validator(fmt: Format) -> Run | None:
    """Which codes are valid, as a map to 0 and 1; None if all are."""
    code = fmt.code_word
    if fmt.bits > 16:
        valid = fmt.valid(code)
    else:
        table = np.zeros(1 << fmt.bits, dtype=np.int64)
        table[fmt.codes()] = 1
        missing = np.flatnonzero(table == 0).tolist()
        valid = const(1)
        for each in missing[:_COMPARED]:
            valid = valid & (const(1) - code.eq(each))
        if len(missing) > _COMPARED:
            valid = lookup(code, table.tolist())
    return None if valid.constant else _compiled(valid, fmt.code_dtype, np.uint8)


def decode(fmt: Format, codes: Any) -> Any:
    array = check_codes(fmt, codes)
    carrier = "float32" if holds(fmt, "float32") else "float64"
    if not (_reaches if fmt.bits > 16 else holds)(fmt, carrier):
        raise HwqError(f"float64 cannot hold every value of {fmt}; use its value(code), which is exact")
    return like(_decoder(fmt, carrier)(array).view(carrier), codes)


def quantize(fmt: Format, x: Any, rounding: str = "rne", seed: int = 1) -> Any:
    check_rounding(rounding, stochastic=True)
    raw, carrier = float_bits_of(x)
    if not holds(fmt, carrier):
        raise HwqError(f"{carrier} cannot hold every value of {fmt}; convert x to a wider float first")
    return like_numbers(_quantizer(fmt, carrier, rounding)(raw, *_noise(rounding, seed, raw)), carrier, x)
