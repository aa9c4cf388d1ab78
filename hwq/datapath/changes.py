"""What if: a datapath with one thing changed, and what that does to its numbers, in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from hwq.bits import const
from hwq.datapath.accumulators import Accumulator, Align, Exact, Fixed, Float
from hwq.datapath.operand import operands
from hwq.datapath.spec import Mac
from hwq.datapath.stages import output_stages, pe_stages, row_count
from hwq.datapath.steps import on_grid
from hwq.datapath.structure import Datapath
from hwq.errors import HwqError
from hwq.formats import ROUNDINGS, STOCHASTIC, Format

__all__ = ["Change", "changes"]

WIDTHS = (-8, -4, 4, 8)  # bits more of the accumulator
MODES = {**ROUNDINGS, STOCHASTIC: "up with the probability of what is lost"}


@dataclass(frozen=True)
class Change:
    """`what` is changed and the datapath then, with its `effect` on the numbers; or no datapath and why not."""

    what: str
    dp: Datapath | None
    effect: str


def changes(dp: Datapath) -> Iterator[Change]:
    """One change each: subnormals, the accumulator's width, overflow and grid, the output's rounding, the cuts."""
    yield from _subnormals(dp)
    yield from _widths(dp)
    yield from _overflow(dp)
    yield from _grid(dp)
    yield from _output(dp)
    yield from _cuts(dp)


def _changed(what: str, make: Callable[[], Datapath], effect: str | Callable[[Datapath], str]) -> Change:
    """The change, or why it cannot be made."""
    try:
        dp = make()
        return Change(what, dp, effect if isinstance(effect, str) else effect(dp))
    except HwqError as error:
        return Change(what, None, str(error))


# subnormals


def _subnormals(dp: Datapath) -> Iterator[Change]:
    mac, found = dp.mac, False
    operands_ = [("operands", ("a", "w"))] if mac.a == mac.w else [("a", ("a",)), ("w", ("w",))]
    for name, fields in (*operands_, ("sum", ("acc",)), ("output", ("out",))):
        held = [fmt for field in fields if (fmt := _format(mac, field)) is not None]
        for on in (False, True):
            if any(_differs(fmt, on) for fmt in held):
                found = True
                what = f"{name} {'with' if on else 'without'} subnormals"
                yield _changed(what, partial(_switched, dp, fields, on), partial(_least, dp, fields))
    if not found:
        yield Change("subnormals", None, f"no format of {mac.a}*{mac.w}, its sum or its output has any")


def _format(mac: Mac, field: str) -> Format | None:
    """The format of an operand or the output; of the sum, where that is a float."""
    found: Format | None = mac.floats if field == "acc" else getattr(mac, field)
    return found


def _differs(fmt: Format, on: bool) -> bool:
    """Whether a format is another one then, or would be if it could."""
    try:
        return fmt.subnormal(on) != fmt
    except HwqError:
        return True


def _switched(dp: Datapath, fields: tuple[str, ...], on: bool) -> Datapath:
    mac = dp.mac
    if "acc" in fields:
        assert isinstance(mac.acc, Float | Align)
        return _with(dp, replace(mac.acc, format=mac.acc.format.subnormal(on)))
    if "out" in fields:
        assert mac.out is not None
        return replace(dp, mac=replace(mac, out=mac.out.subnormal(on)))
    a, w = (fmt.subnormal(on) if name in fields else fmt for name, fmt in (("a", mac.a), ("w", mac.w)))
    return replace(dp, mac=replace(mac, a=a, w=w))


def _least(dp: Datapath, fields: tuple[str, ...], changed: Datapath) -> str:
    old, new = (_format(one.mac, fields[0]) for one in (dp, changed))
    assert old is not None and new is not None
    return f"{old}: the least positive number is {float(new.least_positive):.4g}, not {float(old.least_positive):.4g}"


# the accumulator


def _widths(dp: Datapath) -> Iterator[Change]:
    mac = dp.mac
    if isinstance(mac.acc, Float):
        yield Change("accumulator width", None, f"+{mac.acc.text} is a float; write another format, or +fixed(bits)")
        return
    effect = partial(_reach, mac)
    for more in WIDTHS:
        yield _changed(f"accumulator {more:+d} bits", partial(_widened, dp, more), effect)
    if isinstance(mac.acc, Fixed):
        yield _changed("accumulator exact", partial(_with, dp, Exact()), effect)


def _with(dp: Datapath, acc: Accumulator) -> Datapath:
    tree = dp.mac.tree if isinstance(acc, Fixed | Float) else 1
    return replace(dp, mac=replace(dp.mac, acc=acc, tree=tree))


def _widened(dp: Datapath, more: int) -> Datapath:
    acc = dp.mac.acc
    if isinstance(acc, Exact):
        return _with(dp, Fixed(dp.mac.exact_bits + more))
    assert isinstance(acc, Fixed | Align)
    return _with(dp, replace(acc, bits=acc.bits + more))


def _reach(before: Mac, changed: Datapath) -> str:
    """How many products a sum holds for certain, and what becomes of more."""
    mac = changed.mac
    if isinstance(mac.acc, Align):
        return f"{mac.acc.bits} bits are kept below the largest exponent of {mac.acc.lanes} products"
    if isinstance(mac.acc, Exact):
        return f"exact, {mac.exact_bits} bits: nothing is lost of {mac.k:,} products"
    assert isinstance(mac.acc, Fixed)
    terms = _safe_terms(mac, mac.acc)
    if terms >= mac.k:
        return f"any {mac.k:,} products fit, as before" if _safe(before) else f"any {mac.k:,} products fit now"
    verb = "wrap" if mac.acc.overflow == "wrap" else "saturate"
    lost = "exact no more: " * isinstance(before.acc, Exact)
    return lost + (f"sums of {terms + 1:,} products or more can {verb}" if terms else f"one product can {verb}")


def _safe(mac: Mac) -> bool:
    return not isinstance(mac.acc, Fixed) or _safe_terms(mac, mac.acc) >= mac.k


def _safe_terms(mac: Mac, acc: Fixed) -> float:
    """So many products that no sum of them leaves the accumulator, whatever they are."""
    low, high = (on_grid(mac, const(end)).lo for end in mac.product_range)
    most = (1 << (acc.bits - 1)) - 1
    return min(most // high if high > 0 else math.inf, (most + 1) // -low if low < 0 else math.inf)


def _overflow(dp: Datapath) -> Iterator[Change]:
    acc = dp.mac.acc
    if isinstance(acc, Exact):
        yield Change("overflow", None, "an exact sum has none")
    elif isinstance(acc, Fixed):
        other = "sat" if acc.overflow == "wrap" else "wrap"
        words = "a sum stops at the ends, and its order counts" if other == "sat" else "a sum that is too large wraps"
        effect = "the same bits: no sum overflows" if _safe(dp.mac) else words
        yield _changed(f"overflow {other}", partial(_replaced, dp, overflow=other), effect)


def _grid(dp: Datapath) -> Iterator[Change]:
    """The rounding of products onto a grid coarser than theirs."""
    mac = dp.mac
    if isinstance(mac.acc, Fixed) and mac.acc_lsb > mac.product_lsb:
        for mode in ("rdn", "rne", "rtz"):
            if mode != mac.acc.rounding:
                yield _changed(f"products {mode}", partial(_replaced, dp, rounding=mode), f"products {MODES[mode]}")


def _replaced(dp: Datapath, overflow: str = "", rounding: str = "") -> Datapath:
    acc = dp.mac.acc
    assert isinstance(acc, Fixed)
    return _with(dp, replace(acc, overflow=overflow or acc.overflow, rounding=rounding or acc.rounding))


# the output


def _output(dp: Datapath) -> Iterator[Change]:
    if dp.mac.out is None:
        yield Change("rounding", None, "no output format rounds; write ->FORMAT")
        return
    for mode in MODES:
        if mode != dp.mac.round:
            yield _changed(f"round {mode}", partial(_rounded, dp, mode), f"results {MODES[mode]}")


def _rounded(dp: Datapath, mode: str) -> Datapath:
    return replace(dp, mac=replace(dp.mac, round=mode))


# the cuts


def _cuts(dp: Datapath) -> Iterator[Change]:
    mac = dp.mac
    moving = any(not fmt.unpack(fmt.code_word).exp.constant for fmt in (mac.a, mac.w))
    shifting = "align" in pe_stages(mac) and any(not operand.fields["exp"].constant for operand in operands(mac))
    stages = [(name,) for name, there in (("unpack", moving), ("mul", True), ("align", shifting)) if there]
    stages += [(name,) for name in output_stages(mac)]
    rows = tuple(f"mul{row}" for row in range(1, row_count(mac)))
    for names in [*stages, *([(*rows, "mul")] if rows else [])]:
        there = set(names) <= set(dp.cuts)
        cuts = tuple(set(dp.cuts) - set(names)) if there else (*dp.cuts, *names)
        what = f"{'no cut' if there else 'cut'} {'every row' if len(names) > 1 else names[0]}"
        yield _changed(what, partial(_cut, dp, cuts), partial(_later, dp))


def _cut(dp: Datapath, cuts: tuple[str, ...]) -> Datapath:
    return replace(dp, cuts=cuts)


def _later(dp: Datapath, other: Datapath) -> str:
    return f"the same bits; latency {other.latency} cycles, not {dp.latency}"
