"""Allocation as a pass of a recipe: layers share out what the weights of their assignment take, in several formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import TYPE_CHECKING

import numpy as np
import torch

from hwq.datapath import Datapath
from hwq.errors import HwqError
from hwq.formats import packed_bytes, parse_format
from hwq.ptq.allocate.bisect import bisected, ordered
from hwq.ptq.allocate.problem import Floats, Places, Problem
from hwq.ptq.allocate.program import integer_program
from hwq.ptq.allocate.search import greedy
from hwq.ptq.allocate.sensitivity import measured, measured_pairs
from hwq.ptq.allocate.trace import hessian_traces, traced
from hwq.ptq.graph import WEIGHTED
from hwq.ptq.lower import Assignment, Layer, lower, parse_assignment
from hwq.ptq.progress import watch

if TYPE_CHECKING:
    from hwq.ptq.engine import Quantizer
    from hwq.ptq.recipe import Recipe

__all__ = ["ALLOCATIONS", "Bisect", "Budgeted"]

_WEIGHTS = ("int(8)", "int(4)", "int(2)")
_ENDS = ("first", "last")
_IMAGES = 64
Choices = Mapping[str, Sequence[Datapath]]


@dataclass(frozen=True)
class Budgeted:
    """Formats of least loss within what the assignment's own would take, times `size` in bytes of weights and times
    `work` in products, each counted as the bits of one operand times those of the other.

    `method` is the integer program of CalibTIP (arXiv 2006.10518) or the greedy steps of MPTQ-ViT (arXiv 2401.14895).
    Losses are measured: one layer at a time has each of `weights`, all others the first of them, by the recipe without
    its reconstruction. First, last and layers that the assignment names have no part in it.
    """

    method: str
    weights: tuple[str, ...] = _WEIGHTS
    size: float = 1.0
    work: float = inf

    def __call__(self, engine: Quantizer, assignment: Assignment, recipe: Recipe) -> Assignment:
        """The assignment with a datapath for each layer of the body."""
        own, choices = _choices(engine, assignment, self.weights)
        images = engine.calibrated.prefix[:_IMAGES]
        with watch("allocate", len(choices) * len(self.weights)) as tick:
            loss = measured(engine, _at(assignment, choices, None), choices, images, recipe, done=lambda _: tick(""))
        cost = [[_takes(engine, name, path) for path in paths] for name, paths in choices.items()]
        limit = np.sum([_takes(engine, name, path) for name, path in own.items()], 0)
        shares = [(r, share) for r, share in enumerate((self.size, self.work)) if share < inf]
        which = [r for r, _ in shares]
        problem = Problem.of(loss, np.array(cost)[:, :, which], limit[which] * [share for _, share in shares])
        chosen = {"program": integer_program, "greedy": greedy}[self.method](problem)
        return _at(assignment, choices, chosen)


@dataclass(frozen=True)
class Bisect:
    """As many layers as possible in each next format of `weights`, while the `agreement` of classes holds.

    "Augmenting Hessians with inter-layer dependencies" (arXiv 2306.04879), as reconstructed: layers are in order of
    curvature times error of their weights, plus what is measured that two of them lose together beyond their sum; the
    target is a share of what the first of `weights` in all layers reach in images of the float network's class, which
    stands for accuracy.
    """

    weights: tuple[str, ...] = _WEIGHTS
    agreement: float = 0.99
    probes: int = 16

    def __call__(self, engine: Quantizer, assignment: Assignment, recipe: Recipe) -> Assignment:
        """The assignment with a datapath for each layer of the body."""
        _, choices = _choices(engine, assignment, self.weights)
        images, names = engine.calibrated.prefix[:_IMAGES], [*choices]
        with torch.no_grad():
            classes = engine.graph.run(images).argmax(-1)
        base, formats = _at(assignment, choices, None), [parse_format(text) for text in self.weights[:2]]
        traces = hessian_traces(engine.graph, names, images, self.probes)
        alone = traced(engine.graph, names, formats, traces)[:, 1] / 2  # a loss's second order
        second = {name: paths[1] for name, paths in choices.items()}
        with watch("allocate", len(names) * (len(names) + 1) // 2) as tick:
            pair = measured_pairs(engine, base, second, images, recipe, done=lambda _: tick(""))

        def agree(chosen: Places | None) -> float:
            model = engine.quantize(_at(assignment, choices, chosen), recipe)
            return float((model.outputs(images, "fake").argmax(-1) == classes).double().mean())

        least = self.agreement * agree(None)

        def holds(chosen: Places) -> bool:
            return agree(chosen) >= least

        return _at(assignment, choices, bisected(ordered(alone, pair), len(self.weights), holds))


def _choices(
    engine: Quantizer, assignment: Assignment, weights: Sequence[str]
) -> tuple[dict[str, Datapath], dict[str, list[Datapath]]]:
    """Each layer's own datapath and those with each format of weights, as the assignment writes them."""
    given, formats = parse_assignment(assignment), [parse_format(text) for text in weights]
    if len(formats) < 2:
        raise HwqError(f"an allocation must have 2 formats of weights or more, not {len(formats)}")
    layers = [layer for layer in lower(engine.graph, engine.roles, assignment) if _shares(engine, layer)]
    if not layers:
        raise HwqError("an allocation must have layers between the first and the last one, not none")
    own = {layer.name: given[layer.role] for layer in layers}
    made = {name: [replace(path, mac=replace(path.mac, w=fmt)) for fmt in formats] for name, path in own.items()}
    return own, made


def _shares(engine: Quantizer, layer: Layer) -> bool:
    role = engine.roles.get(layer.name)
    return layer.op in WEIGHTED and role not in (None, *_ENDS) and layer.role == role


def _at(assignment: Assignment, choices: Choices, chosen: Places | None) -> Assignment:
    """The assignment with each layer's choice, the first of them without a word."""
    places = np.zeros(len(choices), np.int64) if chosen is None else chosen
    return {**assignment, **{name: choices[name][k] for name, k in zip(choices, places, strict=True)}}


def _takes(engine: Quantizer, name: str, path: Datapath) -> Floats:
    """Bytes of a layer's weights, and its products of one image in pairs of bits."""
    rows, mac = engine.graph.state[name, "weight"].flatten(1), path.mac
    stored = packed_bytes(mac.w, tuple(rows.shape))
    return np.array([stored, engine.graph.macs(engine.graph[name]) * mac.a.bits * 8 * stored / rows.numel()])


def _budgeted(method: str, weights: Sequence[str] = _WEIGHTS, size: float = 1.0, work: float = inf) -> Budgeted:
    return Budgeted(method, tuple(weights), size, work)


def _bisect(weights: Sequence[str] = _WEIGHTS, agreement: float = 0.99, probes: int = 16) -> Bisect:
    return Bisect(tuple(weights), agreement, probes)


# What makes an allocation of the options it has in a recipe.
ALLOCATIONS: dict[str, Callable[..., Budgeted | Bisect]] = {
    "bisect": _bisect,
    "greedy": partial(_budgeted, "greedy"),
    "program": partial(_budgeted, "program"),
}
