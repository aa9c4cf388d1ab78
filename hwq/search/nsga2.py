"""NSGA-II over the assignments of a space, through Optuna: a proposal is a function of the seed and the earlier values.

Optuna's study lives in memory. When a search is resumed it is told every earlier trial again, in the order of the
numbers, each with a sampler seeded by its number. So the state of the algorithm (generations, parents and their order)
is derived from the stored values alone and equals that of a search that was never interrupted; Optuna's own tables
would have to survive a kill between any two of their writes as well.
"""

import hashlib
import random
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import NSGAIISampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from hwq.search.objective import Axis, Limit
from hwq.search.point import Point
from hwq.search.space import Assignment, Space, assignment_key

__all__ = ["Nsga2", "trial_seed"]

POPULATION = 16
"""Points in a generation: small, because a point costs seconds and a budget is tens to hundreds of points."""
ATTEMPTS = 32
"""Children bred before a point that is new by construction is taken instead."""


def trial_seed(seed: int, number: int) -> int:
    """The 32-bit seed of a trial, the same in every process: the first 4 bytes of sha256("seed/number")."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:4], "big")


class Nsga2:
    """Proposes assignments that are allowed and were not proposed before.

    Calls alternate: `ask(number)`, then `tell(point)` of that number, from number 0 on.
    """

    def __init__(self, space: Space, axes: Sequence[Axis], limits: Sequence[Limit], seed: int) -> None:
        """Start with no trials; what a store holds is told again through `ask` and `tell`."""
        self._space, self._axes, self._limits, self._seed = space, tuple(axes), tuple(limits), seed
        self._alike = _alike(space)
        self._seen: set[str] = set()
        self._open: Trial | None = None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        directions = [StudyDirection.MINIMIZE if axis.better == "low" else StudyDirection.MAXIMIZE for axis in axes]
        self._study = optuna.create_study(directions=directions)

    def ask(self, number: int, stored: Assignment | None) -> Assignment | None:
        """The assignment of a trial: the stored one if it has been proposed already, None when the space is used up."""
        sampler = _Sampler(self._space, self._alike, self._seen, trial_seed(self._seed, number), stored)
        self._study.sampler = sampler
        self._open = self._study.ask(sampler.distributions)
        found = sampler.found
        if found is not None:
            self._seen.add(assignment_key(found))
        return found

    def tell(self, point: Point) -> None:
        """Take in the point that was asked for last. A failed one is no parent; a limit it breaks counts against it."""
        trial = self._open
        assert trial is not None, "tell follows ask"
        if point.error is not None:
            self._study.tell(trial, state=TrialState.FAIL)
            return
        for limit in self._limits:
            trial.set_constraint(str(limit), limit.violation(point.values))
        self._study.tell(trial, [point.values[axis.name] for axis in self._axes])


class _Sampler(NSGAIISampler):
    """Optuna's NSGA-II for one trial, kept to allowed and unseen assignments."""

    def __init__(
        self, space: Space, alike: Sequence[Assignment], seen: set[str], seed: int, stored: Assignment | None
    ) -> None:
        super().__init__(population_size=POPULATION, seed=seed)
        self._assignments, self._seen, self._stored = space, seen, stored
        self._random = random.Random(seed)
        self._alike = alike
        self.found: Assignment | None = None
        self.distributions: dict[str, BaseDistribution] = {
            role: CategoricalDistribution(range(len(texts))) for role, texts in space.roles.items()
        }

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All roles: the space does not change during a study."""
        return self.distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """{role: index of its choice}. A stored assignment is bred as well, for the generation it belongs to."""
        varied = {role: range_ for role, range_ in search_space.items() if not range_.single()}
        bred = super().sample_relative(study, trial, varied)
        self.found = self._stored or self._fresh(study, trial, varied, bred)
        roles = self._assignments.roles
        return {role: texts.index(self.found[role]) if self.found else 0 for role, texts in roles.items()}

    def _fresh(
        self, study: optuna.Study, trial: FrozenTrial, varied: dict[str, BaseDistribution], bred: Mapping[str, int]
    ) -> Assignment | None:
        for _ in range(ATTEMPTS):
            candidate = self._filled(bred)
            if self._unseen(candidate):
                return candidate
            bred = super().sample_relative(study, trial, varied)
        return self._scan()

    def _filled(self, bred: Mapping[str, int]) -> Assignment:
        """An assignment of the bred choices; a role that was not bred (mutation, first generation) is drawn evenly.

        The first generation is one text in every role, as long as there are such assignments: a network of the fewest
        instances (one, where the text says what it writes) is the cheap end of most fronts, and chance finds it last.
        """
        same = [] if bred else [found for found in self._alike if self._unseen(found)]
        if same:
            return self._random.choice(same)
        return {
            role: texts[bred[role] if role in bred else self._random.randrange(len(texts))]
            for role, texts in self._assignments.roles.items()
        }

    def _unseen(self, candidate: Assignment) -> bool:
        return assignment_key(candidate) not in self._seen and self._assignments.allows(candidate)

    def _scan(self) -> Assignment | None:
        """The next unseen assignment after a random one, or None when there is none left."""
        return self._assignments.next(self._random.randrange(self._assignments.combinations), self._unseen)


def _alike(space: Space) -> list[Assignment]:
    """The assignments that have one text in all roles, in the order of the first role's choices."""
    first, *others = space.roles.values()
    return [dict.fromkeys(space.roles, text) for text in first if all(text in texts for texts in others)]
