"""The exact emulator against torch's own float32 product of the same shape: codes in, codes out, K = 4608."""

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


def measure() -> Iterator[Line]:
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
