"""What users hand in, numpy or torch or lists, as raw bit patterns; and results in the library that they came in."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

import numpy as np

from hwq.errors import HwqError
from hwq.formats.base import Format
from hwq.formats.integer import Int
from hwq.formats.minifloat import MiniFloat

__all__ = [
    "CARRIERS",
    "WHOLE",
    "as_floats",
    "bits_of",
    "float64_of",
    "float_bits_of",
    "is_torch",
    "like",
    "like_numbers",
    "to_numpy",
]

# How numbers arrive from and return to the host. Not catalogue formats: they have no name in texts.
CARRIERS: dict[str, tuple[MiniFloat, Any]] = {
    "float16": (MiniFloat(5, 10, specials="inf", overflow="inf"), np.uint16),
    "bfloat16": (MiniFloat(8, 7, specials="inf", overflow="inf"), np.uint16),
    "float32": (MiniFloat(8, 23, specials="inf", overflow="inf"), np.uint32),
    "float64": (MiniFloat(11, 52, specials="inf", overflow="inf"), np.uint64),
}
WHOLE: dict[str, tuple[Format, Any]] = {
    "int64": (Int(64), np.uint64),
    "uint64": (Int(64, signed=False), np.uint64),
}
Patterns = tuple[np.ndarray[Any, Any], str]


def is_torch(x: Any) -> bool:
    """True for a tensor, of a subclass too."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def _plain(x: Any) -> Any:
    """A tensor on the host, dense, without gradient, conjugation and subclass."""
    import torch

    masked = isinstance(x, torch.masked.MaskedTensor)
    if x.layout != torch.strided or x.is_meta or x.is_quantized or masked:
        kinds = {"meta": x.is_meta, "quantized": x.is_quantized, "masked": masked}
        kind = next((k for k, found in kinds.items() if found), str(x.layout).removeprefix("torch."))
        raise HwqError(
            f"a tensor must be dense and hold its numbers, not {kind}; convert it with to_dense() or the like"
        )
    return x.detach().as_subclass(torch.Tensor).resolve_conj().resolve_neg().cpu().contiguous()


def _host(plain: Any) -> np.ndarray[Any, Any]:
    """A plain tensor as numpy, if numpy has such numbers."""
    try:
        if plain.is_floating_point() and plain.dtype.itemsize == 1:
            plain = plain.float()  # exact
        return plain.numpy()  # type: ignore[no-any-return]
    except (TypeError, RuntimeError) as error:
        raise HwqError(f"a tensor must be of numbers that numpy has, not {plain.dtype}: {error}") from None


def to_numpy(x: Any) -> np.ndarray[Any, Any]:
    """A numpy view of codes from numpy, torch or nested lists, in the machine's byte order."""
    if is_torch(x):
        plain = _plain(x)
        if plain.is_floating_point() or plain.is_complex():
            raise HwqError(f"codes must be unsigned integers, not {str(x.dtype)[6:]}; encode(x) makes codes")
        array = _host(plain)
    else:
        array = _array(x)
    return np.asarray(array.astype(array.dtype.newbyteorder("="), copy=False))


def _array(x: Any) -> np.ndarray[Any, Any]:
    if isinstance(x, np.ma.MaskedArray):
        raise HwqError("an array must have no mask, which would be lost; fill it with filled()")
    try:
        return np.asarray(x)
    except (ValueError, TypeError, RuntimeError) as error:
        raise HwqError(f"x must be an array or nested lists of numbers, not what gives: {error}") from None


def like(result: np.ndarray[Any, Any], x: Any) -> Any:
    """`result` in the library of `x`; torch codes are uint8 to 8 bits, else int64."""
    if not is_torch(x):
        return result
    import torch

    if result.dtype.kind == "u" and result.dtype != np.uint8:
        result = result.astype(np.int64)
    return torch.from_numpy(result).to(x.device)


def bits_of(x: Any) -> Patterns:
    """The raw bit patterns of an array of numbers and the name of its carrier; whole numbers are 64-bit integers."""
    if is_torch(x):
        import torch

        plain = _plain(x)
        if plain.dtype == torch.bfloat16:
            return plain.view(torch.int16).numpy().view(np.uint16), "bfloat16"
        array = _host(plain)
    else:
        array = _array(x)
    kind = {"b": "int64", "i": "int64", "u": "uint64"}.get(array.dtype.kind)
    wanted = np.dtype(kind) if kind else array.dtype.newbyteorder("=")
    name = kind or _carrier(array.dtype)
    array = array.astype(wanted, copy=False)
    return np.ascontiguousarray(array).reshape(array.shape).view({**CARRIERS, **WHOLE}[name][1]), name


def float_bits_of(x: Any) -> Patterns:
    """The same of numbers that will be given back: arrays must be of floats, lists are float64."""
    if not is_torch(x) and not isinstance(x, np.ndarray | np.generic):
        x = _array(x)
        x = x.astype(np.float64) if x.dtype.kind in "iub" else x
    raw, carrier = bits_of(x)
    if carrier in WHOLE:
        raise HwqError("quantize needs a float array, not integers; encode(x) takes integers too")
    if is_torch(x) and x.dtype.itemsize == 1:
        raise HwqError(
            f"quantize gives back the dtype that it is given, not {str(x.dtype)[6:]}; convert x to float32 first"
        )
    return raw, carrier


def float64_of(x: Any) -> np.ndarray[Any, Any]:
    """Numbers of any kind as float64, rounded where they are whole numbers beyond 2**53."""
    raw, carrier = bits_of(x)
    if carrier == "bfloat16":  # the upper half of float32
        raw, carrier = raw.astype(np.uint32) << 16, "float32"
    with np.errstate(invalid="ignore"):  # a signalling NaN
        return np.asarray(raw.view(carrier).astype(np.float64))


def as_floats(raw: np.ndarray[Any, Any], carrier: str) -> Patterns:
    """Whole numbers as float64, if that holds them; floats as they are."""
    if carrier in CARRIERS:
        return raw, carrier
    whole = raw.view(np.int64) if carrier == "int64" else raw
    if whole.size and max(abs(int(whole.min())), abs(int(whole.max()))) > 1 << 53:
        raise HwqError("whole numbers in blocks must be at most 2**53, not beyond; convert them to a float first")
    return whole.astype(np.float64).view(np.uint64), "float64"


def like_numbers(raw: np.ndarray[Any, Any], carrier: str, x: Any) -> Any:
    """Patterns of that carrier as numbers in the library and dtype of `x`."""
    if not is_torch(x):
        known = getattr(x, "dtype", np.dtype(np.float64))
        return raw.view(known.newbyteorder("=")) if known.kind == "V" or known.name == carrier else raw.view(carrier)
    import torch

    return torch.from_numpy(raw.view(f"i{raw.itemsize}")).view(x.dtype).to(x.device)


@lru_cache(maxsize=256)
def _carrier(dtype: np.dtype[Any]) -> str:
    """The carrier of that dtype; a dtype's name takes longer to spell than a short array to round."""
    if dtype.name not in CARRIERS:
        raise HwqError(f"x must be an array of numbers (float16, bfloat16, float32, float64, integers), not {dtype}")
    return dtype.name
