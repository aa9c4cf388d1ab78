"""Where the area of a design goes, down to the counts that are priced: design, pieces, groups, count times price.

Made anew from the text when it is asked for: an estimate itself keeps nothing for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hwq.costmodel.cost import Cost
from hwq.costmodel.estimate import coefficients, estimate, kind_of, priced
from hwq.costmodel.fabrics import FABRICS
from hwq.costmodel.features import AROUND, features
from hwq.costmodel.fit import family, price
from hwq.costmodel.words import feature_words, piece_words
from hwq.datapath import Datapath, plan
from hwq.datapath.device import Device
from hwq.datapath.fabric import around, structure
from hwq.errors import HwqError

__all__ = ["Tree", "tree"]

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Tree:
    """`count` equal things within one piece of the design, None for a group of such; `figures` of all in the design.

    A thing with `parts` is their sum. One without is a priced count: `price` is what one of it costs in the device's
    first figure, `rule` whether that is known, not fitted. Flip-flops of an FPGA count as `ff` alone: no price.
    """

    key: str
    name: str
    count: float | None
    figures: Figures
    parts: tuple[Tree, ...] = ()
    price: float | None = None
    rule: bool = False

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Tree]]:
        """(depth, thing) from the top down."""
        yield depth, self
        for part in self.parts:
            yield from part.walk(depth + 1)

    def json(self) -> dict[str, Any]:
        """The `tree` of the record that `hwq cost --tree --json` prints."""
        found: dict[str, Any] = {"part": self.key, "name": self.name}
        found |= ({} if self.count is None else {"count": self.count}) | dict(self.figures)
        if self.parts:
            return found | {"parts": [part.json() for part in self.parts]}
        return found | ({} if self.price is None else {"price": self.price, "by": "rule" if self.rule else "fit"})


def tree(cost: Cost, target: Device | None = None) -> Tree:
    """The tree of an estimate by `estimate`, with the prices of `target`, else those of the cost's device.

    A network's tree holds those of its designs.
    """
    prices = target or priced(cost.device)
    designs = [part.name for part in cost.breakdown if "*" in part.name]  # a piece's name has none, a datapath's has
    if designs and designs != [cost.datapath]:
        parts = tuple(tree(estimate(text, prices), prices) for text in designs)
        return Tree(cost.datapath, cost.datapath, 1, _added(parts), parts)
    found = _design(Datapath.parse(cost.datapath), prices)
    for name, total in found.figures.items():
        if not math.isclose(total, cost.figures[name].value, rel_tol=1e-9, abs_tol=1e-9):
            raise HwqError(f"a tree must sum to the {name} of its cost, {cost.figures[name].value:g}, not {total:g}")
    return found


def _design(dp: Datapath, target: Device) -> Tree:
    made = plan(dp, target.name)
    modules = [(name, count, features(b, target.name), kind_of(b)) for name, count, b in structure(made)]
    added = [(name, 1, counts, AROUND) for name, counts in around(made)]
    pieces = [piece for piece in (*modules, *added) if piece[1] and any(piece[2].values())]
    parts = tuple(_piece(*piece, target) for piece in pieces)
    return Tree(str(dp), str(dp), 1, _added(parts), parts)


def _piece(name: str, number: int, counts: Figures, kind: str, target: Device) -> Tree:
    """`number` pieces of a design, each with these counts."""
    groups: dict[str, list[Tree]] = {}
    name_of_prices = family(kind, counts)
    for feature, count in counts.items():
        if count:
            group, leaf = _leaf(feature, number, count, name_of_prices, target)
            groups.setdefault(group, []).append(leaf)
    parts = sorted((_group(words, leaves) for words, leaves in groups.items()), key=_size)
    return Tree(name, piece_words(name), number, _added(parts), tuple(parts))


def _group(words: str, leaves: list[Tree]) -> Tree:
    """Counts of one kind under one roof; one that is alone bears both names."""
    if len(leaves) == 1:
        (leaf,) = leaves
        return leaf if leaf.name == words else replace(leaf, name=f"{words}: {leaf.name}")
    leaves.sort(key=_size)
    return Tree(words, words, None, _added(leaves), tuple(leaves))


def _leaf(feature: str, number: int, count: float, kind: str, target: Device) -> tuple[str, Tree]:
    """(group, a priced count of each of `number` pieces)."""
    fabric = FABRICS[target.name]
    group, words = feature_words(feature, cells=fabric.field != "lut")
    figures = dict.fromkeys((*fabric.fields, "ff", *(["dsp"] if fabric.field == "lut" else [])), 0.0)
    own = None
    if feature in ("ff", "dsp"):
        figures[feature] = float(number * count)
    if feature != "dsp" and (feature != "ff" or fabric.ff):
        each = {field: price({feature: 1}, coefficients(field, kind, target)) for field in fabric.fields}
        figures |= {field: number * count * one for field, one in each.items()}
        own = each[fabric.field]
    return group, Tree(feature, words, count, figures, (), own, feature in fabric.exact)


def _added(parts: Sequence[Tree]) -> Figures:
    return {name: math.fsum(part.figures.get(name, 0.0) for part in parts) for name in parts[0].figures}


def _size(part: Tree) -> float:
    """The first figure, largest first."""
    return -next(iter(part.figures.values()))
