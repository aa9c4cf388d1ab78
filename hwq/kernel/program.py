"""What a streaming kernel runs: layers over tensors that stand in its buffers, one after another for each image.

A *word* is as many codes as the kernel has lanes: of one pixel, `lanes` channels side by side, channel 0 lowest. A
tensor of C channels has ceil(C / lanes) words a pixel, one after the other, pixels in raster order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from hwq.errors import HwqError

__all__ = ["BANKS", "IMAGE", "Codes", "Entry", "Join", "Layer", "Program", "Tensor"]

Codes = np.ndarray[Any, Any]

IMAGE = 0  # the bank that images enter; results go to the others
BANKS = 3  # each is read once and written once a cycle


@dataclass(frozen=True)
class Tensor:
    """A tensor in a buffer: `words` a pixel from word `base` of a bank on."""

    bank: int
    base: int
    height: int
    width: int
    words: int

    @property
    def size(self) -> int:
        """Words."""
        return self.height * self.width * self.words


@dataclass(frozen=True, eq=False)
class Join:
    """A sum of a layer's result and of a value that stands in a buffer, each times a weight, requantized.

    `weights` (of the result, of the other), `bias`, `mul` and `shift` are codes, one for all channels.
    """

    other: Tensor
    weights: tuple[int, int]
    parameters: tuple[int, ...]
    relu: bool = False


@dataclass(frozen=True, eq=False)
class Layer:
    """A convolution, or what can be written as one: a linear layer, a pool, a depthwise convolution.

    `weights` are codes [cols, words of the source, kernel rows, kernel columns, lanes], of all the target's channels
    filled up to whole words. `diagonal`: a word of the target looks at the same word of the source alone, so that its
    weights are [cols, 1, ...]. `parameters` [cols, 1 or more] are the codes of bias, mul and shift. A target of None is
    the stream of results.
    """

    name: str
    source: Tensor
    target: Tensor | None
    height: int
    width: int
    words: int
    weights: Codes = field(repr=False)
    parameters: Codes = field(repr=False)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    diagonal: bool = False
    relu: bool = False
    join: Join | None = None

    @property
    def kernel(self) -> tuple[int, int]:
        """(rows, columns) of a window."""
        return self.weights.shape[2], self.weights.shape[3]

    @property
    def reads(self) -> int:
        """Words of the source that a position of a window gives."""
        return 1 if self.diagonal else self.source.words

    @property
    def beats(self) -> int:
        """Beats of a word of results: a word of the source each."""
        return self.kernel[0] * self.kernel[1] * self.reads

    @property
    def results(self) -> int:
        """Words of results."""
        return self.height * self.width * self.words

    @cached_property
    def weight_words(self) -> Codes:
        """The weights in the order in which they are used [words * beats, column, lane], one where all are alike."""
        lanes = self.weights.shape[-1]
        words = self.weights.reshape(self.words, lanes, *self.weights.shape[1:]).transpose(0, 3, 4, 2, 1, 5)
        words = words.reshape(-1, lanes, lanes)
        return words[:1] if (words == words[:1]).all() else words

    @property
    def repeats(self) -> bool:
        """True where one word of weights serves all beats, as in a pool."""
        return len(self.weight_words) == 1


@dataclass(frozen=True)
class Entry:
    """How an image comes: a beat a pixel of `channels` codes in raster order, `height` x `width` of them.

    Where `taps` of `channels` codes fit a word, a word of the buffer is a window of one row, `taps` wide, of every
    `stride`-th place, `padding` zeros before the row's first pixel: a convolution of few channels then takes a beat for
    each row of its kernel. Else `taps` is 1.
    """

    channels: int
    height: int
    width: int
    taps: int = 1
    padding: int = 0
    stride: int = 1

    def __post_init__(self) -> None:
        if self.stride & self.stride - 1 or self.padding >= self.taps:
            raise HwqError(
                f"windows of a row must have a stride of 1, 2, 4, ... and padding below their taps, not {self}"
            )

    @property
    def places(self) -> int:
        """Words of a row in the buffer."""
        return (self.width + 2 * self.padding - self.taps) // self.stride + 1


@dataclass(frozen=True, eq=False)
class Program:
    """Layers in order; the last one gives the results, and the first reads the image."""

    entry: Entry
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise HwqError("a program must have 1 layer or more, not none")
        streams = [layer.name for layer in self.layers if layer.target is None]
        if streams != [self.layers[-1].name]:
            raise HwqError(
                f"the last layer of a program alone must give its results, not {', '.join(streams) or 'none'}"
            )
        for layer in self.layers:
            if layer.join is not None and layer.join.other.bank in (layer.source.bank, IMAGE):
                bank = layer.join.other.bank
                raise HwqError(f"layer {layer.name} must add what stands in another bank than {bank}")
            if layer.target is not None and layer.target.bank == IMAGE:
                raise HwqError(f"layer {layer.name} must not write bank {IMAGE}, which images enter")

    @property
    def image(self) -> Tensor:
        """The image as it stands in its bank."""
        return self.layers[0].source

    @property
    def last_look(self) -> int:
        """The index of the last layer that reads the image."""
        reads = [at for at, layer in enumerate(self.layers) if IMAGE in _banks(layer)]
        return reads[-1]


def _banks(layer: Layer) -> tuple[int, ...]:
    return (layer.source.bank, *((layer.join.other.bank,) if layer.join is not None else ()))
