"""Rounding into a format against plain copies of the same 2**24 float32 numbers, and what its first call costs.

A copy is timed in both ways: into new memory, as `quantize` returns it, by both threads; and by one thread into memory
that is already there.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from statistics import median

import numpy as np
import torch

import hwq
from benchmarks.timing import Line, best_of

ELEMENTS = 1 << 24
FORMATS = ("fp8_e4m3", "fp8_e5m2", "fp6_e2m3", "fp4_e2m1", "fp8_e4m3fnuz", "fp(5,6)", "bf16", "int8")
LIMIT = 1.6

_COLD = """
import time, numpy as np, hwq
x = np.ones(1, np.float32)
hwq.parse_format("int4").quantize(x)
start = time.perf_counter()
hwq.parse_format("fp8_e4m3").quantize(x)
print(time.perf_counter() - start)
"""


def measure() -> Iterator[Line]:
    """The ratio of each format to the copy by both threads, then the copies themselves and the cold compile time."""
    x = torch.randn(ELEMENTS, generator=torch.Generator().manual_seed(0))
    place = np.empty_like(x.numpy())
    copies = {
        "torch clone, 2 threads": x.clone,
        "numpy copy, 1 thread": x.numpy().copy,
        "numpy copyto, 1 thread": lambda: np.copyto(place, x.numpy()),
    }
    every = []
    for name in FORMATS:
        fmt = hwq.parse_format(name)
        mine, *plain = best_of([lambda: fmt.quantize(x), *copies.values()])  # noqa: B023
        every.append(plain)
        others = ", ".join(f"{mine / t:.2f} of {title}" for title, t in list(zip(copies, plain, strict=True))[1:])
        yield Line(f"quantize to {name}", mine / plain[0], limit=LIMIT, note=f"{mine * 1e3:.1f} ms; {others}")
    for title, times in zip(copies, zip(*every, strict=True), strict=True):
        yield Line(f"plain copy: {title}", median(times) * 1e3, "ms")
    cold = subprocess.run([sys.executable, "-c", _COLD], capture_output=True, text=True, check=True).stdout
    yield Line("cold: fp8_e4m3's text read, compiled and run once", float(cold) * 1e3, "ms")
