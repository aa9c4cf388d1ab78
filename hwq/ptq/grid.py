"""Rounding many small arrays to one format: `fmt.quantize`, with its text recorded and compiled once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from hwq.bits.loops import compile_map
from hwq.formats import Format
from hwq.formats.arrays import CARRIERS

__all__ = ["Round", "rounder"]

Round = Callable[[Tensor], Tensor]


@cache
def rounder(fmt: Format) -> Round:
    """The function `fmt.quantize` for float tensors that hold its values.

    Recording a format's text takes longer than rounding a column of weights, and GPTQ rounds one column after the
    other: this saves most of its time.
    """
    float_, raw = CARRIERS["float64"]
    code = fmt.pack(float_.unpack(float_.code_word), float_.lsb, "rne")
    back = float_.pack(fmt.unpack(code), fmt.lsb, "rne")
    run = compile_map([back], {"code": raw}, [raw])

    def nearest(x: Tensor) -> Tensor:
        bits = x.detach().double().contiguous().numpy().view(raw)
        return torch.from_numpy(run([bits])[0].view("float64")).to(x.dtype)

    return nearest
