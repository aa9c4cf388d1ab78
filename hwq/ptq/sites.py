"""Places in a network: which layers are improved together."""

from __future__ import annotations

from hwq.errors import HwqError
from hwq.ptq.graph import WEIGHTED
from hwq.ptq.lower import Layer

__all__ = ["LEVELS", "units"]

LEVELS = ("layer", "block", "net")


def units(layers: tuple[Layer, ...], level: str) -> list[tuple[Layer, ...]]:
    """The layers in order, cut where a unit ends.

    At the level "layer" each weighted layer ends one, with what follows it up to the next product; at "block" a unit
    ends where but one value is read by what comes after, as after every residual sum; "net" is all of them. The input
    is a unit of its own.
    """
    if level not in LEVELS:
        raise HwqError(f"a unit must be one of {', '.join(LEVELS)}, not {level!r}")
    ends = [i for i in range(len(layers) - 1) if _ends(layers, i, level)] + [len(layers) - 1]
    starts = [0, *(i + 1 for i in ends[:-1])]
    return [layers[start : end + 1] for start, end in zip(starts, ends, strict=True)]


def _ends(layers: tuple[Layer, ...], i: int, level: str) -> bool:
    if i == 0:
        return True
    if level == "layer":
        return layers[i].op in WEIGHTED or layers[i + 1].op in WEIGHTED
    return level == "block" and _live(layers, i) == {layers[i].name}


def _live(layers: tuple[Layer, ...], i: int) -> set[str]:
    """The values made up to layer i that later layers read; constants can be had at any time."""
    made = {layer.name for layer in layers[: i + 1] if layer.op != "constant"}
    return {name for layer in layers[i + 1 :] for name in layer.node.inputs if name in made}
