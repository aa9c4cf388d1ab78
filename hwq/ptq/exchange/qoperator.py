"""QOperator files: every operator that reads and writes codes as DequantizeLinear, the operator of numbers, and back.

Sources: ONNX operators (QLinearConv, QLinearMatMul); ONNX Runtime's contributed operators (com.microsoft: QGemm,
QLinearAdd, QLinearAveragePool, QLinearGlobalAveragePool, QLinearConcat).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwq.errors import HwqError
from hwq.ptq.exchange.source import Op

__all__ = ["expanded"]

Array = NDArray[Any]
Triple = tuple[str, str, str]  # names of codes, scale, zero point


def expanded(ops: Iterable[Op], constants: dict[str, Array]) -> Iterator[Op]:
    """The nodes, those of codes as nodes of numbers; scales of biases join the `constants`."""
    for op in ops:
        make = _KNOWN.get(op.kind)
        if make is None:
            yield op
        else:
            yield from _Expansion(op, constants).nodes(*make(op))


class _Expansion:
    """One operator of codes. Numbers are named after its result, with a number."""

    def __init__(self, op: Op, constants: dict[str, Array]) -> None:
        self.op, self.constants, self.made = op, constants, list[Op]()

    def nodes(self, kind: str, reads: list[Triple], bias: str, to: tuple[str, str]) -> list[Op]:
        """The nodes of an operator `kind` that reads codes, adds a bias, and writes codes by `to` (scale, zero)."""
        op = self.op
        axis = 0 if kind == "Conv" or op.get("transB", 0) else 1
        numbers = [self._read(*read, axis=axis if place else 1) for place, read in enumerate(reads)]
        if bias:
            scale = np.float32(op.get("alpha", 1.0)) * self._scale(reads[0][1]) * self._scale(reads[1][1])
            self.constants[f"{op.output}:unit"] = scale
            numbers.append(self._read(bias, f"{op.output}:unit", "", axis=0))
        attributes = dict(op.attributes)
        if attributes.pop("channels_last", 0):
            raise HwqError(f"{op.kind} at {op.output!r} must have channels before rows and columns")
        if not to[0]:  # QGemm gives numbers without a scale of its own
            return [*self.made, Op(kind, tuple(numbers), op.outputs, attributes)]
        real = f"{op.output}:real"
        last = Op("QuantizeLinear", (real, *to), op.outputs, {})
        return [*self.made, Op(kind, tuple(numbers), (real,), attributes), last]

    def _read(self, codes: str, scale: str, zero: str, axis: int) -> str:
        name = f"{self.op.output}:{len(self.made)}"
        self.made.append(Op("DequantizeLinear", (codes, scale, zero), (name,), {"axis": axis}))
        return name

    def _scale(self, name: str) -> Array:
        found = self.constants.get(name)
        if found is None:
            raise HwqError(f"scale {name!r} of {self.op.kind} at {self.op.output!r} must be a constant")
        return found.astype(np.float32)


Parts = tuple[str, list[Triple], str, tuple[str, str]]


def _triples(op: Op, first: int, count: int) -> list[Triple]:
    places = range(first, first + 3 * count, 3)
    return [(op.input(i), op.input(i + 1), op.input(i + 2)) for i in places]


def _conv(op: Op) -> Parts:
    return "Conv", _triples(op, 0, 2), op.input(8), (op.input(6), op.input(7))


def _gemm(op: Op) -> Parts:
    return "Gemm", _triples(op, 0, 2), op.input(6), (op.input(7), op.input(8))


def _two(kind: str, op: Op) -> Parts:
    return kind, _triples(op, 0, 2), "", (op.input(6), op.input(7))


def _one(kind: str, op: Op) -> Parts:
    return kind, _triples(op, 0, 1), "", (op.input(3), op.input(4))


def _concat(op: Op) -> Parts:
    return "Concat", _triples(op, 2, len(op.inputs[2:]) // 3), "", (op.input(0), op.input(1))


_KNOWN = {
    "QLinearConv": _conv,
    "QGemm": _gemm,
    "QLinearMatMul": lambda op: _two("MatMul", op),
    "QLinearAdd": lambda op: _two("Add", op),
    "QLinearAveragePool": lambda op: _one("AveragePool", op),
    "QLinearGlobalAveragePool": lambda op: _one("GlobalAveragePool", op),
    "QLinearConcat": _concat,
}
