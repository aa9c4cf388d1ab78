"""What a search of a network minimises and maximises: accuracy by the exact emulator, area on a device, cycles."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from hwq.errors import HwqError

if TYPE_CHECKING:
    from hwq.datapath import Datapath
    from hwq.ptq import QuantizedModel
    from hwq.search import Measure
    from hwq.zoo import Model, Score

__all__ = ["Subject", "measures"]

UNITS = {"lut": "LUT", "ge": "NAND2 equivalents"}
KEPT = 64  # quantized networks, each a few copies of the weights


class Subject:
    """A model under a recipe: quantizes assignments, and makes the objectives of a study.

    What differs in structure alone (array size, cuts) has the same bits: it is quantized and scored once.
    """

    def __init__(self, model: Model, recipe: str) -> None:
        self.model, self.recipe = model, recipe
        self._quantized = lru_cache(maxsize=KEPT)(self._quantize)
        self._score = lru_cache(maxsize=None)(self._scored)

    def accuracy(self, images: int) -> Measure:
        """The share of the first `images` test images that the hardware's bits classify rightly."""
        from hwq.search import Measure

        key = f"{self.digest} {self.recipe} {images}"
        unit = f"{self.model.metric} of {images:,} images"
        return Measure("accuracy", unit, "high", key, lambda found: self._score(_numerics(found), images))

    def area(self, device: str) -> Measure:
        """What one instance of each distinct datapath takes on a device, accumulators certified."""
        from hwq.costmodel.estimate import estimate, priced
        from hwq.costmodel.features import FIELD
        from hwq.search import Measure

        found, field = priced(device), FIELD[device]
        key = f"{self.digest} {self.recipe} {device} {found.digest}"
        return Measure(
            field,
            f"{UNITS[field]} on {device}",
            "low",
            key,
            lambda assignment: estimate(self.instances(assignment), device).figures[field],
            found.level,
        )

    def latency(self) -> Measure:
        """Cycles of one image: every matrix product, one after another, without stalls."""
        from hwq.search import Measure

        return Measure("latency_cycles", "cycles an image", "low", f"{self.digest} {self.recipe}", self._cycles)

    def instances(self, assignment: Mapping[str, str]) -> dict[str, str]:
        """{role: datapath} as it is built: the accumulator as wide as the model's own weights certify."""
        certified = self._quantized(_numerics(assignment)).assignment
        return {role: str(replace(_parse(text), mac=_parse(certified[role]).mac)) for role, text in assignment.items()}

    @cached_property
    def digest(self) -> str:
        """A digest of all that a score depends on: operators, weights, calibration and test images, labels."""
        import torch

        from hwq.ptq import quantizer

        graph = quantizer(self.model).graph
        digest = hashlib.sha256(repr(graph.nodes).encode())
        tensors = [*(graph.state[key] for key in sorted(graph.state)), self.model.calibration(), *self.model.test()]
        for tensor in tensors:
            digest.update(f"{tensor.dtype}{list(tensor.shape)}".encode())
            digest.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def _quantize(self, numerics: tuple[tuple[str, str], ...]) -> QuantizedModel:
        from hwq.ptq import quantize

        return quantize(self.model, dict(numerics), self.recipe)

    def _scored(self, numerics: tuple[tuple[str, str], ...], images: int) -> Score:
        from hwq.zoo import accuracy

        pixels, labels = self.model.test(images)
        return accuracy(self._quantized(numerics).predict(pixels), labels)

    def _cycles(self, assignment: Mapping[str, str]) -> float:
        quantized = self._quantized(_numerics(assignment))
        datapaths = {role: _parse(text) for role, text in assignment.items()}
        return float(
            sum(
                datapaths[layer.role].cycles(*product)
                for layer in quantized.layers
                if layer.datapath is not None
                for product in quantized.graph.products(layer.node)
            )
        )


def measures(subject: Subject, device: str, images: int, names: Sequence[str] | None = None) -> list[Measure]:
    """The objectives that are named, else accuracy, the device's area and latency_cycles."""
    found = [subject.accuracy(images), subject.area(device), subject.latency()]
    known = {measure.name: measure for measure in found}
    for name in names or ():
        if name not in known:
            raise HwqError(f"an objective on {device} must be one of {', '.join(known)}, not {name!r}")
    return [known[name] for name in names] if names else found


def _parse(text: str) -> Datapath:
    from hwq.datapath import Datapath

    return Datapath.parse(text)


def _numerics(assignment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The assignment without what cannot change a bit, as a key."""
    from hwq.datapath import Array

    bare = {role: replace(_parse(text), array=Array(), cuts=(), decode="edge") for role, text in assignment.items()}
    return tuple((role, str(dp)) for role, dp in bare.items())
