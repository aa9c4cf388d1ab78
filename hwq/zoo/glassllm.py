"""glassllm: a Llama-shaped language model of 0.85 M parameters, judged by its divergence from its own float self."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from hwq.errors import HwqError
from hwq.zoo.attention import parts, split
from hwq.zoo.model import Model
from hwq.zoo.packages import wheel
from hwq.zoo.task import KL

PACKAGE, VERSION, FILE = "glassllm", "0.1.0", "glassllm/weights/en.npz"
SEQUENCES = Path(__file__).parent / "data" / "glassllm.npz"
CONTEXT, VOCABULARY, WIDTH, HIDDEN, DEPTH = 128, 1024, 128, 341, 4
HEADS, GROUPS, SIZE = 4, 2, 32  # query heads, heads of keys and values, numbers a head
TEST = 64
_HIDDEN_SCORE = -1e4  # exp of it is 0 in float32


class Attention(nn.Module):
    """Causal grouped-query attention with rotary positions: [N, T, 128] -> [N, T, 128].

    Queries of the heads that share keys are laid behind one another, so that each product is one of two matrices.
    """

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, HEADS * SIZE, bias=False)
        self.key = nn.Linear(WIDTH, GROUPS * SIZE, bias=False)
        self.value = nn.Linear(WIDTH, GROUPS * SIZE, bias=False)
        self.out = nn.Linear(HEADS * SIZE, WIDTH, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """`cos` and `sin` [T, 16] turn positions, `mask` [T, T] is added to the scores."""
        q = rotate(split(self.query(x), HEADS), cos, sin)
        k = rotate(split(self.key(x), GROUPS), cos, sin)
        v = split(self.value(x), GROUPS)
        stacked = parts(q, 1, GROUPS).flatten(2, 3)
        scores = torch.matmul(stacked, k.transpose(-2, -1)) * SIZE**-0.5
        hidden = parts(scores, 2, HEADS // GROUPS) + mask  # [N, groups, heads of a group, T, T]
        mixed = torch.matmul(torch.softmax(hidden, -1).flatten(2, 3), v)
        rows = parts(mixed, 2, HEADS // GROUPS).flatten(1, 2).transpose(1, 2).flatten(2)
        y: Tensor = self.out(rows)
        return y


class Block(nn.Module):
    """`x + attention(norm1(x))`, then `x + w2(silu(w1(y)) * w3(y))` of y = norm2(x): [N, T, 128] both ways."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attention = nn.RMSNorm(WIDTH, eps=1e-6), Attention()
        self.norm2 = nn.RMSNorm(WIDTH, eps=1e-6)
        self.w1, self.w3 = nn.Linear(WIDTH, HIDDEN, bias=False), nn.Linear(WIDTH, HIDDEN, bias=False)
        self.w2 = nn.Linear(HIDDEN, WIDTH, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """Map tokens; the other arguments are those of `Attention`."""
        x = x + self.attention(self.norm1(x), cos, sin, mask)
        y = self.norm2(x)
        z: Tensor = x + self.w2(silu(self.w1(y)) * self.w3(y))
        return z


class GlassLM(nn.Module):
    """Tied embedding, four blocks, RMS norms; rotary base 10,000."""

    cos: Tensor
    sin: Tensor
    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm = nn.RMSNorm(WIDTH, eps=1e-6)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.head.weight = self.embed.weight
        self.read(CONTEXT)

    def read(self, length: int) -> None:
        """Take sequences of `length` tokens from now on; 128 at first, and at most."""
        turns = torch.arange(length)[:, None] * 1e4 ** (-2 * torch.arange(SIZE // 2) / SIZE)
        self.register_buffer("cos", turns.cos(), persistent=False)
        self.register_buffer("sin", turns.sin(), persistent=False)
        self.register_buffer("mask", torch.full((length, length), _HIDDEN_SCORE).triu(1), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits [N, T, 1024] of the token after each one of ids [N, T], T as `read` says."""
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x, self.cos, self.sin, self.mask)
        logits: Tensor = self.head(self.norm(x))
        return logits


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs (x[i], x[i + 16]) of every head [N, heads, T, 32] by their positions' angles [T, 16]."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


@dataclass(frozen=True, eq=False)
class Sequences:
    """The `Data` of a language model: sequences [N, 128] that it wrote itself, `tools/sample_glassllm.py`."""

    net: GlassLM

    def calibration(self) -> Tensor:
        """256 sequences of ids [256, 128] that are not among the tests."""
        return _stored("calibration")

    def test(self, n: int | None = None) -> tuple[Tensor, Tensor]:
        """The first n of 512 sequences [n, 128], and the float network's logits [n, 128, 1024] for them."""
        held = _stored("test")
        n = TEST if n is None else n
        if not 1 <= n <= len(held):
            raise HwqError(f"the number of test sequences must be 1..{len(held)}, not {n}")
        with torch.no_grad():
            return held[:n], torch.cat([self.net(part) for part in torch.split(held[:n], 64)])


def network() -> GlassLM:
    """The released weights, read from the wheel.

    It pairs neighbours for the rotation; rows of queries and keys are reordered, so that halves of a head are paired.
    """
    with np.load(wheel(PACKAGE, VERSION, FILE)) as stored:
        held = {name: torch.from_numpy(stored[name].astype(np.float32)) for name in stored if name != "__config__"}
    state = {"embed.weight": held["E"], "head.weight": held["E"], "norm.weight": held["norm_f.gamma"]}
    names = {"attn.W_Q": "attention.query", "attn.W_K": "attention.key", "attn.W_V": "attention.value"}
    names |= {"attn.W_O": "attention.out", "ffn.W1": "w1", "ffn.W2": "w2", "ffn.W3": "w3"}
    for i in range(DEPTH):
        for norm in ("norm1", "norm2"):
            state[f"blocks.{i}.{norm}.weight"] = held[f"blocks.{i}.{norm}.gamma"]
        for theirs, ours in names.items():
            weight = held[f"blocks.{i}.{theirs}"].T
            paired = ours in ("attention.query", "attention.key")
            state[f"blocks.{i}.{ours}.weight"] = (_halved(weight) if paired else weight).contiguous()
    net = GlassLM()
    net.load_state_dict(state)
    return net.eval()


def _halved(weight: Tensor) -> Tensor:
    """Rows 0, 2, 4 ... of every head before rows 1, 3, 5 ...: [heads * 32, 128]."""
    return weight.reshape(-1, SIZE // 2, 2, WIDTH).transpose(1, 2).reshape(weight.shape)


def _stored(name: str) -> Tensor:
    with np.load(SEQUENCES) as stored:
        return torch.from_numpy(stored[name].astype(np.int64))


def load() -> Model:
    """The network with sequences that it wrote."""
    net = network()
    return Model("glassllm", net, Sequences(net), card="docs/model-cards/glassllm.md", task=KL)
