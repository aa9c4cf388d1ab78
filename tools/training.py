"""What the training scripts of Fashion-MNIST's networks share: augmented batches, one-cycle epochs, labelled files."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import pad

from hwq.zoo import fashion_mnist


def run(recipe: Any, train: Callable[[Any, Tensor, Tensor], nn.Module], weights: Path, about: str) -> None:
    """Train on the 60,000 train images, evaluate once on the 10,000 test images, write weights and metadata.

    The last epoch is kept and no test image is looked at before it ends. `about` is the script's docstring.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--out", type=Path, default=weights)
    parser.add_argument("--seed", type=int, default=recipe.seed)
    chosen = parser.parse_args()
    recipe = replace(recipe, seed=chosen.seed)
    torch.set_num_threads(recipe.threads)
    images, labels = fashion_mnist.split("train")
    started, used = time.monotonic(), time.process_time()
    net = train(recipe, fashion_mnist.normalise(images), torch.from_numpy(labels).long())
    wall, cpu = time.monotonic() - started, time.process_time() - used
    correct = evaluate(net, *fashion_mnist.FashionMnist().test(fashion_mnist.FULL_TEST))
    print(f"{correct} of {fashion_mnist.FULL_TEST} test images right; {wall:.0f} s, {cpu:.0f} CPU-s")
    save(chosen.out, net, recipe, correct)


def fit(net: nn.Module, optimiser: torch.optim.Optimizer, recipe: Any, images: Tensor, labels: Tensor) -> None:
    """Run all epochs of a recipe with a one-cycle learning rate, and leave the network in eval mode."""
    steps = recipe.epochs * (len(images) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.peak_rate, total_steps=steps)
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)
    for epoch in range(recipe.epochs):
        started, total = time.monotonic(), 0.0
        for x, y in batches(recipe, images, labels):
            with torch.autocast("cpu", getattr(torch, recipe.autocast)):
                loss = criterion(net(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * recipe.batch / len(images)
        print(f"epoch {epoch + 1} of {recipe.epochs}: loss {total:.4f}, {time.monotonic() - started:.1f} s", flush=True)
    net.eval()


def batches(recipe: Any, images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of shuffled, augmented batches; the last incomplete one is left out."""
    order = torch.randperm(len(images))
    for at in range(0, len(order) - recipe.batch + 1, recipe.batch):
        chosen = order[at : at + recipe.batch]
        yield augment(images[chosen], recipe.shift).contiguous(memory_format=torch.channels_last), labels[chosen]


def augment(x: Tensor, shift: int) -> Tensor:
    """Each image [N, 1, H, W] moved by up to `shift` pixels each way over black (-1) and flipped half of the time."""
    n, height, width = len(x), x.shape[2], x.shape[3]
    crops = pad(x, [shift] * 4, value=-1.0).unfold(2, height, 1).unfold(3, width, 1)
    down, right = torch.randint(2 * shift + 1, (2, n))
    x = crops[torch.arange(n), :, down, right]
    return torch.where(torch.rand(n, 1, 1, 1) < 0.5, x.flip(3), x)


@torch.inference_mode()
def evaluate(net: nn.Module, images: Tensor, labels: Tensor) -> int:
    """How many of the images are classified right, in float32."""
    logits = torch.cat([net(part) for part in torch.split(images, 500)])
    return int((logits.argmax(1) == labels).sum())


def save(out: Path, net: nn.Module, recipe: Any, correct: int) -> None:
    """Write the float32 state with its recipe and what it was scored."""
    store(
        out,
        net,
        recipe,
        "Fashion-MNIST train split, 60000 images, Debian dataset-fashion-mnist 0.0~git20200523.55506a9-1",
        {"correct_of_10000": str(correct)},
    )


def store(out: Path, net: nn.Module, recipe: Any, data: str, scored: dict[str, str]) -> None:
    """Write the float32 state with facts; to a temporary name first, so that no half file is taken for a whole."""
    facts = {
        "recipe": json.dumps(asdict(recipe)),
        "data": data,
        **scored,
        "torch": str(torch.__version__).split("+")[0],
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }
    partial = out.with_suffix(".partial")
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, partial, metadata=facts)
    partial.rename(out)
