"""An ONNX file as nodes in order, constants as arrays, and words for what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.checker import ValidationError

from hwq.errors import HwqError
from hwq.ptq.exchange.files import check_file
from hwq.ptq.exchange.stored import Kind

__all__ = ["Op", "Source", "read"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Op:
    """One node: operator, names of inputs (empty where left out) and outputs, attributes."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    @property
    def output(self) -> str:
        """The name of the first result."""
        return self.outputs[0]

    def input(self, place: int) -> str:
        """The name of an input, empty where it is left out."""
        return self.inputs[place] if place < len(self.inputs) else ""

    def get(self, name: str, default: Any) -> Any:
        """An attribute, or its default."""
        return self.attributes.get(name, default)


@dataclass(frozen=True)
class Source:
    """A graph with one input [N, *shape] and one output; `kinds` says as what constants are stored."""

    ops: tuple[Op, ...]
    constants: dict[str, Array]
    kinds: dict[str, Kind]
    input: str
    shape: tuple[int, ...]
    output: str


def read(path: str | Path) -> Source:
    """The graph of an ONNX file."""
    check_file(path, "an ONNX file")
    try:
        return _source(path, onnx.load(path).graph)
    except HwqError:
        raise
    except (OSError, DecodeError, ValueError, TypeError, ValidationError) as error:
        raise HwqError(f"{path} must be an ONNX file, not one that fails with {_line(error)}") from error


def _source(path: str | Path, graph: onnx.GraphProto) -> Source:
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    entries = [value for value in graph.input if value.name not in held]
    if len(entries) != 1 or len(graph.output) != 1:
        raise HwqError(f"{path} must have one input and one output, not {len(entries)} and {len(graph.output)}")
    ops = []
    for node in graph.node:
        attributes = {a.name: _attribute(a) for a in node.attribute}
        if node.op_type == "Constant":
            held[node.output[0]] = np.asarray(next(iter(attributes.values())))
        else:
            ops.append(Op(node.op_type, tuple(node.input), tuple(node.output), attributes))
    kinds = {name: Kind.of(array.dtype) for name, array in held.items()}
    plain = {name: _plain(array) for name, array in held.items()}
    return Source(tuple(ops), plain, kinds, entries[0].name, _shape(path, entries[0]), graph.output[0].name)


def _shape(path: str | Path, value: onnx.ValueInfoProto) -> tuple[int, ...]:
    sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    if len(sizes) < 2 or any(size < 1 for size in sizes[1:]):
        raise HwqError(f"the input of {path} must have known sizes [N, ...], not {sizes}; fix them in the file")
    return tuple(sizes[1:])


def _attribute(attribute: onnx.AttributeProto) -> Any:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _plain(array: Array) -> Array:
    """Integers as int64 and uint64, other numbers as float32 or float64."""
    name = str(array.dtype)
    if name.startswith("uint"):
        return array.astype(np.uint64) if array.dtype.itemsize == 8 else array.astype(np.int64)
    if name.startswith("int"):
        return array.astype(np.int64)
    return array if name in ("float64", "bool") else array.astype(np.float32)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
