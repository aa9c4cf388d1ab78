"""One datapath for all layers of a network, as wide as the widest of them needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hwq.datapath import Array, Bias, Datapath, Fixed, Mac, Relu
from hwq.errors import HwqError
from hwq.ptq.lower import Layer

__all__ = ["engine"]


def engine(layers: Sequence[Layer], lanes: int, cuts: tuple[str, ...] = ()) -> Datapath:
    """The datapath `@1xLxL/tree use=load` on which every one of these layers gives its own bits.

    Their accumulators are certified: none of their sums leaves its own, so that all may have the widest of them.
    Rectifiers look at codes, which gives the same, as packing keeps order and keeps 0.
    """
    if not layers:
        raise HwqError("a network must have 1 product or more to be compiled, not none")
    macs = [_bare(layer) for layer in layers]
    widest = max(macs, key=lambda mac: mac.acc_bits)
    for layer, mac in zip(layers, macs, strict=True):
        if replace(mac, acc=widest.acc, k=widest.k) != widest or mac.acc_lsb != widest.acc_lsb:
            raise HwqError(
                f"all layers must run on one datapath to be compiled, not {layer.name} on {layer.datapath} and others "
                f"on {Datapath(widest)}; give first, body and last the same text, which requantizes"
            )
    return Datapath(widest, Array(1, lanes, lanes, "tree"), cuts=cuts, uses=("load",))


def _bare(layer: Layer) -> Mac:
    """The layer's numerics without a rectifier."""
    assert layer.datapath is not None
    mac = layer.datapath.mac
    if not isinstance(mac.acc, Fixed) or mac.acc.overflow != "wrap":
        raise HwqError(f"a layer's sums must be certified to be compiled, not those of {layer.name}, +{mac.acc.text}")
    if mac.requant is None or mac.step(Bias) is None:
        raise HwqError(
            f"a layer must add a bias and requantize to be compiled, not {layer.name} on {layer.datapath}; "
            "write ->FORMAT[bias,requant] for the last layer too"
        )
    return replace(mac, epilogue=tuple(step for step in mac.epilogue if not isinstance(step, Relu)))
