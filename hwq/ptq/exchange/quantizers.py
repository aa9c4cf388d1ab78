"""Between numbers and codes: QuantizeLinear, DequantizeLinear, and QONNX's Quant, which is both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import helper

from hwq.errors import HwqError
from hwq.formats import Format
from hwq.ptq.exchange.parts import Array, Codes, Constant, Entry, Real, Sum, Term, Value
from hwq.ptq.exchange.source import Op
from hwq.ptq.exchange.stored import BYTE, Kind, along, integers, stored_numbers

if TYPE_CHECKING:
    from hwq.ptq.exchange.onnx_in import Importer

__all__ = ["QUANTIZERS"]


def _quantize(m: Importer, op: Op) -> Value:
    x, scale, zero = m.value(op, 0), _scales(m, op), m.array(op, 2, 0).astype(np.float64)
    kind = m.source.kinds.get(op.input(2), _asked(op))
    if isinstance(x, Constant):
        _unblocked(op)
        axis = _axis(op, x.numbers)
        points = along(zero, x.numbers, axis, op.output)
        least, fmt = int(points.min()), kind.fmt(int(points.min()) if kind.real is None else 0)
        if int(points.max()) != least:
            raise HwqError(f"the zero points at which {op.output!r} is rounded must be alike; store it as integers")
        return _rounded(x.numbers, along(scale, x.numbers, axis, op.output), scale, fmt, axis)
    point = int(_one(zero, op, "zero point"))
    made = _closed(m, x, op, _one(scale, op), kind.fmt(point))
    return Codes(made, point)


def _asked(op: Op) -> Kind:
    """The kind that a QuantizeLinear without a zero point names, bytes without a name."""
    asked = int(op.get("output_dtype", 0))
    return Kind.of(helper.tensor_dtype_to_np_dtype(asked)) if asked else BYTE


def _dequantize(m: Importer, op: Op) -> Value:
    x, scale = m.value(op, 0), _scales(m, op)
    zero = m.array(op, 2, 0).astype(np.float64)
    if isinstance(x, Codes):
        point = int(_one(zero, op, "zero point"))
        if point != x.zero:
            raise HwqError(f"{op.output!r} must have the zero point {x.zero} of the codes it reads, not {point}")
        return Real(x.name, _one(scale, op))
    if not isinstance(x, Constant):
        raise HwqError(f"DequantizeLinear at {op.output!r} must read codes, not numbers")
    _unblocked(op)
    axis = _axis(op, x.numbers)
    steps = along(scale, x.numbers, axis, op.output).astype(np.float64)
    if x.fmt is not None and x.scale is not None:
        if not np.array_equal(x.scale, scale.reshape(-1)):
            raise HwqError(f"{op.output!r} must have the scales of the constant that it reads")
        return x
    kind = m.source.kinds.get(op.input(0), BYTE)
    if zero.size > 1:
        zero = along(zero, x.numbers, axis, op.output)
    codes, fmt = stored_numbers(x.numbers, kind, np.asarray(zero))
    return Constant(codes * steps, codes, scale.astype(np.float64).reshape(-1), fmt, axis)


def _quant(m: Importer, op: Op) -> Value:
    """QONNX: quantize and dequantize at once."""
    x, scale = m.value(op, 0), _scales(m, op)
    zero, bits = (np.unique(m.array(op, place)) for place in (2, 3))
    mode = str(op.get("rounding_mode", "ROUND")).upper()
    if len(zero) != 1 or len(bits) != 1 or mode not in ("ROUND", "HALF_EVEN") or int(bits[0]) != bits[0]:
        raise HwqError(f"Quant at {op.output!r} must have one zero point, one whole width and round half to even")
    signed, narrow = bool(op.get("signed", 1)), bool(op.get("narrow", 0))
    if int(bits[0]) < 1 + signed or (narrow and not signed):
        raise HwqError(f"Quant at {op.output!r} must have {1 + signed} bits or more, and be signed where it is narrow")
    fmt = integers(int(bits[0]), signed, int(zero[0]), narrow)
    if isinstance(x, Constant):  # its scale is spread as numpy does
        wide = [i for i, n in enumerate(scale.shape) if n > 1]
        return _rounded(x.numbers, scale, scale, fmt, wide[0] + x.numbers.ndim - scale.ndim if wide else 0)
    step = _one(scale, op)
    return Real(_closed(m, x, op, step, fmt), step)


def _rounded(numbers: Array, steps: Array, scale: Array, fmt: Format, axis: int) -> Constant:
    """Float constants rounded to codes as the operator does, in float32."""
    codes = fmt.quantize(numbers.astype(np.float32) / steps).astype(np.float64)
    return Constant(codes * steps.astype(np.float64), codes, scale.astype(np.float64).reshape(-1), fmt, axis)


def _scales(m: Importer, op: Op) -> Array:
    """The scales of an operator in float32, which must be numbers above 0."""
    scale = m.array(op, 1).astype(np.float32)
    if not scale.size or not (np.isfinite(scale) & (scale > 0)).all():
        worst = scale.reshape(-1)[~(scale.reshape(-1) > 0) | ~np.isfinite(scale.reshape(-1))]
        raise HwqError(f"the scale of {op.output!r} must be finite and above 0, not {worst[0] if worst.size else None}")
    return scale


def _axis(op: Op, array: Array) -> int:
    return int(op.get("axis", 1)) % array.ndim if array.ndim else 0


def _unblocked(op: Op) -> None:
    if op.get("block_size", 0):
        raise HwqError(f"{op.kind} at {op.output!r} must have a scale a channel or one for all, not one a block")


def _one(numbers: Array, op: Op, what: str = "scale") -> float:
    if numbers.size != 1:
        raise HwqError(f"values must have one {what}, not {numbers.size} at {op.output!r}")
    return float(numbers.reshape(-1)[0])


def _closed(m: Importer, x: Value, op: Op, scale: float, fmt: Format) -> str:
    """The layer whose codes are those of the numbers `x`, named after the tensor that holds them."""
    net, name = m.net, op.output
    match x:
        case Entry(moves):
            made = net.add("input", (), f"{name}:input" if moves else name, scale, fmt, m.source.shape)
            return net.moved(made, moves, name)
        case Real(source, own):
            return net.alike(Term(source, own), fmt, scale, name)
        case Sum():
            fmt = _held(x, scale, fmt, name)
            if x.op == "concat":
                parts = tuple(net.alike(term, fmt, scale) for term in x.terms)
                joined = name if len(x.moves) == 1 else f"{name}:joined"
                assert x.moves[0].call is not None
                return net.moved(net.call(parts, joined, x.moves[0].call), x.moves[1:], name)
            inner = f"{name}:product" if x.moves else name
            made = net.rectified(x, inner, fmt, scale) or net.product(x, inner, fmt, scale)
            return net.moved(made, x.moves, name)
    raise HwqError(f"{op.kind} at {name!r} must quantize numbers, not codes")


def _held(s: Sum, scale: float, fmt: Format, name: str) -> Format:
    """The format of numbers that are held between ends before they are quantized, which are those of a narrower one."""
    if s.least == -np.inf and (s.relu or s.most == np.inf):
        return fmt
    if not s.relu and s.least <= scale * fmt.min and s.most >= scale * fmt.max:  # the format ends them
        return fmt
    low, high = (round(float(np.clip(end / scale, fmt.min, fmt.max))) for end in (s.least, s.most))
    bits = (high - low).bit_length()
    made = [integers(bits, True, 0), integers(bits, True, 0, narrow=True)] if bits > 1 else []
    made += [fmt, integers(max(1, bits), False, max(-low, 0))]
    found = next((one for one in made if one.integer_range == (low, high)), fmt if s.relu else None)
    if found is None or fmt.lsb:
        raise HwqError(f"values of {name!r} must be held between the ends of a format, not {low} and {high}")
    return found


QUANTIZERS = {"QuantizeLinear": _quantize, "DequantizeLinear": _dequantize, "Quant": _quant}
