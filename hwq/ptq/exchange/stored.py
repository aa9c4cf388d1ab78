"""Integers and floats of a few bits as other tools store them, and constants rounded to them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwq.errors import HwqError
from hwq.formats import Format, Int, MiniFloat
from hwq.ptq.exchange.grids import span_bits

__all__ = ["BYTE", "Kind", "along", "integers", "stored_numbers"]

Array = NDArray[Any]
_FLOAT = re.compile(r"float\d+_e(\d+)m(\d+)(fn|fnuz|)$")
_MOST_BITS = 16


@dataclass(frozen=True)
class Kind:
    """A type of elements: integers of so many bits, or a float of at most 8 bits as (exponent, fraction, specials)."""

    bits: int
    signed: bool
    real: tuple[int, int, str] | None = None

    @classmethod
    def of(cls, dtype: np.dtype[Any]) -> Kind:
        """The kind of a numpy type, of the narrow ones too, which numpy keeps in bytes."""
        name = str(dtype)
        if found := _FLOAT.match(name):
            exponent, fraction, ending = int(found[1]), int(found[2]), found[3]
            specials = {"": "inf", "fnuz": "fnuz", "fn": "nan" if exponent + fraction == 7 else ""}[ending]
            return cls(1 + exponent + fraction, True, (exponent, fraction, specials))
        word = "".join(filter(str.isdigit, name.partition("_")[0]))
        return cls(int(word) if word else dtype.itemsize * 8, not name.startswith("u"))

    def fmt(self, zero: int = 0) -> Format:
        """The format of values that are stored as this, with a zero point."""
        if self.real is None:
            return integers(self.bits, self.signed, zero)
        exponent, fraction, specials = self.real
        if zero:
            raise HwqError(f"codes that are floats must have no zero point, not {zero}")
        bias = 1 << (exponent - 1) if specials == "fnuz" else None
        return MiniFloat(exponent, fraction, bias, specials)


BYTE = Kind(8, False)


def integers(bits: int, signed: bool, zero: int, narrow: bool = False) -> Format:
    """The format of stored integers with a zero point."""
    if bits > _MOST_BITS:
        raise HwqError(f"codes of values must have at most {_MOST_BITS} bits, not {bits}")
    return Int(bits, signed, narrow=narrow, zero=zero)


def stored_numbers(stored: Array, kind: Kind, zero: Array) -> tuple[Array, Format | None]:
    """What stored codes stand for less their zero points (shaped to meet them), and the format that has all of it.

    None is the format of biases, which have more bits than a value. Zero points of channels that differ make the
    codes signed and a bit or more longer: those of one channel stay what they are.
    """
    numbers = stored.astype(np.float64) - zero
    if kind.bits > _MOST_BITS:
        return numbers, None
    least, most = int(zero.min()), int(zero.max())
    if least == most:
        return numbers, kind.fmt(least)
    low, high = kind.fmt().integer_range
    return numbers, Int(span_bits(min(low - most, -1), high - least))


def along(scale: Array, array: Array, axis: int, what: str) -> Array:
    """Scales or zero points of channels, shaped to meet an array; 0 is no scale."""
    if scale.size == 1:
        return scale.reshape((1,) * array.ndim)
    if scale.ndim != 1 or not array.ndim or scale.size != array.shape[axis]:
        raise HwqError(
            f"{what} must have one scale, or one a channel of axis {axis}, not scales {list(scale.shape)} for "
            f"{list(array.shape)}; blocks with scales of their own cannot be imported"
        )
    return scale.reshape(tuple(scale.size if i == axis else 1 for i in range(array.ndim)))
