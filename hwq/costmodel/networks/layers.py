"""A layer as the loops of its product, the way the field writes them: B, G, K, C, OY, OX, FY, FX.

    for g, b, k, oy, ox:  O[g][b][k][oy][ox] = sum over c, fy, fx of W[g][k][c][fy][fx] * I[g][b][c][iy][ix]

with iy = oy * stride + fy * dilation - padding, ix alike; a padded position is neither held nor loaded. K and C are
those of one group. A matrix product of M rows is OX = M with a kernel of 1 x 1; products of attention have a group for
each head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from hwq.datapath import Mac
from hwq.datapath.checks import whole

__all__ = ["Layer", "Widths", "conv", "gemm"]

Pair = tuple[int, int]
MOST = 1 << 24


class Widths(NamedTuple):
    """Bits of an input, a weight, an unfinished sum, and an output as it is stored."""

    input: int
    weight: int
    sum: int
    output: int

    @classmethod
    def of(cls, mac: Mac) -> Widths:
        """Those of a multiply-accumulate; a scale that a block of codes shares is not in them."""
        return cls(mac.a.bits, mac.w.bits, mac.acc_bits, mac.output.bits)


@dataclass(frozen=True)
class Layer:
    """One product of a network. Pairs are (rows, columns); `image` is the input's size without padding.

    `vector_ops` are the elementary operations that a vector unit does for each output before it is stored (activation,
    requantization, its share of a softmax or a norm), 0 where the array's own output path does all of it.
    """

    name: str
    widths: Widths
    k: int
    c: int
    out: Pair
    image: Pair
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    batch: int = 1
    vector_ops: int = 0

    def __post_init__(self) -> None:
        for name in ("k", "c", "groups", "batch"):
            whole(f"{name} of {self.name}", getattr(self, name), 1, MOST)
        for name, least in (("out", 1), ("image", 1), ("kernel", 1), ("stride", 1), ("padding", 0), ("dilation", 1)):
            for value in getattr(self, name):
                whole(f"{name} of {self.name}", value, least, MOST)
        for name, bits in self.widths._asdict().items():
            whole(f"bits of {self.name}'s {name}", bits, 1, 1024)
        whole(f"vector_ops of {self.name}", self.vector_ops, 0, MOST)

    @property
    def shape(self) -> Layer:
        """The layer without its name: all that its price depends on."""
        return replace(self, name="")

    @property
    def pixels(self) -> int:
        """Positions of the output: B * OY * OX."""
        return self.batch * self.out[0] * self.out[1]

    @property
    def taps(self) -> int:
        """Positions of the kernel: FY * FX."""
        return self.kernel[0] * self.kernel[1]

    @property
    def macs(self) -> int:
        """Multiply-accumulates, those with padding too."""
        return self.groups * self.pixels * self.k * self.c * self.taps

    @property
    def outputs(self) -> int:
        """Values of the output."""
        return self.groups * self.pixels * self.k

    @property
    def weights(self) -> int:
        """Values of the second operand."""
        return self.groups * self.k * self.c * self.taps

    @property
    def bits(self) -> dict[str, int]:
        """Bits of each operand in all; sums in the place of outputs where they are wider."""
        widths, positions = self.widths, math.prod(self.image) * self.batch
        return {
            "input": self.groups * positions * self.c * widths.input,
            "weight": self.weights * widths.weight,
            "output": self.outputs * max(widths.sum, widths.output),
        }


def conv(
    name: str,
    widths: Widths,
    outputs: int,
    inputs: int,
    image: Pair,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    vector_ops: int = 0,
) -> Layer:
    """A convolution of all its channels `outputs` and `inputs`, with a square kernel."""
    whole("groups", groups, 1, math.gcd(outputs, inputs))
    out = tuple((size + 2 * padding - kernel) // stride + 1 for size in image)
    pairs = {"kernel": (kernel, kernel), "stride": (stride, stride), "padding": (padding, padding)}
    return Layer(
        name,
        widths,
        outputs // groups,
        inputs // groups,
        (out[0], out[1]),
        image,
        pairs["kernel"],
        pairs["stride"],
        pairs["padding"],
        groups=groups,
        vector_ops=vector_ops,
    )


def gemm(name: str, widths: Widths, m: int, n: int, k: int, groups: int = 1, vector_ops: int = 0) -> Layer:
    """M x K by K x N, the second operand's values as weights; `groups` of them, as the heads of attention are."""
    return Layer(name, widths, n, k, (1, m), (1, m), groups=groups, vector_ops=vector_ops)
