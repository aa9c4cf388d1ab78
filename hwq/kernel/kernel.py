"""A streaming kernel: dot-product units that take a word of channels a cycle, the buffers around them, their widths."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from hwq.datapath import Datapath
from hwq.datapath.operand import operands
from hwq.datapath.spec import Requant
from hwq.datapath.steps import SEED, parameters
from hwq.errors import HwqError
from hwq.kernel.program import BANKS, IMAGE, Entry, Program

__all__ = ["Field", "Kernel"]

CHUNK = 32  # bits of a beat of configuration


@dataclass(frozen=True)
class Field:
    """A number of a layer's descriptor, at its place there."""

    name: str
    width: int
    at: int


@dataclass(frozen=True)
class Kernel:
    """`datapath` is that of one word of results: `@1xLxL/tree use=load`, L channels of L products a cycle.

    `depths` are the words of each bank, `weights`, `scales` and `layers` those of the other memories; `span` is the
    largest number of a descriptor's counters and coordinates. An epilogue, and an adder of a join, serves `share`
    columns, one a cycle, so that a word of results takes as many cycles at least.
    """

    datapath: Datapath
    entry: Entry
    depths: tuple[int, ...]
    weights: int
    scales: int
    layers: int
    span: int
    share: int = 1

    def __post_init__(self) -> None:
        if self.share < 1 or self.lanes % self.share:
            raise HwqError(f"an epilogue must serve a number of columns that divides {self.lanes}, not {self.share}")
        dp, array = self.datapath, self.datapath.array
        if array.dataflow != "tree" or array.rows != 1 or array.cols != array.lanes or "load" not in dp.uses:
            raise HwqError(f"a kernel's datapath must be @1xLxL/tree use=load, L lanes and columns, not {dp}")
        if dp.mac.out is None or dp.mac.output != dp.mac.a or not any(isinstance(s, Requant) for s in dp.mac.epilogue):
            raise HwqError(f"a kernel's results must be requantized to codes that it reads again, not {dp}")
        if SEED in parameters(dp.mac):
            raise HwqError(f"a kernel must round without noise, not {dp}; leave round=sr out")
        if any(operand.rests for operand in operands(dp.mac)):
            raise HwqError(f"a kernel's operands must have a code of zero, not {dp}")

    @classmethod
    def of(cls, datapath: Datapath, program: Program, share: int = 1) -> Kernel:
        """The smallest kernel for a program."""
        depths = [0] * BANKS
        for layer in program.layers:
            others = (layer.target, layer.join.other if layer.join else None)
            for tensor in (layer.source, *(other for other in others if other is not None)):
                depths[tensor.bank] = max(depths[tensor.bank], tensor.base + tensor.size)
        depths[IMAGE] = 2 << (depths[IMAGE] - 1).bit_length()  # two images, one in each half
        reach = [
            max(size, made) + pad + (kernel - 1) * dilation
            for x in program.layers
            for size, made, pad, kernel, dilation in zip(
                (x.source.height, x.source.width), (x.height, x.width), x.padding, x.kernel, x.dilation, strict=True
            )
        ]
        counts = [max(layer.words, layer.source.words, *layer.stride) for layer in program.layers]
        return cls(
            datapath,
            program.entry,
            tuple(depths),
            sum(len(layer.weight_words) for layer in program.layers),
            sum(layer.words for layer in program.layers) * share,
            len(program.layers),
            max(*reach, *counts),
            share,
        )

    def __str__(self) -> str:
        entry = self.entry
        image = f"{entry.channels}x{entry.height}x{entry.width}"
        windows = f" taps={entry.taps},{entry.padding},{entry.stride}" if entry.taps > 1 else ""
        share = f" share={self.share}" if self.share > 1 else ""
        memories = f"banks={','.join(map(str, self.depths))} weights={self.weights} scales={self.scales}"
        text = f"{self.datapath.parametric()} image={image}{windows} {memories} layers={self.layers}"
        return f"{text} span={self.span}{share}"

    @property
    def top(self) -> str:
        """The name of the kernel's hardware: its text's digest, so that no two kernels share one."""
        return f"hwq_{hashlib.sha256(str(self).encode()).hexdigest()[:10]}"

    @property
    def lanes(self) -> int:
        """Channels of a word."""
        return self.datapath.array.lanes

    @property
    def word(self) -> int:
        """Bits of a word of codes."""
        return self.lanes * self.datapath.mac.a.bits

    @property
    def weight_word(self) -> int:
        """Bits of the weights that a cycle takes: `lanes` codes for each column, column 0 lowest."""
        return self.lanes * self.lanes * self.datapath.mac.w.bits

    @cached_property
    def parameters(self) -> dict[str, int]:
        """The bits of each parameter of a channel, in order."""
        return {name: word.width for name, word in parameters(self.datapath.mac).items()}

    @property
    def scale_word(self) -> int:
        """Bits of the parameters that a cycle takes: those of one column of each epilogue."""
        return self.lanes // self.share * sum(self.parameters.values())

    @property
    def memory_bits(self) -> dict[str, int]:
        """The bits of each memory."""
        return {
            "values": sum(self.depths) * self.word,
            "weights": self.weights * self.weight_word,
            "scales": self.scales * self.scale_word,
            "layers": self.layers * self.descriptor,
        }

    @property
    def address(self) -> int:
        """Bits of an address of a bank."""
        return max((depth - 1).bit_length() for depth in self.depths)

    @cached_property
    def fields(self) -> dict[str, Field]:
        """What a descriptor holds, the first lowest."""
        at, found = 0, {}
        for name, width in self._widths().items():
            found[name] = Field(name, width, at)
            at += width
        return found

    @property
    def descriptor(self) -> int:
        """Bits of a descriptor."""
        last = list(self.fields.values())[-1]
        return last.at + last.width

    def _widths(self) -> dict[str, int]:
        count, place, bank = self.span.bit_length(), self.span.bit_length() + 1, (BANKS - 1).bit_length()
        counters = ("last_word", "last_kx", "last_ky", "last_result", "last_x", "last_y")
        coordinates = ("height", "width", "row", "col", "dilation_y", "dilation_x", "stride_y", "stride_x")
        steps = ("start", "step_kx", "step_ky", "step_x", "step_y", "into", "other")
        flags = ("diagonal", "repeats", "relu", "streams", "joins", "join_relu", "waits", "frees", "last")
        return {
            **dict.fromkeys(flags, 1),
            **dict.fromkeys(("source", "target", "other_bank"), bank),
            **dict.fromkeys(counters, count),
            "last_scale": max(1, (self.scales - 1).bit_length()),
            **dict.fromkeys(coordinates, place),
            **dict.fromkeys(steps, self.address),
            "weights": max(1, (self.weights - 1).bit_length()),
            "scales": max(1, (self.scales - 1).bit_length()),
            "join_first": self.datapath.mac.w.bits,
            "join_other": self.datapath.mac.w.bits,
            **{f"join_{name}": width for name, width in self.parameters.items()},
        }
