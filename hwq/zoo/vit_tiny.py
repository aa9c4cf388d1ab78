"""ViT-tiny: a small vision transformer behind two convolutions, for one 28x28 channel."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import gelu, relu

from hwq.zoo.attention import Attention
from hwq.zoo.fashion_mnist import FashionMnist
from hwq.zoo.model import Model

WEIGHTS = Path(__file__).parent / "data" / "vit_tiny.safetensors"


class Block(nn.Module):
    """Pre-norm block: `x + attention(norm1(x))`, then `x + fc2(gelu(fc1(norm2(x))))`: [N, T, width] both ways."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [N, T, width] to tokens of the same shape."""
        x = x + self.attention(self.norm1(x))
        y: Tensor = x + self.fc2(gelu(self.fc1(self.norm2(x))))
        return y


class ViTTiny(nn.Module):
    """Two 3x3 convolutions of stride 2 to 49 tokens of 64, four blocks of 4 heads, mean of tokens, linear layer.

    The convolutional stem is that of Xiao et al., "Early Convolutions Help Transformers See Better" (arXiv
    2106.14881), which saves a small transformer most of the epochs that plain patches take.
    """

    def __init__(self, classes: int = 10, width: int = 64, depth: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.stem1 = nn.Conv2d(1, width // 2, 3, 2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.stem2 = nn.Conv2d(width // 2, width, 3, 2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.position = nn.Parameter(torch.randn(1, 49, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads, 2 * width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.fc = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of normalised images [N, 1, 28, 28]."""
        y = self.bn2(self.stem2(relu(self.bn1(self.stem1(x)))))
        y = y.flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            y = block(y)
        logits: Tensor = self.fc(self.norm(y).mean(1))
        return logits


def load() -> Model:
    """The trained network of `tools/train_vit_tiny.py` with Fashion-MNIST's images."""
    net = ViTTiny()
    net.load_state_dict(load_file(WEIGHTS))
    return Model("vit_tiny", net.eval(), FashionMnist(), card="docs/model-cards/vit_tiny.md")
