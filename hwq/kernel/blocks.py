"""The kernel's logic as blocks of cells, beside those of its datapath: what `rtl` emits and `costmodel` prices."""

from __future__ import annotations

from functools import lru_cache

from hwq.bits import Word, const, mux, variable
from hwq.bits.cells import Block
from hwq.bits.rows import Lowering
from hwq.datapath import Plan, plan, steps
from hwq.datapath.operand import operands
from hwq.datapath.plans import streamed
from hwq.datapath.spec import Mac
from hwq.datapath.stages import output_stages
from hwq.datapath.structure import Datapath
from hwq.formats import Format, Unpacked

__all__ = ["FIRST", "OTHER", "join", "rectifier", "units"]

FIRST, OTHER = "first", "other"  # the two values that a join adds


def units(datapath: Datapath, device: str, clock: float | None = None) -> Plan:
    """The plan of a kernel's dot-product units: sums follow one another without a pause, each with its parameters."""
    return streamed(plan(datapath, device, clock))


@lru_cache(maxsize=256)
def rectifier(fmt: Format) -> Block:
    """A code -> the same, or under `relu` that of zero where its value is not above zero. NaN stays."""
    low = Lowering("rectifier")
    code, relu = variable("code", 0, (1 << fmt.bits) - 1), variable("relu", 0, 1)
    u = fmt.unpack(code)
    cut = relu & (const(1) - u.nan) & (u.neg | (u.mag.eq(0) & (const(1) - u.inf)))
    low.input(code)
    low.input(relu)
    zero = fmt.pack(Unpacked.of(const(0)), fmt.lsb, "rne")
    (net,) = low.lower([mux(cut, zero, code)])
    return low.block([("code", low.fit(net, fmt.bits))])


@lru_cache(maxsize=256)
def join(mac: Mac, cuts: tuple[str, ...]) -> Block:
    """Two codes of values, each times a weight, plus a bias, requantized: all of a sum of two terms in one pass.

    Weights and parameters hold still as long as a layer lasts.
    """
    a, w = operands(mac)
    low = Lowering("join", tuple(cut for cut in cuts if cut == "mul" or cut in output_stages(mac)))
    codes = {name: variable(name, 0, (1 << mac.a.bits) - 1) for name in (FIRST, OTHER)}
    weights = {name: variable(f"weight_{name}", 0, (1 << mac.w.bits) - 1) for name in codes}
    given = steps.parameters(mac)
    for word in codes.values():
        low.input(word)
    for word in (*weights.values(), *given.values()):
        low.input(word, None)
    terms = [steps.product(mac, a.decode(codes[name]), w.decode(weights[name])) for name in codes]
    code: Word = steps.finish(mac, steps.step(mac, steps.initial(), *terms), given)
    (net,) = low.lower([code])
    return low.block([("code", low.fit(net, mac.output.bits))])
