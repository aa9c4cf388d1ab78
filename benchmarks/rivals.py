"""Multiply-accumulate units of others beside ours, in the same tools and flow: xc7 LUTs, ECP5 after place and route.

Nothing of theirs is in this repository. A list that its reader writes names their checkouts and for each row the files,
the top (a wrapper that gives it the registers that ours has), its parameters, and our datapath of the same numbers:

    [[rival]]
    name = "MAC of mine"
    checkouts = ["mine"]                     # git folders, relative to the list; their commits are printed
    files = ["mine/rtl/*.sv", "wrap.sv"]     # in the order to be read
    include = ["mine/include"]
    top = "wrap"
    parameters = { E = 4, M = 3 }
    ours = "fp(4,3)*fp(4,3) +fixed(48) decode=pe"

`python -m benchmarks.rivals LIST` prints the table; `HWQ_RIVALS=LIST python -m benchmarks rivals` prints lines. Their
SystemVerilog is read by Yosys' slang front end and handed on as Verilog; from there on both go the same way.
An element of ours is measured with its registers; `decode=pe` keeps codes in these.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from benchmarks.timing import Line
from hwq.datapath import Datapath
from hwq.errors import HwqError, ToolError
from hwq.synth import Row, measure_designs
from hwq.synth import measure as synthesise

PLACE = "HWQ_RIVALS"
TIDY = ("opt_clean", "setundef -undriven -zero")  # a bit that nothing drives is 0, as vendors' tools take it
_CALL = "import sys; from pyosys.libyosys import Design, run_pass; d = Design(); [run_pass(c, d) for c in sys.argv[1:]]"


@dataclass(frozen=True)
class Rival:
    """One row of the list: what to read of theirs, and our text for the same numbers, registers and lanes."""

    name: str
    files: tuple[str, ...]
    top: str
    ours: str
    checkouts: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    parameters: Mapping[str, int] = field(default_factory=dict)
    devices: tuple[str, ...] = ("xc7", "ecp5")

    @classmethod
    def of(cls, entry: Mapping[str, object]) -> Rival:
        """A row from its table in the list."""
        fields = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
        try:
            return cls(**fields)  # type: ignore[arg-type]
        except TypeError as error:
            raise HwqError(f"a rival has name, files, top and ours, not {sorted(entry)}: {error}") from None

    def title(self) -> str:
        """The name with its parameters."""
        return " ".join([self.name, *(f"{key}={value}" for key, value in self.parameters.items())])


@dataclass(frozen=True)
class Pair:
    """Theirs and ours on one device."""

    rival: Rival
    device: str
    theirs: Row
    ours: Row


def listed(path: Path) -> list[Rival]:
    """The rows of a list."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")).get("rival", [])
    except (OSError, ValueError) as error:
        raise HwqError(f"a list of rivals must be TOML with [[rival]] tables, not {path.name}: {error}") from None
    if not found:
        raise HwqError(f"a list of rivals must have at least one [[rival]], not none ({path.name})")
    return [Rival.of(entry) for entry in found]


def pairs(path: Path) -> Iterator[Pair]:
    """Every row of a list on each of its devices, as it is measured; one that fails does not stop the others."""
    for rival in listed(path):
        for device in rival.devices:
            try:
                yield _pair(rival, path.parent, device)
            except ToolError as error:
                print(f"{rival.title()} on {device}: {error}", file=sys.stderr, flush=True)


def measure() -> Iterator[Line]:
    """Our area and period beside theirs, for the list that the environment names; nothing without one."""
    if not os.environ.get(PLACE):
        return
    for pair in pairs(Path(os.environ[PLACE])):
        title = f"{pair.device} {pair.ours.design}"
        theirs, ours = figures(pair.theirs), figures(pair.ours)
        yield Line(f"{title}, area", ours[0], "LUT", None, f"{pair.rival.title()}: {theirs[0]}")
        if pair.theirs.fmax_mhz and pair.ours.fmax_mhz:
            note = f"{pair.rival.title()}: {1000 / pair.theirs.fmax_mhz.value:.2f}"
            yield Line(f"{title}, period", 1000 / pair.ours.fmax_mhz.value, "ns", None, note)


def figures(row: Row) -> tuple[int, int, str]:
    """LUTs, flip-flops and the clock of a row: after routing where it was routed."""
    if row.comb_post_route is not None and row.ff_post_route is not None:
        clock = f"{row.fmax_mhz.value:.0f} ({row.fmax_mhz.low:.0f}-{row.fmax_mhz.high:.0f})" if row.fmax_mhz else "-"
        return row.comb_post_route, row.ff_post_route, clock
    return row.lut or 0, row.ff, "-"


def table(found: Iterator[Pair]) -> Iterator[str]:
    """The lines of a Markdown table, theirs and ours in each cell."""
    yield "| theirs | ours | device | LUT | FF | MHz |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for pair in found:
        theirs, ours = figures(pair.theirs), figures(pair.ours)
        cells = " | ".join(f"{one} / {other}" for one, other in zip(theirs, ours, strict=True))
        yield f"| {pair.rival.title()} | `{pair.ours.design}` | {pair.device} | {cells} |"


def commits(path: Path) -> dict[str, str]:
    """The commit of each checkout of a list."""
    folders = sorted({name for rival in listed(path) for name in rival.checkouts})
    return {name: _commit(path.parent / name) for name in folders}


def _commit(folder: Path) -> str:
    """The commit that a folder is at, with its date."""
    command = ["git", "-C", str(folder), "log", "-1", "--format=%h of %cs"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "no commit"


def _pair(rival: Rival, place: Path, device: str) -> Pair:
    """Theirs and ours, measured."""
    routed = device == "ecp5"
    with tempfile.TemporaryDirectory() as name:
        verilog = _read(rival, place, Path(name) / f"{rival.top}.v")
        theirs = synthesise([verilog], rival.top, device, place_and_route=routed)
    return Pair(rival, device, theirs, _ours(rival.ours, device, routed))


@cache
def _ours(text: str, device: str, routed: bool) -> Row:
    """Our element, once for all the rows that it stands beside."""
    (row,) = measure_designs([(Datapath.parse(text), "pe")], device, place_and_route=routed, workers=1)
    return row


def _read(rival: Rival, place: Path, target: Path) -> Path:
    """Their SystemVerilog, flattened, as one module of Verilog; ToolError with the first complaint if unread."""
    files = [str(file) for name in rival.files for file in sorted(place.glob(name))]
    include = [f"-I{place / name}" for name in rival.include]
    given = [f"-G {key}={value}" for key, value in rival.parameters.items()]
    read = " ".join(["read_slang", "--top", rival.top, *given, *include, *files])
    passes = [read, f"hierarchy -top {rival.top}", "proc", "flatten", *TIDY, f"write_verilog -noattr {target}"]
    done = subprocess.run([sys.executable, "-c", _CALL, *passes], capture_output=True, text=True, check=False)
    if done.returncode or not target.is_file():
        said = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line] or ["no message"]
        raise ToolError(f"{rival.name} must be read by Yosys, not end with: {said[0]}; check its files and parameters")
    return target


def main(argv: list[str]) -> int:
    """Print the table of a list and the commits that it was measured at."""
    if len(argv) != 1:
        raise HwqError(f"python -m benchmarks.rivals takes the file of one list, not {len(argv)} arguments")
    path = Path(argv[0])
    for line in table(pairs(path)):
        print(line, flush=True)
    for name, commit in commits(path).items():
        print(f"{name}: {commit}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
