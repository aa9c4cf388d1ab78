"""The texts of a Mac over arrays: operands embedded as machine numbers, sums by path, and the epilogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from hwq.bits import Word, const, variable
from hwq.bits.loops import array_dtype, compile_map, from_wide
from hwq.datapath import paths
from hwq.datapath.accumulators import Exact, Fixed
from hwq.datapath.limbs import limb_sums
from hwq.datapath.ordered import additions, flushed, mapped, ordered
from hwq.datapath.spec import Mac
from hwq.datapath.steps import State, finish, parameters, state
from hwq.formats import Format

__all__ = ["Sums", "embedded", "embedding", "finished", "has_special", "result_dtype", "summed"]

Ints = np.ndarray[Any, Any]
Multiply = Callable[[Ints, Ints], Ints]


@dataclass(frozen=True)
class Sums:
    """Sums before the epilogue (they may still have to wrap), and sticky flags (nan, +inf, -inf) of each, if any."""

    total: Ints
    flags: tuple[Ints, ...] = ()


@lru_cache(maxsize=1024)
def embedding(fmt: Format) -> Word:
    """A code's number as one signed integer in units of `2**lsb`; what specials leave there is what hardware adds."""
    return fmt.unpack(fmt.code_word).fixed.within(*fmt.integer_range)


def embedded(fmt: Format, codes: Ints, dtype: Any) -> Ints:
    """The codes' numbers in units of `2**lsb`."""
    return mapped([embedding(fmt)], codes, [dtype])[0]


@lru_cache(maxsize=1024)
def _special(fmt: Format) -> Word:
    u = fmt.unpack(fmt.code_word)
    return u.nan | u.inf


def has_special(mac: Mac, a: Ints, w: Ints) -> bool:
    """True if any code of either operand stands for nan or an infinity."""
    return mac.has_nan and any(_has_special(fmt, codes) for fmt, codes in ((mac.a, a), (mac.w, w)))


def _has_special(fmt: Format, codes: Ints) -> bool:
    special = _special(fmt)
    return not special.constant and bool(mapped([special], codes, [np.uint8])[0].any())


def summed(mac: Mac, path: paths.Path, a: Ints, w: Ints, multiply: Multiply) -> Sums:
    """The accumulators [G, M, N] of codes a [G, M, K] and w [G, N, K], computed along that path."""
    special = has_special(mac, a, w)
    if path.name == paths.ORDERED:
        return Sums(*ordered(mac, a, w, special))
    if path.name in (paths.ADDITIONS32, paths.ADDITIONS64):
        return Sums(additions(mac, a, w, np.dtype(np.float32 if path.name == paths.ADDITIONS32 else np.float64)))
    if path.name == paths.GROUPS:
        return _groups(mac, a, w, multiply)
    flags = _flags(mac, a, w, multiply) if special else ()
    if path.name == paths.LIMBS:
        return Sums(_joined(mac, *limb_sums(mac, a, w, multiply)), flags)
    dtype = {paths.INT8: np.int8, paths.FLOAT64: np.float64}.get(path.name, np.float32)
    x, y = embedded(mac.a, a, dtype), embedded(mac.w, w, dtype)
    if path.chunk >= a.shape[-1]:
        return Sums(multiply(x, y), flags)
    total = np.zeros((*a.shape[:-1], w.shape[-2]))
    for k in range(0, a.shape[-1], path.chunk):
        total += multiply(x[..., k : k + path.chunk], y[..., k : k + path.chunk])
    return Sums(total, flags)


def _groups(mac: Mac, a: Ints, w: Ints, multiply: Multiply) -> Sums:
    """The exact sums of groups, along their own fastest path, rounded or saturated into the sum in order."""
    exact, now = replace(mac, acc=Exact(), out=None, epilogue=(), tree=1, k=mac.group_terms), state(mac)
    now = replace(now, group=const(0), phase=const(0))
    found = [np.zeros((*a.shape[:-1], w.shape[-2]), array_dtype(word)) for word in now.words.values()]
    for k in range(0, a.shape[-1], mac.tree):
        x, y = a[..., k : k + mac.tree], w[..., k : k + mac.tree]
        group = summed(exact, next(paths.candidates(exact, x.shape[-1], False)), x, y, multiply)
        found = flushed(mac, now, found, group.total, group.flags)
    return Sums(found[0], tuple(x.astype(np.uint8) for x in found[1:]))


def _joined(mac: Mac, parts: tuple[Ints, ...], shifts: tuple[int, ...]) -> Ints:
    """The accumulators `sum(part << shift)`."""
    words = [variable(f"part{j}", -(1 << 63), (1 << 63) - 1) for j in range(len(parts))]
    total = _accumulated(mac, sum((word << n for word, n in zip(words, shifts, strict=True)), const(0)))
    run = compile_map([total], {f"part{j}": np.int64 for j in range(len(parts))}, [array_dtype(total)])
    return run(parts)[0]


def _accumulated(mac: Mac, total: Word) -> Word:
    """An exact sum as the accumulator holds it: no other than a wrapping one can be too narrow for it here."""
    held = state(mac).total
    wraps = isinstance(mac.acc, Fixed) and mac.acc.overflow == "wrap"
    return total.wrap(mac.acc_bits) if wraps else total.within(held.lo, held.hi)


def _flags(mac: Mac, a: Ints, w: Ints, multiply: Multiply) -> tuple[Ints, ...]:
    """Sticky nan, and +inf and -inf where they can occur: whether any term has them, by products of zeros and ones."""
    (nan_a, inf_a, zero_a, pos_a, neg_a), (nan_w, inf_w, zero_w, pos_w, neg_w) = (
        _kinds(fmt, codes) for fmt, codes in ((mac.a, a), (mac.w, w))
    )
    nan = np.logical_or(nan_a.any(-1, keepdims=True), nan_w.any(-1, keepdims=True).mT)
    if not mac.has_inf:
        return (nan.astype(np.uint8),)

    def met(*pairs: tuple[Ints, Ints]) -> Ints:
        left, right = (np.concatenate(side, axis=-1).astype(np.float32) for side in zip(*pairs, strict=True))
        return multiply(left, right) > 0

    nan = nan | met((inf_a, zero_w), (zero_a, inf_w))
    up_a, down_a, up_w, down_w = inf_a & pos_a, inf_a & neg_a, inf_w & pos_w, inf_w & neg_w
    pinf = met((up_a, pos_w), (down_a, neg_w), (pos_a, up_w), (neg_a, down_w))
    ninf = met((up_a, neg_w), (down_a, pos_w), (pos_a, down_w), (neg_a, up_w))
    return tuple(x.astype(np.uint8) for x in (nan, pinf, ninf))


def _kinds(fmt: Format, codes: Ints) -> list[Ints]:
    """nan, inf, zero, positive, negative (infinities included, nan in none of the last four) of each code, as bool."""
    u = fmt.unpack(fmt.code_word)
    number = const(1) - u.nan
    zero = u.mag.eq(0) & (const(1) - u.inf) & number
    sign = [number & (const(1) - zero) & (const(1) - u.neg), number & (const(1) - zero) & u.neg]
    return [x.astype(bool) for x in mapped([u.nan, u.inf, zero, *sign], codes, [np.uint8] * 5)]


def result_dtype(mac: Mac, torch: bool) -> np.dtype[Any]:
    """The dtype in which codes of the output are computed; V where they need Python ints."""
    bits = mac.output.bits
    if bits > 64:
        return array_dtype(variable("code", 0, (1 << bits) - 1))
    return np.dtype(np.int64) if torch and bits > 8 else mac.output.code_dtype  # of 64 bits: the pattern


@lru_cache(maxsize=1024)
def _finish_text(mac: Mac, wide: bool, special: bool) -> tuple[tuple[str, ...], Word]:
    """The names of the inputs and the result code of the epilogue; `wide` if a sum has more than 64 bits."""
    s = replace(state(mac), group=const(0), phase=const(0))
    if mac.floats is not None:
        s = s if special else State(s.total)
        return tuple(s.words), finish(mac, s, parameters(mac))
    reach = max(mac.exact_bits, mac.acc_bits) if wide else min(max(mac.exact_bits, mac.acc_bits), 64)
    total = _accumulated(mac, variable("acc", -(1 << (reach - 1)), (1 << (reach - 1)) - 1))
    now = s if special else State(s.total)
    return tuple(now.words), finish(mac, replace(now, total=total), parameters(mac))


def finished(mac: Mac, sums: Sums, given: dict[str, Ints], dtype: np.dtype[Any]) -> Ints:
    """The result codes of sums [..., N] and per-channel parameters [N]; Python ints where `dtype` is V."""
    names, code = _finish_text(mac, sums.total.dtype.kind == "V", bool(sums.flags))
    arrays = dict(zip(names, (sums.total, *sums.flags), strict=True))
    arrays |= {name: x for name, x in given.items() if x.ndim > 1}  # of each result
    columns = {name: x for name, x in given.items() if x.ndim == 1}  # of each channel
    kinds, own = ({name: x.dtype for name, x in side.items()} for side in (arrays, columns))
    run = compile_map([code], kinds, [dtype], own)
    out: Ints = run(list(arrays.values()), list(columns.values()))[0]
    return from_wide(out) if dtype.kind == "V" else out
