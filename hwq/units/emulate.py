"""The emulator: a unit's texts, compiled, over arrays of codes; serial steps as the floors that they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from hwq.bits import Word, topological
from hwq.bits.loops import array_dtype, compile_map
from hwq.errors import HwqError
from hwq.formats.arrays import check_codes
from hwq.formats.intake import like
from hwq.units.kinds import ANY, EACH, ONE, form
from hwq.units.program import CODE, Fold, Let, Map, Row, valid, variables
from hwq.units.spec import Unit

__all__ = ["emulate", "run_rows"]

Ints = np.ndarray[Any, Any]
BITS = 62  # of the widest number that a compiled text may hold: floors of quotients and roots are int64


def emulate(unit: Unit, codes: Any) -> Any:
    """The results of codes [..., n]; see `Unit.__call__`."""
    given = check_codes(unit.x.format, codes)
    of = form(unit)
    if of.rows in (EACH, ONE):
        rows = given.reshape(-1, 1)
    else:
        if not given.ndim or not 1 <= given.shape[-1] <= unit.n:
            raise HwqError(f"codes must be rows of 1 to {unit.n} along the last axis, not of shape {given.shape}")
        if of.rows != ANY and given.shape[-1] != unit.n:
            raise HwqError(f"a row of {unit.kind} must have n={unit.n} codes, not {given.shape[-1]}")
        rows = given.reshape(-1, given.shape[-1])
    if isinstance(unit.program, Map):
        (found,) = _map((unit.program.code,), (CODE,))([np.ascontiguousarray(rows)])
    else:
        found = run_rows(unit.program, np.ascontiguousarray(rows.T)).T
    return like(found.astype(unit.y.format.code_dtype).reshape(given.shape), codes)


def run_rows(program: Row, codes: Ints) -> Ints:
    """Result codes [n, rows] of codes [n, rows]."""
    found = _folded(program.first, codes, {})
    for phase in program.then:
        if isinstance(phase, Fold):
            found |= _folded(phase, codes, found)
        elif isinstance(phase, Let):
            found[_name(phase.result)] = _of((phase.value,), None, found)[0]
        else:
            found[phase.name] = phase.run(*_of(phase.texts, None, found))
    return np.stack([_of((program.code,), code, found)[0] for code in codes])


def _folded(fold: Fold, codes: Ints, found: Mapping[str, Ints]) -> dict[str, Ints]:
    """What a pass leaves in its registers; every element is there."""
    names = [_name(word) for word in fold.before]
    found = {**found, _name(valid(fold.name)): np.ones(codes.shape[1], dtype=np.int64)}
    held = {name: np.zeros(codes.shape[1], dtype=np.int64) for name in names}
    for code in codes:
        held = dict(zip(names, _of(fold.after, code, {**found, **held}), strict=True))
    return held


def _of(texts: Sequence[Word], code: Ints | None, found: Mapping[str, Ints]) -> list[Ints]:
    """Texts of one element of every row, or, without a code, of what was found of the rows alone."""
    given = dict(found) if code is None else {**found, CODE: code}
    names = tuple(_name(word) for word in variables(texts)) or tuple(given)[:1]
    found_of: list[Ints] = _map(tuple(texts), names)([given[name] for name in names])
    return found_of


def _name(word: Word) -> str:
    return str(word.attr)


@lru_cache(maxsize=1024)
def _map(texts: tuple[Word, ...], names: tuple[str, ...]) -> Any:
    """The texts as a function of arrays, in int64 throughout."""
    for word in topological(texts):
        if array_dtype(word).itemsize > 8 or max(abs(word.lo), abs(word.hi)) >> BITS:
            raise HwqError(
                f"numbers of a unit must stay below 2**{BITS}, not reach {max(abs(word.lo), word.hi)}; "
                "take shorter rows or formats of fewer bits"
            )
    run = compile_map(texts, dict.fromkeys(names, np.int64), [np.int64] * len(texts))
    return lambda arrays: run([array.astype(np.int64, copy=False) for array in arrays])
