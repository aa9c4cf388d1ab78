"""The dot-product units of a kernel: a word of codes and its weights in, words of results out, nothing ever waits."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from hwq.datapath import Plan
from hwq.datapath.elements import START
from hwq.datapath.schedule import behind, output_depth, pe_depth
from hwq.kernel import Kernel, join, join_depth, rectifier
from hwq.kernel.blocks import FIRST, OTHER
from hwq.rtl.blocks import block_leaf, leaves
from hwq.rtl.modules import ALWAYS, Leaf, Port, assigned, instance, module, part, register, wire

__all__ = ["Units"]


class Units:
    """Modules `<top>_units`, a column of it, and `<top>_join`. `plan` is that of `hwq.kernel.units`."""

    def __init__(self, kernel: Kernel, plan: Plan, name: str) -> None:
        self.kernel, self.plan, self.name = kernel, plan, name
        self.blocks = leaves(plan, name)
        self.mac, self.lanes = plan.dp.mac, kernel.lanes
        self.before = plan.blocks["decode_a"].depth  # cycles that a word takes to the units
        self.sums, self.results = pe_depth(plan.dp), output_depth(plan.dp)

    @cached_property
    def modules(self) -> tuple[Leaf, ...]:
        own = (self.units, self.column, self.join, self.adder, self.rectifier)
        return (*own, *(self.blocks[kind] for kind in ("decode_a", "decode_w", "pe", "epilogue")))

    @cached_property
    def rectifier(self) -> Leaf:
        block = rectifier(self.mac.output)
        inputs = {net.name: [net] for net in block.inputs}
        about = "Rectifier: a code, or under relu that of zero where its value is not above it."
        return block_leaf(f"{self.name}_rectifier", about, self.plan.rows, block, inputs, {"rectified": ["code"]})

    @cached_property
    def adder(self) -> Leaf:
        block = join(self.mac, self.plan.dp.cuts)
        inputs = {net.name: [net] for net in block.inputs}
        about = "A channel's join: first * weight_first + other * weight_other + bias, requantized."
        return block_leaf(f"{self.name}_adder", about, self.plan.rows, block, inputs, {"joined": ["code"]})

    @cached_property
    def column(self) -> Leaf:
        """Weights are decoded here, so that codes travel; the result stands in a register."""
        lanes, mac = self.lanes, self.mac
        decoder, element, epilogue = (self.blocks[kind] for kind in ("decode_w", "pe", "epilogue"))
        each, bits = decoder.widths["fields"], mac.w.bits
        ports = [Port("clk", "input", 1), Port("rst", "input", 1), Port("a", "input", element.widths["a"])]
        ports += [Port("w", "input", lanes * bits), Port(START, "input", 1), Port("relu", "input", 1)]
        ports += [Port("scale", "input", sum(self.kernel.parameters.values())), Port("code", "output", mac.output.bits)]

        def lines() -> Iterator[str]:
            yield wire("fields", lanes * each)
            for lane in range(lanes):
                pins = {"code": part("w", lane * bits, bits, lanes * bits)}
                pins |= {"fields": part("fields", lane * each, each, lanes * each)} | self._clocks
                yield from instance(decoder.name, f"decode_{lane}", {p.name: pins[p.name] for p in decoder.ports})
            sums = self.plan.state.words
            yield from (wire(name, word.width) for name, word in sums.items())
            pins = {**self._clocks, "a": "a", "w": "fields", START: START, **{name: name for name in sums}}
            yield from instance(element.name, "pe", {port.name: pins[port.name] for port in element.ports})
            yield from self._scales()
            pins = {**self._clocks, **{name: name for name in (*sums, *self.kernel.parameters)}, "code": "made"}
            yield wire("made", mac.output.bits)
            yield from instance(epilogue.name, "epilogue", {port.name: pins[port.name] for port in epilogue.ports})
            yield wire("cut", mac.output.bits)
            pins = {"code": "made", "relu": "relu", "rectified": "cut"}
            yield from instance(self.rectifier.name, "rectifier", pins)
            yield from register("result", mac.output.bits, "cut", ALWAYS)
            yield assigned("code", "result")

        about = f"One channel of results: {lanes} products a cycle, their sum, its epilogue, a rectifier under relu."
        return module(f"{self.name}_column", [about], ports, lines())

    def _scales(self) -> Iterator[str]:
        """The parameters of the sum, those behind a register of the epilogue as much later."""
        at, whole = 0, sum(self.kernel.parameters.values())
        for name, width in self.kernel.parameters.items():
            value = part("scale", at, width, whole)
            if behind(self.plan.dp) and name != "bias":
                yield from register(name, width, value, ALWAYS)
            else:
                yield wire(name, width, value)
            at += width

    @property
    def _clocks(self) -> dict[str, str]:
        return {"clk": "clk", "rst": "rst", "en": ALWAYS}

    @cached_property
    def units(self) -> Leaf:
        kernel, lanes = self.kernel, self.lanes
        ports = [Port(name, "input", 1) for name in ("clk", "rst", "enters", "first", "ends", "relu")]
        ports += [Port("a", "input", kernel.word), Port("w", "input", kernel.weight_word)]
        ports += [Port("scale", "input", kernel.scale_word), Port("next_scale", "output", 1)]
        ports += [Port("soon", "output", 1), Port("comes", "output", 1), Port("word", "output", kernel.word)]
        about = [
            f"{lanes} dot-product units of {lanes} products a cycle, one a channel of results.",
            "a and w: a word of codes and its weights, counted where `enters`; a sum's first with `first`, last with",
            f"`ends`. Its parameters are `scale` {self.sums} cycles later, one after next_scale; its results come",
            f"{self.sums + self.results} cycles later, with `comes`, and `soon` a cycle before.",
        ]
        return module(f"{self.name}_units", about, ports, self._units())

    def _units(self) -> Iterator[str]:
        decoder, lanes, bits = self.blocks["decode_a"], self.lanes, self.mac.a.bits
        each, operand = decoder.widths["fields"], self.plan.operands[0]
        idle = sum(operand.idle << at * bits for at in range(lanes))
        yield wire("codes", lanes * bits, f"enters ? a : {lanes * bits}'h{idle:x}")
        yield wire("fields", lanes * each)
        for lane in range(lanes):
            pins = {"code": part("codes", lane * bits, bits, lanes * bits), **self._clocks}
            pins |= {"fields": part("fields", lane * each, each, lanes * each)}
            yield from instance(decoder.name, f"decode_{lane}", {port.name: pins[port.name] for port in decoder.ports})
        start = "first"
        for at in range(self.before):
            yield from register(f"first_{at}", 1, start, ALWAYS)
            start = f"first_{at}"
        depth = self.sums + self.results
        yield from register("ended", depth, f"{{ended[{depth - 2}:0], ends}}", ALWAYS)
        yield assigned("next_scale", f"ended[{self.sums - 2}]")
        yield assigned("soon", f"ended[{depth - 2}]")
        yield assigned("comes", f"ended[{depth - 1}]")
        scale = sum(self.kernel.parameters.values())
        for col in range(lanes):
            pins = {"clk": "clk", "rst": "rst", "a": "fields", START: start, "relu": "relu"}
            pins["w"] = part("w", col * lanes * self.mac.w.bits, lanes * self.mac.w.bits, self.kernel.weight_word)
            pins["scale"] = part("scale", col * scale, scale, self.kernel.scale_word)
            pins["code"] = part("word", col * bits, bits, lanes * bits)
            yield from instance(f"{self.name}_column", f"column_{col}", pins)

    @cached_property
    def join(self) -> Leaf:
        """Module `<top>_join`: every channel's adder, its rectifier and the register behind it."""
        given = {f"weight_{name}": self.mac.w.bits for name in (FIRST, OTHER)} | self.kernel.parameters
        ports = [Port(name, "input", 1) for name in ("clk", "rst", "comes", "relu")]
        ports += [Port(name, "input", self.kernel.word) for name in (FIRST, OTHER)]
        ports += [Port(name, "input", width) for name, width in given.items()]
        ports += [Port("joined", "output", 1), Port("word", "output", self.kernel.word)]

        def lines() -> Iterator[str]:
            bits, whole = self.mac.a.bits, self.kernel.word
            yield wire("made", whole)
            yield wire("cut", whole)
            for lane in range(self.lanes):
                pins = self._clocks | {name: part(name, lane * bits, bits, whole) for name in (FIRST, OTHER)}
                pins |= {name: name for name in given} | {"joined": part("made", lane * bits, bits, whole)}
                yield from instance(self.adder.name, f"adder_{lane}", {p.name: pins[p.name] for p in self.adder.ports})
                pins = {"code": part("made", lane * bits, bits, whole), "relu": "relu"}
                pins["rectified"] = part("cut", lane * bits, bits, whole)
                yield from instance(self.rectifier.name, f"rectifier_{lane}", pins)
            yield from register("result", whole, "cut", ALWAYS)
            depth = join_depth(self.plan)
            value = f"{{came[{depth - 2}:0], comes}}" if depth > 1 else "comes"
            yield from register("came", depth, value, ALWAYS)
            yield assigned("joined", part("came", depth - 1, 1, depth))
            yield assigned("word", "result")

        about = [f"Sums of a word of results and another, {join_depth(self.plan)} cycles later."]
        return module(f"{self.name}_join", about, ports, lines())
