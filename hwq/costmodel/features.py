"""What a plan's cells come to on a fabric, as counts. A price is a sum of count times coefficient.

The same functions serve the fit and the estimate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

from hwq.bits.cells import GATED, Block
from hwq.costmodel.context import Context
from hwq.costmodel.fabrics import FABRICS
from hwq.datapath.device import DEVICES
from hwq.datapath.elements import TAKE

__all__ = ["AROUND", "Features", "features"]

Features = Mapping[str, float]

AROUND = "around"  # what surrounds the modules of a top: its spread in a device file


@lru_cache(maxsize=65536)
def features(block: Block, device: str) -> Features:
    """The counts of a block on a device."""
    fabric, rows = FABRICS[device], DEVICES[device][1]
    counts: Counter[str] = Counter()
    context = Context(block)
    for cell in block.cells:
        if cell.op == "select" and cell.attr == GATED:  # a sum, or 0 where another starts
            counts["gated" if rows.free and cell.out in context.gates else "held"] += cell.out.width
        else:
            fabric.count(cell, context, counts)
    # of registers that wait for more than all others: of standard cells, part of the price of a flip-flop
    counts["enable"] = rows.kept and any(net.name == TAKE for net in block.inputs)
    if rows.joined:
        counts["joined"] = block.register_kinds
    counts["ff"], counts["dsp"] = block.flip_flops, sum(cell.op == "hard" for cell in block.cells)
    return dict(counts)
