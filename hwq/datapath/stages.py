"""The pipeline stages of a datapath and which of them are cut.

In order: `unpack` (edge decoder), `mul1`, `mul2`, ... (after each partial-product row), `mul` (the product), `align`
(the aligned product), then in the output path `bias`, `requant`, `act`. A cut puts a register after its stage, that of
an edge decoder before it. The accumulator and the output are always registered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwq.bits.sums import factors, signed_bits
from hwq.datapath.accumulators import Align
from hwq.errors import HwqError

if TYPE_CHECKING:
    from hwq.datapath.spec import Mac

__all__ = ["OUTPUT", "check_cuts", "output_stages", "pe_stages", "row_count"]

OUTPUT = ("bias", "requant", "act")


def row_count(mac: Mac) -> int:
    """Radix-4 partial-product rows of the significand product."""
    from hwq.datapath.operand import operands

    a, w = (operand.fields["sig"] for operand in operands(mac))
    return (signed_bits(factors(a, w)[1]) + 1) // 2


def pe_stages(mac: Mac) -> tuple[str, ...]:
    """The stages that can be cut before the accumulator, in order. A fused sum aligns to itself: nothing to cut."""
    rows = (f"mul{j}" for j in range(1, row_count(mac)))
    return ("unpack", *rows, "mul", *(() if isinstance(mac.acc, Align) else ("align",)))


def output_stages(mac: Mac) -> tuple[str, ...]:
    return tuple(s for s, step in zip(OUTPUT, ("bias", "requant", "relu"), strict=True) if step in mac.steps)


def check_cuts(mac: Mac, cuts: tuple[str, ...]) -> tuple[str, ...]:
    """The cuts in pipeline order, each once; a stage the datapath does not have is refused."""
    if not cuts:  # most texts have none, and the stages take reading the operands' own
        return ()
    order = (*pe_stages(mac), *output_stages(mac))
    for cut in cuts:
        if cut not in order:
            raise HwqError(f"cut must name stages of {', '.join(order)}, not {cut!r}")
    return tuple(s for s in order if s in set(cuts))
