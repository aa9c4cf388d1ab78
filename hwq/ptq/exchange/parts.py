"""What a tensor of an ONNX file is while it is read: constants, codes, the numbers they stand for, unfinished sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hwq.formats import Format
from hwq.ptq.call import Call
from hwq.ptq.graph import Window

_POINT = Window()

__all__ = ["Codes", "Constant", "Entry", "Move", "Real", "Sum", "Term", "Value"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Entry:
    """The images as they come, moved."""

    moves: tuple[Move, ...] = ()


@dataclass(frozen=True, eq=False)
class Constant:
    """Numbers; where they were quantized also what their codes stand for, a scale a channel, and the format.

    `codes` without a `scale` are stored as they are, zero point and all.
    """

    numbers: Array
    codes: Array | None = None
    scale: Array | None = None
    fmt: Format | None = None
    axis: int = 0


@dataclass(frozen=True)
class Codes:
    """The codes of a layer, which the file stores with a zero point."""

    name: str
    zero: int


@dataclass(frozen=True)
class Real:
    """Codes of a layer as numbers: `scale` times what they stand for."""

    name: str
    scale: float


@dataclass(frozen=True)
class Term:
    """A value that a product reads, at a scale of its own."""

    name: str
    scale: float


@dataclass(frozen=True, eq=False)
class Move:
    """A reshape to [N, *shape], where 0 keeps a size and -1 is what is left; or a call with the tensors it holds.

    With a `window` it gives the largest of each.
    """

    shape: tuple[int, ...] = ()
    call: Call | None = None
    window: Window | None = None
    held: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Sum:
    """A product that is not yet quantized: gain * (products) + offset, rectified, held between ends, then moved.

    `weight` are codes [N, ...] with `scale` [N] and the format `fmt`; `bias` are real numbers. A "concat" joins its
    terms by its first move.
    """

    op: str
    terms: tuple[Term, ...]
    weight: Array | None = None
    scale: Array = field(default_factory=lambda: np.ones(1))
    fmt: Format | None = None
    bias: Array | None = None
    window: Window = _POINT
    relu: bool = False
    most: float = np.inf
    least: float = -np.inf
    moves: tuple[Move, ...] = ()


Value = Entry | Constant | Codes | Real | Sum
