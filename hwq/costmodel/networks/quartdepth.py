"""QuartDepth's accelerator (Shen et al., CVPR 2025, arXiv 2503.16709): what is published, and what is assumed.

Published: 28 nm, 1 GHz in all modes, a DRAM of 19.2 GB/s, an array of multiply-accumulate trees for each of three modes
and a vector unit of FP32 beside it; 8 cores in its Table 3, as its text implies. Not published: sizes of arrays,
buffers and vector units. Assumed: buffers of 1 MiB for each operand, twice the tiles; activations are stored in the
mode's width, scores of attention too, and the products of attention run at the full rate. From the published speed-ups
with 2, 4 and 8 cores, against its text: the vector unit does not overlap with the array, nor grow with the cores. It
passes outputs of layers; a score of attention takes no time there, as no fit bears one that does. Fitted to Table 3
(`python -m benchmarks.quartdepth`): trees of a core by powers of two, outputs a cycle by quarters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hwq.costmodel.networks.accelerator import OPERANDS, Accelerator, Buffer, Offchip
from hwq.costmodel.networks.arrays import Streaming
from hwq.costmodel.networks.layers import Widths
from hwq.datapath.checks import whole
from hwq.errors import HwqError

__all__ = ["MODES", "OPS", "Mode", "quartdepth"]

CORES, CLOCK_MHZ, GB_S = 8, 1000, 19.2
BUFFER_BITS, WORD = 1 << 23, 128
OUTPUTS = 1.5  # of a layer, a cycle, through the vector unit
OPS = (1, 1, 0)  # of an output, of an activated one, of a score: `vit` and `metric3d` take them


@dataclass(frozen=True)
class Mode:
    """Widths of operands, and the trees of one core: so many, of so many products each."""

    widths: Widths
    trees: int
    lanes: int


MODES: Mapping[str, Mode] = MappingProxyType(
    {
        "FP32": Mode(Widths(32, 32, 32, 32), 8, 8),
        "W4A8": Mode(Widths(8, 4, 32, 8), 16, 16),
        "W4A4": Mode(Widths(4, 4, 32, 4), 16, 32),
    }
)


def quartdepth(mode: str, cores: int = CORES) -> Accelerator:
    """The accelerator of a mode, one of `MODES`; cores take pixels side by side. Energies are not published."""
    whole("cores", cores, 1, 64)
    if mode not in MODES:
        raise HwqError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
    return accelerator(MODES[mode], OUTPUTS, f"QuartDepth {mode}, {cores} cores", cores)


def accelerator(mode: Mode, outputs: float, name: str, cores: int = CORES) -> Accelerator:
    """One with trees and a vector unit of one's own."""
    buffers = tuple(Buffer(f"{operand} buffer", (operand,), BUFFER_BITS, WORD) for operand in OPERANDS)
    array = Streaming(cores, mode.trees, mode.lanes)
    return Accelerator(name, array, CLOCK_MHZ, buffers, Offchip(GB_S), outputs, vector_overlaps=False)
