"""Aligned sums of published hardware, by name: data and citations only. `+align(NAME)` reads one.

Xie, Wang, Yang, Yang: "MMA-Sim: Bit-Accurate Reference Model of Tensor Cores and Matrix Cores", arXiv 2511.10909, and
its simulator (github.com/microsoft/MMA-Sim): lanes are the products of one fused sum, bits the fraction bits that are
kept below the largest exponent. A bare name is that of 16-bit operands with a binary32 sum, `_fp8` that of 8-bit ones
(on Ada and Hopper the sum then has 13 fraction bits), `_half` that of a binary16 sum. Instructions of more terms than
lanes are sequences of such sums (Ampere and Ada split k in two). Not here: the matrix cores of CDNA, whose products are
added pairwise or aligned twice, and block scales.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hwq.datapath.accumulators import Align
from hwq.formats import MiniFloat

__all__ = ["PRESETS"]

_HALF = MiniFloat(5, 10, specials="inf", overflow="inf")
_SHORT = MiniFloat(8, 13, specials="inf", overflow="inf")  # binary32 whose last ten fraction bits are zero

_ROWS = {
    "volta": (4, 23),
    "turing": (8, 24),
    "ampere": (8, 24),
    "ada": (8, 24),
    "ada_fp8": (16, 13),
    "hopper": (16, 25),
    "hopper_fp8": (32, 13),
    "blackwell": (16, 25),
    "blackwell_fp8": (32, 25),
    "rtx_blackwell": (16, 25),
    "rtx_blackwell_fp8": (32, 25),
}

PRESETS: Mapping[str, Align] = MappingProxyType(
    {
        name: align
        for stem, (lanes, bits) in _ROWS.items()
        for name, align in (
            (stem, Align(lanes, bits, "rtz", _SHORT) if bits == 13 else Align(lanes, bits, "rtz")),
            (f"{stem}_half", Align(lanes, bits, "rtz", _HALF, "rne")),
        )
    }
)
