"""Weights that come with their codes: what another tool has made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from hwq.formats import Block, Format, MiniFloat

__all__ = ["Fixed", "Weights"]

_SCALES = tuple(MiniFloat(exp, man, specials="inf") for exp, man in ((5, 10), (8, 7), (8, 23)))  # what files have


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of a layer: codes [N, K] of a format, and scales [N, groups], groups of equal length along K."""

    fmt: Format
    codes: Tensor
    scale: Tensor

    @property
    def real(self) -> Tensor:
        """The weights [N, K] as float64."""
        values: Tensor = self.fmt.decode(self.codes).double()
        return values * self.scale.double().repeat_interleave(values.shape[1] // self.scale.shape[1], 1)

    def rows(self) -> Weights:
        """The same weights with one scale a row: groups become blocks, whose codes have their scales in them.

        A block's scale is kept in the narrowest float that has all of them.
        """
        count, groups = self.scale.shape
        if groups == 1:
            return self
        size, scale = self.codes.shape[1] // groups, self.scale.float()
        kept = next(fmt for fmt in _SCALES if bool((fmt.quantize(scale) == scale).all()))
        shared = kept.encode(scale).long().repeat_interleave(size, 1)
        codes = (shared << self.fmt.bits) | self.codes.long()
        return Weights(Block(self.fmt, kept, size), codes, scale.new_ones(count, 1))


@dataclass(frozen=True, eq=False)
class Fixed:
    """{layer: weights} that are given."""

    layers: Mapping[str, Weights] = field(default_factory=dict)
