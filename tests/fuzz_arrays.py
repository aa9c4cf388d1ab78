"""Random arrays of every kind that users hold, with the numbers that they mean; None where they mean none."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Any

import ml_dtypes
import numpy as np
import torch

from hwq.testing import Nearest

Array = np.ndarray[Any, Any]
SHAPES = ((7,), (2, 3), (3, 1, 4), (1,), (), (0,), (3, 0, 2), (0, 0), (0, 5))
INTS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
TORCH_INTS = (torch.int8, torch.uint8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64, torch.uint64)
FLOATS: tuple[Any, ...] = (np.float16, np.float32, np.float64, ml_dtypes.bfloat16)
TORCH_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
FLOAT8 = [v for name, v in vars(torch).items() if name.startswith("float8_") and isinstance(v, torch.dtype)]


class Tensor(torch.Tensor):
    pass


class Matrix(np.ndarray):  # type: ignore[type-arg]
    pass


@dataclass(frozen=True)
class Given:
    """`numbers`: float64, or odd where whole numbers are beyond it, so that each is rounded as its exact self is."""

    name: str
    x: Any
    numbers: Any

    @property
    def torch(self) -> bool:
        return isinstance(self.x, torch.Tensor)


def floats(r: Random, nearest: Nearest | None, shape: tuple[int, ...]) -> Array:
    rng = np.random.default_rng(r.getrandbits(32))
    x = rng.standard_normal(shape) * 2.0 ** r.randint(-8, 8)
    extra = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, 1e-45, 6e-8, 1e-310, 65520.0, 3.4e38, -1.7e308])
    points = extra if nearest is None else np.concatenate([extra, nearest.points])
    return np.asarray(np.where(rng.random(shape) < 0.5, rng.choice(points, shape), x))


def odd(number: int) -> float:
    """The float64 of a whole number, to odd: it lies on the same side of everything with fewer digits."""
    drop = max(0, abs(number).bit_length() - 53)
    kept = abs(number) >> drop
    kept |= (kept << drop) != abs(number)
    return float(Fraction(kept << drop) * (-1 if number < 0 else 1))


def whole(r: Random, low: int, high: int, shape: tuple[int, ...]) -> Array:
    count = int(np.prod(shape))
    ends = (low, high, 0, 1, low + 1, high - 1, high // 2 + 1)
    found = np.empty(count, dtype=object)
    found[:] = [r.choice(ends) if r.random() < 0.5 else r.randint(low, high) for _ in range(count)]
    return found.reshape(shape)


def meaning(x: Array) -> Array:
    return np.array([odd(int(v)) for v in x.reshape(-1)], dtype=np.float64).reshape(x.shape)


def layout(r: Random, x: Any) -> Any:
    """The same numbers elsewhere in memory: strided, reversed, transposed, read-only, misaligned, of numpy or torch."""
    kind = r.randrange(7)
    if kind == 0 and x.ndim:
        wide = np.repeat(x, 2, axis=-1)
        return wide[..., ::2]
    if kind == 1 and x.ndim:
        return np.ascontiguousarray(x[::-1])[::-1]
    if kind == 2:
        return np.array(x, order="F")
    if kind == 3:
        x = x.copy()
        x.flags.writeable = False
        return x
    if kind == 4:
        raw = np.zeros(x.nbytes + 1, dtype=np.uint8)
        moved = raw[1:].view(x.dtype).reshape(x.shape)
        moved[...] = x
        return moved
    if kind == 5 and x.dtype.kind != "V":
        return x.astype(x.dtype.newbyteorder(">"))
    return torch.from_numpy(x.copy()) if x.dtype.name in ("uint8", "int64", "float32", "float64") else x


def numpy_floats(r: Random, nearest: Nearest | None) -> Given:
    dtype = r.choice(FLOATS)
    with np.errstate(all="ignore"):
        x = floats(r, nearest, r.choice(SHAPES)).astype(dtype)
        return Given(f"numpy {np.dtype(dtype)}", layout(r, x), x.astype(np.float64))


def numpy_ints(r: Random, nearest: Nearest | None) -> Given:
    dtype = np.dtype(r.choice(INTS))
    x = whole(r, int(np.iinfo(dtype).min), int(np.iinfo(dtype).max), r.choice(SHAPES))
    return Given(f"numpy {dtype}", layout(r, x.astype(dtype)), meaning(x))


def broadcast(r: Random, nearest: Nearest | None) -> Given:
    x = np.broadcast_to(floats(r, nearest, (3, 1)), (3, 4))
    return Given("broadcast", r.choice((x, torch.from_numpy(x[:, :1].copy()).expand(3, 4))), np.array(x))


def small(r: Random, nearest: Nearest | None) -> Given:
    """Scalars, lists, bools, subclasses."""
    x = floats(r, nearest, (2, 3))
    x = np.where(np.isfinite(x), x, 0.5)
    one = x[0, 0]
    made: tuple[tuple[Any, Any], ...] = (
        *(
            (float(one), one),
            (x.tolist(), x),
            (tuple(x[0]), x[0]),
            (one, one),
            ([], np.zeros(0)),
            ([[], []], np.zeros((2, 0))),
        ),
        *((True, np.float64(1)), ([True, 0], np.array([1.0, 0.0])), (np.array([True, False]), np.array([1.0, 0.0]))),
        *((x.view(Matrix), x), (torch.from_numpy(x).as_subclass(Tensor), x), (range(3), np.arange(3.0))),
        *((torch.nn.Parameter(torch.from_numpy(x)), x), ([2**64 - 1], np.array([odd(2**64 - 1)])), (3, np.float64(3))),
        *((torch._neg_view(torch.from_numpy(x)), -x), (list(torch.from_numpy(x[0])), x[0]), (float("nan"), np.nan)),
    )
    given, numbers = r.choice(made)
    return Given(f"small {type(given).__name__}", given, numbers)


def torch_floats(r: Random, nearest: Nearest | None) -> Given:
    x = torch.from_numpy(floats(r, nearest, r.choice(SHAPES))).to(r.choice((*TORCH_FLOATS, *FLOAT8)))
    numbers = x.float() if x.dtype.itemsize == 1 else x
    x = r.choice((x, x.detach().clone().requires_grad_(), x.T if x.ndim == 2 else x, x.clone().as_subclass(Tensor)))
    return Given(f"torch {x.dtype}", x, (numbers.T if x.shape != numbers.shape else numbers).double().numpy())


def torch_ints(r: Random, nearest: Nearest | None) -> Given:
    at = r.randrange(len(INTS))
    info = np.iinfo(np.dtype(INTS[at]))
    x = whole(r, int(info.min), int(info.max), r.choice(SHAPES))
    return Given(f"torch {TORCH_INTS[at]}", torch.from_numpy(np.asarray(x.astype(INTS[at]))), meaning(x))


def _cyclic() -> list[Any]:
    x: list[Any] = []
    x.append(x)
    return x


def wrong(r: Random, nearest: Nearest | None) -> Given:
    """What holds no numbers, or not here."""
    makers: dict[str, Callable[[], Any]] = {
        **{kind: (lambda k=kind: np.zeros(2).astype(k)) for kind in ("c8", "c16", "O", "U3", "S3", "V4", "longdouble")},
        **{kind: (lambda k=kind: np.zeros(2, dtype=k)) for kind in ("M8[s]", "m8[s]", "f4,i4")},
        **{t.__name__: (lambda t=t: np.zeros(2).astype(t)) for t in (ml_dtypes.int4, ml_dtypes.float8_e4m3fn)},
        "mask": lambda: np.ma.masked_array([1.0, 2.0], [True, False]),
        "empty objects": lambda: np.empty((0, 3), dtype=object),
        "huge": lambda: 10**400,
        "huge in a list": lambda: [10**400, 1.0],
        "cycle": _cyclic,
        "ragged": lambda: [[1.0], [1.0, 2.0]],
        "others": lambda: r.choice((None, [None], "x", b"12", {}, {1: 2}, {3}, object(), len, ..., 1j, Fraction(1, 2))),
        "sparse": lambda: torch.eye(2).to_sparse(),
        "meta": lambda: torch.ones(2, device="meta"),
        "quantized": lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8),
        "complex": lambda: torch.ones(2, dtype=torch.complex64).conj(),
        "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        "masked": lambda: torch.masked.masked_tensor(torch.ones(2), torch.tensor([True, False])),
        "packed": lambda: torch.zeros(2, dtype=torch.uint8).view(torch.float4_e2m1fn_x2),
        "bits": lambda: torch.zeros(2, dtype=torch.uint8).view(torch.bits8),
        "sub-byte": lambda: torch.empty(2, dtype=torch.uint4),
    }
    name = r.choice(tuple(makers))
    with warnings.catch_warnings():  # of torch itself, on making them
        warnings.simplefilter("ignore")
        return Given(name, makers[name](), None)


MAKERS = (
    numpy_floats,
    numpy_floats,
    numpy_ints,
    broadcast,
    small,
    torch_floats,
    torch_floats,
    torch_ints,
    wrong,
    wrong,
)


def given(r: Random, nearest: Nearest | None) -> Given:
    return r.choice(MAKERS)(r, nearest)
