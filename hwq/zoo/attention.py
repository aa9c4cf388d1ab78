"""Multi-head self-attention in plain matrix products, the part that the zoo's transformers share."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """`out(softmax(q @ k.T / sqrt(d) + mask) @ v)` with `heads` heads: [N, T, width] -> [N, T, width].

    Four linear layers and two products with a softmax between, spelt out: a quantizer sees every product, and no shape
    in it depends on the batch.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mix the tokens of x; `mask` [N, 1, 1, T] is added to the scores: 0 for a token, very negative for padding."""
        q, k, v = (split(layer(x), self.heads) for layer in (self.query, self.key, self.value))
        scores = torch.matmul(q, k.transpose(-2, -1)) * self.scale
        shares = torch.softmax(scores if mask is None else scores + mask, -1)
        mixed: Tensor = self.out(torch.matmul(shares, v).transpose(1, 2).flatten(-2))
        return mixed


def split(x: Tensor, heads: int) -> Tensor:
    """[N, T, heads * d] -> [N, heads, T, d]."""
    return parts(x, -1, heads).transpose(1, 2)


def parts(x: Tensor, axis: int, count: int) -> Tensor:
    """An axis as `count` equal parts and their length: [..., count * d, ...] -> [..., count, d, ...]."""
    return torch.unflatten(x, axis, (count, -1))
