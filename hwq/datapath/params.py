"""What is loaded at run time, once per output channel: bias, multiplier, shift."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np

from hwq.bits import Word
from hwq.bits.loops import array_dtype, to_wide
from hwq.datapath.checks import check_kind
from hwq.datapath.spec import Mac
from hwq.datapath.steps import SEED, parameters
from hwq.errors import HwqError
from hwq.formats.intake import to_numpy
from hwq.formats.rounding import first_state

__all__ = ["Params", "columns"]

_NEEDS = {"bias": "bias", "mul": "requant", "shift": "requant", SEED: "round=sr"}


@dataclass(frozen=True, eq=False)
class Params:
    """Codes of the run-time parameters, each [N] (numpy, torch or a list) or one number for all channels.

    `bias`: two's complement codes of the accumulator's format; `mul`: codes of the requantizer's format with the top
    bit set; `shift`: s of `value * mul * 2**-s`, 0 to 63. None where the Mac has no such step.
    `seed`, with round=sr: the state of a channel's shift register (`hwq.formats.rounding`), 1 to 2**31 - 1; result m of
    the channel takes the register's word m + 1. None: a state for each channel, by its number.
    """

    bias: Any = None
    mul: Any = None
    shift: Any = None
    seed: Any = None


def columns(mac: Mac, params: Params | None, n: int) -> dict[str, np.ndarray[Any, Any]]:
    """Each parameter that the Mac reads, as an array [n] in the dtype of its word; refuses what does not fit."""
    check_kind("the parameters must be Params(...) or None", params, Params | None)
    given = params or Params()
    wanted = parameters(mac)
    if SEED in wanted and given.seed is None:
        given = replace(given, seed=np.array([first_state(channel) for channel in range(n)], dtype=np.int64))
    for name, step in _NEEDS.items():
        if name not in wanted and getattr(given, name) is not None:
            raise HwqError(f"params.{name} needs a {step} step, not {mac.steps}; leave it None")
    return {name: _column(name, word, getattr(given, name), n) for name, word in wanted.items()}


def _column(name: str, word: Word, codes: Any, n: int) -> np.ndarray[Any, Any]:
    if codes is None:
        raise HwqError(f"params.{name} must be given for a {_NEEDS[name]} step, not None; pass Params({name}=codes)")
    array = to_numpy(codes)
    whole = array.dtype.kind in "iu" or array.dtype == object and all(isinstance(x, Integral) for x in array.flat)
    if not whole:
        raise HwqError(f"params.{name} must be codes (integers), not {array.dtype}")
    if array.shape not in ((n,), ()):
        raise HwqError(f"params.{name} must have one code per output channel ({n}), not shape {array.shape}")
    # the top bit of mul is set: every scale then has as many digits; a register of zeros would stay at zero
    least = (word.hi + 1) // 2 if name == "mul" else int(name == SEED)
    if array.size and not least <= (low := int(array.min())) <= (high := int(array.max())) <= word.hi:
        raise HwqError(f"params.{name} must be codes between {least} and {word.hi}, not {low if low < least else high}")
    dtype = array_dtype(word)
    return np.broadcast_to(to_wide(array, dtype) if dtype.kind == "V" else array.astype(dtype), (n,))
