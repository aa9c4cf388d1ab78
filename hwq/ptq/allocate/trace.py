"""What each layer loses at each choice, by the curvature of the loss: HAWQ's second-order score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hwq.formats import Format
from hwq.ptq.allocate.problem import Floats
from hwq.ptq.graph import Graph
from hwq.ptq.scales import least_squares

__all__ = ["hessian_traces", "traced"]


def hessian_traces(graph: Graph, layers: Sequence[str], images: Tensor, probes: int = 50, seed: int = 0) -> Floats:
    """The mean eigenvalue [L] of the Hessian of the cross entropy by each layer's weights, by Hutchinson's estimate.

    E[v^T H v] / n for v of +1 and -1 (HAWQ-V2, arXiv 1911.03852). Labels are the network's own classes, so that images
    [N, ...] need none.
    """
    weights = {layer: graph.state[layer, "weight"].detach().clone().requires_grad_() for layer in layers}
    live = Graph(graph.nodes, {**graph.state, **{(layer, "weight"): w for layer, w in weights.items()}})
    with torch.no_grad():
        labels = graph.run(images).argmax(-1)
    with torch.enable_grad():
        outputs = live.run(images)
        loss = torch.nn.functional.cross_entropy(outputs.flatten(0, -2), labels.flatten())
        slopes = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
    generator, total = torch.Generator().manual_seed(seed), np.zeros(len(layers))
    for _ in range(probes):
        signs = [torch.randint(0, 2, w.shape, generator=generator) * 2.0 - 1 for w in weights.values()]
        bent = torch.autograd.grad(slopes, list(weights.values()), grad_outputs=signs, retain_graph=True)
        total += [float((v * h).sum()) / v.numel() for v, h in zip(signs, bent, strict=True)]
    return total / probes


def traced(graph: Graph, layers: Sequence[str], formats: Sequence[Format], traces: Floats) -> Floats:
    """Omega [L, K] = mean eigenvalue * squared error of the weights in each format, one scale a channel (HAWQ-V2)."""
    found = np.zeros((len(layers), len(formats)))
    for i, layer in enumerate(layers):
        rows = graph.state[layer, "weight"].flatten(1).double()
        for k, fmt in enumerate(formats):
            scale = least_squares(rows, fmt).unsqueeze(1)
            found[i, k] = float((rows - fmt.quantize(rows / scale) * scale).square().sum()) * max(traces[i], 0.0)
    return found
