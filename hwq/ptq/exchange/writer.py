"""Writing an ONNX graph node by node, each result under a name of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["Writer"]

Array = NDArray[Any]
_NARROW = {(2, True): TensorProto.INT2, (4, True): TensorProto.INT4}
_NARROW |= {(2, False): TensorProto.UINT2, (4, False): TensorProto.UINT4}
_OPSET, _OPSET_INT2 = 21, 25  # the first with 4-bit and 16-bit, and the first with 2-bit integers
_BATCH = "N"


class Writer:
    """Nodes and constants of one graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self._names = {"input", "output"}
        self._opset = _OPSET

    def add(
        self,
        op: str,
        inputs: Sequence[str],
        name: str = "",
        attributes: Mapping[str, Any] | None = None,
        domain: str = "",
    ) -> str:
        """Append a node with one result, and return the result's name."""
        made = self.fresh(name or f"{inputs[0]}/{op}")
        attributes = {key: value for key, value in (attributes or {}).items() if value is not None}
        self.nodes.append(helper.make_node(op, list(inputs), [made], name=made, domain=domain, **attributes))
        return made

    def hold(self, value: Any, name: str, bits: int = 8, signed: bool = True) -> str:
        """A constant; integers of 2 or 4 bits are packed, those of 8 or more have the type of the array."""
        array, name = np.asarray(value), self.fresh(name)
        narrow = _NARROW.get((bits, signed))
        if narrow is None:
            self.constants[name] = numpy_helper.from_array(array, name)
        else:
            self._opset = max(self._opset, _OPSET_INT2 if bits == 2 else _OPSET)
            self.constants[name] = helper.make_tensor(name, narrow, array.shape, array.flatten().tolist())
        return name

    def result(self, name: str) -> None:
        """Make a tensor the model's output."""
        self.nodes.append(helper.make_node("Identity", [name], ["output"]))

    def fresh(self, name: str) -> str:
        """`name`, with a mark where it is taken."""
        while name in self._names:
            name += "'"
        self._names.add(name)
        return name

    def model(
        self, shape: Sequence[int], output: Sequence[int], about: Mapping[str, str], domains: Mapping[str, int]
    ) -> onnx.ModelProto:
        """The model from "input" [N, *shape] to "output" [N, *output], floats both."""
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [_BATCH, *sizes])
            for name, sizes in (("input", shape), ("output", output))
        ]
        graph = helper.make_graph(self.nodes, "hwq", ends[:1], ends[1:], list(self.constants.values()))
        versions = {"": self._opset, **domains}
        opsets = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
        made = helper.make_model(graph, opset_imports=opsets, producer_name="hwq", ir_version=_IR[self._opset])
        helper.set_model_props(made, dict(about))
        return made


_IR = {_OPSET: 10, _OPSET_INT2: 13}
