"""Allocation against a measured target: layers in order of what they lose, as many lowered as the target allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from hwq.errors import HwqError
from hwq.ptq.allocate.problem import Places

__all__ = ["bisected", "ordered"]


def ordered(loss: ArrayLike, pair: ArrayLike | None = None) -> list[int]:
    """Layers [L] from the least harmful one: each next has the least loss with its pair terms to those before it.

    From "Augmenting Hessians with inter-layer dependencies" (arXiv 2306.04879), as reconstructed: without pair terms it
    is the order of HAWQ.
    """
    alone = np.asarray(loss, np.float64)
    both = np.zeros((len(alone),) * 2) if pair is None else np.asarray(pair, np.float64)
    found: list[int] = []
    while len(found) < len(alone):
        score = alone + both[:, found].sum(1)
        score[found] = np.inf
        found.append(int(score.argmin()))
    return found


def bisected(
    order: Sequence[int], choices: int, holds: Callable[[Places], bool], start: Places | None = None
) -> Places:
    """The choice [L] of every layer: for 1, 2, ... the most layers, in `order`, of those that have the choice before.

    `holds` tells whether a choice [L] meets the target, and is asked at most ceil(log2(L + 1)) times for each choice.
    It must hold at the start. Where it is not monotone along the order, the answer still holds.
    """
    chosen = np.zeros(len(order), np.int64) if start is None else start.copy()
    if not holds(chosen):
        raise HwqError("the target must be met before any layer is lowered, not missed; set a lower target")
    for choice in range(1, choices):
        left = [layer for layer in order if chosen[layer] == choice - 1]
        low, high = 0, len(left)  # so many hold; more than so many do not
        while low < high:
            middle = (low + high + 1) // 2
            tried = chosen.copy()
            tried[left[:middle]] = choice
            low, high = (middle, high) if holds(tried) else (low, middle - 1)
        chosen[left[:low]] = choice
    return chosen
