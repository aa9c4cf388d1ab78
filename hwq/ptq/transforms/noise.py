"""NoisyQuant: a fixed number a channel is added before an activation is rounded, and taken off by the bias behind."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from hwq.errors import HwqError
from hwq.formats import Format
from hwq.ptq.call import Held
from hwq.ptq.graph import Graph
from hwq.ptq.lower import Layer
from hwq.ptq.scales import least_squares
from hwq.ptq.sites import Link, links
from hwq.ptq.transforms.base import Transform
from hwq.ptq.transforms.rewrite import after, channel_weights, host, shift, taken_off
from hwq.ptq.transforms.smooth import can_shift
from hwq.ptq.transforms.statistics import samples

__all__ = ["noise", "steps"]

_SHAPES = ("uniform", "normal")
_ROWS = 512
_MEANS = (0.0, 0.25, -0.25, 0.5, -0.5)


def noise(seed: int = 0, shape: str = "uniform", most: float = 2.0, points: int = 8) -> Transform:
    """y = W Q(x + N) + (b - W N), N drawn once a channel (NoisyQuant, arXiv 2211.16056).

    Amplitude (0 to `most` steps of an even grid, `points` of them) and mean (up to half a step) are searched by the
    error of the products. No noise is among them: it is never worse on the images searched on, at a scale of least
    squared error. The paper draws from a `uniform` distribution, its code from a `normal` one, on a finer grid. Behind
    a norm N costs nothing; behind a GELU it is a sum on the host, in a node of its own. Elsewhere nothing is added.
    """
    if shape not in _SHAPES:
        raise HwqError(f"the shape of noise must be one of {', '.join(_SHAPES)}, not {shape!r}")

    def rewrite(graph: Graph, images: Tensor, layers: tuple[Layer, ...]) -> Graph:
        formats = {layer.name: layer.datapath.mac.a for layer in layers if layer.datapath is not None}
        found = [link for kind in ("norms", "functions") for link in links(graph, kind)]
        found = [link for link in found if _takes(graph, link)]
        seen = samples(graph, images, [(link.source, link.axis) for link in found], _ROWS)
        drawn = torch.Generator().manual_seed(seed)
        for link in found:
            base = torch.rand(link.channels, generator=drawn).double() - 0.5
            if shape == "normal":
                base = torch.randn(link.channels, generator=drawn).double()
            kept = torch.zeros_like(base)
            kept[list(link.free)] = 1
            best = _best(graph, link, seen[link.source], formats[link.targets[0][0]], base, kept, most, points)
            graph = _added(graph, link, best) if bool(best.any()) else graph
        return graph

    return Transform(rewrite, sees_formats=True)


def _takes(graph: Graph, link: Link) -> bool:
    shifts = link.shifts if link.kind == "functions" else can_shift(graph, link)
    return shifts and all(graph[name].op == "linear" for name, _ in link.targets)


def _best(
    graph: Graph, link: Link, x: Tensor, fmt: Format, base: Tensor, kept: Tensor, most: float, points: int
) -> Tensor:
    """The noise [channels] of least error on the rows x [rows, channels]."""
    weights = torch.cat([channel_weights(graph, link, *target) for target in link.targets])
    candidates = [shape * kept for shape in steps(base, most, points, float(x.abs().max()), fmt)]
    errors = [_error(x + number, weights, fmt) for number in candidates]
    return candidates[errors.index(min(errors))]


def steps(base: Tensor, most: float, points: int, largest: float, fmt: Format) -> Iterator[Tensor]:
    """The noises that are tried, none first; a step is that of an even grid as wide as the format."""
    step = 2 * largest / 2**fmt.bits
    for i in range(points + 1):
        for mean in _MEANS:
            yield (base * (most * i / points) + mean) * step


def _error(x: Tensor, weights: Tensor, fmt: Format) -> float:
    """The squared error of the products of x [rows, channels] with weights [N, channels], x alone rounded."""
    scale = least_squares(x.reshape(1, -1), fmt)
    near = fmt.quantize(x / scale) * scale
    return float(((near - x) @ weights.T).square().sum())


def _added(graph: Graph, link: Link, number: Tensor) -> Graph:
    if link.kind == "norms":
        return shift(graph, link, number)
    node = graph[link.source]
    made = host(f"{node.name}:noise", node, "add.Tensor", ("other", Held("other")))
    shaped = number.reshape([len(number) if i == link.axis % len(node.shape) else 1 for i in range(len(node.shape))])
    like = graph.state[link.targets[0][0], "weight"].dtype
    held = {(made.name, "other"): shaped.to(like)}
    return after(taken_off(graph, link, number), node.name, (made,), held)
