"""Transforms: a network rewritten before it is quantized, its float function unchanged."""

from collections.abc import Callable

from hwq.ptq.transforms.base import Transform

__all__ = ["TRANSFORMS", "Transform"]

# What makes a transform of the options it has in a recipe.
TRANSFORMS: dict[str, Callable[..., Transform]] = {}
