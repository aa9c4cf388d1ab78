"""Refusals that the parts of a datapath share: whole numbers within limits, and values of the right class."""

from __future__ import annotations

from numbers import Integral
from types import UnionType
from typing import Any

from hwq.errors import HwqError

__all__ = ["check_kind", "whole"]


def whole(what: str, value: Any, least: int, most: int, most_text: str = "") -> int:
    """`value` as an int, if it is a whole number in the range; a bool or a float with a whole value is none."""
    fits = type(value) is int or isinstance(value, Integral) and not isinstance(value, bool)  # the quick case first
    if not fits or not least <= value <= most:
        raise HwqError(f"{what} must be a whole number between {least} and {most_text or most}, not {value!r}")
    return int(value)


def check_kind(what: str, value: object, kinds: type | UnionType) -> None:
    """Refuse what is none of these classes: a text is read by `Datapath.parse`, not by a constructor."""
    if not isinstance(value, kinds):
        raise HwqError(f"{what}, not {type(value).__name__} {value}; Datapath.parse(text) makes all of them")
