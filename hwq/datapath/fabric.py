"""The array around the processing elements, as counted pieces: what a top consists of beside its blocks' cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hwq.bits.cells import Block, Net
from hwq.datapath import steps
from hwq.datapath.operand import operands
from hwq.datapath.plans import Plan
from hwq.datapath.schedule import Size, output_depth, pe_depth, skew
from hwq.formats import STOCHASTIC
from hwq.formats.rounding import SEED_BITS

__all__ = ["Counts", "around", "modules", "structure", "surroundings"]

Counts = np.ndarray[Any, Any]  # one for each of many arrays

STATES = 5  # clear, run, flush, drain, tail: one flip-flop each


def modules(rows: Size, cols: Size) -> dict[str, Size]:
    """How many of each block the top holds."""
    return {"pe": rows * cols, "decode_a": rows, "decode_w": cols, "epilogue": cols}


def structure(plan: Plan) -> list[tuple[str, int, Block]]:
    """(name, count, block) of every module in the top."""
    array = plan.dp.array
    return [(name, count, plan.blocks[name]) for name, count in modules(array.rows, array.cols).items()]


def around(plan: Plan) -> list[tuple[str, Mapping[str, float]]]:
    """(name, counts) of what the top itself adds to its modules."""
    array = plan.dp.array
    found = surroundings(plan, np.array([array.rows]), np.array([array.cols]))
    return [(name, {key: int(count[0]) for key, count in counts.items()}) for name, counts in found.items()]


def surroundings(plan: Plan, rows: Counts, cols: Counts) -> dict[str, dict[str, Counts]]:
    """What tops of the datapath add to their modules, one for each array of `rows` x `cols`.

    Counts: `ff` flip-flops; `gate` code bits forced to zero outside a run; `read` result bits times the 4:1 stages of a
    selection among the rows; `control` the state machine, `count` its counter's bits. `merged` are flip-flops that a
    synthesiser finds twice: an operand's delay within an element is also the next element's operand register.
    """
    dp = plan.dp
    mac, depth = dp.mac, output_depth(dp)
    longest = np.maximum(np.maximum(skew(rows, cols) + pe_depth(dp) - 1, rows), depth) - 1
    count = np.frexp(longest)[1]  # the binary exponent of an integer is its bit length
    sums = sum(w.width for w in steps.state(mac).words.values())
    held = sum(w.width for w in steps.parameters(mac).values())
    delays = _delays(plan.blocks["pe"])
    a, w = (operand.bits for operand in operands(mac))
    delayed = a * (rows * (rows - 1) // 2) + w * (cols * (cols - 1) // 2)
    return {
        "edge": {"gate": rows * a + cols * w, "ff": delayed},
        # with stochastic rounding a seed is loaded, or goes on
        "noise": {"gate": cols * (SEED_BITS if mac.round == STOCHASTIC else 0)},
        "read_out": {"read": cols * sums * -(-(rows - 1) // 3), "ff": cols * mac.output.bits},
        # of one row, and without output registers, the last state is the valid bit
        "control": {"control": np.ones_like(rows), "count": count, "ff": STATES + count + depth - (rows * depth == 1)},
        "parameters": {"ff": cols * held},
        "merged": {"ff": -(delays["a"] * rows * (cols - 1) + delays["w"] * cols * (rows - 1))},
    }


def _delays(element: Block) -> dict[str, int]:
    """Bits of each operand that an element holds beyond its operand registers: further delays of the same value."""
    side: dict[Net, str] = {}
    bits = {"a": 0, "w": 0}
    for cell in element.cells:
        if cell.op == "reg" and cell.attr == "operand":
            side[cell.out] = cell.out.name[0]
        elif cell.op in ("reg", "view") and cell.args[0] in side:
            side[cell.out] = side[cell.args[0]]
            bits[side[cell.out]] += cell.out.width * (cell.op == "reg")
    return bits
