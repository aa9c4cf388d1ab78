"""Transforms: a network rewritten before it is quantized, its float function unchanged."""

from collections.abc import Callable
from functools import partial

from hwq.ptq.transforms.awq import awq
from hwq.ptq.transforms.base import Transform
from hwq.ptq.transforms.branch import branch
from hwq.ptq.transforms.equalize import equalize
from hwq.ptq.transforms.fold import fold
from hwq.ptq.transforms.lift import lift
from hwq.ptq.transforms.noise import noise
from hwq.ptq.transforms.polish import polish
from hwq.ptq.transforms.reparam import reparam
from hwq.ptq.transforms.rotate import rotate
from hwq.ptq.transforms.smooth import smooth, smooth_shifted

__all__ = ["TRANSFORMS", "Transform"]

# What makes a transform of the options it has in a recipe.
TRANSFORMS: dict[str, Callable[..., Transform]] = {
    "fold": fold,
    "equalize": equalize,
    "smooth": smooth,
    "smooth-shift": smooth_shifted,
    "awq": awq,
    "reparam": reparam,
    "lift": lift,
    "noise": noise,
    "rotate": rotate,
    "polish": polish,
    "lorc": branch,
    "svd-branch": partial(branch, turns=10),
}
