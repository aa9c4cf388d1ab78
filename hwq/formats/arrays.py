"""encode, decode and quantize on arrays: the formats' own texts, compiled; numpy and torch in, the same kind out."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any

import numpy as np

from hwq.bits import Word
from hwq.errors import HwqError
from hwq.formats.base import Format, Special
from hwq.formats.minifloat import MiniFloat
from hwq.formats.rounding import STOCHASTIC, Rounding, check_rounding, first_state, noise, noise_words

__all__ = ["CARRIERS", "decode", "encode", "quantize"]

# IEEE 754 carriers: how numbers arrive from and return to the host. Not catalogue formats: they have no name in texts.
CARRIERS = {
    "float16": (MiniFloat(5, 10, specials="inf", overflow="inf"), np.uint16),
    "bfloat16": (MiniFloat(8, 7, specials="inf", overflow="inf"), np.uint16),
    "float32": (MiniFloat(8, 23, specials="inf", overflow="inf"), np.uint32),
    "float64": (MiniFloat(11, 52, specials="inf", overflow="inf"), np.uint64),
}


def is_torch(x: Any) -> bool:
    return type(x).__module__.partition(".")[0] == "torch"


def to_numpy(x: Any) -> np.ndarray[Any, Any]:
    """A numpy view of codes or numbers from numpy, torch or nested lists."""
    return x.detach().cpu().contiguous().numpy() if is_torch(x) else np.asarray(x)


def like(result: np.ndarray[Any, Any], x: Any) -> Any:
    """`result` in the library of `x`; torch codes are uint8 to 8 bits, else int64."""
    if not is_torch(x):
        return result
    import torch

    if result.dtype.kind == "u" and result.dtype != np.uint8:
        result = result.astype(np.int64)
    return torch.from_numpy(result).to(x.device)


def _bits_of(x: Any) -> tuple[np.ndarray[Any, Any], str]:
    """The raw bit patterns of a float array and its carrier's name; integers go through float64, if they fit it."""
    if is_torch(x):
        import torch

        x = x.detach().cpu().contiguous()
        if x.dtype == torch.bfloat16:
            return x.view(torch.int16).numpy().view(np.uint16), "bfloat16"
        array = x.numpy()
    else:
        array = np.asarray(x)
    if array.dtype.kind in "iub":
        if array.size and max(abs(int(array.min())), abs(int(array.max()))) > 1 << 53:
            raise HwqError("integers beyond 2**53 cannot be encoded without loss; convert them to a float first")
        array = array.astype(np.float64)
    name = _carrier(array.dtype)
    shape = array.shape
    return np.ascontiguousarray(array).reshape(shape).view(CARRIERS[name][1]), name


@cache
def _carrier(dtype: np.dtype[Any]) -> str:
    """The carrier of that dtype; a dtype's name takes longer to spell than a short array to round."""
    if dtype.name not in CARRIERS:
        raise HwqError(f"x must be an array of numbers (float16, bfloat16, float32, float64, integers), not {dtype}")
    return dtype.name


Run = Callable[..., np.ndarray[Any, Any]]


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
    source, raw = CARRIERS[carrier]
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
    raw, carrier = _bits_of(x)
    return like(_encoder(fmt, carrier, rounding)(raw, *_noise(rounding, seed, raw)), x)


@cache
def holds(fmt: Format, carrier: str) -> bool:
    """True if every finite value of `fmt` is a number of the carrier, bit for bit."""
    source = CARRIERS[carrier][0]
    if fmt.bits <= 8:
        return all(_is_in(source, v) for c in fmt.codes().tolist() if isinstance(v := fmt.value(c), Fraction))
    lo, hi = fmt.integer_range
    u = fmt.unpack(fmt.code_word)
    return (
        (u.mag.hi - 1).bit_length() <= source.man + 1  # 2**p itself has one digit
        and fmt.lsb >= source.lsb
        and max(abs(lo), hi) * Fraction(2) ** fmt.lsb <= source.extremes[1]
    )


def _is_in(source: MiniFloat, number: Fraction) -> bool:
    """True if the number is a whole number of last places of the carrier, and not beyond its end."""
    steps = abs(number) / Fraction(2) ** source.lsb
    digits = steps.numerator.bit_length() - (steps.numerator & -steps.numerator).bit_length() + 1 if number else 0
    return steps.denominator == 1 and digits <= source.man + 1 and abs(number) <= source.extremes[1]


def check_codes(fmt: Format, codes: Any) -> np.ndarray[Any, Any]:
    """The codes as the format's own dtype, or one line on what is wrong with them."""
    array = to_numpy(codes)
    if array.dtype.kind not in "iuO":
        raise HwqError(f"codes must be unsigned integers, not {array.dtype}; encode(x) makes codes")
    if fmt.bits == 64 and array.dtype == np.int64:
        array = array.view(np.uint64)  # a tensor has no wider integer: it holds the pattern
    if array.size and (array.dtype.kind != "u" or array.dtype.itemsize * 8 > fmt.bits):
        low, high = int(array.min()), int(array.max())
        top = (1 << fmt.bits) - 1
        if low < 0 or high > top:
            raise HwqError(f"codes of {fmt} must be between 0 and {top}, not {low if low < 0 else high}")
    array = array.astype(fmt.code_dtype, copy=False)
    if fmt.bits <= 16 and (reserved := _reserved(fmt)).any() and (bad := array[reserved[array]]).size:
        raise HwqError(f"code {int(bad[0])} of {fmt} is reserved; valid codes are in codes()")
    return array


@cache
def _reserved(fmt: Format) -> np.ndarray[Any, Any]:
    return np.array([fmt.reserved(code) for code in range(1 << fmt.bits)])


def decode(fmt: Format, codes: Any) -> Any:
    array = check_codes(fmt, codes)
    if fmt.bits <= 16:
        return like(np.asarray(_values(fmt)[array]), codes)
    carrier = "float32" if holds(fmt, "float32") else "float64"
    return like(_decoder(fmt, carrier)(array).view(carrier), codes)


@cache
def _values(fmt: Format) -> np.ndarray[Any, Any]:
    """The value of every code, from the specification, in the dtype of `decode`; 0 where the code is reserved."""
    carrier = "float32" if holds(fmt, "float32") else "float64"
    if carrier == "float64" and not holds(fmt, "float64"):
        raise HwqError(f"float64 cannot hold every value of {fmt}; use its value(code), which is exact")
    table = np.zeros(1 << fmt.bits, dtype=carrier)
    for code in fmt.codes().tolist():
        value = fmt.value(code)
        table[code] = -0.0 if fmt.negative_zero(code) else value.value if isinstance(value, Special) else value
    table.setflags(write=False)
    return table


def quantize(fmt: Format, x: Any, rounding: str = "rne", seed: int = 1) -> Any:
    check_rounding(rounding, stochastic=True)
    raw, carrier = _bits_of(x)
    if not x.dtype.is_floating_point if is_torch(x) else np.asarray(x).dtype.kind in "iub":
        raise HwqError("quantize needs a float array, not integers; encode(x) takes integers too")
    if not holds(fmt, carrier):
        raise HwqError(f"{carrier} cannot hold every value of {fmt}; convert x to a wider float first")
    out = _quantizer(fmt, carrier, rounding)(raw, *_noise(rounding, seed, raw))
    if not is_torch(x):
        return out.view(np.asarray(x).dtype)
    import torch

    return torch.from_numpy(out.view(f"i{out.itemsize}")).view(x.dtype).to(x.device)
