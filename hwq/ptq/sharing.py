"""Which layers run on one instance: as few instances as the layers' bits allow."""

from __future__ import annotations

from dataclasses import replace

from hwq.datapath import Datapath
from hwq.ptq.binding import unrectified
from hwq.ptq.lower import Layer

__all__ = ["share"]


def share(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """The layers, those alike but for the rectifier on one datapath.

    A datapath with a rectifier cannot serve a layer without one, which would lose its negative values. Without it a
    datapath serves both: where layers disagree the rectifier leaves the epilogue of all of them, and those that need it
    rectify their codes. That gives the same bits, as packing keeps order and keeps 0, and needs no second array.
    """
    bare = {layer.name: unrectified(layer.datapath) for layer in layers if layer.datapath is not None}
    kinds: dict[Datapath, set[bool]] = {}
    for layer in layers:
        if layer.datapath is not None:
            kinds.setdefault(bare[layer.name], set()).add("relu" in layer.datapath.mac.steps)
    return tuple(
        replace(layer, datapath=bare[layer.name])
        if layer.datapath is not None and len(kinds[bare[layer.name]]) > 1
        else layer
        for layer in layers
    )
