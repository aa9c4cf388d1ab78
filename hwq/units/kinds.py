"""The kinds of units: in which modes each comes, what it takes, and who makes its program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from hwq.errors import HwqError
from hwq.units import elements, norms, shiftgelu, softmax
from hwq.units.program import Program
from hwq.units.spec import ACCURATE, COMPATIBLE, EPS, LONGEST, Unit

__all__ = ["ANY", "EACH", "KINDS", "ONE", "WHOLE", "Form", "check", "form", "program"]

# What a unit takes at a time: codes, rows of up to n, rows of exactly n, rows of one code that takes many cycles
EACH, ANY, WHOLE, ONE = "each", "any", "whole", "one"


@dataclass(frozen=True)
class Form:
    """One mode of a kind. `scale`: of the published form's results, which have none that is chosen."""

    maker: Callable[[Unit], Program]
    rows: str = EACH
    exact: bool = True  # the integers of codes are read, so that no code may be nan or infinite
    eps: bool = False
    scale: Callable[[Unit], float] | None = None


def _table(name: str) -> Mapping[str, Form]:
    return {ACCURATE: Form(partial(elements.table, name=name), exact=False)}


KINDS: Mapping[str, Mapping[str, Form]] = {
    **{name: _table(name) for name in elements.FUNCTIONS},
    "requant": {ACCURATE: Form(elements.requant)},
    "shiftgelu": {
        ACCURATE: Form(shiftgelu.by_itself),
        COMPATIBLE: Form(shiftgelu.published, ANY, scale=shiftgelu.scale),
    },
    "softmax": {
        ACCURATE: Form(softmax.accurate, ANY),
        COMPATIBLE: Form(softmax.published, ANY, scale=softmax.scale),
    },
    "layernorm": {
        ACCURATE: Form(norms.layernorm, WHOLE, eps=True),
        COMPATIBLE: Form(norms.published, WHOLE, scale=norms.scale),
    },
    "rmsnorm": {ACCURATE: Form(norms.rmsnorm, WHOLE, eps=True)},
    "isqrt": {ACCURATE: Form(elements.isqrt, ONE)},
    "reciprocal": {ACCURATE: Form(elements.reciprocal, ONE)},
}


def form(unit: Unit) -> Form:
    """The form of a unit of a known kind and mode."""
    return KINDS[unit.kind][unit.mode]


def check(unit: Unit) -> None:
    """Refuse, by name, what no hardware is made for."""
    if unit.kind not in KINDS:
        raise HwqError(f"a unit must be one of {', '.join(KINDS)}, not {unit.kind!r}")
    if unit.mode not in KINDS[unit.kind]:
        raise HwqError(f"mode of {unit.kind} must be {' or '.join(KINDS[unit.kind])}, not {unit.mode!r}")
    of = form(unit)
    _check_row(unit, of)
    for operand in (unit.x, unit.y):
        if operand.format.blocked or operand.format.bits > 62:
            raise HwqError(f"a unit takes formats of up to 62 bits without shared scales, not {operand.format}")
    if of.exact and (unit.x.format.has_nan or unit.x.format.has_inf):
        raise HwqError(f"{unit.kind} takes numbers, not {unit.x.format} with nan or inf; take a format without")
    if of.scale is not None and (unit.y.scale != 1 or unit.y.format.lsb != 0 or not unit.y.format.overflow == "sat"):
        raise HwqError(
            f"mode=compatible gives integers at a scale of its own, not {unit.y}; write an integer without [s=], "
            "and a requant behind it"
        )
    if unit.eps != EPS and not of.eps:
        raise HwqError(f"eps= is of accurate norms, not of {unit.kind} with mode={unit.mode}; leave it out")


def _check_row(unit: Unit, of: Form) -> None:
    if of.rows in (EACH, ONE):
        if unit.n:
            raise HwqError(f"{unit.kind} with mode={unit.mode} takes each code by itself; leave out n=")
    elif not 2 <= unit.n <= LONGEST:
        raise HwqError(f"n= must say how long a row of {unit.kind} is, 2 to {LONGEST}, not {unit.n}")


def program(unit: Unit) -> Program:
    """The texts of a checked unit."""
    return form(unit).maker(unit)
