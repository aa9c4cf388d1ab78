"""The exact emulator: codes in, codes out, the bits that the hardware gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from hwq.bits.loops import compile_map, pieces
from hwq.datapath.accumulators import Fixed
from hwq.datapath.kernels import Ints, Sums, embedding, finished, result_dtype, summed
from hwq.datapath.params import Params, columns
from hwq.datapath.paths import Path, candidates, linear, magnitude
from hwq.datapath.spec import Mac, check_mac
from hwq.datapath.steps import SEED
from hwq.errors import HwqError
from hwq.formats.arrays import check_codes
from hwq.formats.intake import is_torch, like
from hwq.formats.rounding import noise_states

__all__ = ["block_rows", "check_terms", "chosen", "explain", "has_int8", "matmul", "product", "room"]

_BLOCK = 1 << 28  # bytes of temporaries; rows are taken in blocks of about this size
_SMALL = 1 << 23  # the same of groups and images: to find them in the cache is worth more than fewer calls


def matmul(mac: Mac, a: Any, w: Any, params: Params | None = None) -> Any:
    """The dot products of codes a [..., K] and w [N, K]: result codes [..., N], in the library of `a`.

    Leading axes of w make a product each, of a [..., M, K] and w [..., N, K] to [..., M, N]; they broadcast as numpy's.
    K is at most `mac.k`. `params` holds what the epilogue loads. Codes of the result are those of `mac.output`: in
    numpy the smallest unsigned dtype (Python ints beyond 64 bits), in torch uint8 to 8 bits, else int64.
    """
    check_mac(mac)
    torch = is_torch(a)
    x, y = check_codes(mac.a, a), check_codes(mac.w, w)
    if x.ndim < 1 or y.ndim < 2 or x.shape[-1] != y.shape[-1]:
        raise HwqError(f"matmul takes a[..., K] and w[N, K], not {x.shape} and {y.shape}")
    n, k = y.shape[-2:]
    if y.ndim == 2:
        rows = x.reshape(math.prod(x.shape[:-1]), k)
        return like(product(mac, rows, y, columns(mac, params, n), torch).reshape(*x.shape[:-1], n), a)
    lead = _lead(x.shape, y.shape)
    x, y = (np.broadcast_to(codes, (*lead, *codes.shape[-2:])) for codes in (x, y))
    return like(product(mac, x, y, columns(mac, params, n), torch), a)


def _lead(a: tuple[int, ...], w: tuple[int, ...]) -> tuple[int, ...]:
    """The leading axes of the products of codes a [..., M, K] and w [..., N, K]."""
    try:
        if len(a) > 1:
            return np.broadcast_shapes(a[:-2], w[:-2])
    except ValueError:
        pass  # said below
    raise HwqError(f"leading axes must broadcast where w has any, a[..., M, K] and w[..., N, K], not {a} and {w}")


def explain(mac: Mac, k: int | None = None, library: str = "torch") -> Path:
    """How `matmul` computes sums of `k` terms (default `mac.k`) of tensors of that library, and why that is exact.

    `str()` of it is one line. A saturating accumulator may do better, if the weights prove that it cannot saturate.
    """
    check_mac(mac)
    if library not in ("numpy", "torch"):
        raise HwqError(f"library must be numpy or torch, not {library!r}")
    k = check_terms(mac, mac.k if k is None else k)
    return next(candidates(mac, k, library == "torch" and has_int8()))


def check_terms(mac: Mac, k: int) -> int:
    """`k`, if sums of the Mac have so many terms."""
    if not 1 <= k <= mac.k:
        raise HwqError(f"K must be between 1 and k={mac.k} of the Mac, not {k}; give the datapath a larger k=")
    return k


def product(mac: Mac, a: Ints, w: Ints, given: dict[str, Ints], torch: bool, path: Path | None = None) -> Ints:
    """Result codes [..., M, N] of checked codes a [..., M, K] and w [..., N, K], as numpy; parameters [N] or [..., N].

    They are computed a few groups or a few rows at a time.
    """
    (m, k), n, lead = a.shape[-2:], w.shape[-2], a.shape[:-2]
    whole = room(mac, (*lead, m, n), torch)
    if not whole.size:
        check_terms(mac, k)
        return whole
    g = math.prod(lead)
    if SEED in given:
        given = {name: np.broadcast_to(x, (*lead, n)).reshape(g, n) for name, x in given.items()}
    states = noise_states(given[SEED], m) if SEED in given else None
    a, w, out = a.reshape(g, m, k), w.reshape(g, n, k), whole.reshape(g, m, n)
    path = path or chosen(mac, w, torch and g == 1)  # nobody has products of int8 for many matrices at once
    most, many = block_rows(k, n), block_rows(m * k + n * k, m * n, many=True)
    for groups, rows in pieces(g, m, many, most):
        own = {name: x[groups] if x.ndim > 1 else x for name, x in given.items()}
        if states is not None:
            own[SEED] = states[rows, groups]
        sums = summed(mac, path, a[groups, rows], w[groups], _multiply(torch))
        out[groups, rows] = _codes(mac, sums, own, result_dtype(mac, torch))
    return whole


def _codes(mac: Mac, sums: Sums, given: dict[str, Ints], dtype: np.dtype[Any]) -> Ints:
    """The result codes of sums [G, M, N]; parameters are [N], or all [G, N] but the noise [M, G, N]."""
    if all(x.ndim == 1 for x in given.values()):
        return finished(mac, sums, given, dtype)
    g, m, n = sums.total.shape
    total, *flags = (x.swapaxes(0, 1).reshape(m, g * n) for x in (sums.total, *sums.flags))
    own = {name: x.reshape(*x.shape[:-2], g * n) for name, x in given.items()}
    return finished(mac, Sums(total, tuple(flags)), own, dtype).reshape(m, g, n).swapaxes(0, 1)


def room(mac: Mac, shape: tuple[int, ...], torch: bool) -> Ints:
    """An array for result codes; those that need Python ints are computed in a dtype V."""
    dtype = result_dtype(mac, torch)
    if torch and dtype.kind == "V":
        fmt = mac.output
        raise HwqError(f"torch holds codes of up to 64 bits, not {fmt.bits} of {fmt}; add ->format or use numpy")
    return np.empty(shape, dtype=object if dtype.kind == "V" else dtype)


def block_rows(k: int, n: int, many: bool = False) -> int:
    """Rows whose temporaries stay below the memory that we allow ourselves; `many` small ones, within the cache."""
    return max(1, min(_BLOCK, _SMALL if many else _BLOCK) // (16 * (k + 2 * n)))


def chosen(mac: Mac, w: Ints, torch: bool) -> Path:
    """The fastest path that is proved exact by the formats, or by the weights where these do not saturate."""
    k = check_terms(mac, w.shape[-1])
    worst = k * magnitude(mac)[0] * magnitude(mac)[1]
    if isinstance(mac.acc, Fixed) and not linear(mac, worst) and mac.acc_lsb == mac.product_lsb and worst < 1 << 53:
        worst = magnitude(mac)[0] * int(np.abs(_weights(mac, w)).sum(-1).max())
    return next(candidates(mac, k, torch and has_int8(), worst))


def _weights(mac: Mac, w: Ints) -> Ints:
    return compile_map([embedding(mac.w)], {"code": w.dtype}, [np.float64])([w])[0]


@lru_cache(maxsize=1)
def has_int8() -> bool:
    """True if the processor multiplies int8 into int32 without intermediate saturation (VNNI or AMX)."""
    import torch

    return bool(torch.cpu._is_vnni_supported() or torch.cpu._is_amx_tile_supported())


def _multiply(torch: bool) -> Callable[[Ints, Ints], Ints]:
    """a [G, M, K] times w [G, N, K] transposed, as the library of the caller does it."""
    return _by_torch if torch else _by_numpy


def _by_numpy(a: Ints, w: Ints) -> Ints:
    out: Ints = a @ w.mT
    return out


def _by_torch(a: Ints, w: Ints) -> Ints:
    import torch

    x, y = torch.from_numpy(a), torch.from_numpy(w)
    if a.dtype == np.int8:
        return torch._int_mm(x[0], y[0].T).numpy()[None]
    if torch.is_autocast_enabled("cpu") or torch.get_float32_matmul_precision() != "highest":
        return _by_numpy(a, w)  # torch would round the operands to bfloat16
    if a.strides[1] < a.strides[2]:
        return (y @ x.mT).mT.numpy()  # windows: torch's products of float64 are several times as fast in this order
    return (x @ y.mT).numpy()
