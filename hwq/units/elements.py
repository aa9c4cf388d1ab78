"""Units of single codes: functions by table, fixed rescaling, and the serial steps of rows as units of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np

from hwq.bits import Word, const, lookup, maximum, mux, variable
from hwq.errors import HwqError
from hwq.formats import Format, Special
from hwq.units.program import CODE, Fold, Map, Row, valid
from hwq.units.serial import Division, Root
from hwq.units.spec import Operand, Unit
from hwq.units.texts import packed, scaled

__all__ = ["FUNCTIONS", "code_of", "isqrt", "number", "reciprocal", "requant", "table"]

TABLE_BITS = 10  # of a code that a table is looked up by
_FAR = 1e6  # what an infinite number counts as where a function levels off


def _erf_gelu(x: float) -> float:
    return 0.5 * x * math.erfc(-x / math.sqrt(2))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


FUNCTIONS: Mapping[str, Callable[[float], float]] = {
    "gelu": _erf_gelu,
    "silu": lambda x: x * _sigmoid(x),
    "sigmoid": _sigmoid,
    "tanh": math.tanh,
    "recode": lambda x: x,
}
"""The functions that come as tables; `recode` is none but another format, such as LogNP's polish and its inverse."""


def code_of(fmt: Format) -> Word:
    """The variable that carries a code of a format."""
    return variable(CODE, 0, (1 << fmt.bits) - 1)


def number(fmt: Format) -> Word:
    """The integer that a code stands for, in units of the format's last place."""
    u = fmt.unpack(code_of(fmt))
    return u.fixed.within(*fmt.integer_range)


def table(unit: Unit, name: str) -> Map:
    """The code nearest to the function of each code's number; ties as the format rounds, in float64 before that."""
    fmt = unit.x.format
    if fmt.bits > TABLE_BITS:
        raise HwqError(
            f"{name} is looked up by codes of up to {TABLE_BITS} bits, not of {fmt} with {fmt.bits}; requant first"
        )
    entries = [0.0 if fmt.reserved(c) else _entry(unit, name, fmt.value(c)) for c in range(1 << fmt.bits)]
    codes = unit.y.format.encode(np.array(entries))
    return Map(lookup(code_of(fmt), codes.tolist()))


def _entry(unit: Unit, name: str, value: Fraction | Special) -> float:
    """The function's number over the scale of the results."""
    special = {Special.NAN: math.nan, Special.PINF: math.inf, Special.NINF: -math.inf}
    if isinstance(value, Special):
        x = special[value]
        found = x if math.isnan(x) or name == "recode" else FUNCTIONS[name](math.copysign(_FAR, x))
        return math.inf if found == _FAR else found
    if name == "recode":
        return float(value * unit.x.scale / unit.y.scale)  # correctly rounded, so that a tie stays one
    return FUNCTIONS[name](float(value * unit.x.scale)) / float(unit.y.scale)


def requant(unit: Unit) -> Map:
    """The number times the quotient of the scales, a fixed multiplier of 16 bits, rounded once into `y`."""
    product, lsb = scaled(number(unit.x.format).stage("unpack"), unit.x.unit / unit.y.scale)
    return Map(packed(unit.y.format, product.stage("mul"), lsb))


def isqrt(unit: Unit) -> Row:
    """floor(sqrt(x)) of a number in units of its last place, saturated into `y`; a negative number counts as 0."""
    value = _kept(unit.x)
    root = Root("root", value)
    return Row(_taken(unit.x, value), (root,), packed(unit.y.format, root.result, unit.y.format.lsb))


def reciprocal(unit: Unit) -> Row:
    """floor(2**bits / x) of a number in units of its last place, bits those of `y`; of 0 and below, of 1."""
    value = _kept(unit.x)
    found = Division("quotient", const(1 << unit.y.format.bits), maximum(value, 1))
    return Row(_taken(unit.x, value), (found,), packed(unit.y.format, found.result, unit.y.format.lsb))


def _kept(x: Operand) -> Word:
    return variable("value", 0, max(1, x.format.integer_range[1]))


def _taken(x: Operand, value: Word) -> Fold:
    taken = mux(valid("fill"), maximum(number(x.format), 0), const(0))
    return Fold("fill", (value,), ((value + taken).within(value.lo, value.hi),))
