"""What every allocator is given: what each choice loses, what it costs, and how much may be spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwq.errors import HwqError

__all__ = ["Floats", "Places", "Problem"]

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Problem:
    """L layers, each to get one of K choices at the least total loss within R budgets.

    `loss` [L, K] adds up over layers; `cost` [L, K, R] too, and `shared` [K, R] is paid once for a choice that any
    layer has, as the area of an array that runs all of its layers. `budget` [R]. Layers of one tuple in `ties` get the
    same choice, as branches that meet in a sum. `pair` [L, L], symmetric, is what two layers lose beyond the sum of
    both where neither has choice 0.
    """

    loss: Floats
    cost: Floats
    budget: Floats
    ties: tuple[tuple[int, ...], ...] = ()
    pair: Floats | None = None
    shared: Floats | None = None

    @classmethod
    def of(
        cls,
        loss: ArrayLike,
        cost: ArrayLike,
        budget: ArrayLike,
        ties: Sequence[Sequence[int]] = (),
        pair: ArrayLike | None = None,
        shared: ArrayLike | None = None,
    ) -> Problem:
        """The problem of arrays or lists; a cost [L, K] and a number as budget are those of one resource."""
        made, price, limit = (np.asarray(x, np.float64) for x in (loss, cost, budget))
        price, limit = (price[..., None] if price.ndim == 2 else price), np.atleast_1d(limit)
        if made.ndim != 2 or price.shape != (*made.shape, len(limit)):
            found = f"{list(made.shape)}, {list(price.shape)} and {list(limit.shape)}"
            raise HwqError(f"losses, costs and budgets must be [L, K], [L, K, R] and [R], not {found}")
        once = np.zeros(price.shape[1:]) if shared is None else np.asarray(shared, np.float64).reshape(price.shape[1:])
        both = None if pair is None else np.asarray(pair, np.float64)
        if both is not None and (both.shape != (len(made),) * 2 or not np.array_equal(both, both.T)):
            raise HwqError(f"pair terms must be a symmetric [{len(made)}, {len(made)}], not {list(both.shape)}")
        for name, x in (("losses", made), ("costs", price), ("budgets", limit), ("shared costs", once)):
            if not np.isfinite(x).all():
                raise HwqError(f"{name} must be finite, not with nan or inf among them")
        return cls(made, price, limit, tuple(tuple(tie) for tie in ties), both, once if once.any() else None)

    @property
    def layers(self) -> int:
        """L."""
        return len(self.loss)

    @property
    def choices(self) -> int:
        """K."""
        return int(self.loss.shape[1])

    @cached_property
    def groups(self) -> list[list[int]]:
        """Layers that get the same choice, joined through every tie that they are in."""
        group = list(range(self.layers))
        for tie in self.ties:
            wanted = {group[layer] for layer in tie}
            group = [min(wanted) if g in wanted else g for g in group]
        return [[layer for layer in range(self.layers) if group[layer] == g] for g in sorted(set(group))]

    def objective(self, chosen: Places) -> float:
        """The loss of a choice [L] for every layer, pair terms included."""
        total = float(self.loss[np.arange(self.layers), chosen].sum())
        if self.pair is not None:
            lowered = chosen > 0
            total += float(np.triu(self.pair, 1)[np.ix_(lowered, lowered)].sum())
        return total

    def spent(self, chosen: Places) -> Floats:
        """What a choice [L] for every layer costs [R]."""
        total: Floats = self.cost[np.arange(self.layers), chosen].sum(0)
        return total if self.shared is None else total + self.shared[np.unique(chosen)].sum(0)

    def fits(self, chosen: Places) -> bool:
        """True if no budget is exceeded, but for the last bits of sums."""
        return bool((self.spent(chosen) <= self.budget * (1 + 1e-12)).all())

    def spread(self, chosen: Sequence[int]) -> Places:
        """The choice of every layer [L] of one for each group."""
        found = np.zeros(self.layers, np.int64)
        for layers, choice in zip(self.groups, chosen, strict=True):
            found[layers] = choice
        return found

    def hopeless(self) -> HwqError:
        """The error where nothing fits."""
        least = sum(self.cost[group].sum(0).min(0) for group in self.groups)
        return HwqError(
            f"budgets must allow the cheapest choices, {np.round(least, 6).tolist()} without what is shared, "
            f"not {self.budget.tolist()}"
        )
