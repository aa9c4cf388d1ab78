"""Format texts: a catalogue name, or `int(n[,narrow])`, `uint(n)`, `fixed(n,f)`, `ufixed(n,f)`, `fp(e,m{,option})`."""

from __future__ import annotations

import re
from collections.abc import Callable

from hwq.errors import HwqError
from hwq.formats.base import Format
from hwq.formats.catalog import catalog
from hwq.formats.integer import Int
from hwq.formats.minifloat import MiniFloat
from hwq.formats.ternary import Ternary

__all__ = ["parse_format"]

ZERO_POINT = "[zp]"
_CALL = re.compile(r"([a-z]+)\(([^()]*)\)")


def parse_format(text: str) -> Format:
    """The format that `text` describes; `str()` of it is the canonical text."""
    if not isinstance(text, str):
        raise HwqError(f"a format text must be a string, not {text!r}")
    text = text.strip()
    if text.endswith(ZERO_POINT):
        raise HwqError(f"a zero point must be 0, not loaded as in {text!r}: not available yet; leave {ZERO_POINT} out")
    call = _CALL.fullmatch(text)
    if call is None:
        return catalog[text]
    family, inner = call.groups()
    if family not in _FAMILIES:
        raise HwqError(f"format family must be one of {', '.join(_FAMILIES)}, not {family!r}")
    return _FAMILIES[family]([a.strip() for a in inner.split(",")] if inner.strip() else [], text)


def _numbers(args: list[str], counts: tuple[int, ...], text: str) -> list[int]:
    if len(args) not in counts or not all(re.fullmatch(r"-?[0-9]{1,5}", a) for a in args):
        wanted = " or ".join(map(str, counts))
        raise HwqError(f"{text.split('(')[0]}(...) takes {wanted} whole number(s), not {text!r}")
    return [int(a) for a in args]


def _int(args: list[str], text: str) -> Format:
    narrow = args[-1:] == ["narrow"]
    (width,) = _numbers(args[: len(args) - narrow], (1,), text)
    return Int(width, narrow=narrow)


def _uint(args: list[str], text: str) -> Format:
    (width,) = _numbers(args, (1,), text)
    return Int(width, signed=False)


def _fixed(args: list[str], text: str) -> Format:
    narrow = args[-1:] == ["narrow"]
    width, frac = _numbers(args[: len(args) - narrow], (2,), text)
    return Int(width, frac=frac, narrow=narrow)


def _ufixed(args: list[str], text: str) -> Format:
    width, frac = _numbers(args, (2,), text)
    return Int(width, signed=False, frac=frac)


def _fp(args: list[str], text: str) -> Format:
    exp, man = _numbers(args[:2], (2,), text)
    bias: int | None = None
    specials, subnormals, overflow = "", True, "sat"
    for option in args[2:]:
        if re.fullmatch(r"bias=-?[0-9]{1,4}", option):
            bias = int(option[5:])
        elif option in ("inf", "nan", "fnuz") and not specials:
            specials = option
        elif option == "nosub":
            subnormals = False
        elif option in ("ovf=sat", "ovf=nan", "ovf=inf"):
            overflow = option[4:]
        else:
            raise HwqError(
                f"fp options are bias=N, one of inf nan fnuz, nosub, ovf=sat|nan|inf, not {option!r} in {text!r}"
            )
    return MiniFloat(exp, man, bias, specials, subnormals, overflow)


def _trit(args: list[str], text: str) -> Format:
    _numbers(args, (0,), text)
    return Ternary()


_FAMILIES: dict[str, Callable[[list[str], str], Format]] = {
    "int": _int,
    "uint": _uint,
    "fixed": _fixed,
    "ufixed": _ufixed,
    "fp": _fp,
    "trit": _trit,
}
