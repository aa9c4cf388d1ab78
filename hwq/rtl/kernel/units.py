"""The dot-product units of a kernel: a word of codes and its weights in, words of results out, nothing ever waits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from hwq.datapath import Plan
from hwq.datapath.elements import START
from hwq.datapath.schedule import behind, output_depth, pe_depth
from hwq.kernel import Kernel, join, join_depth, rectifier
from hwq.kernel.blocks import FIRST, OTHER
from hwq.rtl.blocks import leaf, leaves
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
        own = (self.units, self.column, self.ending, self.join, self.adder, self.rectifier)
        return (*own, *(self.blocks[kind] for kind in ("decode_a", "decode_w", "pe", "epilogue")))

    @cached_property
    def rectifier(self) -> Leaf:
        block = rectifier(self.mac.output)
        inputs = {net.name: [net] for net in block.inputs}
        about = "Rectifier: a code, or under relu that of zero where its value is not above it."
        return leaf(f"{self.name}_rectifier", about, self.plan.rows, block, inputs, {"rectified": ["code"]})

    @cached_property
    def adder(self) -> Leaf:
        block = join(self.mac, self.plan.dp.cuts)
        inputs = {net.name: [net] for net in block.inputs}
        about = "A channel's join: first * weight_first + other * weight_other + bias, requantized."
        return leaf(f"{self.name}_adder", about, self.plan.rows, block, inputs, {"joined": ["code"]})

    @property
    def share(self) -> int:
        """Columns that an epilogue serves."""
        return self.kernel.share

    @cached_property
    def sum_bits(self) -> int:
        """A sum and its flags."""
        return sum(word.width for word in self.plan.state.words.values())

    @cached_property
    def column(self) -> Leaf:
        """Weights are decoded here, so that codes travel."""
        lanes, bits = self.lanes, self.mac.w.bits
        decoder, element = self.blocks["decode_w"], self.blocks["pe"]
        each = decoder.widths["fields"]
        ports = [Port("clk", "input", 1), Port("rst", "input", 1), Port("a", "input", element.widths["a"])]
        ports += [Port("w", "input", lanes * bits), Port(START, "input", 1), Port("total", "output", self.sum_bits)]

        def lines() -> Iterator[str]:
            yield wire("fields", lanes * each)
            for lane in range(lanes):
                pins = {"code": part("w", lane * bits, bits, lanes * bits)}
                pins |= {"fields": part("fields", lane * each, each, lanes * each)} | self._clocks
                yield from instance(decoder.name, f"decode_{lane}", {p.name: pins[p.name] for p in decoder.ports})
            pins = {**self._clocks, "a": "a", "w": "fields", START: START, **self._of("total")}
            yield from instance(element.name, "pe", {port.name: pins[port.name] for port in element.ports})

        about = f"The sum of one channel of results: {lanes} products a cycle."
        return module(f"{self.name}_column", [about], ports, lines())

    def _of(self, total: str) -> dict[str, str]:
        """A sum's number and its flags, as they lie side by side."""
        found, at = dict[str, str](), 0
        for name, word in self.plan.state.words.items():
            found[name] = part(total, at, word.width, self.sum_bits)
            at += word.width
        return found

    @cached_property
    def ending(self) -> Leaf:
        """The epilogue of `share` columns, a column a cycle; their codes side by side in a register."""
        share, bits, each = self.share, self.mac.output.bits, self.sum_bits
        epilogue = self.blocks["epilogue"]
        ports = [Port("clk", "input", 1), Port("rst", "input", 1), Port("comes", "input", 1), Port("relu", "input", 1)]
        ports += [Port("totals", "input", share * each), Port("scale", "input", sum(self.kernel.parameters.values()))]
        ports += [Port("codes", "output", share * bits)]

        def lines() -> Iterator[str]:
            if share == 1:
                yield wire("total", each, "totals")
            else:
                rest = (share - 1) * each
                zeros = f"{{{each}'h0, waiting[{rest - 1}:{each}]}}" if share > 2 else f"{each}'h0"
                yield from register(
                    "waiting", rest, f"comes ? {part('totals', each, rest, share * each)} : {zeros}", ALWAYS
                )
                yield wire(
                    "total", each, f"comes ? {part('totals', 0, each, share * each)} : {part('waiting', 0, each, rest)}"
                )
            yield from self._scales()
            pins = {
                **self._clocks,
                **self._of("total"),
                **{name: name for name in self.kernel.parameters},
                "code": "made",
            }
            yield wire("made", bits)
            yield from instance(epilogue.name, "epilogue", {port.name: pins[port.name] for port in epilogue.ports})
            yield wire("cut", bits)
            yield from instance(self.rectifier.name, "rectifier", {"code": "made", "relu": "relu", "rectified": "cut"})
            yield from self._gathered("cut", bits)
            yield assigned("codes", "result")

        about = [
            f"The way out of {share} column(s): a sum a cycle from `comes` on, its epilogue, a rectifier under relu."
        ]
        return module(f"{self.name}_ending", about, ports, lines())

    def _gathered(self, code: str, bits: int) -> Iterator[str]:
        """The last `share` codes, the latest one highest."""
        whole = self.share * bits
        value = code if self.share == 1 else f"{{{code}, result[{whole - 1}:{bits}]}}"
        yield from register("result", whole, value, ALWAYS)

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
        ports += [Port(name, "output", 1) for name in ("soon", "starts", "comes")]
        ports += [Port("word", "output", kernel.word)]
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
        depth = self.sums + self.results + self.share - 1
        yield from register("ended", depth, f"{{ended[{depth - 2}:0], ends}}", ALWAYS)
        phases = part("ended", self.sums - 2, self.share, depth)
        yield assigned("next_scale", phases if self.share == 1 else f"|{phases}")
        yield assigned("soon", f"ended[{depth - 1 - self.share}]")
        yield assigned("starts", f"ended[{depth - self.share}]")
        yield assigned("comes", f"ended[{depth - 1}]")
        yield wire("totals", lanes * self.sum_bits)
        for col in range(lanes):
            pins = {"clk": "clk", "rst": "rst", "a": "fields", START: start}
            pins["w"] = part("w", col * lanes * self.mac.w.bits, lanes * self.mac.w.bits, self.kernel.weight_word)
            pins["total"] = part("totals", col * self.sum_bits, self.sum_bits, lanes * self.sum_bits)
            yield from instance(f"{self.name}_column", f"column_{col}", pins)
        scale = sum(self.kernel.parameters.values())
        for at in range(lanes // self.share):
            pins = {"clk": "clk", "rst": "rst", "comes": f"ended[{self.sums - 1}]", "relu": "relu"}
            group = self.share * self.sum_bits
            pins["totals"] = part("totals", at * group, group, lanes * self.sum_bits)
            pins["scale"] = part("scale", at * scale, scale, self.kernel.scale_word)
            pins["codes"] = part("word", at * self.share * bits, self.share * bits, lanes * bits)
            yield from instance(f"{self.name}_ending", f"ending_{at}", pins)

    @cached_property
    def join(self) -> Leaf:
        """Module `<top>_join`: every epilogue's adder, its rectifier and the register behind it."""
        given = {f"weight_{name}": self.mac.w.bits for name in (FIRST, OTHER)} | self.kernel.parameters
        ports = [Port(name, "input", 1) for name in ("clk", "rst", "comes", "relu")]
        ports += [Port(name, "input", self.kernel.word) for name in (FIRST, OTHER)]
        ports += [Port(name, "input", width) for name, width in given.items()]
        ports += [Port("joined", "output", 1), Port("word", "output", self.kernel.word)]

        def lines() -> Iterator[str]:
            depth = join_depth(self.plan) + self.share - 1
            yield from self._others()
            for at in range(self.lanes // self.share):
                yield from self._adder(at, given)
            yield from register("came", depth, f"{{came[{depth - 2}:0], comes}}" if depth > 1 else "comes", ALWAYS)
            yield assigned("joined", part("came", depth - 1, 1, depth))

        about = [
            f"Sums of words of results and others, {join_depth(self.plan) + self.share - 1} cycles after their first."
        ]
        return module(f"{self.name}_join", about, ports, lines())

    def _others(self) -> Iterator[str]:
        """The codes that are added, those of an epilogue's columns one a cycle."""
        bits, whole, share = self.mac.a.bits, self.kernel.word, self.share
        if share == 1:
            yield wire("others", whole, OTHER)
            return
        kept = self.lanes // share * (share - 1) * bits
        tops, lows, shifted = [], [], []
        for at in reversed(range(self.lanes // share)):
            own = at * share * bits
            tops.append(part(OTHER, own + bits, (share - 1) * bits, whole))
            low = at * (share - 1) * bits
            lows.append(f"comes ? {part(OTHER, own, bits, whole)} : {part('waiting', low, bits, kept)}")
            rest = f"waiting[{low + (share - 1) * bits - 1}:{low + bits}]"
            shifted.append(f"{bits}'h0" + (f", {rest}" if share > 2 else ""))
        yield from register("waiting", kept, f"comes ? {{{', '.join(tops)}}} : {{{', '.join(shifted)}}}", ALWAYS)
        yield wire("others", self.lanes // share * bits, "{" + ", ".join(f"({low})" for low in lows) + "}")

    def _adder(self, at: int, given: Mapping[str, int]) -> Iterator[str]:
        """An adder looks at the latest code of its epilogue."""
        bits, share, whole = self.mac.a.bits, self.share, self.kernel.word
        adders = self.lanes // share
        top = (at + 1) * share * bits - bits
        yield wire(f"made_{at}", bits)
        yield wire(f"cut_{at}", bits)
        pins = self._clocks | {
            FIRST: part(FIRST, top, bits, whole),
            OTHER: part("others", at * bits, bits, adders * bits),
        }
        pins |= {name: name for name in given} | {"joined": f"made_{at}"}
        yield from instance(self.adder.name, f"adder_{at}", {p.name: pins[p.name] for p in self.adder.ports})
        pins = {"code": f"made_{at}", "relu": "relu", "rectified": f"cut_{at}"}
        yield from instance(self.rectifier.name, f"rectifier_{at}", pins)
        size = share * bits
        value = f"cut_{at}" if share == 1 else f"{{cut_{at}, result_{at}[{size - 1}:{bits}]}}"
        yield from register(f"result_{at}", size, value, ALWAYS)
        yield assigned(part("word", at * size, size, whole), f"result_{at}")
