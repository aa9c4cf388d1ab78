"""Block formats over 2**24 float32 numbers: against a copy by two threads, and against other libraries' ways.

The method of microxcaling is its published steps in torch (floor of log2 of the largest, a division, a rounding of the
significand in floating point); ml_dtypes casts quotients by scales that torch finds. gfloat works one block at a time
in Python, so its time is that of fewer numbers, scaled up.
"""

from __future__ import annotations

from collections.abc import Iterator

import gfloat
import gfloat.formats
import ml_dtypes
import numpy as np
import torch

import hwq
from benchmarks.timing import Line, best_of, seconds

ELEMENTS = 1 << 24
FEW = 1 << 12
QUANTIZE, ENCODE = 2.0, 2.0
FORMATS = ("mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e2m3", "mxfp4_e2m1", "mxint8", "nvfp4", "msfp12", "block(int4,bf16,128)")


def microxcaling(x: torch.Tensor) -> torch.Tensor:
    """MXFP4 by the steps of microxcaling's `_quantize_mx`: blocks of 32, E2M1, half to even."""
    blocks = x.view(-1, 32)
    largest = blocks.abs().amax(1, keepdim=True)
    shared = torch.floor(torch.log2(largest + 2.0**-126 * (largest == 0))) - 2
    scaled = blocks / 2**shared
    private = torch.floor(torch.log2(scaled.abs() + (scaled == 0))).clip(min=0)
    rounded = torch.round(scaled / 2**private * 2) / 2 * 2**private
    return (rounded.clamp(-6, 6) * 2**shared).view(x.shape)


def casts(x: torch.Tensor) -> np.ndarray:  # type: ignore[type-arg]
    """MXFP4 with ml_dtypes' cast of elements."""
    blocks = x.view(-1, 32)
    exponents = torch.frexp(blocks.abs().amax(1, keepdim=True))[1] - 3
    scale = torch.ldexp(torch.ones(exponents.shape), exponents).numpy()
    return np.asarray((blocks.numpy() / scale).astype(ml_dtypes.float4_e2m1fn).astype(np.float32) * scale)


def measure() -> Iterator[Line]:
    """Ratios of `quantize` and `encode` to a copy, then how many times as long the others take for MXFP4."""
    x = torch.randn(ELEMENTS, generator=torch.Generator().manual_seed(0))
    array = x.numpy()
    for name in FORMATS:
        fmt = hwq.parse_format(name)
        mine, codes, back, plain = best_of(
            [lambda: fmt.quantize(x), lambda: fmt.encode(array), lambda: fmt.quantize(array), x.clone]  # noqa: B023
        )
        note = f"{mine * 1e3:.1f} ms, a clone {plain * 1e3:.1f} ms; numpy {back * 1e3:.1f} ms"
        yield Line(f"quantize to {name}", mine / plain, limit=QUANTIZE, note=note)
        yield Line(f"encode to {name}", codes / plain, limit=ENCODE, note=f"{codes * 1e3:.1f} ms")
    fmt, theirs = hwq.parse_format("mxfp4_e2m1"), gfloat.formats.format_info_mxfp4_e2m1
    assert torch.equal(fmt.quantize(x), microxcaling(x)) and np.array_equal(fmt.quantize(array), casts(x).reshape(-1))
    mine, steps, cast = best_of([lambda: fmt.quantize(x), lambda: microxcaling(x), lambda: casts(x)], rounds=3)
    rows = array[:FEW].reshape(-1, 32)
    slow = seconds(lambda: [gfloat.quantize_block(theirs, row, gfloat.compute_scale_amax) for row in rows])
    for title, time in (
        ("microxcaling's steps", steps),
        ("ml_dtypes' cast", cast),
        ("gfloat", slow * ELEMENTS / FEW),
    ):
        yield Line(f"{title}: times as long as quantize to mxfp4_e2m1", time / mine)
