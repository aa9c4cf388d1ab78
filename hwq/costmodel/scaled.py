"""A cost at another node: what was estimated of a measured library's cells, carried there with the error of scaling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hwq.costmodel.cost import Cost, Quantity
from hwq.costmodel.nodes import check_node, libraries, scale, source
from hwq.errors import HwqError

__all__ = ["at_node"]

SCALED = {"area_um2": "area", "fast_um2": "area", "energy_pj_per_mac": "energy"}  # figure -> what of it scales


def at_node(cost: Cost, node: int) -> Cost:
    """The areas and energies of a cost at a node in nm, of level "scaled"; flip-flops and their level stay as they are.

    A figure that does not scale by the published equations is left out and named. HwqError for a device that is no cell
    library, and for a node that the equations do not know.
    """
    found = libraries()
    if cost.device not in found:
        raise HwqError(f"a cost that is scaled must be of {', '.join(sorted(found))}, not {cost.device}; choose one")
    start = found[cost.device]
    check_node(node)
    if node == start:
        return cost
    lost = [name for name in cost.figures if name not in (*SCALED, "ff")]
    return replace(
        cost,
        device=f"{cost.device} at {node} nm",
        level="scaled",
        counts_level=cost.level_of("ff"),
        source=f"{cost.source}; from {start} to {node} nm by {source()}",
        figures=_scaled(cost.figures, start, node),
        parts=lambda: tuple(replace(part, figures=_scaled(part.figures, start, node)) for part in cost.breakdown),
        unmodelled=(*cost.unmodelled, *(f"{name}: not scaled" for name in lost)),
    )


def _scaled(figures: Mapping[str, Quantity], start: int, node: int) -> dict[str, Quantity]:
    kept = {name: q for name, q in figures.items() if name in (*SCALED, "ff")}
    return {
        name: scale(q, SCALED[name], start, node).quantity if name in SCALED and q.value > 0 else q
        for name, q in kept.items()
    }
