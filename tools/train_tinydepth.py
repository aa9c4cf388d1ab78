"""Train the zoo's TinyDepth on drawn rooms: `python tools/train_tinydepth.py`.

The recipe is fixed here and nowhere else: the last epoch is kept, no test room is looked at before it ends. One thread
and one seed give the same weights on the same kind of CPU and the same torch; `--out` names the safetensors file.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import training
from torch import Tensor

from hwq.zoo import rooms
from hwq.zoo.task import ABS_REL
from hwq.zoo.tinydepth import TRAINED, WEIGHTS, Rooms, TinyDepth, normalise

SCORED = 400  # test rooms


@dataclass(frozen=True)
class Recipe:
    """All that decides the weights, beside torch's version and the CPU."""

    seed: int = TRAINED
    rooms: int = 4000
    epochs: int = 16
    batch: int = 32
    peak_rate: float = 3e-3  # one-cycle, cosine, 30 % warm-up; AdamW
    weight_decay: float = 0.01
    slopes: float = 0.5  # weight of the error of neighbouring pixels' differences
    autocast: str = "bfloat16"
    threads: int = 1


def main() -> None:
    """Draw rooms, train, evaluate once on test rooms, write weights and metadata."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    out, recipe = parser.parse_args().out, Recipe()
    torch.set_num_threads(recipe.threads)
    started, used = time.monotonic(), time.process_time()
    pictures, depths = rooms.rooms(recipe.seed, recipe.rooms)
    print(f"{recipe.rooms} rooms drawn in {time.monotonic() - started:.0f} s", flush=True)
    net = train(recipe, torch.from_numpy(pictures), torch.from_numpy(depths).unsqueeze(1))
    wall, cpu = time.monotonic() - started, time.process_time() - used
    score = str(ABS_REL.score(*evaluate(net, SCORED)))
    print(f"AbsRel {score}; {wall:.0f} s, {cpu:.0f} CPU-s")
    training.store(out, net, recipe, "rooms drawn by hwq/zoo/rooms.py", {"abs_rel": score})


def train(recipe: Recipe, pictures: Tensor, depths: Tensor) -> TinyDepth:
    """A trained network in eval mode, from pictures uint8 [N, 96, 128, 3] and depths [N, 1, 96, 128] in metres."""
    torch.manual_seed(recipe.seed)
    net: TinyDepth = TinyDepth().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(net.parameters(), recipe.peak_rate, weight_decay=recipe.weight_decay)
    steps = recipe.epochs * (len(pictures) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.peak_rate, total_steps=steps)
    for epoch in range(recipe.epochs):
        started, total = time.monotonic(), 0.0
        order = torch.randperm(len(pictures))
        for at in range(0, len(order) - recipe.batch + 1, recipe.batch):
            chosen = order[at : at + recipe.batch]
            flips = torch.rand(recipe.batch, 1, 1, 1) < 0.5
            x, y = normalise(pictures[chosen]), depths[chosen].log()
            x, y = (torch.where(flips, part.flip(3), part) for part in (x, y))
            with torch.autocast("cpu", getattr(torch, recipe.autocast)):
                logs = net(x.contiguous(memory_format=torch.channels_last))
            loss = error(logs.float(), y, recipe.slopes)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * recipe.batch / len(pictures)
        print(f"epoch {epoch + 1} of {recipe.epochs}: loss {total:.4f}, {time.monotonic() - started:.1f} s", flush=True)
    net.eval()
    return net


def error(logs: Tensor, truth: Tensor, slopes: float) -> Tensor:
    """Mean absolute error of log depths [N, 1, H, W], plus `slopes` times that of differences of neighbours."""
    off = logs - truth
    return off.abs().mean() + slopes * (off.diff(dim=2).abs().mean() + off.diff(dim=3).abs().mean())


@torch.inference_mode()
def evaluate(net: TinyDepth, count: int) -> tuple[Tensor, Tensor]:
    """Log depths of test rooms by the network in float32, and the true depths."""
    pictures, depths = Rooms().test(count)
    return torch.cat([net(part) for part in torch.split(pictures, 50)]), depths


if __name__ == "__main__":
    main()
