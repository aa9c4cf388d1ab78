"""A layer's constants, before its accumulator has a width."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hwq.errors import HwqError
from hwq.ptq.binding import bias_format, is_exact
from hwq.ptq.constants import encode_ratio, ratio_value
from hwq.ptq.fake import Held
from hwq.ptq.lower import Layer

__all__ = ["Solved", "assembled"]


@dataclass(frozen=True, eq=False)
class Solved:
    """A layer's constants before its accumulator has a width.

    `weight` codes, `weight_scale` [N], `bias` numbers [N] on the accumulator's grid, `mul` and `shift` [N] of the
    requantizer (None where the sum itself is the result), and `scale` of the value. `unit` [N] is that of a sum which
    the host reads as real numbers. `real` are the weights [N, ...] of which the codes were made, where these are
    not the network's.
    """

    weight: Tensor | None
    weight_scale: Tensor
    bias: Tensor
    mul: Tensor | None
    shift: Tensor | None
    scale: Tensor
    unit: Tensor | None = None
    real: Tensor | None = None

    def held(self, layer: Layer) -> Held:
        """The same constants as numbers."""
        assert layer.datapath is not None
        mac = layer.datapath.mac
        ratio = None if self.mul is None or self.shift is None else ratio_value(self.mul, self.shift).float()
        weight = None if self.weight is None else mac.w.decode(self.weight).float()
        return Held(weight, self.bias.float(), ratio, None if self.unit is None else self.unit.float())


def assembled(
    layer: Layer, weight: Tensor | None, scale: Tensor, bias: Tensor, unit: Tensor, out: Tensor | None
) -> Solved:
    """The constants as the hardware has them: `bias` [N] and the scale `unit` [N] of the sum are rounded to its grids.

    `weight` are codes of `scale` [N]; `out` is the scale of the value, None where the sum is the result.
    """
    assert layer.datapath is not None
    mac = layer.datapath.mac
    grid = mac.acc_format if weight is None else bias_format(mac, weight)
    if is_exact(mac) and float(bias.abs().max()) > grid.max:
        largest = f"{float(bias.abs().max()):.3g}"
        raise HwqError(f"biases of {layer.name!r} must fit {grid}, not be as large as {largest}; write +fixed(n,frac)")
    on_accumulator: Tensor = grid.decode(grid.encode(bias)).double()
    if layer.real:
        return Solved(weight, scale, on_accumulator, None, None, torch.ones((), dtype=torch.float64), unit)
    if out is None:
        return Solved(weight, scale, on_accumulator, None, None, unit[0])
    assert mac.requant is not None
    mul, shift = encode_ratio(unit / out, mac.requant, layer.name)
    return Solved(weight, scale, on_accumulator, mul, shift, out)
