"""Networks by their shapes alone: what is needed to price them, no weights."""

from __future__ import annotations

from collections.abc import Iterator

from hwq.costmodel.networks.layers import Layer, Widths, conv, gemm

__all__ = ["resnet18", "vit"]


def resnet18(widths: Widths, side: int = 224, classes: int = 1000, vector_ops: int = 0) -> list[Layer]:
    """ResNet-18 (He et al., 2016) on an image of `side`: 20 convolutions and the classifier; pools are not products."""

    def made() -> Iterator[Layer]:
        image = (side, side)
        first = conv("conv1", widths, 64, 3, image, 7, 2, 3, vector_ops=vector_ops)
        yield first
        size, inputs = -(-first.out[0] // 2), 64  # a pool of 3 x 3, stride 2
        for stage, outputs in enumerate((64, 128, 256, 512), start=1):
            for block in (0, 1):
                stride = 2 if stage > 1 and block == 0 else 1
                name, image = f"layer{stage}.{block}", (size, size)
                one = conv(f"{name}.conv1", widths, outputs, inputs, image, 3, stride, 1, vector_ops=vector_ops)
                yield one
                yield conv(f"{name}.conv2", widths, outputs, outputs, one.out, 3, 1, 1, vector_ops=vector_ops)
                if stride > 1:
                    yield conv(f"{name}.downsample", widths, outputs, inputs, image, 1, stride, vector_ops=vector_ops)
                size, inputs = one.out[0], outputs
        yield gemm("fc", widths, 1, classes, inputs)

    return list(made())


def vit(
    widths: Widths,
    tokens: int,
    width: int,
    depth: int,
    heads: int,
    ops: tuple[int, int, int] = (0, 0, 0),
) -> list[Layer]:
    """The blocks of a vision transformer (Dosovitskiy et al., 2021) on so many tokens, an MLP of four times its width.

    `ops` are the vector unit's elementary operations for each output of a linear layer, of the MLP's first one, which
    its activation follows, and for each attention score. The patches' convolution is not in it.
    """
    linear, activated, score = ops
    each = width // heads
    block = [
        gemm("qkv", widths, tokens, 3 * width, width, vector_ops=linear),
        gemm("scores", widths, tokens, tokens, each, heads, score),
        gemm("values", widths, tokens, each, tokens, heads, linear),
        gemm("proj", widths, tokens, width, width, vector_ops=linear),
        gemm("fc1", widths, tokens, 4 * width, width, vector_ops=activated),
        gemm("fc2", widths, tokens, width, 4 * width, vector_ops=linear),
    ]
    return block * depth
