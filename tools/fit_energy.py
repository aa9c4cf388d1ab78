"""Fit the prices of energy to measured rows: `python tools/fit_energy.py [--count]`, from the repository's root.

Reads tests/data/energy.jsonl and what moved in each element, tests/data/toggles.jsonl, of which `--count` adds the rows
that are missing; writes hwq/costmodel/data/energy.json. Prints a line a device and stream: the error of each design
when the fit has not seen it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hwq.costmodel.energy import Sample, counts, fit_energy, left_out
from hwq.datapath import Datapath
from hwq.datapath.streams import STREAMS, codes
from hwq.synth.energy import Energy

ROOT = Path(__file__).parents[1]
ROWS, TOGGLES = ROOT / "tests" / "data" / "energy.jsonl", ROOT / "tests" / "data" / "toggles.jsonl"
PRICES = ROOT / "hwq" / "costmodel" / "data" / "energy.json"

Key = tuple[str, str, str]


def measured() -> dict[Key, Energy]:
    """The rows of energy by device, design and stream."""
    rows = map(Energy.from_json, ROWS.read_text(encoding="utf-8").splitlines())
    return {(row.device, row.design, row.stream): row for row in rows}


def counted() -> dict[Key, Mapping[str, float]]:
    """What moved, by the same."""
    lines = TOGGLES.read_text(encoding="utf-8").splitlines() if TOGGLES.is_file() else []
    rows = map(json.loads, lines)
    return {(row["device"], row["design"], row["stream"]): row["counts"] for row in rows}


def samples(device: str) -> list[Sample]:
    """What is measured of a device and counted."""
    moved = counted()
    return [
        Sample(
            row.design,
            row.stream,
            {part: getattr(row, part) for part in ("flip_flops_and_clock", "combinational", "nets")},
            moved[key],
        )
        for key, row in measured().items()
        if row.device == device
    ]


def fitted() -> str:
    """The text of the file of prices."""
    rows = measured().values()
    found = {}
    for device in dict.fromkeys(row.device for row in rows):
        tools = {name: version for row in rows if row.device == device for name, version in row.tools.items()}
        source = ", ".join(f"{name} {version}" for name, version in sorted(tools.items()))
        found[device] = fit_energy(samples(device), source)
    return json.dumps(found, indent=1) + "\n"


def rounded(design: str, device: str, operands: Any) -> dict[str, float]:
    """What moves, to six digits."""
    return {name: float(f"{count:.6g}") for name, count in counts(Datapath.parse(design), device, *operands).items()}


def missing() -> Iterator[dict[str, Any]]:
    """The rows of what moved that are not there yet."""
    from measure_energy import given, layer

    data, done = layer(), counted()
    for device, design, stream in measured():
        if (device, design, stream) not in done:
            dp = Datapath.parse(design)
            operands = codes(dp, stream) if stream in STREAMS else given(dp, data)
            yield {
                "counts": rounded(design, device, operands),
                "design": design,
                "device": device,
                "stream": stream,
            }


def report() -> Iterator[str]:
    """Errors of designs that were left out."""
    for device in dict.fromkeys(device for device, _, _ in measured()):
        every = samples(device)
        told = left_out(every)
        for stream in dict.fromkeys(sample.stream for sample in every):
            off = {
                sample.design: sum(parts.values()) / sample.total - 1
                for sample, parts in zip(every, told, strict=True)
                if sample.stream == stream
            }
            worst = max(off, key=lambda design: abs(off[design]))
            mean = sum(map(abs, off.values())) / len(off)
            yield f"{device} {stream}: {len(off)} designs, mean {mean:.1%}, worst {off[worst]:+.1%} {worst}"


def main() -> None:
    """Count if asked, fit, report."""
    if sys.argv[1:] == ["--count"]:
        for row in missing():
            with TOGGLES.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, sort_keys=True) + "\n")
    PRICES.write_text(fitted(), encoding="utf-8")
    print("\n".join(report()))


if __name__ == "__main__":
    main()
