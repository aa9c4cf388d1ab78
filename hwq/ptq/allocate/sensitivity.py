"""What each layer loses at each choice, measured: one layer at a time is lowered, all others stay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from hwq.ptq.allocate.problem import Floats
from hwq.ptq.engine import Quantizer
from hwq.ptq.lower import Assignment

__all__ = ["divergence", "measured"]

_LEAST = 1e-6  # as the published code has it, so that noise makes no choice free or better than float
_BATCH = 64


def divergence(outputs: Tensor, reference: Tensor) -> float:
    """KL(reference || outputs) of the softmax over the last axis, nats, the mean over everything else."""
    left, right = (x.double().log_softmax(-1).flatten(0, -2) for x in (outputs, reference))
    return float(torch.nn.functional.kl_div(left, right, log_target=True, reduction="batchmean"))


def measured(
    engine: Quantizer,
    assignment: Assignment,
    layers: Sequence[str],
    choices: Sequence[str],
    images: Tensor,
    recipe: str = "rtn+bc",
    loss: Callable[[Tensor, Tensor], float] = divergence,
    done: Callable[[int], None] = lambda count: None,
) -> Floats:
    """The loss [L, K] when only one layer has a choice, a datapath's text, over that of `assignment` for all layers.

    `loss(outputs, float outputs)` is of the fake-quantized network on `images` [N, ...]; at least 1e-6 (arXiv
    2006.10518, whose published code has that floor). `done` is told the number of cases finished.
    """
    with torch.no_grad():
        reference = torch.cat([engine.graph.run(part) for part in torch.split(images, _BATCH)])
        plain = loss(_outputs(engine, assignment, images, recipe), reference)
        found = np.zeros((len(layers), len(choices)))
        for i, layer in enumerate(layers):
            for k, choice in enumerate(choices):
                lowered: Mapping[str, object] = {**assignment, layer: choice}
                made = loss(_outputs(engine, lowered, images, recipe), reference)  # type: ignore[arg-type]
                found[i, k] = max(made - plain, _LEAST)
                done(i * len(choices) + k + 1)
    return found


def _outputs(engine: Quantizer, assignment: Assignment, images: Tensor, recipe: str) -> Tensor:
    model = engine.quantize(assignment, recipe)
    return torch.cat([model.fake(part) for part in torch.split(images, _BATCH)])
