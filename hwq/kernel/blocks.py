"""The kernel's logic as blocks of cells, beside those of its datapath: what `rtl` emits and `costmodel` prices."""

from __future__ import annotations

from functools import lru_cache

from hwq.bits import Word, const, mux, variable
from hwq.bits.cells import Block
from hwq.bits.rows import Lowering
from hwq.datapath import Plan, plan, steps
from hwq.datapath.clocking import cuts_for
from hwq.datapath.operand import operands
from hwq.datapath.plans import streamed
from hwq.datapath.spec import Mac
from hwq.datapath.stages import output_stages, row_cut
from hwq.datapath.structure import Datapath
from hwq.formats import Format, Unpacked

__all__ = ["FIRST", "OTHER", "join", "rectified", "rectifier", "units"]

JOIN = "join"
_RELU = variable("relu", 0, 1)
FIRST, OTHER = "first", "other"  # the two values that a join adds


def units(datapath: Datapath, device: str, clock: float | None = None) -> Plan:
    """The plan of a kernel's dot-product units: sums follow one another without a pause, each with its parameters."""
    if clock is not None:
        datapath = cuts_for(datapath, device, clock, _blocks, ("epilogue", JOIN))
    return streamed(plan(datapath, device))


def _blocks(datapath: Datapath, device: str) -> dict[str, Block]:
    """All that a word of results passes."""
    return {**streamed(plan(datapath, device)).blocks, JOIN: join(datapath.mac, datapath.cuts)}


@lru_cache(maxsize=256)
def rectifier(fmt: Format) -> Block:
    """A code -> the same, or under `relu` that of zero where it has a sign, -0 too. NaN stays."""
    low = Lowering("rectifier")
    for word in (fmt.code_word, _RELU):
        low.input(word)
    (net,) = low.lower([rectified(fmt)])
    return low.block([("code", low.fit(net, fmt.bits))])


def rectified(fmt: Format) -> Word:
    """The text of `rectifier`, of the words `code` and `relu`."""
    u = fmt.unpack(fmt.code_word)
    return mux(_RELU & (const(1) - u.nan) & u.neg, fmt.pack(Unpacked.of(const(0)), fmt.lsb, "rne"), fmt.code_word)


@lru_cache(maxsize=256)
def join(mac: Mac, cuts: tuple[str, ...]) -> Block:
    """Two codes, each times a weight, plus a bias, requantized.

    Weights and parameters hold still as long as a layer lasts, but are registered with the values all the same, so that
    no path begins with them.
    """
    a, w = operands(mac)
    low = Lowering(JOIN, tuple(row_cut(cut) for cut in cuts if cut == "mul" or cut in output_stages(mac)))
    codes = {name: variable(name, 0, (1 << mac.a.bits) - 1) for name in (FIRST, OTHER)}
    weights = {name: variable(f"weight_{name}", 0, (1 << mac.w.bits) - 1) for name in codes}
    given = steps.parameters(mac)
    for word in (*codes.values(), *weights.values(), *given.values()):
        low.input(word)
    terms = [steps.product(mac, a.decode(codes[name]), w.decode(weights[name])) for name in codes]
    code: Word = steps.finish(mac, steps.step(mac, steps.initial(), *terms), given)
    (net,) = low.lower([code])
    return low.block([("code", low.fit(net, mac.output.bits))])
