"""What each layer loses at each choice, measured: one layer at a time is lowered, all others stay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hwq.datapath import Datapath
from hwq.ptq.allocate.problem import Floats
from hwq.ptq.lower import Assignment

if TYPE_CHECKING:
    from hwq.ptq.engine import Quantizer
    from hwq.ptq.recipe import Recipe

__all__ = ["divergence", "measured", "measured_pairs"]

Loss = Callable[[Tensor, Tensor], float]
_LEAST = 1e-6  # as the published code has it, so that noise makes no choice free or better than float
_BATCH = 64


def divergence(outputs: Tensor, reference: Tensor) -> float:
    """KL(reference || outputs) of the softmax over the last axis, nats, the mean over everything else."""
    left, right = (x.double().log_softmax(-1).flatten(0, -2) for x in (outputs, reference))
    return float(torch.nn.functional.kl_div(left, right, log_target=True, reduction="batchmean"))


def measured(
    engine: Quantizer,
    assignment: Assignment,
    choices: Mapping[str, Sequence[Datapath]],
    images: Tensor,
    recipe: str | Recipe = "rtn+bc",
    loss: Loss = divergence,
    done: Callable[[int], None] = lambda count: None,
) -> Floats:
    """The loss [L, K] when only one layer has one of its `choices`, over that of `assignment` for all layers.

    `loss(outputs, float outputs)` is of the fake-quantized network on `images` [N, ...]; at least 1e-6 (arXiv
    2006.10518, whose published code has that floor). `done` is told the number of cases finished.
    """
    of = _lost(engine, assignment, images, recipe, loss)
    plain, found = of({}), []
    for layer, paths in choices.items():
        for path in paths:
            found.append(max(of({layer: path}) - plain, _LEAST))
            done(len(found))
    return np.array(found).reshape(len(choices), -1)


def measured_pairs(
    engine: Quantizer,
    assignment: Assignment,
    choice: Mapping[str, Datapath],
    images: Tensor,
    recipe: str | Recipe = "rtn+bc",
    loss: Loss = divergence,
    done: Callable[[int], None] = lambda count: None,
) -> Floats:
    """What two layers with their `choice` lose [L, L] beyond the sum of what each loses alone; 0 on the diagonal."""
    of = _lost(engine, assignment, images, recipe, loss)
    plain, names, asked = of({}), [*choice], 0
    alone, pair = np.zeros(len(names)), np.zeros((len(names),) * 2)
    for i, first in enumerate(names):
        alone[i], asked = of({first: choice[first]}) - plain, asked + 1
        done(asked)
        for j, second in enumerate(names[:i]):
            both, asked = of({first: choice[first], second: choice[second]}) - plain, asked + 1
            pair[i, j] = pair[j, i] = both - alone[i] - alone[j]
            done(asked)
    return pair


def _lost(
    engine: Quantizer, assignment: Assignment, images: Tensor, recipe: str | Recipe, loss: Loss
) -> Callable[[Assignment], float]:
    """The loss of an assignment of which some layers are changed."""
    with torch.no_grad():
        reference = torch.cat([engine.graph.run(part) for part in torch.split(images, _BATCH)])

    def of(changed: Assignment) -> float:
        return loss(_outputs(engine, {**assignment, **changed}, images, recipe), reference)

    return of


def _outputs(engine: Quantizer, assignment: Assignment, images: Tensor, recipe: str | Recipe) -> Tensor:
    model = engine.quantize(assignment, recipe)
    return torch.cat([model.fake(part) for part in torch.split(images, _BATCH)])
