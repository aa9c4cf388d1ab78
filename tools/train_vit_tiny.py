"""Train the zoo's ViT-tiny on the 60,000 Fashion-MNIST train images: `python tools/train_vit_tiny.py`.

The recipe is fixed here and nowhere else: the last epoch is kept, no test image is looked at before it ends. One thread
and one seed give the same weights on the same kind of CPU and the same torch; `--out` names the safetensors file.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import training
from torch import Tensor

from hwq.zoo.vit_tiny import WEIGHTS, ViTTiny


@dataclass(frozen=True)
class Recipe:
    """All that decides the weights, beside the images, torch's version and the CPU."""

    seed: int = 20261
    epochs: int = 12
    batch: int = 128
    peak_rate: float = 3e-3  # one-cycle, cosine, 30 % warm-up; AdamW
    weight_decay: float = 0.05
    smoothing: float = 0.05
    shift: int = 2  # random crop after padding by this many black pixels; and a horizontal flip
    autocast: str = "bfloat16"
    threads: int = 1


def train(recipe: Recipe, images: Tensor, labels: Tensor) -> ViTTiny:
    """A trained network in eval mode, from normalised images [N, 1, 28, 28] and labels [N]."""
    torch.manual_seed(recipe.seed)
    net = ViTTiny()
    optimiser = torch.optim.AdamW(net.parameters(), recipe.peak_rate, weight_decay=recipe.weight_decay)
    training.fit(net, optimiser, recipe, images, labels)
    return net


if __name__ == "__main__":
    training.run(Recipe(), train, WEIGHTS, str(__doc__))
