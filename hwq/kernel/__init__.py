"""Streaming kernels: dot-product units, buffers and the layers that run on them, described once."""

from hwq.kernel.blocks import join, rectifier, units
from hwq.kernel.kernel import CHUNK, Field, Kernel
from hwq.kernel.pack import MEMORIES, as_words, beats, descriptors, joined, memories
from hwq.kernel.program import BANKS, IMAGE, Codes, Entry, Join, Layer, Program, Tensor
from hwq.kernel.schedule import drain, join_depth, layer_cycles, program_cycles, utilisation

__all__ = [
    "BANKS",
    "CHUNK",
    "IMAGE",
    "MEMORIES",
    "Codes",
    "Entry",
    "Field",
    "Join",
    "Kernel",
    "Layer",
    "Program",
    "Tensor",
    "as_words",
    "beats",
    "descriptors",
    "drain",
    "join",
    "join_depth",
    "joined",
    "layer_cycles",
    "memories",
    "program_cycles",
    "rectifier",
    "units",
    "utilisation",
]
