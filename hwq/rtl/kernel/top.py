"""The top of a kernel: its streams, memories and units, and what goes from one to the other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from hwq.datapath import Plan
from hwq.datapath.schedule import output_depth, pe_depth
from hwq.kernel import BANKS, IMAGE, Kernel, join_depth
from hwq.kernel.blocks import FIRST, OTHER
from hwq.kernel.kernel import CHUNK
from hwq.rtl.kernel.intake import configure, images
from hwq.rtl.kernel.memories import address_bits, buffer, loaded
from hwq.rtl.kernel.results import results
from hwq.rtl.kernel.sequencer import sequencer
from hwq.rtl.kernel.units import Units
from hwq.rtl.modules import ALWAYS, Leaf, Port, assigned, instance, module, part, register, wire
from hwq.rtl.wires import bus

__all__ = ["KernelTop"]

# Fields of the descriptor that the top itself looks at.
_LOOKED_AT = ("relu", "streams", "source", "target", "into", "joins", "join_relu", "other_bank", "other", "scales")


class KernelTop:
    """The modules of a kernel and its streams, each with valid, ready, payload and last.

    `c_`: configuration, `hwq.kernel.pack.beats`. `i_`: images, a beat a pixel, channel 0 lowest.
    `o_`: a beat a word of results, with `o_last` on an image's last.
    """

    def __init__(self, kernel: Kernel, plan: Plan, name: str) -> None:
        self.kernel, self.plan, self.name = kernel, plan, name
        self.parts = Units(kernel, plan, name)
        self.idle = plan.operands[0].idle

    @cached_property
    def chunks(self) -> dict[str, int]:
        """Beats of configuration for a word of each memory."""
        kernel = self.kernel
        widths = {"weights": kernel.weight_word, "scales": kernel.scale_word, "layers": kernel.descriptor}
        return {name: -(-width // CHUNK) for name, width in widths.items()}

    @cached_property
    def modules(self) -> tuple[Leaf, ...]:
        """Every module, the top first."""
        return (
            self.top,
            self.sequencer,
            self.configure,
            self.images,
            self.results,
            *self.memories,
            *self.parts.modules,
        )

    @cached_property
    def sequencer(self) -> Leaf:
        return sequencer(self.kernel, self.plan, self.name)

    @cached_property
    def configure(self) -> Leaf:
        return configure(self.kernel, self.name, self.chunks)

    @cached_property
    def images(self) -> Leaf:
        return images(self.kernel, self.name, self.idle)

    @cached_property
    def results(self) -> Leaf:
        return results(self.kernel, self.name)

    @cached_property
    def memories(self) -> tuple[Leaf, ...]:
        """Banks of codes; memories that configuration loads, and the chunks that those are made of."""
        kernel, name = self.kernel, self.name
        depths = {"weights": kernel.weights, "scales": kernel.scales, "layers": kernel.layers}
        widths = {"weights": kernel.weight_word, "scales": kernel.scale_word, "layers": kernel.descriptor}
        found = [
            buffer(f"{name}_bank_{bank}", kernel.word, kernel.depths[bank], self._bank(bank)) for bank in self.banks
        ]
        for memory, depth in depths.items():
            chunk = buffer(f"{name}_{memory}_chunk", CHUNK, depth, f"A chunk of {memory}")
            found += [loaded(f"{name}_{memory}", widths[memory], depth, memory.capitalize(), chunk), chunk]
        return tuple(found)

    @property
    def banks(self) -> tuple[int, ...]:
        """The banks that hold anything."""
        return tuple(bank for bank in range(BANKS) if self.kernel.depths[bank])

    @staticmethod
    def _bank(bank: int) -> str:
        return "Images, one in each half" if bank == IMAGE else "A bank of results"

    @cached_property
    def ports(self) -> tuple[Port, ...]:
        kernel = self.kernel
        bits = {"c": CHUNK, "i": kernel.entry.channels * kernel.datapath.mac.a.bits, "o": kernel.word}
        found = [Port("clk", "input", 1), Port("rst", "input", 1)]
        for stream, width in bits.items():
            into, back = ("output", "input") if stream == "o" else ("input", "output")
            found += [Port(f"{stream}_valid", into, 1), Port(f"{stream}_ready", back, 1)]
            found += [Port(f"{stream}_payload", into, width), Port(f"{stream}_last", into, 1)]
        return (*found, Port("busy", "output", 1), Port("layer", "output", address_bits(kernel.layers)))

    @cached_property
    def top(self) -> Leaf:
        entry = self.kernel.entry
        about = [
            f"Streaming kernel: {self.kernel.lanes} channels of {self.kernel.lanes} products a cycle.",
            f"c_: configuration, see {self.name}_configure. i_: images of {entry.height} x {entry.width} pixels.",
            "o_: results, a word a beat. busy: a layer is computed, which `layer` tells.",
        ]
        parts = (self._intake(), self._sequence(), self._operands(), self._compute(), self._store())
        return module(self.name, about, self.ports, [line for lines in parts for line in ("", *lines)])

    def _instance(self, leaf: Leaf, name: str, pins: dict[str, str]) -> Iterator[str]:
        """An instance; ports that are not among the pins go to signals of their own names."""
        yield from instance(leaf.name, name, {port.name: pins.get(port.name, port.name) for port in leaf.ports})

    def _wires(self, leaf: Leaf, prefix: str = "", but: tuple[str, ...] = ()) -> Iterator[str]:
        for port in leaf.ports:
            if port.direction == "output" and port.name not in but and port not in self.ports:
                yield wire(f"{prefix}{port.name}", port.width)

    def _intake(self) -> Iterator[str]:
        yield "  // configuration and images"
        yield from self._wires(self.configure, "c_", ("c_ready",))
        pins = {port.name: f"c_{port.name}" for port in self.configure.ports if port.direction == "output"}
        yield from self._instance(self.configure, "configure", {**pins, "c_ready": "c_ready"})
        yield from self._wires(self.images, "i_", ("i_ready", "ready"))
        pins = {port.name: f"i_{port.name}" for port in self.images.ports if port.direction == "output"}
        yield wire("i_image", 1)
        yield wire("frees", 1)
        yield from self._instance(self.images, "images", {**pins, "i_ready": "i_ready", "ready": "i_image"})

    def _sequence(self) -> Iterator[str]:
        kernel = self.kernel
        yield "  // the layer, its descriptor, its addresses"
        bits = address_bits(kernel.layers)
        yield wire("index", bits)
        yield wire("described", kernel.descriptor)
        yield from self._loaded("layers", "index", "described")
        yield from register("descriptor", kernel.descriptor, "described", ALWAYS)
        for name in _LOOKED_AT:
            field = kernel.fields[name]
            yield wire(f"d_{name}", field.width, part("descriptor", field.at, field.width, kernel.descriptor))
        yield wire("room", 1)
        yield from self._wires(self.sequencer, "", ("index", "frees"))
        yield from self._instance(self.sequencer, "sequencer", {"runs": "c_runs", "ready": "i_image"})
        yield assigned("layer", "index")

    def _loaded(self, memory: str, address: str, found: str) -> Iterator[str]:
        """One of the memories that configuration loads."""
        leaf = next(leaf for leaf in self.memories if leaf.name == f"{self.name}_{memory}")
        at, chunk = leaf.widths["at"], leaf.widths["chunk"]
        pins = {"clk": "clk", "from": address, "read": found, "store": f"c_store_{memory}", "word": "c_payload"}
        pins |= {"at": part("c_at", 0, at, self.configure.widths["at"])}
        pins |= {"chunk": part("c_chunk", 0, chunk, self.configure.widths["chunk"])}
        yield from instance(leaf.name, f"{memory}_memory", pins)

    def _operands(self) -> Iterator[str]:
        kernel = self.kernel
        yield "  // where results go, and the values that are added to them stand: word after word"
        yield from (wire(name, width) for name, width in (("soon", 1), ("stores", 1), ("stored", kernel.word)))
        yield from self._counted("other_at", "d_other", "soon")
        yield from self._counted("into", "d_into", "stores")
        for bank in self.banks:
            if bank != IMAGE:
                yield wire(f"stores_{bank}", 1, f"stores & ~d_streams & d_target == 2'd{bank}")
        yield ""
        yield "  // the word of the source and its weights, a cycle after their addresses"
        for bank in self.banks:
            leaf = next(leaf for leaf in self.memories if leaf.name == f"{self.name}_bank_{bank}")
            bits = leaf.widths["from"]
            yield wire(f"read_{bank}", kernel.word)
            if bank == IMAGE:
                low = part("address", 0, bits - 1, kernel.address)
                pins = {"from": f"{{i_half, {low}}}", "store": "i_store", "at": "i_at", "word": "i_word"}
            else:
                own, other = (part(name, 0, bits, kernel.address) for name in ("address", "other_at"))
                pins = {"from": f"d_source == 2'd{bank} ? {own} : {other}"}
                pins |= {"store": f"stores_{bank}", "at": part("into", 0, bits, kernel.address), "word": "stored"}
            yield from instance(leaf.name, f"bank_{bank}", {"clk": "clk", "read": f"read_{bank}", **pins})
        yield wire("source_word", kernel.word, self._chosen("d_source"))
        yield wire("other_word", kernel.word, self._chosen("d_other_bank"))
        yield wire("weight_word", kernel.weight_word)
        yield from self._loaded("weights", "weight_at", "weight_word")

    def _counted(self, name: str, start: str, goes: str) -> Iterator[str]:
        """An address that a layer sets and that counts."""
        bits = self.kernel.address
        yield f"  reg {bus(bits)}{name};"
        yield f"  always @(posedge clk) if (begins) {name} <= {start}; else if ({goes}) {name} <= {name} + {bits}'d1;"

    def _chosen(self, which: str) -> str:
        *others, last = self.banks
        return " : ".join([*(f"{which} == 2'd{bank} ? read_{bank}" for bank in others), f"read_{last}"])

    def _compute(self) -> Iterator[str]:
        kernel = self.kernel
        yield "  // units, then the join"
        yield from register("enters", 1, "beat & on_source", ALWAYS)
        yield from register("enters_first", 1, "first", ALWAYS)
        yield from register("enters_last", 1, "ends", ALWAYS)
        yield wire("scale", kernel.scale_word)
        yield wire("next_scale", 1)
        yield wire("starts", 1)
        yield wire("comes", 1)
        yield wire("made", kernel.word)
        pins = {"first": "enters_first", "ends": "enters_last", "a": "source_word", "w": "weight_word", "word": "made"}
        yield from self._instance(self.parts.units, "units", {**pins, "relu": "d_relu"})
        yield from self._scale()
        yield wire("joined", 1)
        yield wire("sum_word", kernel.word)
        pins = {"comes": "starts", "relu": "d_join_relu", FIRST: "made", OTHER: "other_word", "word": "sum_word"}
        for name in (f"weight_{FIRST}", f"weight_{OTHER}"):
            field = kernel.fields[name.replace("weight_", "join_")]
            pins[name] = part("descriptor", field.at, field.width, kernel.descriptor)
        for name in kernel.parameters:
            field = kernel.fields[f"join_{name}"]
            pins[name] = part("descriptor", field.at, field.width, kernel.descriptor)
        yield from self._instance(self.parts.join, "joins", pins)

    def _scale(self) -> Iterator[str]:
        """The address of a sum's parameters: word after word of a window's results, then from the first on again."""
        kernel = self.kernel
        field = kernel.fields["last_scale"]
        bits, count = kernel.fields["scales"].width, field.width
        last = part("descriptor", field.at, field.width, kernel.descriptor)
        yield f"  reg {bus(count)}scale_left;"
        yield f"  reg {bus(bits)}scale_at;"
        yield wire("scale_over", 1, f"scale_left == {count}'d0")
        yield "  always @(posedge clk)"
        yield "    if (begins | next_scale & scale_over) begin"
        yield f"      scale_left <= {last};"
        yield "      scale_at <= d_scales;"
        yield "    end else if (next_scale) begin"
        yield f"      scale_left <= scale_left - {count}'d1;"
        yield f"      scale_at <= scale_at + {bits}'d1;"
        yield "    end"
        yield from self._loaded("scales", "scale_at", "scale")

    def _store(self) -> Iterator[str]:
        yield "  // a word of results into its bank, or away"
        yield assigned("stores", "d_joins ? joined : comes")
        yield assigned("stored", "d_joins ? sum_word : made")
        yield wire("leaves", 1, "stores & d_streams")
        way = pe_depth(self.plan.dp) + output_depth(self.plan.dp) + self.kernel.share
        whole = way + join_depth(self.plan)
        yield from register("finals", whole, f"{{finals[{whole - 2}:0], closes}}", ALWAYS)
        last = f"d_joins ? finals[{whole - 1}] : finals[{way - 1}]"
        pins = {"word": "stored", "sends": "ends & d_streams", "closes": last}
        yield from self._instance(self.results, "results", pins)
