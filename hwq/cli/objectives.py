"""What a search of a network minimises and maximises: accuracy by the exact emulator, area on a device, cycles."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from hwq.errors import HwqError

if TYPE_CHECKING:
    from hwq.datapath import Datapath
    from hwq.ptq import QuantizedModel
    from hwq.search import Measure
    from hwq.zoo import Model, Score

__all__ = ["UNCOUNTED", "Subject", "code_digest", "measures"]

UNCOUNTED = "the memories between layers, and what only compares codes: max pools, rectifiers outside of an epilogue"
ROOT = Path(__file__).parents[1]
UNITS = {"lut": "LUT", "ge": "NAND2 equivalents"}
SCORED = ("bits", "formats", "datapath", "ptq", "zoo")
"""The packages whose code decides bits and instances."""
KEPT = 64  # quantized networks; those of one numerics share their weights


class Subject:
    """A model under a recipe: quantizes assignments, and makes the objectives of a study.

    What differs in structure alone (array size, cuts) has the same bits: it is scored once.
    """

    def __init__(self, model: Model, recipe: str, calibration: int | None = None) -> None:
        """`calibration` images, or as many as a quantizer takes by default."""
        from hwq.ptq import Recipe, quantizer

        Recipe.parse(recipe)
        self.model, self.recipe, self.calibration = model, recipe, calibration
        self.engine = quantizer(model, calibration)
        self._quantized = lru_cache(maxsize=KEPT)(self._quantize)
        self._score = lru_cache(maxsize=None)(self._scored)

    def accuracy(self, images: int) -> Measure:
        """The task's metric of the hardware's bits over the first `images` test items; top-1 is called accuracy."""
        from hwq.search import Measure

        self.model.test(images)  # refuses a number that it does not have, before anything is scored
        key = f"{self.key} {images}"
        unit = f"{self.model.metric} of {images:,} images"

        def score(assignment: Mapping[str, str]) -> Score:
            return self._score(_numerics(assignment), images)

        task = self.model.task
        name = "accuracy" if task.share else task.name
        return Measure(name, unit, "high" if task.higher else "low", key, score, decimals=4, interval="95 %")

    def area(self, device: str) -> Measure:
        """What the network's instances take on a device, each as it is written as Verilog."""
        from hwq.costmodel.estimate import estimate, priced
        from hwq.costmodel.fabrics import FABRICS
        from hwq.search import Measure

        found, field = priced(device), FABRICS[device].field
        key = f"{self.key} {device} {found.digest} {code_digest(('costmodel',))}"
        return Measure(
            field,
            f"{UNITS[field]} on {device}",
            "low",
            key,
            lambda assignment: estimate(self.instances(assignment), device).figures[field],
            found.level,
            decimals=0,
            interval="90 %",
        )

    def latency(self) -> Measure:
        """Cycles of one image: every matrix product, one after another, without stalls."""
        from hwq.search import Measure

        return Measure("latency_cycles", "cycles an image", "low", self.key, self._cycles, decimals=0)

    def instances(self, assignment: Mapping[str, str]) -> dict[str, str]:
        """{name: datapath} of what an assignment builds, accumulators certified: what is priced and emitted."""
        return self._quantized(tuple(assignment.items())).instances

    @property
    def key(self) -> str:
        """What every figure depends on: images and network, the recipe, and the rules that make instances of them."""
        return f"{self.digest} {self.recipe} {code_digest(SCORED)}"

    @cached_property
    def digest(self) -> str:
        """A digest of all that a score depends on: operators, weights, calibration and test images, labels."""
        import torch

        graph = self.engine.graph
        digest = hashlib.sha256(repr(graph.nodes).encode())
        images = self.model.calibration()[: self.engine.images]
        tensors = [*(graph.state[key] for key in sorted(graph.state)), images, *self.model.test()]
        for tensor in tensors:
            digest.update(f"{tensor.dtype}{list(tensor.shape)}".encode())
            digest.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def _quantize(self, assignment: tuple[tuple[str, str], ...]) -> QuantizedModel:
        return self.engine.quantize(dict(assignment), self.recipe)

    def _scored(self, numerics: tuple[tuple[str, str], ...], images: int) -> Score:
        inputs, targets = self.model.test(images)
        return self.model.task.score(self._quantized(numerics).outputs(inputs), targets)

    def _cycles(self, assignment: Mapping[str, str]) -> float:
        products = self._quantized(tuple(assignment.items())).products()
        return float(sum(_parse(text).cycles(*product) for text, *product in products))


def measures(subject: Subject, device: str, images: int, names: Sequence[str] | None = None) -> list[Measure]:
    """The objectives that are named, else accuracy, the device's area and latency_cycles."""
    found = [subject.accuracy(images), subject.area(device), subject.latency()]
    known = {measure.name: measure for measure in found}
    for name in names or ():
        if name not in known:
            raise HwqError(f"an objective on {device} must be one of {', '.join(known)}, not {name!r}")
    return [known[name] for name in names] if names else found


@cache
def code_digest(packages: tuple[str, ...], root: Path = ROOT) -> str:
    """sha256 of the source of some of hwq's packages.

    A figure is filed under it, so that a store never mixes values of different rules, not even within one version.
    """
    digest = hashlib.sha256()
    for path in sorted(path for package in packages for path in (root / package).rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _parse(text: str) -> Datapath:
    from hwq.datapath import Datapath

    return Datapath.parse(text)


def _numerics(assignment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The assignment without what cannot change a bit, as a key."""
    from hwq.datapath import Datapath

    return tuple((role, str(Datapath(_parse(text).mac))) for role, text in assignment.items())
