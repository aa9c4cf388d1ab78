"""Datapaths: their text, their arithmetic, the exact emulator and the hardware plan."""

from hwq.datapath.plans import DEVICES, Plan, plan
from hwq.datapath.spec import Accumulator, Array, Bias, Datapath, Exact, Fixed, Mac, Relu, Requant

__all__ = [
    "Accumulator",
    "Array",
    "Bias",
    "DEVICES",
    "Datapath",
    "Exact",
    "Fixed",
    "Mac",
    "Plan",
    "Relu",
    "Requant",
    "plan",
]
