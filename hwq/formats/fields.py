"""Fields of frozen formats as what they are said to be: Python's whole numbers, flags and words, or one line."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from numbers import Rational
from operator import index
from typing import Any

import numpy as np

from hwq.errors import HwqError

__all__ = ["exact", "flag_fields", "index_fields", "index_list", "listed", "whole", "word_field"]


def whole(name: str, value: Any) -> int:
    """The whole number, or a refusal of what is none, such as a bool, 8.0 or an array."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        return index(value)
    except TypeError:
        raise HwqError(f"{name} must be a whole number, not {value!r}") from None


def listed(name: str, value: Any) -> Sequence[Any]:
    """A list, a tuple or an array as a list."""
    if isinstance(value, np.ndarray) and value.ndim:
        return list(value)
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise HwqError(f"{name} must be a list of numbers, not {value!r}")
    return value


def exact(what: str, value: Any) -> Fraction:
    """A whole number, a fraction or a finite float, exactly."""
    if isinstance(value, Rational):
        return Fraction(int(value.numerator), int(value.denominator))
    if not isinstance(value, float | np.floating) or not np.isfinite(value):
        raise HwqError(f"{what} must be a whole number, a fraction or a finite float, not {value!r}")
    return Fraction(float(value))


def index_fields(fmt: object, *names: str) -> None:
    """Make fields Python integers, or refuse what is no whole number."""
    for name in names:
        object.__setattr__(fmt, name, whole(name, getattr(fmt, name)))


def index_list(fmt: object, name: str) -> None:
    """Make a field a tuple of Python integers."""
    numbers = listed(name, getattr(fmt, name))
    object.__setattr__(fmt, name, tuple(whole(f"each of {name}", n) for n in numbers))


def flag_fields(fmt: object, *names: str) -> None:
    """Make fields Python's True or False: a 2 or a text in their place is a mistake."""
    for name in names:
        value = getattr(fmt, name)
        if not isinstance(value, bool | np.bool_):
            raise HwqError(f"{name} must be True or False, not {value!r}")
        object.__setattr__(fmt, name, bool(value))


def word_field(fmt: object, name: str, known: Sequence[str], message: str) -> None:
    """Refuse a field that is none of the known words: `message` says what it must be."""
    value = getattr(fmt, name)
    if not isinstance(value, str) or value not in known:
        raise HwqError(f"{message}, not {value!r}")
