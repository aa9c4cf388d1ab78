"""Export to ONNX, in three styles."""

from __future__ import annotations

from pathlib import Path

import onnx

from hwq.errors import HwqError
from hwq.ptq.exchange.integer import Integer
from hwq.ptq.exchange.qdq import Qdq
from hwq.ptq.exchange.qonnx import Qonnx
from hwq.ptq.exchange.style import Style
from hwq.ptq.quantized import QuantizedModel

__all__ = ["STYLES", "export_onnx"]

STYLES: dict[str, type[Style]] = {"qdq": Qdq, "integer": Integer, "qonnx": Qonnx}


def export_onnx(model: QuantizedModel, path: str | Path, style: str = "qdq") -> None:
    """Write `model` as ONNX, from "input" [N, ...] to "output", both real numbers; tensors are named after layers.

    `integer` gives the very codes of the hardware in any runtime. `qdq` and `qonnx` compute in float32: they give the
    same codes but for sums next to the middle of two of them, and all of them where scales are powers of two.
    """
    if style not in STYLES:
        raise HwqError(f"a style must be one of {', '.join(STYLES)}, not {style!r}")
    made = STYLES[style](model).write()
    try:
        onnx.save(made, path)
    except OSError as error:
        raise HwqError(f"{path} must be a file that can be written, not one that fails with {error}") from error
