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
from hwq.ptq.exchange import shapes
from hwq.ptq.exchange.building import Building
from hwq.ptq.exchange.operators import OPERATORS
from hwq.ptq.exchange.parts import Array, Codes, Constant, Entry, Real, Sum, Term, Value
from hwq.ptq.exchange.qoperator import expanded
from hwq.ptq.exchange.quantizers import QUANTIZERS
from hwq.ptq.exchange.source import Op, Source, read
from hwq.ptq.quantized import QuantizedModel

__all__ = ["REQUANT", "Importer", "import_onnx"]

REQUANT = "uint(24)"
_FLOAT = ": put QuantizeLinear and DequantizeLinear before it, or give the float network to hwq ptq"
_STATIC = "; quantize with scales that no image changes (static quantization)"
_ADVICE = {
    **dict.fromkeys(("DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "DynamicQuantizeMatMul"), _STATIC),
    "Softmax": "; a last Softmax changes no class: cut it off",
    "MatMulNBits": "; write its weights with DequantizeLinear",
}


def import_onnx(path: str | Path, requant: str = REQUANT, array: str = "@8x8") -> QuantizedModel:
    """The quantized network of a QDQ or QONNX file; `array` is the size of arrays.

    `requant` is the format of multipliers. 24 bits are as many as the scales of a file, float32, have: what they change
    in a network is below 1 code in 100,000. With 16 it can be 1 in 100, as what changes goes on from layer to layer.
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
        self.ops = list(expanded(source.ops, source.constants))
        self.values |= {name: Constant(array) for name, array in source.constants.items()}

    def run(self) -> str:
        """All nodes; the name of the last layer."""
        for op in self.ops:
            handle = _HANDLERS.get(op.kind)
            if handle is None:
                found = f"not {op.kind} at {op.output!r}{_ADVICE.get(op.kind, '')}"
                raise HwqError(f"operators of an imported network must be of {', '.join(sorted(_HANDLERS))}, {found}")
            self.values[op.output] = handle(self, op)
        end = self.values.get(self.source.output)
        if isinstance(end, Sum) and end.op != "concat":
            return self.net.moved(self.net.product(end, self.source.output, None, None), end.moves, self.source.output)
        if isinstance(end, Codes | Real):
            return end.name
        raise HwqError(f"{self.source.output!r} must be computed from quantized values{_FLOAT}")

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
        if isinstance(found, Sum) and len(found.terms) == 1 and not found.moves:  # a rectifier, which keeps codes
            (term,) = found.terms
            made = self.net.rectified(found, op.input(place), self.net.fmt(term.name), term.scale)
            found = self.values[op.input(place)] = Real(made, term.scale) if made else found
        if isinstance(found, Real):
            return Term(found.name, found.scale)
        raise HwqError(f"{op.kind} at {op.output!r} must read quantized values{_FLOAT}")

    def weight(self, op: Op, place: int) -> Constant:
        """A quantized constant of a product."""
        found = self.value(op, place)
        if isinstance(found, Constant) and found.codes is not None and found.scale is not None:
            if found.fmt is None:
                raise HwqError(f"the weights of {op.kind} at {op.output!r} must have at most 16 bits")
            return found
        raise HwqError(f"the weights of {op.kind} at {op.output!r} must be quantized constants")

    def shape(self, x: Value) -> tuple[int, ...]:
        """The sizes of a value, images left out."""
        match x:
            case Codes(name) | Real(name):
                return self.net.shape(name)
            case Entry(moves):
                sizes = self.source.shape
            case Sum(moves=moves):
                sizes = shapes.product(x, "a product", [self.net.shape(term.name) for term in x.terms])
            case Constant():
                return x.numbers.shape
        for move in moves:
            sizes = shapes.moved(sizes, move, "a move")
        return sizes

    def constant(self, op: Op, x: Constant, like: str) -> Term:
        """A quantized constant as a value, spread to the shape of another one."""
        shape = self.net.shape(like)
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


Handler = Callable[[Importer, Op], Value]
_HANDLERS: dict[str, Handler] = {**QUANTIZERS, **OPERATORS}
