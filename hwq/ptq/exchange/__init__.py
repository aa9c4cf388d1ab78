"""Quantized networks in files: hwq's own, and those of other runtimes."""

from hwq.ptq.exchange.changed import changed
from hwq.ptq.exchange.compressed import Weights, import_compressed
from hwq.ptq.exchange.onnx_in import import_onnx
from hwq.ptq.exchange.onnx_out import STYLES, export_onnx
from hwq.ptq.exchange.packed import load, save

__all__ = ["STYLES", "Weights", "changed", "export_onnx", "import_compressed", "import_onnx", "load", "save"]
