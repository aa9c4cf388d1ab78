"""The exact emulator: codes in, codes out, the bits that the hardware gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from hwq.bits.loops import compile_map
from hwq.datapath.accumulators import Fixed
from hwq.datapath.kernels import Ints, embedding, finished, result_dtype, summed
from hwq.datapath.params import Params, columns
from hwq.datapath.paths import Path, candidates, linear, magnitude
from hwq.datapath.spec import Mac, check_mac
from hwq.datapath.steps import SEED
from hwq.errors import HwqError
from hwq.formats.arrays import check_codes
from hwq.formats.intake import is_torch, like
from hwq.formats.rounding import noise_states

__all__ = ["block_rows", "chosen", "explain", "has_int8", "matmul", "product"]

_BLOCK = 1 << 28  # bytes of temporaries; rows are taken in blocks of about this size


def matmul(mac: Mac, a: Any, w: Any, params: Params | None = None) -> Any:
    """The dot products of codes a [..., K] and w [N, K]: result codes [..., N], in the library of `a`.

    K is at most `mac.k`. `params` holds what the epilogue loads. Codes of the result are those of `mac.output`: in
    numpy the smallest unsigned dtype (Python ints beyond 64 bits), in torch uint8 to 8 bits, else int64.
    """
    check_mac(mac)
    torch = is_torch(a)
    x, y = check_codes(mac.a, a), check_codes(mac.w, w)
    if x.ndim < 1 or y.ndim != 2 or x.shape[-1] != y.shape[1]:
        raise HwqError(f"matmul takes a[..., K] and w[N, K], not {x.shape} and {y.shape}")
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    out = product(mac, rows, y, columns(mac, params, y.shape[0]), torch)
    return like(out.reshape(*x.shape[:-1], y.shape[0]), a)


def explain(mac: Mac, k: int | None = None, library: str = "torch") -> Path:
    """How `matmul` computes sums of `k` terms (default `mac.k`) of tensors of that library, and why that is exact.

    `str()` of it is one line. A saturating accumulator may do better, if the weights prove that it cannot saturate.
    """
    check_mac(mac)
    if library not in ("numpy", "torch"):
        raise HwqError(f"library must be numpy or torch, not {library!r}")
    k = _checked(mac, mac.k if k is None else k)
    return next(candidates(mac, k, library == "torch" and has_int8()))


def _checked(mac: Mac, k: int) -> int:
    if not 1 <= k <= mac.k:
        raise HwqError(f"K must be between 1 and k={mac.k} of the Mac, not {k}; give the datapath a larger k=")
    return k


def product(mac: Mac, a: Ints, w: Ints, given: dict[str, Ints], torch: bool, path: Path | None = None) -> Ints:
    """Result codes [M, N] of checked codes a [M, K] and w [N, K], as numpy."""
    m, (n, k) = a.shape[0], w.shape
    dtype = _dtype(mac, torch)
    if not m * n:
        _checked(mac, k)
        return np.empty((m, n), dtype=object if dtype.kind == "V" else dtype)
    path = path or chosen(mac, w, torch)
    rows = block_rows(k, n)
    seeds = noise_states(given[SEED], m) if SEED in given else None
    blocks = []
    for at in range(0, m, rows):
        own = given if seeds is None else given | {SEED: seeds[at : at + rows]}
        blocks.append(finished(mac, summed(mac, path, a[at : at + rows], w, _multiply(torch)), own, dtype))
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def block_rows(k: int, n: int) -> int:
    """Rows whose temporaries stay below the memory that we allow ourselves."""
    return max(1, _BLOCK // (16 * (k + 2 * n)))


def _dtype(mac: Mac, torch: bool) -> np.dtype[Any]:
    dtype = result_dtype(mac, torch)
    if torch and dtype.kind == "V":
        fmt = mac.output
        raise HwqError(f"torch holds codes of up to 64 bits, not {fmt.bits} of {fmt}; add ->format or use numpy")
    return dtype


def chosen(mac: Mac, w: Ints, torch: bool) -> Path:
    """The fastest path that is proved exact by the formats, or by the weights where these do not saturate."""
    k = _checked(mac, w.shape[1])
    bytewise = torch and has_int8()
    worst = k * magnitude(mac)[0] * magnitude(mac)[1]
    if isinstance(mac.acc, Fixed) and not linear(mac, worst) and mac.acc_lsb == mac.product_lsb and worst < 1 << 53:
        worst = magnitude(mac)[0] * int(np.abs(_weights(mac, w)).sum(1).max())
    return next(candidates(mac, k, bytewise, worst))


def _weights(mac: Mac, w: Ints) -> Ints:
    return compile_map([embedding(mac.w)], {"code": w.dtype}, [np.float64])([w])[0]


@lru_cache(maxsize=1)
def has_int8() -> bool:
    """True if the processor multiplies int8 into int32 without intermediate saturation (VNNI or AMX)."""
    import torch

    return bool(torch.cpu._is_vnni_supported() or torch.cpu._is_amx_tile_supported())


def _multiply(torch: bool) -> Callable[[Ints, Ints], Ints]:
    """a [M, K] times w [N, K] transposed, as the library of the caller does it."""
    return _by_torch if torch else _by_numpy


def _by_numpy(a: Ints, w: Ints) -> Ints:
    out: Ints = a @ w.T
    return out


def _by_torch(a: Ints, w: Ints) -> Ints:
    import torch

    x, y = torch.from_numpy(a), torch.from_numpy(w)
    if a.dtype == np.int8:
        return torch._int_mm(x, y.T).numpy()
    if torch.is_autocast_enabled("cpu") or torch.get_float32_matmul_precision() != "highest":
        return _by_numpy(a, w)  # torch would round the operands to bfloat16
    return (x @ y.T).numpy()
