"""Where tensors stand: a bank each, and the first place in it where nothing that is still read stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from hwq.compiler.passes import Pass, last_reads
from hwq.errors import HwqError
from hwq.kernel import BANKS

__all__ = ["places"]

MOST_TRIED = 12  # groups of tensors of which all choices are tried


@dataclass(frozen=True)
class _Live:
    """A tensor that stands somewhere: the words [base, end) of a bank until the pass `until` is done."""

    base: int
    end: int
    until: int


def places(steps: Sequence[Pass], sizes: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """(bank, base) of the value that each pass but the last one stores; `sizes` in words.

    A pass that adds reads from two banks. Of all choices that allow it the one is taken that needs the fewest words.
    """
    groups = _groups(steps, [step.name for step in steps[:-1]])
    tried = min(len(groups), MOST_TRIED)
    best: tuple[tuple[int, ...], dict[str, tuple[int, int]]] | None = None
    for flips in product((0, 1), repeat=max(0, tried - 1)):
        turned = [*(0, *flips), *[0] * (len(groups) - tried)]
        sides = {name: side ^ flip for group, flip in zip(groups, turned, strict=True) for name, side in group.items()}
        found, depths = _first_fit(steps, sizes, sides)
        cost = (sum(depths), *depths)
        if best is None or cost < best[0]:
            best = cost, found
    return best[1] if best is not None and groups else {}


def _groups(steps: Sequence[Pass], stored: Sequence[str]) -> list[dict[str, int]]:
    """Tensors that are read together, through any others too, each on one of two sides."""
    apart: dict[str, list[str]] = {name: [] for name in stored}
    for step in steps:
        if step.other is not None and step.reads in apart and step.other in apart:
            apart[step.reads].append(step.other)
            apart[step.other].append(step.reads)
    groups: list[dict[str, int]] = []
    for name in stored:
        if any(name in group for group in groups):
            continue
        group, waiting = {name: 0}, [name]
        while waiting:
            one = waiting.pop()
            for two in apart[one]:
                if two not in group:
                    group[two] = 1 - group[one]
                    waiting.append(two)
                elif group[two] == group[one]:
                    raise HwqError(f"values that are read together must be in two banks, which {one} and {two} cannot")
        groups.append(group)
    return groups


def _first_fit(
    steps: Sequence[Pass], sizes: Mapping[str, int], sides: Mapping[str, int]
) -> tuple[dict[str, tuple[int, int]], list[int]]:
    """Places in the order of the passes, and the words that each bank needs."""
    until = last_reads(steps)
    live: dict[int, list[_Live]] = {bank: [] for bank in range(BANKS)}
    found: dict[str, tuple[int, int]] = {}
    depths = [0] * BANKS
    for at, step in enumerate(steps[:-1]):
        bank, size = 1 + sides[step.name], sizes[step.name]  # bank 0 is the image's
        live[bank] = sorted((one for one in live[bank] if one.until >= at), key=lambda one: one.base)
        base = 0
        for one in live[bank]:
            if base + size <= one.base:
                break
            base = max(base, one.end)
        live[bank].append(_Live(base, base + size, until[step.name]))
        found[step.name] = (bank, base)
        depths[bank] = max(depths[bank], base + size)
    return found, depths
