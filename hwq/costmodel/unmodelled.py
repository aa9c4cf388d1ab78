"""What a cost does not count, in words: of a device, and of variants that no fit has seen."""

from __future__ import annotations

from hwq.costmodel.fabrics import FABRICS
from hwq.datapath import Datapath
from hwq.datapath.accumulators import Fixed
from hwq.datapath.device import Device

__all__ = ["ALONE", "unmodelled"]

_BANKS = (
    "use=banks: no array of them was fitted, two of 8x8 measured 19 and 23 % more lut than this, outside the interval; "
    "ff counts some that a synthesiser finds to be constant",
)
_BLOCKS = (
    "use=dsp: no array of blocks was fitted: four of 2x2 elements measured 15 to 22 lut more than this; in /ws "
    "three on ice40 23 to 35 more, three on ecp5 12 to 85 less and 6 to 20 % of ff less, outside the interval",
)
_SATURATED = ("saturation in /ws: none was fitted, two arrays of 2x2 measured 17 and 26 % less lut than this",)
_SIGNS = ("ff in /ws: a synthesiser joins registers of equal signs here, 1 to 9 % of them, of two rows up to a third",)
ALONE = ("fmax_mhz: of the slowest module by itself; an array's control and wires are not timed",)
_UNTIMED = ("fmax_mhz: no multiplier block was placed and routed",)


def unmodelled(dp: Datapath, blocks: bool, target: Device) -> tuple[str, ...]:
    """The words for a datapath of any size; `blocks` says whether its product is a multiplier block's."""
    fabric, streaming = FABRICS[target.name], dp.array.dataflow == "ws"
    return (
        fabric.unmodelled
        + _BANKS * ("banks" in dp.uses)
        + _BLOCKS * blocks
        + _SATURATED * (streaming and isinstance(dp.mac.acc, Fixed) and dp.mac.acc.overflow == "sat")
        + _SIGNS * (fabric.ff and streaming)
        + _UNTIMED * (blocks and target.delays is not None)
    )
