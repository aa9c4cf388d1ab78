"""When things happen in a kernel, and how many cycles a layer takes: the one place rtl, sim and costmodel look.

A layer takes

    3 (its descriptor is read) + (results - 1) * max(beats, share) + beats (a beat a cycle) + drain

cycles, where an epilogue serves `share` columns; the drain, until its last result is stored, is that of the longest
way: the memory, the units, the epilogue, the join and its register. Layers do not overlap, images do: one enters
while another is computed and results leave.
"""

from __future__ import annotations

from hwq.datapath import Plan
from hwq.datapath.schedule import output_depth, pe_depth
from hwq.kernel.blocks import join
from hwq.kernel.program import Layer, Program

__all__ = ["FETCH", "drain", "join_depth", "layer_cycles", "program_cycles", "utilisation"]

FETCH = 3  # cycles from the choice of a layer to its first beat


def join_depth(plan: Plan) -> int:
    """Cycles from a layer's result to the sum with another value."""
    return join(plan.dp.mac, plan.dp.cuts).depth + 1


def drain(plan: Plan, share: int = 1) -> int:
    """Cycles from a layer's last beat to the first of the next one's `FETCH`."""
    return 1 + pe_depth(plan.dp) + output_depth(plan.dp) + join_depth(plan) + share


def layer_cycles(plan: Plan, layer: Layer, share: int = 1) -> int:
    """Cycles of a layer, without waiting for an image or for results to be taken.

    The last result waits for its epilogue's other columns, not for its next one.
    """
    waits = (layer.results - 1) * max(layer.beats, share) + layer.beats
    return FETCH + waits + drain(plan, share)


def program_cycles(plan: Plan, program: Program, share: int = 1) -> int:
    """Cycles of an image, where images follow one another."""
    return sum(layer_cycles(plan, layer, share) for layer in program.layers)


def utilisation(plan: Plan, program: Program, macs: int, share: int = 1) -> float:
    """The part of the multipliers' cycles that `macs` products of an image need."""
    array = plan.dp.array
    return macs / (program_cycles(plan, program, share) * array.cols * array.lanes)
