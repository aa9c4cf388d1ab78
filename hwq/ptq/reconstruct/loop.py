"""The one reconstruction loop: gradient descent on a unit's constants, towards what the float network has there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hwq.errors import HwqError
from hwq.ptq.fake import Held
from hwq.ptq.lower import Layer
from hwq.ptq.reconstruct.data import Data
from hwq.ptq.reconstruct.losses import LOSSES, Judge, Made
from hwq.ptq.reconstruct.soft import SOFT, Soft
from hwq.ptq.sites import LEVELS
from hwq.ptq.solved import Solved, assembled
from hwq.ptq.unit import Unit

__all__ = ["Reconstruct"]

_CHUNK = 64
_BIAS_RATE = 1e-4  # of what the layer's value can reach


@dataclass(frozen=True, kw_only=True)
class Reconstruct:
    """A reconstruction with its four slots: `soft` weights, `loss`, which activations are left float (`drop`), `bias`.

    Units are cut at the level `unit`. `iterations` of Adam on `batch` images each; `rate` multiplies the learning
    rates of the soft weight, `pull` its penalty. The same `seed` gives the same codes. No unit is left worse than it
    was, judged by the loss on all its images, none of whose activations is left float.
    """

    soft: str = "adaround"
    loss: str = "mse"
    unit: str = "layer"
    drop: float = 0.0
    bias: bool = False
    iterations: int = 500
    batch: int = 32
    rate: float = 1.0
    pull: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("soft", tuple(SOFT)), ("loss", tuple(LOSSES)), ("unit", LEVELS)):
            if (given := getattr(self, name)) not in known:
                raise HwqError(f"{name} must be one of {', '.join(known)}, not {given!r}")
        for name, least, most in _RANGES:
            given = getattr(self, name)
            whole = isinstance(least, int)
            if isinstance(given, bool) or not isinstance(given, int if whole else int | float):
                raise HwqError(f"{name} must be a {'whole ' if whole else ''}number, not {given!r}")
            if not least <= given <= most:
                raise HwqError(
                    f"{name} must be {least} or more{f' and at most {most}' * (most < math.inf)}, not {given}"
                )

    def __call__(self, unit: Unit) -> dict[str, Solved]:
        """The constants of the unit's weighted layers."""
        started = {layer.name: unit.solved[layer.name] for layer in unit.weighted}
        judge = LOSSES[self.loss](unit)
        with torch.enable_grad():
            found = self._train(unit, judge)
        better = score(replace(unit, solved={**unit.solved, **found}), judge) < score(unit, judge)
        return found if better else started

    def _train(self, unit: Unit, judge: Judge) -> dict[str, Solved]:
        trained = {layer.name: _Trained.of(unit, layer, self) for layer in unit.weighted}
        groups = [group for one in trained.values() for group in one.groups]
        optimizer = torch.optim.Adam(groups)
        data = Data(unit, self.batch, self.drop, torch.Generator().manual_seed(self.seed))
        for iteration in range(self.iterations):
            progress = iteration / self.iterations
            index, part = data.draw()
            held = unit.held | {name: one.held(progress) for name, one in trained.items()}
            made = Made(index, part.run(data.read(part), held, data.rounder), _real(unit, held))
            penalties = [one.soft.penalty(progress) for one in trained.values()]
            loss = judge(made) + self.pull * torch.stack(penalties).sum()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return {name: one.solved() for name, one in trained.items()}


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("drop", 0.0, 1.0),
    ("iterations", 1, math.inf),
    ("batch", 1, math.inf),
    ("rate", 0.0, math.inf),
    ("pull", 0.0, math.inf),
    ("seed", 0, math.inf),
)


@torch.no_grad()
def score(unit: Unit, judge: Judge) -> float:
    """The loss of the unit as its constants are, on all its images."""
    total, weights = 0.0, _real(unit, unit.held)
    for index in torch.split(torch.arange(len(unit.target)), _CHUNK):
        part = unit.of(index, floats=False)
        total += float(judge(Made(index, part.run(part.read, unit.held), weights))) * len(index)
    return total / len(unit.target)


def _real(unit: Unit, held: Mapping[str, Held]) -> dict[str, Tensor]:
    """The real weights {layer: [N, ...]} of weights in units of their scales."""
    made = {}
    for layer in unit.weighted:
        weight = held[layer.name].weight
        assert weight is not None
        made[layer.name] = weight * _rows(unit.solved[layer.name].weight_scale.float(), weight)
    return made


def _rows(x: Tensor, like: Tensor) -> Tensor:
    return x.reshape(-1, *[1] * (like.dim() - 1))


@dataclass(frozen=True, eq=False)
class _Trained:
    """A layer while it is trained: its soft weight and, in units of `reach` of the sum, what is added to its bias."""

    layer: Layer
    soft: Soft
    start: Solved
    begun: Held
    sum_scale: Tensor
    reach: Tensor
    shift: Tensor
    rate: float

    @classmethod
    def of(cls, unit: Unit, layer: Layer, how: Reconstruct) -> _Trained:
        assert layer.datapath is not None
        start = unit.solved[layer.name]
        weight = unit.graph.state[layer.name, "weight"] if start.real is None else start.real
        one_gain = start.mul is None and start.unit is None  # one scale for all classes
        x = weight.double() / _rows(start.weight_scale, weight)
        soft = SOFT[how.soft](x, layer.datapath.mac.w, one_gain)
        sum_scale = unit.scales[layer.node.inputs[0]] * start.weight_scale
        most = unit.target.abs().max() if layer.fmt is None else max(map(abs, layer.fmt.span)) * unit.scale(layer)
        trains = how.bias and "bias" in layer.datapath.mac.steps
        shift = torch.zeros(len(start.bias), requires_grad=trains)
        return cls(layer, soft, start, unit.held[layer.name], sum_scale, most / sum_scale, shift, how.rate)

    @property
    def groups(self) -> list[dict[str, Any]]:
        """What an optimizer trains."""
        groups = self.soft.groups + ([{"params": [self.shift], "lr": _BIAS_RATE}] if self.shift.requires_grad else [])
        return [group | {"lr": group["lr"] * self.rate} for group in groups]

    def held(self, progress: float) -> Held:
        """What the layer holds now, in units of the scale with which it began."""
        bias = self.begun.bias + self.shift * self.reach.float() if self.shift.requires_grad else self.begun.bias
        return replace(self.begun, weight=self.soft.weight(progress), bias=bias)

    def solved(self) -> Solved:
        """The constants at which the layer ends."""
        codes, gain = self.soft.harden()
        bias = (self.start.bias + self.shift.detach() * self.reach) / gain
        out = None if self.start.mul is None else self.start.scale
        return assembled(self.layer, codes, self.start.weight_scale * gain, bias, self.sum_scale * gain, out)
