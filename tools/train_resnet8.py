"""Train the zoo's ResNet-8 on the 60,000 Fashion-MNIST train images: `python tools/train_resnet8.py`.

The recipe is fixed here and nowhere else: the last epoch is kept, no test image is looked at before it ends. One thread
and one seed give the same weights on the same kind of CPU and the same torch; `--out` names the safetensors file.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import pad

from hwq.zoo import fashion_mnist
from hwq.zoo.resnet8 import WEIGHTS, ResNet8


@dataclass(frozen=True)
class Recipe:
    """All that decides the weights, beside the images, torch's version and the CPU."""

    seed: int = 20260
    epochs: int = 12
    batch: int = 128
    peak_rate: float = 0.2  # one-cycle, cosine, 30 % warm-up
    momentum: float = 0.9  # Nesterov
    weight_decay: float = 5e-4
    smoothing: float = 0.05
    shift: int = 2  # random crop after padding by this many black pixels; and a horizontal flip
    autocast: str = "bfloat16"
    threads: int = 1


def main() -> None:
    """Train, evaluate once on the 10,000 test images, write weights and metadata."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    chosen = parser.parse_args()
    recipe = Recipe(seed=chosen.seed)
    torch.set_num_threads(recipe.threads)
    images, labels = fashion_mnist.split("train")
    started, used = time.monotonic(), time.process_time()
    net = train(recipe, fashion_mnist.normalise(images), torch.from_numpy(labels).long())
    wall, cpu = time.monotonic() - started, time.process_time() - used
    correct = evaluate(net, *fashion_mnist.FashionMnist().test(fashion_mnist.FULL_TEST))
    print(f"{correct} of {fashion_mnist.FULL_TEST} test images right; {wall:.0f} s, {cpu:.0f} CPU-s")
    save(chosen.out, net, recipe, correct)


def train(recipe: Recipe, images: Tensor, labels: Tensor) -> ResNet8:
    """A trained network in eval mode, from normalised images [N, 1, 28, 28] and labels [N]."""
    torch.manual_seed(recipe.seed)
    net: ResNet8 = ResNet8().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.SGD(
        net.parameters(), recipe.peak_rate, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True
    )
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
    return net


def batches(recipe: Recipe, images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
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


def save(out: Path, net: nn.Module, recipe: Recipe, correct: int) -> None:
    """Write the float32 state with its recipe; to a temporary name first, so that no half file is taken for a whole."""
    facts = {
        "recipe": json.dumps(asdict(recipe)),
        "data": "Fashion-MNIST train split, 60000 images, Debian dataset-fashion-mnist 0.0~git20200523.55506a9-1",
        "correct_of_10000": str(correct),
        "torch": str(torch.__version__).split("+")[0],
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }
    partial = out.with_suffix(".partial")
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, partial, metadata=facts)
    partial.rename(out)


if __name__ == "__main__":
    main()
