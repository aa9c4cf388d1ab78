"""Rounding into formats against plain copies of the same 2**24 float32 numbers, and against other libraries.

A copy is timed in both ways: into new memory, as `quantize` returns it, by both threads; and by one thread into memory
that is already there. The limits are of the first. The methods of Brevitas are its published steps in torch.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from statistics import median

import gfloat
import gfloat.formats
import ml_dtypes
import numpy as np
import torch

import hwq
from benchmarks.timing import Line, best_of, seconds

ELEMENTS = 1 << 24
FEW = 1 << 16  # of gfloat, whose time is that of fewer numbers, scaled up
MINIFLOATS = ("fp8_e4m3", "fp8_e5m2", "fp6_e2m3", "fp4_e2m1", "fp8_e4m3fnuz", "fp(5,6)", "bf16", "int8", "int4")
TABLES = ("nf4", "fp4_bnb", "log4", "logsqrt4", "lognp(4)", "tritplanes2", "power(6)", "power(8)")
QUANTIZE, TABLE, CODES = 1.2, 2.0, 1.1
PEERS = 5.0

_COLD = """
import time, numpy as np, hwq
x = np.ones(1, np.float32)
hwq.parse_format("int4").quantize(x)
start = time.perf_counter()
hwq.parse_format("fp8_e4m3").quantize(x)
print(time.perf_counter() - start)
"""


def measure() -> Iterator[Line]:
    """Ratios to the copy by both threads, then the copies themselves, the peers and the cold compile time."""
    x = torch.randn(ELEMENTS, generator=torch.Generator().manual_seed(0))
    place = np.empty_like(x.numpy())
    copies = {
        "torch clone, 2 threads": x.clone,
        "numpy copy, 1 thread": x.numpy().copy,
        "numpy copyto, 1 thread": lambda: np.copyto(place, x.numpy()),
    }
    every = []
    for name in (*MINIFLOATS, *TABLES):
        fmt = hwq.parse_format(name)
        codes = fmt.encode(x.numpy())
        calls = [lambda: fmt.quantize(x), lambda: fmt.encode(x.numpy()), lambda: fmt.decode(codes)]  # noqa: B023
        quantize, encode, decode, *plain = best_of([*calls, *copies.values()])
        every.append(plain)
        others = ", ".join(f"{quantize / t:.2f} of {title}" for title, t in list(zip(copies, plain, strict=True))[1:])
        limit = QUANTIZE if name in MINIFLOATS else TABLE
        yield Line(f"quantize to {name}", quantize / plain[0], limit=limit, note=f"{quantize * 1e3:.1f} ms; {others}")
        narrow = CODES if name in MINIFLOATS else TABLE
        yield Line(f"encode to {name}", encode / plain[0], limit=narrow, note=f"{encode * 1e3:.1f} ms")
        yield Line(f"decode from {name}", decode / plain[0], limit=CODES, note=f"{decode * 1e3:.1f} ms")
    for title, times in zip(copies, zip(*every, strict=True), strict=True):
        yield Line(f"plain copy: {title}", median(times) * 1e3, "ms")
    yield from _peers(x)
    cold = subprocess.run([sys.executable, "-c", _COLD], capture_output=True, text=True, check=True).stdout
    yield Line("cold: fp8_e4m3's text read, compiled and run once", float(cold) * 1e3, "ms")


def brevitas(x: torch.Tensor) -> torch.Tensor:
    """E4M3 by the steps of Brevitas' `FloatQuant`: the scale of a number from its log2, a rounding, a clamp."""
    scale = torch.exp2(torch.clamp_min(torch.floor(torch.log2(x.abs())), -6) - 3)
    return torch.clamp(torch.round(x / scale) * scale, -448, 448)


def _peers(x: torch.Tensor) -> Iterator[Line]:
    """How many times as long other ways to round to E4M3 take, on numbers inside its range."""
    fmt, array = hwq.parse_format("fp8_e4m3"), x.numpy()
    few, info = array[:FEW], gfloat.formats.format_info_ocp_e4m3
    theirs: dict[str, tuple[Callable[[], object], int]] = {
        "ml_dtypes' casts": (lambda: array.astype(ml_dtypes.float8_e4m3fn).astype(np.float32), 1),
        "Brevitas' method": (lambda: brevitas(x), 1),
        "gfloat's round_ndarray": (lambda: gfloat.round_ndarray(info, few), ELEMENTS // FEW),
    }
    want = fmt.quantize(array)
    assert np.array_equal(want, array.astype(ml_dtypes.float8_e4m3fn).astype(np.float32))
    assert torch.equal(torch.from_numpy(want), brevitas(x))
    assert np.array_equal(want[:FEW], gfloat.round_ndarray(info, few))
    (mine,) = best_of([lambda: fmt.quantize(x)])
    for title, (call, times) in theirs.items():
        ratio = min(seconds(call) for _ in range(3)) * times / mine
        # a limit is an upper one: of the inverse
        yield Line(f"{title}: hwq's share of its time", 1 / ratio, limit=1 / PEERS, note=f"{ratio:.0f} times as long")
