"""Networks on accelerators: exact cycles of a stated tiling, traffic, energy, rooflines, and a search for tilings."""

from hwq.costmodel.networks.accelerator import Accelerator, Buffer, Offchip
from hwq.costmodel.networks.arrays import Compute, Streaming, Systolic, Work
from hwq.costmodel.networks.layers import Layer, Widths, conv, gemm
from hwq.costmodel.networks.mapper import best, tilings
from hwq.costmodel.networks.price import LayerCost, NetworkCost, Roofline, price, price_layer
from hwq.costmodel.networks.tiling import Cycles, Tiling, Walk

__all__ = [
    "Accelerator",
    "Buffer",
    "Compute",
    "Cycles",
    "Layer",
    "LayerCost",
    "NetworkCost",
    "Offchip",
    "Roofline",
    "Streaming",
    "Systolic",
    "Tiling",
    "Walk",
    "Widths",
    "Work",
    "best",
    "conv",
    "gemm",
    "price",
    "price_layer",
    "tilings",
]
