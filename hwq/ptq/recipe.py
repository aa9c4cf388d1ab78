"""Recipes: which published methods a quantization is made of, as words ("gptq+bc") or as a TOML file of passes."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hwq.errors import HwqError
from hwq.ptq.allocate import ALLOCATIONS
from hwq.ptq.lower import Assignment
from hwq.ptq.reconstruct import RECONSTRUCTIONS
from hwq.ptq.scales import CALIBRATORS, Calibrator
from hwq.ptq.solved import Solved
from hwq.ptq.transforms import TRANSFORMS, Transform
from hwq.ptq.unit import Unit
from hwq.ptq.weights import CROSS, HESSIAN, SOLVERS, Fixed, Solver, rescaled

if TYPE_CHECKING:
    from hwq.ptq.engine import Quantizer

__all__ = ["DEFAULT_RECIPE", "Allocation", "Recipe", "Reconstruction", "recipe_names", "recipe_words"]

DEFAULT_RECIPE = "gptq+bc"
_NO_WEIGHTS = Fixed()


class Allocation(Protocol):
    """An assignment with formats for single layers, of one for all; the recipe is what each case is measured by."""

    def __call__(self, engine: Quantizer, assignment: Assignment, recipe: Recipe) -> Assignment: ...


class Reconstruction(Protocol):
    """Better constants {layer: constants} for the products of a unit, which is cut at the level `unit`."""

    @property
    def unit(self) -> str: ...
    def __call__(self, unit: Unit) -> dict[str, Solved]: ...


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a quantization is made of, one field a decision; each word of a recipe's text changes one field.

    In order: `allocation` chooses formats of layers; `transforms` rewrite the float network; `activations` and
    `weights` find scales; `solver` finds the codes of a layer, `bias_correction` its bias, and `reconstruction`
    improves the codes of a unit of layers together. Layers of `fixed` have their codes already.
    """

    allocation: Allocation | None = None
    transforms: tuple[Transform, ...] = ()
    solver: Solver = SOLVERS["rtn"]
    activations: Calibrator = CALIBRATORS["mse"]
    weights: Calibrator = CALIBRATORS["mse"]
    per_channel: bool = True
    bias_correction: bool = False
    refit: bool = False
    reconstruction: Reconstruction | None = None
    fixed: Fixed = _NO_WEIGHTS

    def with_weights(self, fixed: Fixed) -> Recipe:
        """The recipe with codes of some layers as they are given, which nothing may change."""
        if self.transforms or self.reconstruction is not None:
            raise HwqError("a recipe for given codes must not rewrite the network nor reconstruct; use rtn, gptq, bc")
        return replace(self, fixed=fixed)

    @property
    def needs(self) -> frozenset[str]:
        """The moments of a layer's inputs that its weights are made of."""
        return self.solver.needs | (frozenset({HESSIAN, CROSS}) if self.refit else frozenset())

    @property
    def looks_at_values(self) -> bool:
        """True if a pass asks what the quantized layers before a layer give it."""
        return bool(self.needs) or self.bias_correction or self.reconstruction is not None

    @property
    def unit(self) -> str:
        """The level at which the network is cut: values are kept until the end of the unit that reads them last."""
        return "layer" if self.reconstruction is None else self.reconstruction.unit

    @property
    def looks_at_floats(self) -> bool:
        """True if a pass asks what the float network has in place of a quantized value."""
        return CROSS in self.needs or self.reconstruction is not None

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """The recipe of words joined by "+", of a packaged recipe's name, or of a TOML file.

        Some names are words too: by itself "adaround" is the packaged recipe, in "rtn+adaround" the word.
        """
        if text.endswith(".toml"):
            return _from_file(Path(text))
        if text in recipe_names():
            return _packaged(text)
        return _of_words(text)


def recipe_words() -> tuple[str, ...]:
    """The words that a recipe may have."""
    return tuple(_WORDS)


@lru_cache
def recipe_names() -> tuple[str, ...]:
    """The packaged recipes."""
    folder = resources.files("hwq.ptq") / "recipes"
    return tuple(sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml")))


@lru_cache
def _packaged(name: str) -> Recipe:
    file = resources.files("hwq.ptq") / "recipes" / f"{name}.toml"
    return _of_table(tomllib.loads(file.read_text()), name)


def _from_file(path: Path) -> Recipe:
    try:
        return _of_table(tomllib.loads(path.read_text()), str(path))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise HwqError(f"a recipe must be a TOML file with passes = [...], not {path}: {error}") from error


@lru_cache
def _of_words(text: str) -> Recipe:
    return _of_passes(text.split("+"), {}, repr(text))


def _of_table(table: Mapping[str, Any], what: str) -> Recipe:
    passes = table.get("passes")
    if not isinstance(passes, list) or not all(isinstance(word, str) for word in passes):
        raise HwqError(f"recipe {what} must have passes = [words], not {passes!r}")
    options = {key: value for key, value in table.items() if key not in ("title", "source", "passes")}
    for word, given in options.items():
        if word not in passes or not isinstance(given, dict):
            raise HwqError(f"recipe {what} must have tables of options named after its passes, not {word!r}")
    return _of_passes(passes, options, what)


def _of_passes(words: list[str], options: Mapping[str, dict[str, Any]], what: str) -> Recipe:
    recipe = Recipe()
    for word in words:
        if word not in _WORDS:
            raise HwqError(_unknown(word, what, alone=len(words) == 1))
        try:
            made = _WORDS[word].make(**options.get(word, {}))
        except TypeError as error:
            raise HwqError(f"options of {word!r} in recipe {what} must be those it has, not: {error}") from error
        recipe = _WORDS[word].put(recipe, made)
    for kind in (SOLVERS, CALIBRATORS, RECONSTRUCTIONS, ALLOCATIONS):
        if len(named := [word for word in words if word in kind]) > 1:
            raise HwqError(f"a recipe must have at most one of {', '.join(kind)}, not {' and '.join(named)}")
    return recipe


def _unknown(word: str, what: str, alone: bool) -> str:
    """What is wrong with a recipe that has an unknown word: that word first, as the list of all is long."""
    names = recipe_names()
    near = get_close_matches(word.lower(), (*_WORDS, *names) if alone else _WORDS, 1)
    if word in names:
        found = f"{word!r} (a whole recipe, which stands by itself)"
    else:
        found = f"{word!r} (did you mean {near[0]!r}?)" if near else repr(word)
    known = f"words are {', '.join(_WORDS)}; by itself it may be one of {', '.join(names)}"
    return f"a recipe must be known words joined by +, not {found} in {what}; {known}"


@dataclass(frozen=True)
class _Word:
    """`make` gives what a word stands for, of the options it has in a file; `put` gives it its place in a recipe."""

    make: Callable[..., Any]
    put: Callable[[Recipe, Any], Recipe]


def _set(field: str, made: object) -> _Word:
    return _Word(lambda: made, lambda recipe, value: replace(recipe, **{field: value}))


def _reconstruction(make: Callable[..., Reconstruction]) -> _Word:
    return _Word(make, lambda recipe, made: replace(recipe, reconstruction=made))


def _allocation(make: Callable[..., Allocation]) -> _Word:
    return _Word(make, lambda recipe, made: replace(recipe, allocation=made))


def _transform(make: Callable[..., Transform]) -> _Word:
    return _Word(make, lambda recipe, made: replace(recipe, transforms=(*recipe.transforms, made)))


_WORDS: dict[str, _Word] = {
    **{name: _transform(make) for name, make in TRANSFORMS.items()},
    **{name: _set("solver", solver) for name, solver in SOLVERS.items()},
    **{name: _set("activations", rule) for name, rule in CALIBRATORS.items()},
    **{name: _allocation(make) for name, make in ALLOCATIONS.items()},
    **{name: _reconstruction(make) for name, make in RECONSTRUCTIONS.items()},
    "bc": _set("bias_correction", True),
    "tensor": _set("per_channel", False),
    "refit": _set("refit", True),
    "rescale": _Word(lambda: None, lambda recipe, made: replace(recipe, solver=rescaled(recipe.solver))),
    **{f"weights-{name}": _set("weights", CALIBRATORS[name]) for name in ("fpcs", "minmax", "pnorm")},
}
