"""The energy of a layer: what its array does and what moves, each times the price of the accelerator's part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hwq.costmodel.cost import Quantity
from hwq.costmodel.networks.accelerator import Accelerator
from hwq.costmodel.networks.layers import Layer

__all__ = ["Moves", "accesses", "energy"]

Count = Any  # a whole number, or an array of them


@dataclass(frozen=True)
class Moves:
    """Of a layer, in all: bits of the operands loaded, and values that pass between buffers and array."""

    layer: Layer
    input_bits: Count
    weight_bits: Count
    inputs: Count
    weights: Count
    sums: Count


def accesses(moves: Moves) -> dict[str, tuple[Count, Count]]:
    """Bits (read, written) of each operand in its buffer.

    A sum that goes on is read, added to and written again; finished outputs are written as sums and read once.
    """
    layer = moves.layer
    widths = layer.widths
    return {
        "input": (moves.inputs * widths.input, moves.input_bits),
        "weight": (moves.weights * widths.weight, moves.weight_bits),
        "output": (moves.sums * widths.sum, moves.sums * widths.sum),
    }


def energy(accelerator: Accelerator, moves: Moves) -> tuple[dict[str, Quantity], list[str]]:
    """(part -> pJ, what has no price). Words are full: a buffer is accessed for so many bits over its width."""
    layer, parts, missing = moves.layer, {}, []
    if accelerator.mac_pj is None:
        missing.append("multiply-accumulates: the accelerator has no mac_pj")
    else:
        parts["multiply-accumulates"] = accelerator.mac_pj * layer.macs
    used = accesses(moves)
    for buffer in accelerator.buffers:
        if buffer.read_pj is None or buffer.write_pj is None:
            missing.append(f"{buffer.name}: its accesses have no energy")
            continue
        read, written = (sum(used[name][way] for name in buffer.operands) / buffer.width for way in (0, 1))
        parts[buffer.name] = buffer.read_pj * read + buffer.write_pj * written
    if accelerator.offchip is not None:
        if accelerator.offchip.pj_per_bit is None:
            missing.append("DRAM: its bits have no energy")
        else:
            bits = moves.input_bits + moves.weight_bits + layer.outputs * layer.widths.output
            parts["DRAM"] = accelerator.offchip.pj_per_bit * bits
    if layer.vector_ops:
        missing.append("vector unit: its operations have no energy")
    return parts, missing
