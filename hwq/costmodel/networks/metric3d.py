"""Metric3D v2 by its shapes (github.com/YvanYin/Metric3D, commit eb5b6fa): DINOv2 with registers and a decoder by RAFT.

Convolutions, linear layers and products of attention of `ViT_DINO_reg.py` and `RAFTDepthNormalDPTDecoder5.py`. An image
is stretched to whole patches of 14: 256, 512 and 1024 become 19, 37 and 74 patches a side. A transposed convolution of
kernel and stride 2 is four of 1 x 1. What is no product (norms, softmax, gates of the GRU, interpolation) is in
`vector_ops` of the layer before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hwq.costmodel.networks.layers import Layer, Widths, conv, gemm
from hwq.costmodel.networks.shapes import vit

__all__ = ["LARGE", "SMALL", "Metric3D", "metric3d"]

PATCH, REGISTERS, ANCHORS, NORMALS, UPSAMPLED = 14, 4, 256, 128, 9 * 16


@dataclass(frozen=True)
class Metric3D:
    """Sizes of one of its networks: the backbone's, channels of features and decoder, of the GRUs; its iterations."""

    width: int
    depth: int
    heads: int
    features: tuple[int, int, int, int]
    decoder: tuple[int, int, int, int]
    hidden: int
    iterations: int


SMALL = Metric3D(384, 12, 6, (96, 192, 384, 768), (96, 192, 384, 384), 48, 4)
LARGE = Metric3D(1024, 24, 16, (256, 512, 1024, 1024), (256, 512, 1024, 1024), 128, 8)


def metric3d(net: Metric3D, side: int, widths: Widths, ops: tuple[int, int, int] = (0, 0, 0)) -> list[Layer]:
    """The layers of a square image of `side` pixels. `ops` as of `vit`, the first of them in the decoder too."""
    patches = -(-side // PATCH)
    made = [conv("patches", widths, net.width, 3, (PATCH * patches,) * 2, PATCH, PATCH)]
    backbone = vit(widths, patches**2 + 1 + REGISTERS, net.width, net.depth, net.heads, ops)
    decoder = [*_features(net, patches, widths), *_decoder(net, patches, widths), *_updates(net, patches, widths)]
    return made + backbone + [replace(layer, vector_ops=ops[0]) for layer in decoder]


def _maps(patches: int) -> tuple[int, int, int]:
    """Sides of the maps at a quarter of the image, a seventh, a fourteenth."""
    return patches * 7 // 2, patches * 2, patches


def _features(net: Metric3D, patches: int, widths: Widths) -> Iterator[Layer]:
    width, tokens = net.width, patches**2
    for level in range(4):
        yield gemm(f"readout{level}.patch", widths, tokens, width, width)
        yield gemm(f"readout{level}.learn", widths, 1, width, (1 + REGISTERS) * width)
    quarter, _, _ = _maps(patches)
    yield gemm("feature1", widths, tokens, 4 * net.features[1], width)
    yield gemm("feature0", widths, quarter**2, net.features[0], width)


def _decoder(net: Metric3D, patches: int, widths: Widths) -> Iterator[Layer]:
    quarter, seventh, fourteenth = _maps(patches)
    d1, d2, d3, d4 = net.decoder
    for name, side, size, wide, blocks, made in (
        ("fuse3", fourteenth, fourteenth, d4, 1, d3),
        ("fuse2", fourteenth, seventh, d3, 2, d2),
        ("fuse1", seventh, quarter, d2, 2, d1 + 2),
    ):
        for n in range(2 * blocks):
            yield _conv(f"{name}.conv{n}", widths, wide, wide, side)
        yield gemm(f"{name}.out", widths, size**2, made, wide)
    yield _conv("depth.conv", widths, ANCHORS, d1, quarter)
    yield gemm("depth.out", widths, quarter**2, ANCHORS, ANCHORS)
    yield _conv("normal.conv", widths, NORMALS, d1, quarter)
    for n, outputs in enumerate((NORMALS, NORMALS, 3)):
        yield gemm(f"normal.{n}", widths, quarter**2, outputs, NORMALS)


def _updates(net: Metric3D, patches: int, widths: Widths) -> Iterator[Layer]:
    hidden, (quarter, seventh, fourteenth) = net.hidden, _maps(patches)
    for level, (side, inputs) in enumerate(zip((quarter, seventh, fourteenth), net.features[:3], strict=True)):
        for branch in ("hidden", "context"):
            name = f"{branch}{level}"
            yield _conv(f"{name}.conv1", widths, hidden, inputs, side)
            yield _conv(f"{name}.conv2", widths, hidden, hidden, side)
            if inputs != hidden:
                yield gemm(f"{name}.skip", widths, side**2, hidden, inputs)
            yield _conv(f"{name}.out", widths, hidden, hidden, side)
        yield _conv(f"gates{level}", widths, 3 * hidden, hidden, side)
    for _ in range(net.iterations):
        for name, side, inputs, times in (
            ("gru32", fourteenth, 2 * hidden, 3),
            ("gru16", seventh, 3 * hidden, 2),
            ("gru08", quarter, 2 * hidden + 6, 1),
        ):
            for _ in range(times):
                for gate in "zrq":
                    yield _conv(f"{name}.{gate}", widths, hidden, inputs, side)
        for name, outputs in (("depth", 2), ("normal", 4)):
            yield _conv(f"flow.{name}1", widths, hidden, hidden, quarter)
            yield _conv(f"flow.{name}2", widths, outputs, hidden, quarter)
        yield _conv("mask.conv", widths, hidden, hidden, quarter)
        yield gemm("mask.out", widths, quarter**2, UPSAMPLED, hidden)


def _conv(name: str, widths: Widths, outputs: int, inputs: int, side: int) -> Layer:
    return conv(name, widths, outputs, inputs, (side, side), 3, 1, 1)
