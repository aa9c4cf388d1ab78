"""The array around the processing elements, as counted pieces: what a top consists of beside its blocks' cells."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from hwq.bits.cells import Block
from hwq.datapath import steps
from hwq.datapath.plans import Plan
from hwq.datapath.schedule import flush, output_depth
from hwq.datapath.spec import Datapath

__all__ = ["around", "structure"]

STATES = 5  # clear, run, flush, drain, tail: one flip-flop each


def structure(plan: Plan) -> list[tuple[str, int, Block]]:
    """(name, count, block) of every module in the top."""
    array, blocks = plan.dp.array, plan.blocks
    counts = {"pe": array.rows * array.cols, "decode_a": array.rows, "decode_w": array.cols, "epilogue": array.cols}
    return [(name, count, blocks[name]) for name, count in counts.items()]


def around(dp: Datapath) -> list[tuple[str, Mapping[str, float]]]:
    """(name, counts) of what the top itself adds to its modules.

    Counts: `ff` flip-flops; `gate` code bits forced to zero outside a run; `read` result bits times the 4:1 stages of a
    selection among the rows; `control` the state machine, `count` its counter's bits.
    """
    return [(name, dict(counts)) for name, counts in _around(dp)]


@lru_cache(maxsize=65536)
def _around(dp: Datapath) -> tuple[tuple[str, tuple[tuple[str, float], ...]], ...]:
    rows, cols, mac = dp.array.rows, dp.array.cols, dp.mac
    count = max(1, (max(flush(dp), rows, output_depth(dp)) - 1).bit_length())
    sums = sum(w.width for w in steps.state(mac).words.values())
    held = sum(w.width for w in steps.parameters(mac).values())
    skew = mac.a.bits * (rows * (rows - 1) // 2) + mac.w.bits * (cols * (cols - 1) // 2)
    edge = {"gate": rows * mac.a.bits + cols * mac.w.bits, "ff": skew}
    read = {"read": cols * sums * -(-(rows - 1) // 3), "ff": cols * mac.output.bits}
    control = {"control": 1, "count": count, "ff": STATES + count + output_depth(dp)}
    parts = {"edge": edge, "read_out": read, "control": control, "parameters": {"ff": cols * held}}
    return tuple((name, tuple(counts.items())) for name, counts in parts.items())
