"""Import of quantized ONNX, QDQ and QONNX: the codes, scales and zero points of the file on datapaths.

Every value keeps the format that its QuantizeLinear (or Quant) gives it, its zero point a part of that, and is named
after the tensor that holds its codes. What a datapath does not have is a free ratio of scales: that becomes one of the
requantizer, as everywhere, and `ratio` keeps the file's own, so that it can be told how many codes that changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hwq.errors import HwqError
from hwq.formats import Format
from hwq.ptq.exchange.building import Building
from hwq.ptq.exchange.operators import OPERATORS
from hwq.ptq.exchange.parts import Array, Codes, Constant, Entry, Real, Sum, Term, Value, integers
from hwq.ptq.exchange.source import Op, Source, read
from hwq.ptq.quantized import QuantizedModel

__all__ = ["REQUANT", "Importer", "import_onnx"]

REQUANT = "uint(24)"


def import_onnx(path: str | Path, requant: str = REQUANT, array: str = "@8x8") -> QuantizedModel:
    """The quantized network of a QDQ or QONNX file; `array` is the size of arrays.

    `requant` is the format of multipliers: 24 bits are as many as the scales of a file, float32, have; 16 cost less.
    """
    source = read(path)
    importer = Importer(source, Building(requant, array))
    last = importer.run()
    digest = sha256(Path(path).read_bytes()).hexdigest()
    rounded = ", ".join(f"{count} of {name}" for name, count in importer.net.rounded.items())
    origin = {"hwq": version("hwq"), "file": Path(path).name, "file sha256": digest}
    origin |= {"biases rounded": rounded} if rounded else {}
    made = importer.net.finish(Path(path).stem, last, origin)
    kept = {(name, "ratio"): ratio for name, ratio in importer.net.ratios.items()}
    names = {layer.name for layer in made.layers}
    return replace(made, state={**made.state, **{key: held for key, held in kept.items() if key[0] in names}})


class Importer:
    """Walks the nodes of a file; `values` is what each tensor is."""

    def __init__(self, source: Source, net: Building) -> None:
        self.source, self.net = source, net
        self.values: dict[str, Value] = {source.input: Entry()}
        self.zeros: dict[str, int] = {}  # stored codes of 0
        self.values |= {name: Constant(array) for name, array in source.constants.items()}

    def run(self) -> str:
        """All nodes; the name of the last layer."""
        for op in self.source.ops:
            handle = _QUANTIZERS.get(op.kind) or OPERATORS.get(op.kind)
            if handle is None:
                known = ", ".join(sorted([*_QUANTIZERS, *OPERATORS]))
                raise HwqError(f"operators of an imported network must be of {known}, not {op.kind} at {op.output!r}")
            self.values[op.output] = handle(self, op)
        end = self.values.get(self.source.output)
        if isinstance(end, Sum) and end.op != "concat":
            return self.net.moved(self.net.product(end, self.source.output, None, None), end.moves, self.source.output)
        if isinstance(end, Codes | Real):
            return end.name
        raise HwqError(
            f"{self.source.output!r} must be computed from quantized values; hwq ptq quantizes float networks"
        )

    # ------------------------------------------------------------ what handlers ask

    def value(self, op: Op, place: int) -> Value:
        """What an input of a node is."""
        found = self.values.get(op.input(place))
        if found is None:
            raise HwqError(f"input {place} of {op.kind} at {op.output!r} must come before it, not be missing")
        return found

    def array(self, op: Op, place: int, default: Any = None) -> Array:
        """A constant input of a node."""
        if not op.input(place) and default is not None:
            return np.asarray(default)
        found = self.value(op, place)
        if not isinstance(found, Constant):
            raise HwqError(f"input {place} of {op.kind} at {op.output!r} must be a constant")
        return found.numbers

    def real(self, op: Op, place: int) -> Term:
        """An input of a product: a quantized value."""
        found = self.value(op, place)
        if isinstance(found, Real):
            return Term(found.name, found.scale)
        raise HwqError(f"{op.kind} at {op.output!r} must read quantized values; hwq ptq quantizes float networks")

    def weight(self, op: Op, place: int) -> Constant:
        """A quantized constant of a product."""
        found = self.value(op, place)
        if isinstance(found, Constant) and found.codes is not None:
            return found
        raise HwqError(f"the weights of {op.kind} at {op.output!r} must be quantized constants")

    def constant(self, op: Op, x: Constant, like: str) -> Term:
        """A quantized constant as a value, spread to the shape of another one."""
        shape = self.net.layer(like).node.shape
        name = f"{op.output}:constant"
        if x.codes is None or x.scale is None or x.fmt is None or x.scale.size != 1:
            raise HwqError(f"the constant of {op.kind} at {op.output!r} must be quantized by one scale")
        scale = float(x.scale.item())
        try:
            codes = np.broadcast_to(x.codes, (1, *shape))[0]
        except ValueError as error:
            raise HwqError(f"the constant of {op.kind} at {op.output!r} must be alike for all images") from error
        self.net.state[name, "value"] = torch.from_numpy(codes * scale).float()
        return Term(self.net.add("constant", (), name, scale, x.fmt, shape), scale)


# ---------------------------------------------------------------- between numbers and codes


def _quantize(m: Importer, op: Op) -> Value:
    x, scale = m.value(op, 0), m.array(op, 1).astype(np.float32)
    zero, fmt = _stored(m, op)
    if isinstance(x, Constant):
        return _constant(x.numbers, scale, zero, fmt, op)
    made = close(m, x, op, _one(scale, op), fmt)
    m.zeros[made] = int(zero.reshape(-1)[0])
    return Codes(made)


def _stored(m: Importer, op: Op) -> tuple[Array, Format]:
    """The zero point, and the format that it and its type tell."""
    zero = m.array(op, 2, 0)
    bits, signed = m.source.kinds.get(op.input(2), (8, False))
    flat = zero.astype(np.int64).reshape(-1)
    if flat.size and not (flat == flat[0]).all():
        raise HwqError(f"zero points of {op.output!r} must be alike in all channels, not {flat.min()} to {flat.max()}")
    return zero.astype(np.int64), integers(min(bits, 16), signed, int(flat[0]) if flat.size else 0)


def _dequantize(m: Importer, op: Op) -> Value:
    x, scale = m.value(op, 0), m.array(op, 1).astype(np.float32)
    if isinstance(x, Constant):
        zero = m.array(op, 2, 0).astype(np.int64).reshape(-1)
        if x.fmt is not None:
            return Constant(x.numbers, x.codes, x.scale, x.fmt, x.axis)
        kind = m.source.kinds.get(op.input(0), (8, True))
        if not (zero == zero[0]).all():
            raise HwqError(f"zero points of {op.output!r} must be alike in all channels")
        codes, axis = x.numbers.astype(np.int64) - int(zero[0]), _axis(op, x.numbers)
        fmt = None if kind[0] > 16 else integers(*kind, int(zero[0]))
        shaped = scale.astype(np.float64).reshape(_along(scale, codes, axis))
        return Constant(codes * shaped, codes, scale.astype(np.float64).reshape(-1), fmt, axis)
    if isinstance(x, Codes):
        return Real(x.name, _one(scale, op))
    raise HwqError(f"DequantizeLinear at {op.output!r} must read codes")


def _quant(m: Importer, op: Op) -> Value:
    """QONNX: quantize and dequantize at once."""
    x, scale = m.value(op, 0), m.array(op, 1).astype(np.float32)
    zero, bits = (np.unique(m.array(op, place)) for place in (2, 3))
    mode = str(op.get("rounding_mode", "ROUND")).upper()
    if len(zero) != 1 or len(bits) != 1 or mode not in ("ROUND", "HALF_EVEN") or int(bits[0]) != bits[0]:
        raise HwqError(f"Quant at {op.output!r} must have one zero point, one whole width and round half to even")
    signed, narrow = bool(op.get("signed", 1)), bool(op.get("narrow", 0))
    if int(bits[0]) < 1 + signed or (narrow and not signed):
        raise HwqError(f"Quant at {op.output!r} must have {1 + signed} bits or more, and be signed where it is narrow")
    fmt = integers(int(bits[0]), signed, int(zero[0]), narrow)
    if isinstance(x, Constant):
        return _constant(x.numbers, scale, zero.astype(np.int64), fmt, op)
    step = _one(scale, op)
    return Real(close(m, x, op, step, fmt), step)


def _constant(numbers: Array, scale: Array, zero: Array, fmt: Format, op: Op) -> Constant:
    """Float constants rounded to codes as the operator does, in float32."""
    if op.kind == "Quant":  # whose scale is spread as numpy does
        wide, shaped = [i for i, n in enumerate(scale.shape) if n > 1], scale
        axis = wide[0] + numbers.ndim - scale.ndim if wide else 0
    else:
        axis = _axis(op, numbers)
        shaped = scale.reshape(_along(scale, numbers, axis))
    low, high = fmt.integer_range
    codes = np.clip(np.round(numbers.astype(np.float32) / shaped), low, high).astype(np.int64)
    return Constant(codes * shaped.astype(np.float64), codes, scale.astype(np.float64).reshape(-1), fmt, axis)


def _axis(op: Op, array: Array) -> int:
    axis = int(op.get("axis", 1))
    if op.get("block_size", 0):
        raise HwqError(f"{op.kind} at {op.output!r} must have a scale a channel or one for all, not one a block")
    return axis % array.ndim if array.ndim else 0


def _along(scale: Array, array: Array, axis: int) -> tuple[int, ...]:
    if scale.size == 1:
        return (1,) * array.ndim
    return tuple(scale.size if i == axis else 1 for i in range(array.ndim))


def _one(scale: Array, op: Op) -> float:
    if scale.size != 1:
        raise HwqError(f"values must have one scale, not {scale.size} at {op.output!r}")
    return float(scale.reshape(-1)[0])


def close(m: Importer, x: Value, op: Op, scale: float, fmt: Format) -> str:
    """The layer whose codes are those of the numbers `x`, named after the tensor that holds them."""
    net, name = m.net, op.output
    if not scale > 0 or not np.isfinite(scale):
        raise HwqError(f"the scale of {name!r} must be finite and above 0, not {scale}")
    match x:
        case Entry():
            return net.add("input", (), name, scale, fmt, m.source.shape)
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
    low, high = (round(float(np.clip(end / scale, *fmt.integer_range))) for end in (s.least, s.most))
    bits = (high - low).bit_length()
    made = [integers(bits, True, 0), integers(bits, True, 0, narrow=True)] if bits > 1 else []
    made += [fmt, integers(max(1, bits), False, max(-low, 0))]
    found = next((one for one in made if one.integer_range == (low, high)), fmt if s.relu else None)
    if found is None:
        raise HwqError(f"values of {name!r} must be held between the ends of a format, not {low} and {high}")
    return found


Handler = Callable[[Importer, Op], Value]
_QUANTIZERS: dict[str, Handler] = {"QuantizeLinear": _quantize, "DequantizeLinear": _dequantize, "Quant": _quant}
