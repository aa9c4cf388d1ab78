"""Recipes: a short text such as "gptq+bc" that says which methods a quantization is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hwq.errors import HwqError
from hwq.ptq.scales import CALIBRATORS, Calibrator
from hwq.ptq.weights import CROSS, HESSIAN, SOLVERS, Solver

__all__ = ["DEFAULT_RECIPE", "Recipe", "recipe_words"]

DEFAULT_RECIPE = "gptq+bc"


@dataclass(frozen=True)
class Recipe:
    """What a quantization is made of, one field a decision; each word of a recipe's text changes one field."""

    solver: Solver = SOLVERS["rtn"]
    activations: Calibrator = CALIBRATORS["mse"]
    weights: Calibrator = CALIBRATORS["mse"]
    per_channel: bool = True
    bias_correction: bool = False
    refit: bool = False

    @property
    def needs(self) -> frozenset[str]:
        """The moments of a layer's inputs that its weights are made of."""
        return self.solver.needs | (frozenset({HESSIAN, CROSS}) if self.refit else frozenset())

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """The recipe of words joined by "+", applied from left to right."""
        recipe = cls()
        words = text.split("+")
        for word in words:
            if word not in _WORDS:
                raise HwqError(f"a recipe must be words of {', '.join(recipe_words())} joined by +, not {text!r}")
            recipe = _WORDS[word](recipe)
        for kind in (SOLVERS, CALIBRATORS):
            if len(named := [word for word in words if word in kind]) > 1:
                raise HwqError(f"a recipe must have at most one of {', '.join(kind)}, not {' and '.join(named)}")
        return recipe


def recipe_words() -> tuple[str, ...]:
    """The words that a recipe may have."""
    return tuple(_WORDS)


def _solve(solver: Solver) -> Callable[[Recipe], Recipe]:
    return lambda recipe: replace(recipe, solver=solver)


def _observe(rule: Calibrator) -> Callable[[Recipe], Recipe]:
    return lambda recipe: replace(recipe, activations=rule)


def _weigh(rule: Calibrator) -> Callable[[Recipe], Recipe]:
    return lambda recipe: replace(recipe, weights=rule)


_WORDS: dict[str, Callable[[Recipe], Recipe]] = {
    **{name: _solve(solver) for name, solver in SOLVERS.items()},
    **{name: _observe(rule) for name, rule in CALIBRATORS.items()},
    "bc": lambda recipe: replace(recipe, bias_correction=True),
    "refit": lambda recipe: replace(recipe, refit=True),
    "tensor": lambda recipe: replace(recipe, per_channel=False),
    **{f"weights-{name}": _weigh(CALIBRATORS[name]) for name in ("fpcs", "minmax", "pnorm")},
}
