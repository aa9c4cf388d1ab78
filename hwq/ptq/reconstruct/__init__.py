"""Reconstruction: constants of a unit learned by gradient descent, unit after unit."""

from collections.abc import Callable
from functools import partial

from hwq.ptq.reconstruct.loop import Reconstruct
from hwq.ptq.reconstruct.losses import LOSSES
from hwq.ptq.reconstruct.soft import SOFT

__all__ = ["LOSSES", "RECONSTRUCTIONS", "SOFT", "Reconstruct"]

# What makes a reconstruction of the options it has in a recipe.
RECONSTRUCTIONS: dict[str, Callable[..., Reconstruct]] = {
    "adaround": Reconstruct,
    "adaquant": partial(Reconstruct, soft="adaquant", bias=True),
    "brecq": partial(Reconstruct, unit="block", loss="fisher"),
    "flexround": partial(Reconstruct, soft="flexround", unit="block"),
    "lsq": partial(Reconstruct, soft="lsq"),
    "pd": partial(Reconstruct, unit="block", drop=0.5, loss="prediction"),
    "qdrop": partial(Reconstruct, unit="block", drop=0.5),
}
