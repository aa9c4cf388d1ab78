"""The edges of an array: codes that enter are decoded there, in each further lane a cycle later."""

from __future__ import annotations

from collections.abc import Iterator

from hwq.datapath import Plan
from hwq.rtl.blocks import leaves
from hwq.rtl.modules import ALWAYS, instance, part, register, wire
from hwq.rtl.wires import bus

__all__ = ["Edges"]


class Edges:
    """What the edges of a datapath's array need: its operands, how they enter, and when they move.

    `tile`: rows and columns that share an element; `size`: elements along each edge.
    """

    def __init__(self, plan: Plan, name: str) -> None:
        self.plan, self.name = plan, name
        self.array, self.flow = plan.dp.array, plan.dp.array.dataflow
        self.tile = dict(zip("aw", plan.tile, strict=True))
        self.size = {"a": self.array.rows // self.tile["a"], "w": self.array.cols // self.tile["w"]}
        self.operands = dict(zip("aw", plan.operands, strict=True))
        self.blocks = leaves(plan, name)
        # a pause's zeros leave the sums that stay as they are: only sums that move wait, and what is on its way out
        self.moves = "en" if self.flow == "ws" else ALWAYS
        self.enters = "run & a_valid" if self.flow == "ws" else "beat"
        self.clocks = {"clk": "clk", "rst": "rst", "en": self.moves}

    def _edge(self, side: str) -> Iterator[str]:
        """Decoded operands of each lane of the edge, lane j delayed by j; codes of zero while none enter.

        A zero product leaves every sum as it is, so that no valid bit travels on with the operands.
        """
        still = self.flow == "ws" and side == "w"
        yield f"  // {'weights' if still else 'operands'} at the edge: decoded" + (
            "" if still or self.flow == "tree" else ", a cycle later in each further lane"
        )
        bits = self.operands[side].fmt.bits * self.array.lanes * self.tile[side]
        for lane in range(self.size[side]):
            name = f"{side}_{lane}"
            code = part(f"{side}_payload", lane * bits, bits, self.size[side] * bits)
            if not lane or still or self.flow == "tree":
                yield wire(name, self._bits(side), code if still else self._entering(side, lane, code, self.enters))
            else:
                yield from self._waiting(side, lane, code)
                name += "_late"
            yield from self._decoded(side, lane, name)

    def _moves_in(self, side: str) -> str:
        """What the registers of an edge's decoders wait for."""
        return self.clocks["en"]

    def _bits(self, side: str, cycles: int = 1) -> int:
        """Bits of the codes of a lane of the edge, as they travel, in so many cycles."""
        return cycles * self.operands[side].bits * self.array.lanes * self.tile[side]

    def _entering(self, side: str, lane: int, code: str, enters: str) -> str:
        """The codes, or what stands there while none enter."""
        code = f"{{1'b0, {code}}}" if self.operands[side].rests else code
        return f"{enters} ? {code} : {self._idle(side)}"

    def _idle(self, side: str, cycles: int = 1) -> str:
        bits = self.operands[side].bits
        idle = sum(self.operands[side].idle << at for at in range(0, self._bits(side, cycles), bits))
        return f"{self._bits(side, cycles)}'h{idle:x}"

    def _waiting(self, side: str, lane: int, code: str) -> Iterator[str]:
        """The codes, `lane` cycles later.

        Operands that pass by sums wait as they came. Whether they are any goes from lane to lane a cycle later, so that
        no lane waits for what is far away, and decides what the last register takes.
        """
        name, bits = f"{side}_{lane}", self._bits(side)
        if self.flow == "ws":
            yield wire(name, bits, self._entering(side, lane, code, self.enters))
            yield from self._skewed(name, bits, lane, self._idle(side, lane))
            return
        beats, width = self._beats(side, lane), self.operands[side].fmt.bits * self.array.lanes * self.tile[side]
        if lane > 1:
            yield from register(beats, 1, self._beats(side, lane - 1), self.moves, keep=True)
            yield from self._came(name, code, width, lane - 1)
            code = part(f"{name}_came", (lane - 2) * width, width, (lane - 1) * width)
        yield from register(f"{name}_late", bits, self._entering(side, lane, code, beats), self.moves, self._idle(side))

    def _beats(self, side: str, lane: int) -> str:
        """Whether codes enter that lane's last register."""
        return f"{side}_beat_{lane}" if lane > 1 else "beat"

    def _came(self, name: str, code: str, width: int, cycles: int) -> Iterator[str]:
        before = f"{{{name}_came[{width * (cycles - 1) - 1}:0], {code}}}" if cycles > 1 else code
        yield f"  reg {bus(width * cycles)}{name}_came;"
        enabled = "" if self.moves == ALWAYS else f"if ({self.moves}) "
        yield f"  always @(posedge clk) {enabled}{name}_came <= {before};"

    def _skewed(self, name: str, bits: int, cycles: int, reset: str) -> Iterator[str]:
        """A value, so many cycles later: `<name>_late`."""
        before = name if cycles == 1 else f"{{{name}_skew[{bits * (cycles - 1) - 1}:0], {name}}}"
        yield from register(f"{name}_skew", bits * cycles, before, self.moves, reset)
        yield wire(f"{name}_late", bits, part(f"{name}_skew", bits * (cycles - 1), bits, bits * cycles))

    def _decoded(self, side: str, lane: int, name: str) -> Iterator[str]:
        decoder, bits = self.blocks[f"decode_{side}"], self.operands[side].bits * self.tile[side]
        width = decoder.widths["fields"]
        given = {**self.clocks, "en": self._moves_in(side)}
        clocks = {port.name: given[port.name] for port in decoder.ports if port.name in given}
        yield wire(f"{side}_{lane}_fields", width * self.array.lanes)
        for at in range(self.array.lanes):
            code = part(name, at * bits, bits, bits * self.array.lanes)
            fields = part(f"{side}_{lane}_fields", at * width, width, width * self.array.lanes)
            suffix = f"_{at}" * (self.array.lanes > 1)
            pins = clocks | {"code": code, "fields": fields}
            yield from instance(decoder.name, f"decode_{side}_{lane}{suffix}", pins)
