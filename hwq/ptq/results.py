"""What a quantization came to: accuracy by three evaluators, and every layer's share of work, noise and saturation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from hwq.formats import Format
from hwq.ptq.engine import Subject
from hwq.ptq.graph import Graph, check_images
from hwq.ptq.lower import layer_graph
from hwq.ptq.quantized import QuantizedModel
from hwq.ptq.tracing import trace

__all__ = ["Judged", "Score", "per_layer", "report"]

_BATCH = 128
_LAYER_IMAGES = 64


class Score(Protocol):
    """A metric with its interval."""

    def json(self) -> dict[str, float]:
        """{value, low, high}."""


class Judged(Subject, Protocol):
    """A subject with labelled test images."""

    @property
    def metric(self) -> str: ...
    def test(self, n: int | None = None) -> tuple[Tensor, Tensor]: ...


def report(
    subject: Judged,
    quantized: QuantizedModel,
    score: Callable[[Tensor, Tensor], Score],
    n: int | None = None,
    difference: Callable[[Tensor, Tensor, Tensor], Score] | None = None,
) -> dict[str, Any]:
    """The record of `hwq ptq --json`: `score(predicted, labels)` of float, fake and exact network on n test images.

    `difference(float, exact, labels)`, where given, makes `lost`: how much of the metric the hardware loses, paired.
    `float_ops` names the operators that the host computes in float.
    """
    images, labels = subject.test(n)
    graph = trace(subject.net, images)
    predicted = {"float": predict_float(graph, images)}
    predicted |= {"fake": quantized.predict(images, "fake"), "exact": quantized.predict(images, "exact")}
    lost = difference(predicted["float"], predicted["exact"], labels) if difference else None
    return {
        "model": subject.name,
        "metric": subject.metric,
        "n": len(images),
        **{kind: score(classes, labels).json() for kind, classes in predicted.items()},
        **({} if lost is None else {"lost": lost.json()}),
        "float_ops": quantized.float_ops,
        "assignment": quantized.assignment,
        "per_layer": per_layer(graph, quantized, images[:_LAYER_IMAGES]),
    }


def predict_float(graph: Graph, images: Tensor) -> Tensor:
    """The class [N] of every image by the float network."""
    check_images(graph, images)
    with torch.no_grad():
        return torch.cat([graph.run(batch).argmax(1) for batch in torch.split(images, _BATCH)])


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
