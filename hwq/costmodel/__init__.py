"""What hardware costs, from the rows that are emitted: exact where they are, with an interval where a tool decides."""

from hwq.costmodel.cost import Cost, Part, Quantity
from hwq.costmodel.estimate import estimate
from hwq.costmodel.features import features
from hwq.costmodel.fit import Fit, Sample, fit
from hwq.costmodel.networks import Accelerator, Layer, NetworkCost, price
from hwq.costmodel.whatif import WhatIf, what_if

__all__ = [
    "Accelerator",
    "Cost",
    "Fit",
    "Layer",
    "NetworkCost",
    "Part",
    "Quantity",
    "Sample",
    "WhatIf",
    "estimate",
    "features",
    "fit",
    "price",
    "what_if",
]
