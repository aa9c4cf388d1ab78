"""How ptq writes datapaths: the formats, steps and accumulator of one that the user gave, set for a layer."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from hwq.datapath import Bias, Datapath, Exact, Fixed, Mac, Relu, Requant
from hwq.datapath.ranges import places
from hwq.datapath.stages import output_stages, pe_stages
from hwq.errors import HwqError
from hwq.formats import Format
from hwq.ptq.graph import Node

__all__ = ["bias_format", "certified", "for_layer", "is_exact", "last_place", "result_format", "unrectified"]

_CODE_BITS = 63  # of a code that a torch tensor holds
_STEPS = (Bias(), Requant(), Relu())


def for_layer(datapath: Datapath, node: Node, read: Format, out: Format | None) -> Datapath:
    """`datapath` reading `read` and writing `out` for `node`, rectifying only where the node does.

    What the user wrote after `->` says which steps there are (all, where nothing is written); its format is kept only
    of the network's result (`result_format`). Without `out` the value is the biased sum on the accumulator's grid,
    which takes no requantization.
    """
    steps = datapath.mac.epilogue if datapath.mac.out is not None else _STEPS
    if out is not None and not any(isinstance(step, Requant) for step in steps):
        raise HwqError(f"the datapath of {node.name!r} must requantize, not {datapath}; write ->...[bias,requant,relu]")
    dropped = (*((Relu,) if not node.relu else ()), *((Requant,) if out is None else ()))
    kept = tuple(step for step in steps if not isinstance(step, dropped))
    mac = replace(datapath.mac, a=read)
    return _with(datapath, replace(mac, out=mac.acc_format if out is None else out, epilogue=kept))


def result_format(datapath: Datapath) -> Format | None:
    """The format of a result that only the host reads: the one to which the text requantizes, else None for the sum."""
    return datapath.mac.out if datapath.mac.requant is not None else None


def unrectified(datapath: Datapath) -> Datapath:
    """`datapath` without a rectifier in its epilogue."""
    kept = tuple(step for step in datapath.mac.epilogue if not isinstance(step, Relu))
    return _with(datapath, replace(datapath.mac, epilogue=kept))


def is_exact(mac: Mac) -> bool:
    """True if the accumulator is the one that no sum of mac.k products can leave."""
    return mac.acc == Exact()


def last_place(mac: Mac, weight: Tensor | None) -> int:
    """The exponent of the grid that sums of products with these weight codes are kept on: as a rule the products' own.

    Where sums of any weights would need more than 63 bits, as scales of blocks reach far, it is the coarsest one that
    has every product with these weights, so that they are exact there. Weights of 0 alone count as 1, for the bias.
    """
    if weight is None or mac.acc_bits <= _CODE_BITS:
        return mac.product_lsb
    spare = places(weight, mac.w)
    return mac.product_lsb + (max(0, -mac.w.lsb) if spare is None else spare)


def bias_format(mac: Mac, weight: Tensor) -> Format:
    """The format that a bias is rounded to: the accumulator's, before that is certified at most 63 bits of it."""
    if not is_exact(mac) or mac.acc_bits <= _CODE_BITS:
        return mac.acc_format
    return replace(mac, acc=Fixed(_CODE_BITS, -last_place(mac, weight)), out=None, epilogue=()).acc_format


def certified(datapath: Datapath, bits: int, lsb: int, is_result: bool) -> Datapath:
    """`datapath` with an accumulator of `bits` on the grid 2**lsb; `is_result` where the sum itself is the output."""
    if bits > _CODE_BITS:
        given = f"not {bits} as {datapath}; write +fixed(n,frac)"
        raise HwqError(f"a certified accumulator must have at most {_CODE_BITS} bits, {given}")
    mac = replace(datapath.mac, acc=Fixed(bits, None if lsb == datapath.mac.product_lsb else -lsb))
    return _with(datapath, replace(mac, out=mac.acc_format) if is_result else mac)


def _with(datapath: Datapath, mac: Mac) -> Datapath:
    """`datapath` with other numerics, and those of its cuts that they have a stage for."""
    stages = (*pe_stages(mac), *output_stages(mac))
    return replace(datapath, mac=mac, cuts=tuple(cut for cut in datapath.cuts if cut in stages))
