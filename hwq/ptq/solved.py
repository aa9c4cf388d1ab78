"""A layer's constants, before its accumulator has a width."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from hwq.ptq.constants import ratio_value
from hwq.ptq.fake import Held
from hwq.ptq.lower import Layer

__all__ = ["Solved"]


@dataclass(frozen=True, eq=False)
class Solved:
    """A layer's constants before its accumulator has a width.

    `weight` codes, `weight_scale` [N], `bias` numbers [N] on the accumulator's grid, `mul` and `shift` [N] of the
    requantizer (None where the sum itself is the result), and `scale` of the value. `unit` [N] is that of a sum which
    the host reads as real numbers.
    """

    weight: Tensor | None
    weight_scale: Tensor
    bias: Tensor
    mul: Tensor | None
    shift: Tensor | None
    scale: Tensor
    unit: Tensor | None = None

    def held(self, layer: Layer) -> Held:
        """The same constants as numbers."""
        assert layer.datapath is not None
        mac = layer.datapath.mac
        ratio = None if self.mul is None or self.shift is None else ratio_value(self.mul, self.shift).float()
        weight = None if self.weight is None else mac.w.decode(self.weight).float()
        return Held(weight, self.bias.float(), ratio, None if self.unit is None else self.unit.float())
