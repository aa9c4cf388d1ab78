"""What a quantization came to: the metric by three evaluators, and every layer's work, noise and saturation."""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from torch import Tensor

from hwq.formats import Format
from hwq.ptq.engine import Subject
from hwq.ptq.graph import Graph, check_images
from hwq.ptq.lower import layer_graph
from hwq.ptq.quantized import QuantizedModel
from hwq.ptq.tracing import trace

__all__ = ["Judged", "Score", "Task", "float_outputs", "per_layer", "predict_float", "report"]

_LAYER_IMAGES = 64


class Score(Protocol):
    """A metric with its interval."""

    @property
    def n(self) -> int: ...
    def json(self) -> dict[str, float]:
        """{value, low, high}."""


class Task(Protocol):
    """What outputs [N, ...] are judged by: against targets, and beside those of a reference network."""

    @property
    def name(self) -> str: ...
    @property
    def higher(self) -> bool: ...
    def score(self, outputs: Tensor, targets: Tensor, /) -> Score: ...
    def difference(self, first: Tensor, second: Tensor, targets: Tensor, /) -> Score: ...
    def beside(self, reference: Tensor, outputs: Tensor, /) -> dict[str, float | None]: ...


class Judged(Subject, Protocol):
    """A subject with test inputs and a task."""

    @property
    def task(self) -> Task: ...
    def test(self, n: int | None = None) -> tuple[Tensor, Tensor]: ...


def report(
    subject: Judged, quantized: QuantizedModel, n: int | None = None, crops: Tensor | None = None
) -> dict[str, Any]:
    """The record of `hwq ptq --json`: the task's metric of float, fake and exact network on n test items.

    `lost` is how much worse exact is than float, paired. `beside` compares the hardware's outputs with the
    float network's, on unlabelled `crops` [M, ...] where given, else on the test inputs. `float_ops` names the
    operators that the host computes in float.
    """
    inputs, targets = subject.test(n)
    graph, task = trace(subject.net, inputs), subject.task
    outputs = {"float": float_outputs(graph, inputs)}
    outputs |= {"fake": quantized.outputs(inputs, "fake"), "exact": quantized.outputs(inputs, "exact")}
    scores = {kind: task.score(made, targets) for kind, made in outputs.items()}
    better, worse = ("float", "exact") if task.higher else ("exact", "float")  # of a network that loses
    if crops is None:
        beside = task.beside(outputs["float"], outputs["exact"])
    else:
        beside = task.beside(float_outputs(graph, crops), quantized.outputs(crops))
    return {
        "model": subject.name,
        "metric": task.name,
        "n": scores["float"].n,
        **{kind: score.json() for kind, score in scores.items()},
        "lost": task.difference(outputs[better], outputs[worse], targets).json(),
        "beside": beside,
        "float_ops": quantized.float_ops,
        "assignment": quantized.assignment,
        "per_layer": per_layer(quantized.reference or graph, quantized, inputs[:_LAYER_IMAGES]),
    }


def predict_float(graph: Graph, images: Tensor) -> Tensor:
    """The class [N] of every image by the float network."""
    return float_outputs(graph, images).argmax(1)


def float_outputs(graph: Graph, images: Tensor) -> Tensor:
    """The float network's output [N, ...] for all images, computed in batches."""
    check_images(graph, images)
    with torch.no_grad():
        return torch.cat([graph.run(batch) for batch in torch.split(images, graph.together)])


@torch.no_grad()
def per_layer(graph: Graph, quantized: QuantizedModel, images: Tensor) -> list[dict[str, Any]]:
    """One record a product, from the codes that the exact evaluator gives for `images`.

    `sqnr_db` compares with the value of the float network, noise of the layers before included; `saturated` is the
    share of codes at an end of their format; `products` are (M, N, K) of one image. `accumulator_bits` stand beside
    those that any weights of the format would need.
    """
    exact = {layer.name: (layer, codes) for layer, codes in quantized.walk_exact(images)}
    records = []
    for node, _, value in layer_graph(graph, quantized.layers).walk(images):
        layer, codes = exact[node.name]
        if layer.datapath is None or layer.fmt is None:
            continue
        real = quantized.decode(layer, codes)
        scaled = real * float(quantized.state[layer.name, "scale"])
        mac = layer.datapath.mac
        records.append(
            {
                "name": layer.name,
                "role": layer.role,
                "datapath": str(layer.datapath),
                "macs": quantized.graph.macs(layer.node),
                "products": quantized.graph.products(layer.node),
                "sqnr_db": _sqnr(value.double(), scaled),
                "saturated": _saturated(real, layer.fmt),
                "accumulator_bits": mac.acc_format.bits,
                "accumulator_bits_any_weights": mac.exact_bits,
            }
        )
    return records


def _sqnr(signal: Tensor, quantized: Tensor) -> float | None:
    """Decibels of signal over noise; None where there is no noise or no signal."""
    power, noise = float(signal.square().sum()), float((signal - quantized).square().sum())
    return 10 * math.log10(power / noise) if power > 0 and noise > 0 else None


def _saturated(values: Tensor, fmt: Format) -> float:
    ends = (values == fmt.max) | ((values == fmt.min) & (fmt.min < 0))
    return float(ends.double().mean())
