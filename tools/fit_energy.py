"""Try a price for energy on measured rows: `python tools/fit_energy.py tests/data/energy.jsonl`.

For each device and stream: energy of one multiply-accumulate = sum of count times coefficient >= 0 over cells of the
element's plan, by relative least squares; the error is that of each design when it is left out of the fit.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from hwq.costmodel.features import features
from hwq.datapath import Datapath, plan
from hwq.synth.energy import Energy

FABRIC = "ge"  # whose counts of cells are taken
SUMS = {"flip-flops": ("ff",), "product": ("digit", "recoder", "logic"), "shift": ("leg", "select")}
LEAST = 12  # designs


def counts(row: Energy) -> dict[str, float]:
    """Flip-flops, gates of the product, adder bits, legs of multiplexers, bits of tables and comparisons."""
    found = dict(features(plan(Datapath.parse(row.design), row.device).blocks["pe"], FABRIC))
    summed = {name: float(sum(found.pop(one, 0) for one in parts)) for name, parts in SUMS.items()}
    return summed | {name: float(count) for name, count in found.items() if count}


def solve(samples: Sequence[dict[str, float]], pj: Sequence[float]) -> dict[str, float]:
    """Coefficients in pJ."""
    names = sorted({name for sample in samples for name in sample})
    table = np.array([[sample.get(name, 0.0) / y for name in names] for sample, y in zip(samples, pj, strict=True)])
    return dict(zip(names, nnls(table, np.ones(len(pj)))[0].tolist(), strict=True))


def errors(samples: Sequence[dict[str, float]], pj: Sequence[float]) -> list[float]:
    """Relative error of each sample, left out."""
    found = []
    for out, (sample, y) in enumerate(zip(samples, pj, strict=True)):
        kept = [at for at in range(len(pj)) if at != out]
        prices = solve([samples[at] for at in kept], [pj[at] for at in kept])
        found.append(sum(count * prices.get(name, 0.0) for name, count in sample.items()) / y - 1)
    return found


def main() -> None:
    """A line a device and stream."""
    rows = [Energy.from_json(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()]
    for device, stream in dict.fromkeys((row.device, row.stream) for row in rows):
        chosen = [row for row in rows if (row.device, row.stream) == (device, stream)]
        samples, pj = [counts(row) for row in chosen], [row.pj_per_mac for row in chosen]
        if len(chosen) < LEAST:
            print(f"{device} {stream}: {len(chosen)} designs, too few to leave one out")
            continue
        off = errors(samples, pj)
        worst = max(range(len(off)), key=lambda at: abs(off[at]))
        mean = sum(map(abs, off)) / len(off)
        fj = {name: round(1000 * price, 2) for name, price in solve(samples, pj).items()}
        print(
            f"{device} {stream}: {len(off)} designs, mean {mean:.1%}, {chosen[worst].design} {off[worst]:+.1%}; fJ {fj}"
        )


if __name__ == "__main__":
    main()
