"""How operators of ONNX are read: products become sums that wait for their scale, moves move codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hwq.errors import HwqError
from hwq.ptq.exchange.moves import MOVES
from hwq.ptq.exchange.parts import Array, Constant, Move, Real, Sum, Term, Value
from hwq.ptq.exchange.source import Op
from hwq.ptq.exchange.windows import kernel, padded
from hwq.ptq.graph import Window

if TYPE_CHECKING:
    from hwq.ptq.exchange.onnx_in import Importer

__all__ = ["OPERATORS"]

# ---------------------------------------------------------------- products


def _conv(m: Importer, op: Op) -> Value:
    x, w = m.real(op, 0), m.weight(op, 1)
    assert w.codes is not None
    if w.codes.ndim != 4 or (w.scale is not None and w.scale.size > 1 and w.axis != 0):
        raise HwqError(f"Conv at {op.output!r} must have rows and columns, and a scale an output channel")
    name, window = padded(m, op, x.name, kernel(op, w.codes.shape[2:]))
    window = replace(window, groups=int(op.get("group", 1)))
    return Sum("conv2d", (Term(name, x.scale),), w.codes, _scale(w), w.fmt, _bias(m, op, 2), window)


def _gemm(m: Importer, op: Op) -> Value:
    alpha, beta = op.get("alpha", 1.0), op.get("beta", 1.0)
    if (alpha, beta, op.get("transA", 0)) != (1.0, 1.0, 0):
        raise HwqError(f"Gemm at {op.output!r} must have alpha=1, beta=1 and transA=0, not {alpha}, {beta}")
    return _linear(m.real(op, 0), m.weight(op, 1), bool(op.get("transB", 0)), _bias(m, op, 2), op)


def _matmul(m: Importer, op: Op) -> Value:
    if isinstance(m.value(op, 1), Constant):
        return _linear(m.real(op, 0), m.weight(op, 1), False, None, op)
    return Sum("matmul", (m.real(op, 0), m.real(op, 1)))


def _linear(x: Term, w: Constant, turned: bool, bias: Array | None, op: Op) -> Sum:
    assert w.codes is not None
    outputs = 0 if turned else 1
    if w.codes.ndim != 2 or (w.scale is not None and w.scale.size > 1 and w.axis != outputs):
        raise HwqError(f"{op.kind} at {op.output!r} must have weights of two axes, and a scale an output")
    return Sum("linear", (x,), w.codes if turned else w.codes.T, _scale(w), w.fmt, bias)


def _scale(w: Constant) -> Array:
    assert w.scale is not None
    return w.scale


def _bias(m: Importer, op: Op, place: int) -> Array | None:
    return m.array(op, place).reshape(-1) if op.input(place) else None


def _add(m: Importer, op: Op) -> Value:
    x, y = m.value(op, 0), m.value(op, 1)
    if isinstance(x, Constant):
        x, y = y, x
    if isinstance(x, Sum) and isinstance(y, Constant):
        if x.op in ("conv2d", "linear") and not x.relu and not x.moves and x.weight is not None:
            added = _by_channel(x, y.numbers, op)
            return replace(x, bias=added if x.bias is None else x.bias + added)
    elif isinstance(x, Sum) and isinstance(y, Real) and x.op == "add" and not x.relu and not x.moves:
        return replace(x, terms=(*x.terms, Term(y.name, y.scale)))
    elif isinstance(x, Real) and isinstance(y, Real):
        return Sum("add", (m.real(op, 0), m.real(op, 1)))
    elif isinstance(x, Real) and isinstance(y, Constant) and y.codes is not None:
        return Sum("add", (Term(x.name, x.scale), m.constant(op, y, x.name)))
    raise HwqError(f"Add at {op.output!r} must read quantized values, or add a bias to a Conv or MatMul")


def _mul(m: Importer, op: Op) -> Value:
    """A factor that is a constant: of a value that of its scale, of a sum one a channel."""
    x, y = m.value(op, 0), m.value(op, 1)
    if isinstance(x, Constant):
        x, y = y, x
    if isinstance(y, Constant):
        if isinstance(x, Real) and y.numbers.size == 1 and float(y.numbers.item()) > 0:
            return Real(x.name, float(np.float32(x.scale) * np.float32(y.numbers.item())))
        if isinstance(x, Sum) and x.weight is not None and not x.relu and not x.moves:
            return _scaled(x, _by_channel(x, y.numbers, op), np.zeros(1), op)
    raise HwqError(f"Mul at {op.output!r} must multiply a product, or a value by one number above 0, by a constant")


def _batch_norm(m: Importer, op: Op) -> Value:
    x = m.value(op, 0)
    gain, offset, mean, variance = (m.array(op, place).astype(np.float64) for place in (1, 2, 3, 4))
    if not isinstance(x, Sum) or x.weight is None or x.relu or x.moves:
        raise HwqError(f"BatchNormalization at {op.output!r} must follow a Conv or MatMul")
    gain = gain / np.sqrt(variance + float(op.get("epsilon", 1e-5)))
    return _scaled(x, gain, offset - mean * gain, op)


def _scaled(s: Sum, gain: Array, offset: Array, op: Op) -> Sum:
    """gain * s + offset, by channel: signs go into codes, sizes into scales."""
    assert s.weight is not None and s.fmt is not None
    signs = np.broadcast_to(np.where(gain < 0, -1, 1), len(s.weight)).reshape(-1, *[1] * (s.weight.ndim - 1))
    weight = s.weight * signs
    if (gain == 0).any() or weight.min() < s.fmt.min or weight.max() > s.fmt.max:
        raise HwqError(f"the factors of {op.kind} at {op.output!r} must keep weights in {s.fmt}, and not be 0")
    bias = np.zeros(1) if s.bias is None else s.bias
    return replace(s, weight=weight, scale=s.scale * np.abs(gain), bias=bias * gain + offset)


def _by_channel(s: Sum, numbers: Array, op: Op) -> Array:
    assert s.weight is not None
    axis = 1 if s.op == "conv2d" else -1
    wide = numbers.reshape((1,) * (4 - numbers.ndim) + numbers.shape) if s.op == "conv2d" else numbers
    if wide.size not in (1, len(s.weight)) or (wide.size > 1 and wide.shape[axis] != wide.size):
        raise HwqError(f"the constant of {op.kind} at {op.output!r} must be one number a channel, not {numbers.shape}")
    return wide.reshape(-1).astype(np.float64)


def _average(m: Importer, op: Op) -> Value:
    x = m.real(op, 0)
    name, window = padded(m, op, x.name, kernel(op, ()))
    if op.get("ceil_mode", 0) or (not op.get("count_include_pad", 0) and (name, window.padding) != (x.name, (0, 0))):
        raise HwqError(f"AveragePool at {op.output!r} must not round up and must count padding")
    if window.dilation != (1, 1):
        raise HwqError(f"AveragePool at {op.output!r} must have no dilation, not {list(window.dilation)}")
    return Sum("avgpool", (Term(name, x.scale),), window=window)


def _global_average(m: Importer, op: Op) -> Value:
    x = m.real(op, 0)
    axes = op.get("axes", None) or (m.array(op, 1).tolist() if op.input(1) else [2, 3])
    size = m.net.layer(x.name).node.shape[1:]
    if len(size) != 2 or sorted(a % 4 for a in axes) != [2, 3]:
        raise HwqError(f"{op.kind} at {op.output!r} must be over rows and columns")
    window = Window((size[0], size[1]), (size[0], size[1]))
    made = Sum("avgpool", (x,), window=window)
    dropped = op.kind == "ReduceMean" and not op.get("keepdims", 1)
    return replace(made, moves=(Move((m.net.layer(x.name).node.shape[0],)),)) if dropped else made


# ---------------------------------------------------------------- comparisons


def _relu(m: Importer, op: Op) -> Value:
    return _rectify(m, op, 0.0, np.inf)


def _clip(m: Importer, op: Op) -> Value:
    low, high = (
        float(op.get(end, None) if end in op.attributes else m.array(op, place, default).item())
        for end, place, default in (("min", 1, -np.inf), ("max", 2, np.inf))
    )
    return _rectify(m, op, low, high)


def _rectify(m: Importer, op: Op, low: float, high: float) -> Value:
    x = m.value(op, 0)
    if isinstance(x, Real):
        x = Sum("add", (Term(x.name, x.scale),))
    if not isinstance(x, Sum) or x.op == "concat":  # what moves numbers can as well come after
        raise HwqError(f"{op.kind} at {op.output!r} must follow a product or a quantized value")
    if low == 0 and high > 0:
        return replace(x, relu=True, most=min(high, x.most))
    return replace(x, least=max(low, x.least), most=min(high, x.most))


Handler = Callable[["Importer", Op], Value]
OPERATORS: dict[str, Handler] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Add": _add,
    "Mul": _mul,
    "BatchNormalization": _batch_norm,
    "AveragePool": _average,
    "GlobalAveragePool": _global_average,
    "ReduceMean": _global_average,
    "Relu": _relu,
    "Clip": _clip,
    **MOVES,
}
