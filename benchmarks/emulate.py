"""The exact emulator against torch's own float32 product of the same shape: codes in, codes out, K = 4608.

Sums that depend on their order have no such product beside them: their time a term is given, on two threads.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

import hwq
from benchmarks.timing import Line, best_of
from hwq.datapath import Datapath, explain

M, N, K = 1024, 1024, 4608

# format -> the most that codes in and codes out may cost, in float32 products
LIMITS = {"int8": 1.0, "fp6_e2m3": 3.0, "fp8_e4m3": 4.0, "fp4_e2m1": None, "fp6_e3m2": None, "fp8_e5m2": None}
EPILOGUES = {"accumulators out": "", "int8 out": " ->int8[bias,requant,relu]"}

# datapath -> the most nanoseconds that a multiply-accumulate may take on two threads
ORDERED = {
    "fp8_e4m3*fp8_e4m3 +fp32": 1000 / 300,
    "fp8_e4m3*fp8_e4m3 +bf16": 1000 / 300,
    "fp8_e4m3*fp8_e4m3 +fp16": 1000 / 300,
    "bf16*bf16 +fp32": None,
    "fp8_e4m3*fp8_e4m3 +bf16 order=tree(16)": None,
    "int8*int8 +fixed(20,sat) order=tree(16)": None,
    "fp16*fp16 +align(volta)": 1000 / 100,
    "fp16*fp16 +align(hopper)": 1000 / 100,
    "fp8_e4m3*fp8_e4m3 +align(hopper_fp8)": 1000 / 100,
}


def measure() -> Iterator[Line]:
    """The products of a matrix, then the sums that depend on their order."""
    yield from _products()
    yield from _ordered()


def _ordered() -> Iterator[Line]:
    m, n, k = 256, 256, 1024
    generator = torch.Generator().manual_seed(0)
    a, w = torch.randn(m, k, generator=generator), torch.randn(n, k, generator=generator)
    for text, limit in ORDERED.items():
        mac = Datapath.parse(text).mac
        x, y = (f.encode(v * min(f.max, 64) / 8) for f, v in ((mac.a, a), (mac.w, w)))
        (best,) = best_of([lambda: hwq.matmul(mac, x, y)])  # noqa: B023
        path, rate = explain(mac, k).name, m * n * k / best / 1e6
        yield Line(text, best / (m * n * k) * 1e9, "ns/term", limit, f"{path}, {rate:.0f} M/s")


def _products() -> Iterator[Line]:
    """One line a format and epilogue; the codes are those of normal numbers, as of weights and activations."""
    generator = torch.Generator().manual_seed(0)
    a, w = torch.randn(M, K, generator=generator), torch.randn(N, K, generator=generator)
    for name, limit in LIMITS.items():
        fmt = hwq.parse_format(name)
        x, y = fmt.encode(a * fmt.max / 8), fmt.encode(w * fmt.max / 8)
        for title, epilogue in EPILOGUES.items():
            mac = Datapath.parse(f"{name}*{name}{epilogue} k={K}").mac
            if mac.output.bits > 63:
                continue
            params = hwq.Params(bias=0, mul=1 << 15, shift=40) if epilogue else None
            exact, plain = best_of([lambda: hwq.matmul(mac, x, y, params), lambda: a @ w.T])  # noqa: B023
            path = explain(mac, K).name
            yield Line(f"{name} matmul, {title}", exact / plain, limit=limit, note=f"{path}, {exact * 1e3:.0f} ms")
