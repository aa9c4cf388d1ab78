"""Small networks with what transforms and other passes look for: norms, attention, depthwise layers, residual sums."""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from hwq import ptq

WIDTH, HEADS, TOKENS = 16, 2, 7
OUTLIERS = (3, 11)


def random_images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Attention(nn.Module):
    """Pre-norm attention and MLP; q, k and v of one layer or of three."""

    def __init__(self, norm: type[nn.Module], fused: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(WIDTH), norm(WIDTH)
        self.qkv = nn.ModuleList([nn.Linear(WIDTH, 3 * WIDTH)] if fused else [nn.Linear(WIDTH, WIDTH)] * 0)
        self.parts = nn.ModuleList([] if fused else [nn.Linear(WIDTH, WIDTH) for _ in range(3)])
        self.out, self.up, self.down = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 32), nn.Linear(32, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        y, shape = self.norm1(x), (len(x), -1, HEADS, WIDTH // HEADS)
        if self.parts:
            q, k, v = (part(y).reshape(shape).transpose(1, 2) for part in self.parts)
        else:
            q, k, v = self.qkv[0](y).reshape(len(x), -1, 3, *shape[2:]).permute(2, 0, 3, 1, 4)
        mixed = ((q @ k.mT) * shape[3] ** -0.5).softmax(-1) @ v
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(fn.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """[N, 7, 6] -> [N, 5]; gains and offsets of norms are far from 1 and 0, those of two channels are outliers."""

    def __init__(self, norm: type[nn.Module] = nn.LayerNorm, fused: bool = True, blocks: int = 2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.place = nn.Linear(6, WIDTH), nn.Parameter(torch.randn(1, TOKENS, WIDTH))
        self.blocks = nn.ModuleList([Attention(norm, fused) for _ in range(blocks)])
        self.norm, self.head = norm(WIDTH), nn.Linear(WIDTH, 5)
        for part in self.modules():
            if isinstance(part, norm):
                with torch.no_grad():
                    part.weight.copy_(torch.rand(WIDTH) + 0.5)
                    part.weight[list(OUTLIERS)] *= 25
                    if getattr(part, "bias", None) is not None:
                        part.bias.copy_(torch.randn(WIDTH))
        with torch.no_grad():
            for layer in [layer for block in self.blocks for layer in (*block.qkv, *block.parts, block.up)]:
                layer.weight[:, list(OUTLIERS)] /= 25

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x) + self.place
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))


class Mobile(nn.Module):
    """Expanding, depthwise and projecting convolutions round a residual sum, a strided depthwise one, and a head."""

    def __init__(self, rectifier: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.rectify = nn.Conv2d(3, 8, 3, padding=1), rectifier()
        self.expand, self.depthwise = nn.Conv2d(8, 16, 1), nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.project, self.second = nn.Conv2d(16, 8, 1), nn.Conv2d(8, 24, 3, 2, padding=1, groups=2)
        self.third, self.pool, self.head = nn.Conv2d(24, 24, 3, groups=24), nn.MaxPool2d(2), nn.Linear(96, 5)
        with torch.no_grad():
            for layer in (self.expand, self.depthwise, self.second, self.third):
                layer.weight *= torch.logspace(-1, 1, len(layer.weight)).reshape(-1, 1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.rectify(self.stem(x))
        x = x + self.project(self.rectify(self.depthwise(self.rectify(self.expand(x)))))
        return self.head(self.pool(self.rectify(self.third(self.rectify(self.second(x))))).flatten(1))


def doubled(graph: ptq.Graph) -> ptq.Graph:
    """`graph` in double precision."""
    state = {key: x.double() if x.is_floating_point() else x for key, x in graph.state.items()}
    return ptq.Graph(graph.nodes, state)


@cache  # traced once: what reads a graph makes another one
def transformer(norm: type[nn.Module] = nn.LayerNorm, fused: bool = True) -> tuple[ptq.Graph, Tensor]:
    """A transformer as a graph in double, and its images."""
    images = random_images(24, TOKENS, 6)
    return doubled(ptq.trace(Transformer(norm, fused).eval(), images)), images.double()


@cache
def mobile(rectifier: type[nn.Module] = nn.ReLU) -> tuple[ptq.Graph, Tensor]:
    """A convolutional network as a graph in double, and its images."""
    images = random_images(12, 3, 12, 12)
    return doubled(ptq.trace(Mobile(rectifier).eval(), images)), images.double()
