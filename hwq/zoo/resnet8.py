"""ResNet-8, the MLPerf-Tiny image classifier, for one 28x28 channel."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import relu

from hwq.zoo.fashion_mnist import FashionMnist
from hwq.zoo.model import Model

WEIGHTS = Path(__file__).parent / "data" / "resnet8.safetensors"


class Block(nn.Module):
    """Basic block: `relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))`.

    [N, inputs, H, W] -> [N, outputs, H/stride, W/stride]. The shortcut is x itself, or a 1x1 convolution where the
    shape changes.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.projects = stride != 1 or inputs != outputs
        if self.projects:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut_bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map activations [N, inputs, H, W] to [N, outputs, H/stride, W/stride]."""
        y = relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return relu(y + (self.shortcut_bn(self.shortcut(x)) if self.projects else x))


class ResNet8(nn.Module):
    """Stem of 16 channels, blocks of 16, 32 and 64, global average, linear layer: 77,754 parameters, 9.35 MMAC.

    The shape of MLPerf Tiny's image classification reference (Banbury et al., arXiv 2106.07597) with one input channel;
    the two 1x1 shortcuts carry a BatchNorm, which folds into the bias the reference has there.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.stem_bn = nn.BatchNorm2d(16)
        self.block1 = Block(16, 16)
        self.block2 = Block(16, 32, stride=2)
        self.block3 = Block(32, 64, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of normalised images [N, 1, 28, 28]."""
        y = relu(self.stem_bn(self.stem(x)))
        y = self.block3(self.block2(self.block1(y)))
        logits: Tensor = self.fc(torch.flatten(self.pool(y), 1))
        return logits


def load() -> Model:
    """The trained network of `tools/train_resnet8.py` with Fashion-MNIST's images."""
    net = ResNet8()
    net.load_state_dict(load_file(WEIGHTS))
    return Model("resnet8", net.eval(), FashionMnist(), card="docs/model-cards/resnet8.md")
