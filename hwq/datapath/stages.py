"""The pipeline stages of a datapath and which of them are cut.

In order: `unpack` (edge decoder), `mul1`, `mul2`, ... (after each partial-product row), `mul` (the product), `align`
(the aligned product), then in the output path `bias`, `requant1`, `requant2`, ... (after each row of the scaled sum),
`requant` (that sum), `act`. A cut puts a register after its stage, that of
an edge decoder before it. The accumulator and the output are always registered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwq.bits import variable
from hwq.bits.sums import factors, signed_bits
from hwq.datapath.accumulators import Align, Exact, Fixed
from hwq.errors import HwqError

if TYPE_CHECKING:
    from hwq.datapath.spec import Mac

__all__ = [
    "OUTPUT",
    "SCALED",
    "check_cuts",
    "is_output",
    "output_stages",
    "pe_stages",
    "row_count",
    "row_cut",
    "scaled_rows",
]

OUTPUT = ("bias", "requant", "act")
SCALED = "requant"  # before the number of one of its rows


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
    """The stages of the output path, in order."""
    there = [s for s, step in zip(OUTPUT, ("bias", "requant", "relu"), strict=True) if step in mac.steps]
    rows = [f"{SCALED}{j}" for j in range(1, scaled_rows(mac))]
    return tuple(stage for one in there for stage in ([*rows, one] if one == SCALED else [one]))


def is_output(stage: str) -> bool:
    """Whether a stage belongs to the output path."""
    return stage in OUTPUT or stage.startswith(SCALED)


def row_cut(stage: str) -> str:
    """What the stage after a row of the scaled sum is called where that product is lowered."""
    return f"mul{stage.removeprefix(SCALED)}" if stage.startswith(SCALED) and stage != SCALED else stage


def scaled_rows(mac: Mac) -> int:
    """Radix-4 partial-product rows of a whole sum times its multiplier; a float accumulator's are not told apart."""
    if mac.requant is None or mac.floats is not None or not isinstance(mac.acc, Exact | Fixed):
        return 0
    total, scale = variable("sum", *mac.acc_format.integer_range), variable("mul", 0, (1 << mac.requant.bits) - 1)
    return (signed_bits(factors(total, scale)[1]) + 1) // 2


def check_cuts(mac: Mac, cuts: tuple[str, ...]) -> tuple[str, ...]:
    """The cuts in pipeline order, each once; a stage the datapath does not have is refused."""
    if not cuts:  # most texts have none, and the stages take reading the operands' own
        return ()
    order = (*pe_stages(mac), *output_stages(mac))
    for cut in cuts:
        if cut not in order:
            raise HwqError(f"cut must name stages of {', '.join(order)}, not {cut!r}")
    return tuple(s for s in order if s in set(cuts))
