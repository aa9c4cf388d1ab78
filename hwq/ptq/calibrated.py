"""A network calibrated: its graph, a sample of every float value, and the scales that formats take of them."""

from __future__ import annotations

import torch
from torch import Tensor

from hwq.errors import HwqError
from hwq.formats import Format
from hwq.ptq.graph import Graph
from hwq.ptq.lower import Layer
from hwq.ptq.scales import Calibrator, check_finite
from hwq.ptq.statistics import observe
from hwq.ptq.sums import aligned, families

__all__ = ["Calibrated"]

_PREFIX_IMAGES = 256  # run through the quantized prefix for Hessians and bias correction


class Calibrated:
    """A graph with the `statistics` of its float values on calibration images, of which the first are the `prefix`."""

    def __init__(self, graph: Graph, images: Tensor) -> None:
        self.graph = graph
        self.prefix = images[:_PREFIX_IMAGES]
        self.statistics = observe(graph, images, len(self.prefix))
        self._scales: dict[tuple[str, Format, Calibrator], Tensor] = {}

    def value_scales(self, layers: tuple[Layer, ...], rule: Calibrator) -> dict[str, Tensor]:
        """The scale of every value that has a format."""
        members: dict[str, list[Layer]] = {}
        for layer in layers:
            if layer.fmt is not None:
                members.setdefault(layer.group, []).append(layer)
        samples = {group: self._sample(tuple(map(self._observed, made))) for group, made in members.items()}
        formats = {group: made[0].fmt for group, made in members.items() if made[0].fmt is not None}
        scales = {group: self._scale(group, samples[group], fmt, rule) for group, fmt in formats.items()}
        for family, spread in families(layers):
            scales |= aligned(family, spread, scales, formats, samples)
        return {layer.name: scales[group] for group, made in members.items() for layer in made}

    def _observed(self, layer: Layer) -> str:
        """The name under which the layer's value was observed; a conversion has the value that it converts."""
        return layer.name if layer.name in self.statistics.sample else layer.node.inputs[0]

    def _sample(self, names: tuple[str, ...]) -> Tensor:
        return torch.cat([self.statistics.sample[name] for name in names]).unsqueeze(0)

    def _scale(self, name: str, sample: Tensor, fmt: Format, rule: Calibrator) -> Tensor:
        key = (name, fmt, rule)
        if key not in self._scales:
            check_finite(sample, f"values of {name!r}")
            if fmt.min >= 0 and float(sample.min()) < 0:
                raise HwqError(
                    f"values of {name!r} must be 0 or more for {fmt}, not down to {float(sample.min()):.3g}; give the "
                    f"layers that read them a signed activation format"
                )
            self._scales[key] = rule(sample, fmt)[0]
        return self._scales[key]
