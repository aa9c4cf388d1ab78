"""Losses: how far what a unit makes, or what its weights are, is from the float network.

A loss is made once of a unit; it then judges a batch of its images. Outputs are in units of the target's root mean
square, so that one penalty fits networks of any scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as fn

from hwq.errors import HwqError
from hwq.ptq.moments import input_rows
from hwq.ptq.unit import Unit
from hwq.ptq.weights import hessian

__all__ = ["LOSSES", "Judge", "Loss", "Made", "divergence", "importance", "squared"]

_CHUNK = 64
_TEMPERATURE, _PREDICTION = 4.0, 10.0  # PD-Quant's T and 1 / lambda_r
_CROSSED = 0.01  # BRECQ's factor of its full Fisher loss


@dataclass(frozen=True, eq=False)
class Made:
    """What a unit made [B, ...] of its images `index` [B], with real `weights` {layer: [N, ...]}."""

    index: Tensor
    value: Tensor
    weights: Mapping[str, Tensor]


Judge = Callable[[Made], Tensor]  # the loss, a mean over the images
Loss = Callable[[Unit], Judge]


def squared(unit: Unit, weigh: Tensor | None = None) -> Judge:
    """The squared error, summed over channels and meaned over the rest; `weigh` [N, ...] counts each element."""
    size = _size(unit.target)

    def judge(made: Made) -> Tensor:
        error = ((made.value - unit.target[made.index]) / size).square()
        return (error if weigh is None else error * weigh[made.index]).sum(_channels(error)).mean()

    return judge


def fisher(unit: Unit) -> Judge:
    """BRECQ's diagonal loss: each squared error counts by the square of the prediction's gradient there.

    Half of the weight is spread evenly, as the public code adds 1 to the gradients: those of few images see too little.
    """
    return squared(unit, (1 + importance(sensitivity(unit).square())) / 2)


def fisher_full(unit: Unit) -> Judge:
    """BRECQ's full loss: an image's errors count together, by the sum of error times gradient over all of them."""
    size, gradient = _size(unit.target), importance(sensitivity(unit).abs())

    def judge(made: Made) -> Tensor:
        error = (made.value - unit.target[made.index]).abs() / size * gradient[made.index]
        return (error.flatten(1).sum(1, keepdim=True) * error.flatten(1)).mean() * _CROSSED

    return judge


def tokens(unit: Unit) -> Judge:
    """The squared error, where every token or pixel counts by the mean size of its gradient (MBQ)."""
    gradient = sensitivity(unit).abs()
    return squared(unit, importance(gradient.mean(_channels(gradient), keepdim=True)))


def cosine(unit: Unit) -> Judge:
    """1 - cos of what is made and the target, of each image."""

    def judge(made: Made) -> Tensor:
        return (1 - fn.cosine_similarity(made.value.flatten(1), unit.target[made.index].flatten(1), eps=1e-12)).mean()

    return judge


def prediction(unit: Unit) -> Judge:
    """PD-Quant's: the squared error, and the divergence of the prediction that the float network makes of the value."""
    close, wanted = squared(unit), _in_chunks(unit, lambda part: part.tail(part.target))

    def judge(made: Made) -> Tensor:
        found = unit.of(made.index).tail(made.value)
        return close(made) + _PREDICTION * divergence(wanted[made.index], found, _TEMPERATURE)

    return judge


def kronecker(unit: Unit) -> Judge:
    """QuartDepth's: (w - W) F (w - W) of the weights alone, F the product of the moments of inputs and gradients."""
    layer = unit.layers[-1]
    if unit.layers != unit.weighted or len(unit.layers) != 1:
        raise HwqError('a kronecker loss must be of one layer; write unit = "layer"')
    groups, source = layer.node.window.groups, layer.node.inputs[0]
    weight = unit.graph.state[layer.name, "weight"].float()
    inputs = hessian(input_rows(layer.node, unit.read[source])).float()
    gradient = sensitivity(unit)
    gradient = gradient * (unit.target > 0) if layer.node.relu else gradient
    rows = gradient.movedim(1, -1).flatten(0, -2) if layer.op == "conv2d" else gradient.flatten(0, -2)
    rows = rows.reshape(len(rows), groups, -1).transpose(0, 1)
    moment = (rows.mT @ rows).float()

    def form(x: Tensor) -> Tensor:
        by_group = x.flatten(1).reshape(groups, -1, inputs.shape[-1])
        return (moment @ by_group @ inputs * by_group).sum()

    size = form(weight).clamp(min=torch.finfo(torch.float32).tiny) / len(weight)
    return lambda made: form(made.weights[layer.name] - weight) / size


LOSSES: dict[str, Loss] = {
    "cosine": cosine,
    "fisher": fisher,
    "fisher-full": fisher_full,
    "kronecker": kronecker,
    "mse": squared,
    "prediction": prediction,
    "tokens": tokens,
}


def divergence(wanted: Tensor, found: Tensor, temperature: float = 1.0) -> Tensor:
    """The divergence of the prediction `found` from `wanted`, logits [N, ...] of classes, a mean over the images."""
    axis = _channels(wanted)
    log_p, log_q = (fn.log_softmax(x / temperature, axis) for x in (wanted, found))
    return fn.kl_div(log_q, log_p, reduction="sum", log_target=True) / len(wanted)


def sensitivity(unit: Unit) -> Tensor:
    """The gradient [N, ...] of an image's divergence from the float prediction, by the value that the unit makes now.

    No label is needed, and it is 0 only where the prediction has not moved.
    """

    def gradient(part: Unit) -> Tensor:
        with torch.enable_grad():
            made = part.run(part.read).detach().requires_grad_()
            lost = divergence(part.tail(part.target), part.tail(made)) * len(made)
        return torch.autograd.grad(lost, made)[0]

    return _in_chunks(unit, gradient)


def importance(x: Tensor) -> Tensor:
    """`x` with a mean of 1; ones where it is 0 all over."""
    mean = x.mean()
    return x / mean if float(mean) > 0 else torch.ones_like(x)


def _in_chunks(unit: Unit, run: Callable[[Unit], Tensor]) -> Tensor:
    parts = torch.split(torch.arange(len(unit.target)), _CHUNK)
    return torch.cat([run(unit.of(part)) for part in parts]).detach()


def _size(target: Tensor) -> float:
    return float(target.square().mean().sqrt()) or 1.0


def _channels(x: Tensor) -> int:
    """The axis of channels: the second of images [N, C, H, W], else the last."""
    return 1 if x.dim() == 4 else -1
