"""From measured rows to a device file: prices of processing elements and of what surrounds them, delays, intervals."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from scipy.optimize import nnls

from hwq.bits.cells import Block
from hwq.costmodel.fabrics import FABRICS
from hwq.costmodel.features import AROUND, features
from hwq.costmodel.fit import FOLDS, Fit, Sample, family, fit, fold, lent, price, spread
from hwq.datapath import Datapath, plan
from hwq.datapath.fabric import around, structure
from hwq.datapath.timing import COUNTS, critical_path, path_ns

__all__ = ["CLOCK", "Measured", "block_sample", "calibrate", "designs"]

Scores = Sequence[float | None]
Fits = Mapping[str, tuple[Fit, Scores]]  # by family of modules

KINDS = {"pe": "pe", "decode_a": "decode", "epilogue": "epilogue", "top": AROUND}  # part -> kind in a device file
CLOCK = "clock"  # the group of the experiment whose processing elements are placed and routed


@dataclass(frozen=True)
class Measured:
    """One synthesised module: the `pe`, `epilogue`, `decode_a` or `top` of a datapath; `values` of the fields that its
    device prices, the `fmax_mhz` where it was placed.
    """

    datapath: str
    part: str
    values: Mapping[str, float]
    ff: int
    fmax_mhz: float | None = None


def designs() -> Mapping[str, Mapping[str, list[str]]]:
    """The experiment: part, or `clock` -> `fit` and `held_out` -> texts. The fit never sees a held-out design."""
    text = (resources.files("hwq.costmodel") / "data" / "designs.json").read_text(encoding="utf-8")
    found: Mapping[str, Mapping[str, list[str]]] = json.loads(text)
    return found


def block_sample(row: Measured, device: str, field: str) -> Sample:
    """The features of one measured block beside what it came to."""
    block = plan(Datapath.parse(row.datapath), device).blocks[row.part]
    return Sample(row.datapath, features(block, device), row.values[field])


def calibrate(rows: Sequence[Measured], device: str, tools: Mapping[str, str], level: str) -> str:
    """The text of a device file, from every row that is not held out."""
    held = {(t, part) for part, group in designs().items() for t in group["held_out"]}
    unique = {(r.datapath, r.part): r for r in sorted(rows, key=lambda r: r.fmax_mhz is not None)}
    seen = [r for r in unique.values() if (r.datapath, r.part) not in held]
    fits = {field: _fits(seen, device, field) for field in FABRICS[device].fields}
    elements = [r for r in seen if r.part == "pe"]
    data: dict[str, Any] = {
        "device": device,
        "source": f"{len(elements)} processing elements and {len(seen) - len(elements)} other modules, "
        + _versions(tools)
        + _misses([miss for kinds in fits.values() for fit, _ in kinds.values() for miss in fit.misses]),
        "level": level,
        "prices": _each(fits, lambda fit, _: _rounded(fit.coefficients)),
        "region": _each(fits, lambda fit, _: _rounded(fit.region)),
        "doubt": _each(fits, lambda fit, _: round(spread(fit.misses), 4)),
        "spread": _each(fits, lambda _, scores: round(spread(scores), 4)),
    }
    timed = [r for r in elements if r.fmax_mhz is not None]
    if timed:
        data["delays"], error = _delays(timed, device)
        data["spread"]["fmax_mhz"] = {"pe": round(error, 4)}
        data["source"] += f"; clock of {len(timed)} placed elements"
        data["level"] = "T1 cells, T2 clock"
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def _each(fits: Mapping[str, Fits], what: Callable[[Fit, Scores], Any]) -> dict[str, Any]:
    """What fits say, by field and family."""
    return {field: {name: what(*found) for name, found in families.items()} for field, families in fits.items()}


def _fits(seen: Sequence[Measured], device: str, field: str) -> Fits:
    """What rows say of each family of modules; tops last, which hold the others.

    Families of which there are too few for a fit of their own share one: rare elements that of all elements, and other
    modules, as in a kit, that of all but elements. Their scores are their own.
    """
    rows = {kind: [r for r in seen if r.part == part] for part, kind in KINDS.items()}
    elements = _positive(block_sample(r, device, field) for r in rows.pop("pe"))
    families: dict[str, list[Sample]] = {"pe": []}
    for sample in elements:
        families.setdefault(family("pe", sample.features), []).append(sample)
    found = {name: _fit(own, elements, device, "processing elements (pe)") for name, own in families.items()}
    samples = {
        kind: _positive(
            _rest(r, device, field, found) if r.part == "top" else block_sample(r, device, field) for r in measured
        )
        for kind, measured in rows.items()
    }
    every = [sample for own in samples.values() for sample in own]
    return found | {
        kind: _fit(own, every, device, "other modules (top, epilogue, decode_a)") for kind, own in samples.items()
    }


def _fit(own: Sequence[Sample], all_: Sequence[Sample], device: str, what: str) -> tuple[Fit, Scores]:
    """The fit of a family, or where it is small of all like it, and the family's scores in that."""
    used = own if len(own) >= FOLDS else all_
    found = fit(used, device, what)
    names = {sample.name for sample in own}
    return found, [score for s, score in zip(used, found.scores, strict=True) if s.name in names or not own]


def _positive(samples: Iterable[Sample]) -> list[Sample]:
    return [sample for sample in samples if sample.measured > 0]


def _misses(errors: Sequence[float]) -> str:
    """How many of the prices that are called exact are."""
    wrong = [error for error in errors if error > 1e-9]
    if not errors:
        return ""
    worst = f", the worst of the others off by {max(wrong):.1%}" if wrong else ""
    return f"; {len(errors) - len(wrong)} of {len(errors)} exact prices are exact{worst}"


def _versions(tools: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(tools.items()))


def _rounded(coefficients: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in sorted(coefficients.items())}


def _rest(row: Measured, fabric: str, field: str, fits: Fits) -> Sample:
    """What a top has beside its processing elements, whose price is known by now."""
    counts: Counter[str] = Counter()
    elements, prices = 0.0, {name: found.coefficients for name, (found, _) in fits.items()}
    dp = Datapath.parse(row.datapath)
    for name, count, block in structure(plan(dp, fabric)):
        found = features(block, fabric)
        if name == "pe":
            elements = count * price(found, lent(prices, family("pe", found), FABRICS[fabric].stated))
        else:
            counts.update({k: v * count for k, v in found.items()})
    for _, added in around(plan(dp, fabric)):
        counts.update(added)
    return Sample(row.datapath, dict(counts), row.values[field] - elements)


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
