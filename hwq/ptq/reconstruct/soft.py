"""Soft weights: weights [N, ...] in units of their grid that a gradient can move, and the codes that they end at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from hwq.errors import HwqError
from hwq.formats import Format
from hwq.ptq.fake import on_grid

__all__ = ["SOFT", "AdaRound", "Soft", "Straight"]

_STRETCH = (-0.1, 1.1)  # a sigmoid over this range, clipped to [0, 1], reaches both ends
_BETA = (20.0, 2.0)
_WARM = 0.2  # the share of a run without a penalty
_ROUND_RATE, _GAIN_RATE, _ADD_RATE, _DIVIDE_RATE = 2e-2, 2e-3, 5e-3, 5e-3  # for a run of some hundred iterations


class Soft(Protocol):
    """A layer's weights while they are trained; `progress` goes from 0 to 1.

    `groups` are parameters with their learning rates, as an optimizer takes them.
    """

    @property
    def groups(self) -> list[dict[str, Any]]: ...
    def weight(self, progress: float) -> Tensor:
        """The weights [N, ...], differentiable."""

    def penalty(self, progress: float) -> Tensor:
        """What is added to the loss, so that the weights come to stand on the grid."""

    def harden(self) -> tuple[Tensor, Tensor]:
        """Codes [N, ...], and the gain [N] of the scale at which they count."""


class AdaRound:
    """Nagel et al., arXiv 2004.10568: each weight goes up or down to one of the two grid points around it.

    The points are the format's own, taken once. Where they are unequal steps apart, as in a minifloat, the parameter
    is in units of the step (FP4DiT, arXiv 2503.15465), so that every weight can move as fast as any other.
    """

    def __init__(self, x: Tensor, fmt: Format) -> None:
        """`x` [N, ...] are the weights in units of their scale."""
        if fmt.blocked:
            raise HwqError(f"adaround must have grid points for a number alone, not {fmt}; use adaquant or flexround")
        x = x.double().clamp(fmt.min, fmt.max)
        self.codes: tuple[Tensor, Tensor] = fmt.encode(x, "rdn"), fmt.encode(x, "rup")
        low, high = (fmt.decode(codes).double() for codes in self.codes)
        self.low: Tensor = low.float()
        span = high - low
        fraction = torch.where(span > 0, (x - low) / span.where(span > 0, torch.ones_like(span)), torch.zeros_like(x))
        self.span: Tensor = span.float()
        moving = span[span > 0]
        step = span.where(span > 0, torch.ones_like(span)) / (moving.mean() if len(moving) else 1.0)
        self.step = step.float()
        self.logit = (step * _logit(fraction)).float().requires_grad_()

    @property
    def groups(self) -> list[dict[str, Any]]:
        return [{"params": [self.logit], "lr": _ROUND_RATE}]

    def share(self) -> Tensor:
        """How far up each weight is, h(V) in [0, 1]."""
        low, high = _STRETCH
        stretched = torch.sigmoid(self.logit / self.step) * (high - low) + low
        return stretched.clamp(0, 1)

    def weight(self, progress: float) -> Tensor:
        return self.low + self.span * self.share()

    def penalty(self, progress: float) -> Tensor:
        """sum 1 - |2h - 1|**beta, with beta falling from 20 to 2; 0 in the first fifth."""
        if progress < _WARM:
            return torch.zeros(())
        beta = _BETA[0] + (_BETA[1] - _BETA[0]) * (progress - _WARM) / (1 - _WARM)
        undecided: Tensor = 1 - torch.pow((2 * self.share() - 1).abs(), beta)
        return undecided.sum()

    def harden(self) -> tuple[Tensor, Tensor]:
        codes = torch.where(self.share() >= 0.5, self.codes[1], self.codes[0])
        return codes, torch.ones(len(codes), dtype=torch.float64)


def _logit(fraction: Tensor) -> Tensor:
    """V at which h(V) is `fraction`, which is below 1."""
    low, high = _STRETCH
    return -torch.log((high - low) / (fraction - low) - 1)


@dataclass(eq=False)
class Straight:
    """Weights rounded straight-through, gain * Q((W + V) / (gain * S)): the gain is trained, and V or S where asked.

    Neither is LSQ (Esser et al., arXiv 1902.08153), `adds` V is AdaQuant (Hubara et al., arXiv 2006.10518), `divides`
    by S is FlexRound (Lee et al., arXiv 2306.00317). For the first `afloat` of a run the weights are not rounded, the
    first stage of I&S-ViT (arXiv 2311.10126). One row has one gain, or all of them where they have `one_gain`.
    """

    x: Tensor
    fmt: Format
    one_gain: bool = False
    adds: bool = False
    divides: bool = False
    afloat: float = 0.0
    gain: Tensor = field(init=False)
    added: Tensor = field(init=False)
    divisors: list[Tensor] = field(init=False)

    def __post_init__(self) -> None:
        shape, ones = self.x.shape, [1] * (self.x.dim() - 1)
        self.x = self.x.float()
        rows = torch.Size((1 if self.one_gain else shape[0], *ones))
        self.gain = torch.zeros(rows, requires_grad=True)  # all but V as logarithms
        self.added = torch.zeros(shape, requires_grad=self.adds)
        shapes = [shape, (shape[0], *ones)] + ([(1, shape[1], *ones[1:])] if len(ones) > 1 else [])
        self.divisors = [torch.zeros(shape, requires_grad=True) for shape in shapes if self.divides]

    @property
    def groups(self) -> list[dict[str, Any]]:
        made = [{"params": [self.gain], "lr": _GAIN_RATE}]
        made += [{"params": [self.added], "lr": _ADD_RATE}] if self.adds else []
        return made + ([{"params": self.divisors, "lr": _DIVIDE_RATE}] if self.divides else [])

    def weight(self, progress: float) -> Tensor:
        if progress < self.afloat:
            return self.x + self.added
        rounded = on_grid(self._inside().flatten(1), self.fmt)  # blocks lie along the products of an output
        return self.gain.exp() * rounded.reshape(self.x.shape)

    def _inside(self) -> Tensor:
        divided = self.x + self.added
        for logarithm in (self.gain, *self.divisors):
            divided = divided * torch.exp(-logarithm)
        return divided

    def penalty(self, progress: float) -> Tensor:
        return torch.zeros(())

    def harden(self) -> tuple[Tensor, Tensor]:
        codes = self.fmt.encode(self._inside().detach().flatten(1)).reshape(self.x.shape)
        return codes, self.gain.detach().exp().double().flatten().expand(len(codes)).contiguous()


# What makes a soft weight of weights [N, ...] in units of their scale, their format, and whether all have one gain.
SOFT: dict[str, Callable[[Tensor, Format, bool], Soft]] = {
    "adaround": lambda x, fmt, one_gain: AdaRound(x, fmt),
    "adaquant": lambda x, fmt, one_gain: Straight(x, fmt, one_gain, adds=True),
    "flexround": lambda x, fmt, one_gain: Straight(x, fmt, one_gain, divides=True),
    "lsq": Straight,
    "stages": lambda x, fmt, one_gain: Straight(x, fmt, one_gain, adds=True, afloat=0.5),
}
