"""Variants: other structures for one step of a datapath, with the same bits. `use=NAME` takes one by hand.

Each names the step that it serves and the condition under which it can; where it is the smaller one, it is taken
without being asked for. tests/test_variants.py proves every one equal to the derived step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from hwq.bits import Word, const, lookup, negate_if
from hwq.datapath.accumulators import Align
from hwq.datapath.banks import no_banks
from hwq.datapath.floats import Term
from hwq.datapath.hard import no_block
from hwq.datapath.spec import Mac
from hwq.errors import HwqError
from hwq.formats import Format

__all__ = ["BLOCKS", "CELLS", "TILES", "VARIANTS", "Variant", "check_uses", "product_form"]

BLOCKS = ("dsp", "dsp2", "dsp4")  # products in multiplier blocks
TILES = {"dsp2": (1, 2), "dsp4": (2, 2)}  # rows and columns of the array whose products one block makes
# devices of whose carry cells and small memories an element is made
CELLS = {"gated": ("ecp5",), "pairs": ("xc7", "xcup"), "banks": ("xc7", "xcup")}
TABLE_BITS = 6  # index bits of a product table: one LUT6 a result bit


@dataclass(frozen=True)
class Variant:
    """`step` is what it serves; `misses(mac)` says why it cannot serve a Mac, or nothing."""

    step: str
    about: str
    misses: Callable[[Mac], str]


def check_uses(mac: Mac, uses: tuple[str, ...]) -> tuple[str, ...]:
    """The variants in the order of `VARIANTS`, one a step; what does not fit the Mac is refused."""
    if not uses:
        return ()
    for name in uses:
        if name not in VARIANTS:
            raise HwqError(f"use must name variants of {', '.join(VARIANTS)}, not {name!r}")
        if why := VARIANTS[name].misses(mac):
            raise HwqError(f"use={name} {why}")
    chosen = tuple(name for name in VARIANTS if name in set(uses))
    steps = [VARIANTS[name].step for name in chosen]
    for name, step in zip(chosen, steps, strict=True):
        if steps.count(step) > 1:
            raise HwqError(f"use may name one variant a step, and {name} is not the only one for the {step}")
    return chosen


@lru_cache(maxsize=1024)
def _mirrored(fmt: Format) -> bool:
    """Whether the top bit of a code is its sign: each number's code and its negative's differ in that bit alone."""
    half = 1 << (fmt.bits - 1)
    if fmt.bits > TABLE_BITS or any(fmt.reserved(code) for code in range(2 * half)) or fmt.has_nan or fmt.has_inf:
        return False
    values = [fmt.value(code) for code in range(2 * half)]
    return values[0] == 0 and all(x == -y >= 0 for x, y in zip(values, values[half:], strict=False))  # type: ignore[operator]


def _no_table(mac: Mac) -> str:
    index = mac.a.bits + mac.w.bits - 2
    if index > TABLE_BITS or not all(_mirrored(fmt) for fmt in (mac.a, mac.w)):
        return (
            f"needs operands of sign and magnitude, without specials, of at most {TABLE_BITS} magnitude bits together, "
            f"not {mac.a}*{mac.w}; leave it out"
        )
    return ""


def _no_fields(mac: Mac) -> str:
    """Why products cannot lie side by side in one number."""
    if mac.has_nan:
        return f"needs operands without nan and infinities, not {mac.a}*{mac.w}; use=dsp takes them"
    return no_block(mac)


def _no_digits(mac: Mac) -> str:
    """Why products cannot be numbers under digits, added as they are made."""
    whole = all(fmt.unpack(fmt.code_word).exp.constant for fmt in (mac.a, mac.w))
    if not whole or mac.has_nan or (-1, 1) not in (mac.a.integer_range, mac.w.integer_range):
        return f"needs whole numbers, of which one is -1, 0 or 1, not {mac.a}*{mac.w}; leave it out"
    if isinstance(mac.acc, Align) or mac.tree == 1 and mac.acc_lsb != mac.product_lsb:
        return f"needs products that are added as they are, not +{mac.acc.text}; leave it out"
    return ""


VARIANTS: Mapping[str, Variant] = {
    "table": Variant("product", "the product of two magnitudes from a table of one LUT6 a bit", _no_table),
    "dsp": Variant("product", "products and sum in a multiplier block of the device", no_block),
    "dsp2": Variant("product", "two products of one operand a from a block, a sum in logic each", _no_fields),
    "dsp4": Variant("product", "the four products of two a and two w from a block, a sum in logic each", _no_fields),
    "gated": Variant("product", "ECP5's product by a row a bit, gated inside the carry cells", lambda mac: ""),
    "pairs": Variant("product", "two products by -1, 0 or 1 in one LUT6_2 a bit, summed by threes", _no_digits),
    "banks": Variant("product", "product and sum in a memory of AMD's tables, at a place of the exponent", no_banks),
    "rows": Variant("product", "the product as radix-4 Booth rows, where a table would be taken", lambda mac: ""),
    "load": Variant("start", "sums start with the first beat's products: no cycle to clear them", lambda mac: ""),
    "double": Variant("weights", "the next tile's weights come while those of a tile are in use", lambda mac: ""),
    "prefix": Variant("sum", "parallel-prefix adders behind the trees of standard cells, for a clock", lambda mac: ""),
}


def magnitude_table(mac: Mac, a: Word, w: Word) -> Term:
    """The product of two codes of sign and magnitude: |a| * |w| by table, and a sign that the addition takes in."""
    low_a, low_w = mac.a.bits - 1, mac.w.bits - 1
    unit = Fraction(2) ** mac.product_lsb
    entries = tuple(
        int(mac.a.value(x) * mac.w.value(y) / unit)  # type: ignore[operator]
        for y in range(1 << low_w)
        for x in range(1 << low_a)
    )
    index = a.low(low_a) | (w.low(low_w) << low_a)
    magnitude, negative = lookup(index, entries).stage("mul"), ((a >> low_a) ^ (w >> low_w)).stage("mul")
    return Term(negate_if(magnitude, negative), const(0), const(0), const(0), const(0))


@lru_cache(maxsize=4096)
def product_form(mac: Mac, uses: tuple[str, ...], cuts: tuple[str, ...]) -> str:
    """The variant that makes the product: the one asked for, else a table where one fits.

    A table has no rows to cut between, and its product lies in its place. With a register behind an aligner that is
    none, Yosys 0.70 loses flip-flops of the mapped netlist, which the simulation of netlists showed: then it is rows.
    """
    asked = next((name for name in uses if VARIANTS[name].step == "product"), "")
    inside = [cut for cut in cuts if cut == "align" or cut.startswith("mul") and cut != "mul"]
    if asked == "table" and inside:
        raise HwqError(f"use=table has no rows and nothing to align, and takes no cut={inside[0]}; leave one out")
    return asked or ("rows" if inside or _no_table(mac) else "table")
