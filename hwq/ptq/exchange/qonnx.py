"""QONNX: floats that stand on their grids, each grid said by a Quant (or FloatQuant) node."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwq.errors import HwqError
from hwq.formats import Format
from hwq.ptq.exchange.grids import evenly, span_bits
from hwq.ptq.exchange.qdq import Qdq
from hwq.ptq.exchange.style import Ints
from hwq.ptq.lower import Layer

__all__ = ["Qonnx"]

_DOMAIN = "qonnx.custom_op.general"


class Qonnx(Qdq):
    """Values are real numbers. A sum or a pool multiplies what it reads where the requantizer's ratio is not theirs."""

    domains = {_DOMAIN: 1}  # noqa: RUF012 - a ClassVar of the base

    def stored(self, layer: Layer, codes: Ints) -> Any:
        return codes.astype(np.float32) * np.float32(self.scale(layer.name))

    def quantize(self, layer: Layer, x: str) -> str:
        assert layer.fmt is not None
        return self._quant(x, layer.fmt, np.float32(self.scale(layer.name)), layer.name)

    def read(self, name: str, scale: float | None = None) -> str:
        held = self.values[name]
        factor = np.float32(1 if scale is None else scale / self.scale(name))
        return held if factor == 1 else self.writer.add("Mul", [held, self.writer.hold(factor, f"{name}:factor")])

    def constant(self, codes: Ints, scales: Any, name: str, axis: int, bits: int = 0) -> str:
        """Weights stand behind a Quant; a bias is a float."""
        wide = np.asarray(scales, np.float32)
        wide = wide.reshape(-1, *[1] * (codes.ndim - 1)) if axis == 0 else wide
        held = self.writer.hold(codes.astype(np.float32) * wide, f"{name}:codes")
        if bits:
            return held
        low, high = int(codes.min()), int(codes.max())
        return self._node(held, wide, 0, span_bits(min(low, -1), high), True, False, name)

    def _quant(self, x: str, fmt: Format, scale: Any, name: str) -> str:
        grid = evenly(fmt, f"values of {name!r}", least=1)
        bits = (grid.high - grid.low).bit_length()
        full = grid.high - grid.low + 1 == 1 << bits
        signed = grid.low < 0
        zero = 0
        narrow = False
        if signed and grid.low != -(1 << (bits - 1)):
            narrow = not full and grid.low == -grid.high == 1 - (1 << (bits - 1))
            signed = narrow
            zero = 0 if narrow else -grid.low
        if not full and not narrow:
            raise HwqError(f"values of {name!r} must be all integers of {bits} bits for a Quant node, not {fmt}")
        return self._node(x, scale, zero, bits, signed, narrow, name)

    def _node(self, x: str, scale: Any, zero: int, bits: int, signed: bool, narrow: bool, name: str) -> str:
        held = [
            self.writer.hold(np.asarray(v, np.float32), f"{name}:{what}")
            for v, what in ((scale, "scale"), (zero, "zero"), (bits, "bits"))
        ]
        attributes = {"signed": int(signed), "narrow": int(narrow), "rounding_mode": "ROUND"}
        return self.writer.add("Quant", [x, *held], name, attributes, _DOMAIN)
