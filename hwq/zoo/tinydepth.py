"""TinyDepth: monocular depth of drawn rooms, a network whose output is a picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from hwq.errors import HwqError
from hwq.zoo import rooms
from hwq.zoo.model import Model
from hwq.zoo.task import ABS_REL

WEIGHTS = Path(__file__).parent / "data" / "tinydepth.safetensors"
TRAINED, HELD, TESTED = 20262, 20263, 20264  # seeds: rooms for training, calibration and tests
CALIBRATION, TEST, MOST = 256, 100, 1000
_WIDTHS = (16, 32, 64, 96)


class Layer(nn.Module):
    """`relu(bn(conv(x)))`, 3x3: [N, inputs, H, W] -> [N, outputs, H / stride, W / stride]."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map activations."""
        return relu(self.bn(self.conv(x)))


class TinyDepth(nn.Module):
    """Four halvings to 96 channels, a sum with the global mean's projection, four doublings with added skips.

    Convolutions, ReLU, nearest-neighbour doubling and sums, nothing else.
    """

    def __init__(self) -> None:
        super().__init__()
        ends = (3, *_WIDTHS)
        pairs = list(zip(ends, _WIDTHS, strict=False))
        self.down = nn.ModuleList(nn.Sequential(Layer(a, b, 2), Layer(b, b)) for a, b in pairs)
        self.context = nn.Conv2d(_WIDTHS[-1], _WIDTHS[-1], 1)
        self.narrow = nn.ModuleList(Layer(b, a) for a, b in reversed(pairs[1:]))
        self.up = nn.ModuleList(Layer(a, a) for a, _ in reversed(pairs[1:]))
        self.last = Layer(_WIDTHS[0], _WIDTHS[0])
        self.head = nn.Conv2d(_WIDTHS[0], 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Logarithms of metres [N, 1, H, W] of normalised pictures [N, 3, H, W], H and W multiples of 16."""
        skips: list[Tensor] = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        x = x + self.context(x.mean((2, 3), keepdim=True))
        for narrow, up, skip in zip(self.narrow, self.up, reversed(skips[:-1]), strict=True):
            x = up(_double(narrow(x)) + skip)
        logs: Tensor = self.head(self.last(_double(x)))
        return logs


def _double(x: Tensor) -> Tensor:
    """Each pixel four times: [N, C, H, W] -> [N, C, 2H, 2W]."""
    return interpolate(x, scale_factor=2, mode="nearest")


@dataclass(frozen=True)
class Rooms:
    """The `Data` of TinyDepth: rooms drawn from seeds that training never saw."""

    def calibration(self) -> Tensor:
        """256 pictures [256, 3, 96, 128]."""
        return _drawn(HELD, CALIBRATION)[0]

    def test(self, n: int | None = None) -> tuple[Tensor, Tensor]:
        """n pictures [n, 3, 96, 128], 100 by default and 1,000 at most, and their depths [n, 1, 96, 128] in metres."""
        n = TEST if n is None else n
        if not 1 <= n <= MOST:
            raise HwqError(f"the number of test rooms must be 1..{MOST}, not {n}")
        return _drawn(TESTED, n)


@lru_cache(maxsize=4)
def _drawn(seed: int, count: int) -> tuple[Tensor, Tensor]:
    pictures, depths = rooms.rooms(seed, count)
    return normalise(torch.from_numpy(pictures)), torch.from_numpy(depths).unsqueeze(1)


def normalise(pictures: Tensor) -> Tensor:
    """Network input `(rgb - 128) / 128`: uint8 [N, H, W, 3] -> float32 [N, 3, H, W]."""
    return ((pictures.permute(0, 3, 1, 2).float() - 128) / 128).contiguous()


def load() -> Model:
    """The trained network of `tools/train_tinydepth.py` with drawn rooms."""
    net = TinyDepth()
    net.load_state_dict(load_file(WEIGHTS))
    return Model("tinydepth", net.eval(), Rooms(), card="docs/model-cards/tinydepth.md", task=ABS_REL)
