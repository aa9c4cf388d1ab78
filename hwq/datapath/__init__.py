"""Datapaths: their text, their arithmetic, the exact emulator and the hardware plan."""

from hwq.datapath.accumulators import Accumulator, Align, Exact, Fixed, Float
from hwq.datapath.conv import conv2d
from hwq.datapath.device import DEVICES
from hwq.datapath.emulate import explain, matmul
from hwq.datapath.overflow import Overflows, overflows
from hwq.datapath.params import Params
from hwq.datapath.paths import Path
from hwq.datapath.plans import Plan, plan
from hwq.datapath.presets import PRESETS
from hwq.datapath.ranges import narrowest_safe
from hwq.datapath.spec import Bias, Mac, Relu, Requant
from hwq.datapath.structure import DATAFLOWS, Array, Datapath
from hwq.datapath.variants import VARIANTS

__all__ = [
    "DATAFLOWS",
    "DEVICES",
    "PRESETS",
    "VARIANTS",
    "Accumulator",
    "Align",
    "Array",
    "Bias",
    "Datapath",
    "Exact",
    "Fixed",
    "Float",
    "Mac",
    "Overflows",
    "Params",
    "Path",
    "Plan",
    "Relu",
    "Requant",
    "conv2d",
    "explain",
    "matmul",
    "narrowest_safe",
    "overflows",
    "plan",
]
