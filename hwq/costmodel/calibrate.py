"""From measured rows to a device file: prices of processing elements and of what surrounds them, delays, intervals."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from scipy.optimize import nnls

from hwq.bits.cells import Block
from hwq.costmodel.fabrics import FABRICS
from hwq.costmodel.features import AROUND, features
from hwq.costmodel.fit import FOLDS, Fit, Sample, fit, fold, price, spread
from hwq.datapath import Datapath, plan
from hwq.datapath.fabric import around, structure
from hwq.datapath.timing import COUNTS, critical_path, path_ns

__all__ = ["CLOCK", "Measured", "block_sample", "calibrate", "designs"]

KINDS = {"decode_a": "decode", "epilogue": "epilogue", "top": AROUND}  # part -> its spread in a device file
CLOCK = "clock"  # the group of the experiment whose processing elements are placed and routed


@dataclass(frozen=True)
class Measured:
    """One synthesised module: the `pe`, `epilogue`, `decode_a` or `top` of a datapath; `value` LUT or GE, the
    `fmax_mhz` where it was placed.
    """

    datapath: str
    part: str
    value: float
    ff: int
    fmax_mhz: float | None = None


def designs() -> Mapping[str, Mapping[str, list[str]]]:
    """The experiment: part, or `clock` -> `fit` and `held_out` -> texts. The fit never sees a held-out design."""
    text = (resources.files("hwq.costmodel") / "data" / "designs.json").read_text(encoding="utf-8")
    found: Mapping[str, Mapping[str, list[str]]] = json.loads(text)
    return found


def block_sample(row: Measured, fabric: str) -> Sample:
    """The features of one measured block beside what it came to."""
    block = plan(Datapath.parse(row.datapath), fabric).blocks[row.part]
    return Sample(row.datapath, features(block, fabric), row.value)


def calibrate(rows: Sequence[Measured], fabric: str, tools: Mapping[str, str], level: str) -> str:
    """The text of a device file, from every row that is not held out."""
    held = {(t, part) for part, group in designs().items() for t in group["held_out"]}
    unique = {(r.datapath, r.part): r for r in sorted(rows, key=lambda r: r.fmax_mhz is not None)}
    seen = [r for r in unique.values() if (r.datapath, r.part) not in held]
    with_ff = FABRICS[fabric].ff
    elements = [r for r in seen if r.part == "pe"]
    pe = fit([block_sample(r, fabric) for r in elements], fabric, with_ff, "processing elements (pe)")
    others = [r for r in seen if r.part != "pe"]
    rest = [_rest(r, fabric, pe) if r.part == "top" else block_sample(r, fabric) for r in others]
    kinds = [KINDS[r.part] for r, s in zip(others, rest, strict=True) if s.measured > 0]
    logic = fit([s for s in rest if s.measured > 0], fabric, with_ff, "other modules (top, epilogue, decode_a)")
    spreads = {"pe": spread(pe.residuals)}
    for kind in KINDS.values():
        spreads[kind] = spread(r for r, k in zip(logic.residuals, kinds, strict=True) if k == kind)
    data: dict[str, Any] = {
        "source": f"{len(elements)} processing elements and {len(others)} other modules, {_versions(tools)}",
        "level": level,
        "prices": {"pe": _rounded(pe.coefficients), "logic": _rounded(logic.coefficients)},
        "spread": spreads,
    }
    timed = [r for r in elements if r.fmax_mhz is not None]
    if timed:
        data["delays"], spreads["fmax_mhz"] = _delays(timed, fabric)
        data["source"] += f"; clock of {len(timed)} placed elements"
        data["level"] = "T1 cells, T2 clock"
    data["spread"] = {k: round(v, 4) for k, v in spreads.items()}
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def _versions(tools: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(tools.items()))


def _rounded(coefficients: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in sorted(coefficients.items())}


def _rest(row: Measured, fabric: str, pe: Fit) -> Sample:
    """What a top has beside its processing elements, whose price is known by now."""
    counts: Counter[str] = Counter()
    elements = 0.0
    dp = Datapath.parse(row.datapath)
    for name, count, block in structure(plan(dp, fabric)):
        found = features(block, fabric)
        if name == "pe":
            elements = count * price(found, pe.coefficients)
        else:
            counts.update({k: v * count for k, v in found.items()})
    for _, added in around(plan(dp, fabric)):
        counts.update(added)
    return Sample(row.datapath, dict(counts), row.value - elements)


def _delays(rows: Sequence[Measured], fabric: str) -> tuple[dict[str, float], float]:
    """Delays of what a path goes through, and the interval's half-width from rows that were left out."""
    blocks = [plan(Datapath.parse(r.datapath), fabric).blocks["pe"] for r in rows]
    periods = [1000 / r.fmax_mhz for r in rows if r.fmax_mhz]
    residuals = []
    for held in range(FOLDS):
        inside = [at for at, r in enumerate(rows) if fold(r.datapath) != held]
        delays = _fit_delays([blocks[at] for at in inside], [periods[at] for at in inside])
        for at, r in enumerate(rows):
            if fold(r.datapath) == held:
                residuals.append(path_ns(critical_path(blocks[at], delays), delays) / periods[at] - 1)
    return _fit_delays(blocks, periods), spread(residuals)


def _fit_delays(blocks: Sequence[Block], periods: Sequence[float]) -> dict[str, float]:
    """Delays of what a path goes through: the critical path under the last fit, fitted again until it stays."""
    ns = np.array(periods)
    delays = dict(zip(COUNTS, (1.4, 0.6, 1.0, 0.03), strict=True))
    for _ in range(20):
        paths = np.array([critical_path(b, delays) for b in blocks], dtype=float)
        found, _ = nnls(paths / ns[:, None], np.ones(len(ns)))
        delays = {name: round(float(v), 5) for name, v in zip(COUNTS, found, strict=True)}
    return delays
