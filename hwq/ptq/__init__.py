"""Post-training quantization: trace, calibrate, solve, score in torch floats or in the hardware's bits."""

from hwq.ptq.certify import needs
from hwq.ptq.engine import CALIBRATION, Quantizer, Subject, quantize, quantizer
from hwq.ptq.exchange import changed, export_onnx, import_compressed, import_onnx, install, load, save
from hwq.ptq.graph import Graph, Node, Window
from hwq.ptq.lower import Assignment, Layer
from hwq.ptq.quantized import QuantizedModel
from hwq.ptq.recipe import DEFAULT_RECIPE, Recipe, recipe_words
from hwq.ptq.results import float_outputs, per_layer, predict_float, report
from hwq.ptq.scales import CALIBRATORS, Calibrator, least_squares, minmax, percentile
from hwq.ptq.sites import Link, Site, links, sites
from hwq.ptq.tracing import trace
from hwq.ptq.weights import SOLVERS, Answer, Rows, Solver, Weights, gptq, rtn

__all__ = [
    "CALIBRATION",
    "CALIBRATORS",
    "DEFAULT_RECIPE",
    "SOLVERS",
    "Answer",
    "Assignment",
    "Calibrator",
    "Graph",
    "Layer",
    "Link",
    "Node",
    "QuantizedModel",
    "Quantizer",
    "Recipe",
    "Rows",
    "Site",
    "Solver",
    "Subject",
    "Weights",
    "Window",
    "changed",
    "export_onnx",
    "float_outputs",
    "gptq",
    "import_compressed",
    "import_onnx",
    "install",
    "least_squares",
    "links",
    "load",
    "minmax",
    "needs",
    "per_layer",
    "percentile",
    "predict_float",
    "quantize",
    "quantizer",
    "recipe_words",
    "report",
    "rtn",
    "save",
    "sites",
    "trace",
]
