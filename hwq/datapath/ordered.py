"""Sums that depend on their order: one term or one group of lanes after the other, by the text or by the processor."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from hwq.bits import Word, const, variable
from hwq.bits.loops import array_dtype, compile_map, compile_scan, parallel, pieces, threads
from hwq.datapath.accumulators import Align
from hwq.datapath.operand import operands
from hwq.datapath.spec import Mac
from hwq.datapath.steps import State, Term, flush, product, state, step

__all__ = ["additions", "flushed", "mapped", "ordered", "scanned"]

Ints = np.ndarray[Any, Any]

_CACHED = 1 << 15  # sums that stay in a core's cache while the terms pass
_NARROW = 16  # columns below which a loop over rows makes the better vectors


def mapped(outputs: list[Word], codes: Ints, dtypes: list[Any]) -> list[Ints]:
    """The texts of a code [..., M, K]; a transposed view stays one.

    A single row never is one: torch 2.13 multiplies int8 wrongly where the strides of a row are equal.
    """
    run = compile_map(outputs, {"code": codes.dtype}, dtypes)
    if codes.shape[-2] > 1 and codes.strides[-2] < codes.strides[-1]:
        return [out.mT for out in run([codes.mT])]
    return run([codes])


def _small(word: Word) -> np.dtype[Any]:
    """The narrowest dtype of an operand's field."""
    for dtype in (np.int8, np.int16):
        if np.iinfo(dtype).min <= word.lo and word.hi <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    return array_dtype(word)


def _padded(field: Ints, lanes: int) -> Ints:
    """A decoded field [..., K] with zeros up to a multiple of `lanes` terms: a significand of 0 adds nothing."""
    rest = -field.shape[-1] % lanes
    return np.pad(field, (*((0, 0),) * (field.ndim - 1), (0, rest))) if rest else field


def ordered(mac: Mac, a: Ints, w: Ints, special: bool) -> tuple[Ints, tuple[Ints, ...]]:
    """Sums [..., M, N] of codes a [..., M, K] and w [..., N, K] and their flags, by the text of a step."""
    before = state(mac) if special else State(state(mac).total)

    def after(terms: list[Term]) -> list[Word]:
        words = step(mac, before, *terms).words
        return [words[name] for name in before.words]

    found = scanned(mac, a, w, special, before.words, after)
    return found[0], tuple(x.astype(np.uint8) for x in found[1:])


def scanned(
    mac: Mac, a: Ints, w: Ints, special: bool, before: dict[str, Word], after: Callable[[list[Term]], list[Word]]
) -> list[Ints]:
    """The states `before` [..., M, N] after all terms in order, from zeros; `after` takes in a group of products."""
    lanes = mac.acc.lanes if isinstance(mac.acc, Align) else 1
    fields: list[list[dict[str, Word]]] = [[] for _ in range(lanes)]
    inputs: list[dict[str, Ints]] = []
    for prefix, operand, codes in zip("aw", operands(mac), (a, w), strict=True):
        words: dict[str, Word] = dict(operand.fields)
        if not special:
            words |= dict.fromkeys(("nan", "inf", "neg"), const(0))
        moving = {name: word for name, word in words.items() if not word.constant}
        arrays = mapped(list(moving.values()), codes, [_small(x) for x in moving.values()])
        arrays = [_padded(field, lanes) for field in arrays]
        inputs.append({})
        for lane in range(lanes):
            inputs[-1] |= {f"{prefix}{lane}_{n}": x[..., lane::lanes] for n, x in zip(moving, arrays, strict=True)}
            fields[lane].append({f: variable(f"{prefix}{lane}_{f}", word.lo, word.hi) for f, word in words.items()})
    turned = w.shape[-2] < _NARROW <= a.shape[-2]
    by_row, by_column = reversed(inputs) if turned else inputs
    rows, columns = ({name: x.dtype for name, x in side.items()} for side in (by_row, by_column))
    run = compile_scan(before, after([product(mac, *pair) for pair in fields]), rows, columns)
    found = run(list(by_row.values()), [x.mT for x in by_column.values()])
    return [x.mT for x in found] if turned else found


def flushed(mac: Mac, now: State, found: list[Ints], group: Ints, flags: tuple[Ints, ...]) -> list[Ints]:
    """The states, in the order of `now.words`, after exact sums of groups and their flags, all of one shape."""
    kinds = tuple((name, x.dtype) for name, x in zip(now.words, found, strict=True))
    names = ("group", "term_nan", "term_pinf", "term_ninf")
    kinds += tuple((name, x.dtype) for name, x in zip(names, (group, *flags), strict=False))
    after: list[Ints] = _flush(mac, now, kinds)([*found, group, *flags])
    return after


@lru_cache(maxsize=256)
def _flush(mac: Mac, now: State, kinds: tuple[tuple[str, np.dtype[Any]], ...]) -> Any:
    given = dict(kinds)
    ends = [mac.group_terms * p for p in mac.product_range]
    flags = [variable(name, 0, int(name in given)) for name in ("term_nan", "term_pinf", "term_ninf")]
    after = flush(mac, now, Term(variable("group", *ends), const(0), *flags))
    names = list(now.words)
    everything = {"acc": after.total, "nan": after.nan, "pinf": after.pinf, "ninf": after.ninf}
    return compile_map([everything[name] for name in names], given, [given[name] for name in names])


def additions(mac: Mac, a: Ints, w: Ints, dtype: np.dtype[Any]) -> Ints:
    """Codes [G, M, N] of sums of a [G, M, K] and w [G, N, K] that a processor's own additions make, term after term."""
    fmt, (g, m, k), n = mac.acc_format, a.shape, w.shape[1]
    x, y = (np.ascontiguousarray(f.decode(c).astype(dtype).transpose(2, 0, 1)) for f, c in ((mac.a, a), (mac.w, w)))
    total = np.zeros((g, m, n), dtype)
    rows = max(1, min(_CACHED // n, -(-g * m // threads())))
    parts = pieces(g, m, max(1, rows // m), rows)

    def span(first: int, last: int) -> None:
        with np.errstate(invalid="ignore"):  # inf * 0 and inf - inf, as IEEE 754 has them
            for groups, at in parts[first:last]:
                _add(total[groups, at], x[:, groups, at], y[:, groups])

    parallel(span, len(parts), max(1, 2 * _CACHED // (rows * n * k)))
    codes = total.view(np.dtype(f"u{dtype.itemsize}"))
    nan = fmt.encode(np.full(1, np.nan, dtype))[0]
    return np.where(np.isnan(total), nan, codes).astype(array_dtype(state(mac).total))


def _add(total: Ints, x: Ints, y: Ints) -> None:
    """Onto sums [G, M, N], the products of x [K, G, M] and y [K, G, N]."""
    term = np.empty_like(total)
    for left, right in zip(x, y, strict=True):
        np.multiply(left[..., None], right[:, None], out=term)
        np.add(total, term, out=total)
