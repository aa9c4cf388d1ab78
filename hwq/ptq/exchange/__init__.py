"""Quantized networks in files: hwq's own, and those of other runtimes."""

from hwq.ptq.exchange.changed import changed
from hwq.ptq.exchange.compressed import import_compressed, install
from hwq.ptq.exchange.onnx_in import import_onnx
from hwq.ptq.exchange.onnx_out import STYLES, export_onnx
from hwq.ptq.exchange.packed import load, save

__all__ = ["STYLES", "changed", "export_onnx", "import_compressed", "import_onnx", "install", "load", "save"]
