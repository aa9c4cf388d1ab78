"""What a unit is trained on: batches of its images, with the rounding of some activations dropped (QDrop)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hwq.formats import Format
from hwq.ptq.fake import Rounder, on_grid
from hwq.ptq.unit import Unit

__all__ = ["Data"]


@dataclass(frozen=True, eq=False)
class Data:
    """Batches of `batch` of a unit's images; every element of an activation stays float with probability `drop`.

    Wei et al., arXiv 2203.05740, which is at `drop` 0.5: the values that enter are mixed with the float network's, and
    those inside are rounded or not.
    """

    unit: Unit
    batch: int
    drop: float
    noise: torch.Generator

    def draw(self) -> tuple[Tensor, Unit]:
        """Some images [B], none twice, and the unit with those."""
        index = torch.randperm(len(self.unit.target), generator=self.noise)[: self.batch]
        return index, self.unit.of(index, floats=self.drop > 0)

    def read(self, part: Unit) -> dict[str, Tensor]:
        """The values that enter, in units of their scales."""
        if self.drop == 0:
            return dict(part.read)
        return {name: self._mixed(x, part.floats[name], part.scales.get(name)) for name, x in part.read.items()}

    @property
    def rounder(self) -> Rounder:
        """What rounds the values inside of the unit."""
        return on_grid if self.drop == 0 else self._rounded

    def _rounded(self, x: Tensor, fmt: Format) -> Tensor:
        return torch.where(self._dropped(x), x, on_grid(x, fmt))

    def _mixed(self, x: Tensor, real: Tensor, scale: Tensor | None) -> Tensor:
        if not x.is_floating_point():
            return x
        return torch.where(self._dropped(x), real if scale is None else real / float(scale), x)

    def _dropped(self, x: Tensor) -> Tensor:
        return torch.rand(x.shape, generator=self.noise) < self.drop
