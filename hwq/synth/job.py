"""What is measured: one module of some Verilog files on one device."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hwq.errors import HwqError
from hwq.synth.efforts import AREA_EFFORTS, EFFORTS
from hwq.synth.liberty import flip_flops, library_files
from hwq.synth.pnr import Route
from hwq.synth.target import Counts, target
from hwq.synth.tools import versions

__all__ = ["SEEDS", "Job"]

SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Job:
    """One measurement; `seeds` are those of place and route, none without it. `design` is a label for the row.

    `liberty` are the files of a cell library, `efforts` the names of how its logic is mapped; `route` is how ECP5's
    cells are placed and routed.
    """

    files: tuple[Path, ...]
    module: str
    device: str
    seeds: tuple[int, ...] = ()
    liberty: tuple[Path, ...] = ()
    efforts: tuple[str, ...] = ()
    route: Route = field(default_factory=Route)
    design: str = field(default="", compare=False)

    @classmethod
    def of(
        cls,
        files: Sequence[str | Path],
        module: str,
        device: str,
        place_and_route: bool = False,
        seeds: Sequence[int] = SEEDS,
        design: str = "",
        liberty: Sequence[str | Path] = (),
        efforts: Sequence[str] = AREA_EFFORTS,
        route: Route | None = None,
    ) -> "Job":
        """A checked job: the files exist, the device has a flow, and place and route where it is asked for."""
        paths = tuple(Path(file) for file in files)
        missing = [path.name for path in paths if not path.is_file()] or (["none"] if not paths else [])
        if missing:
            raise HwqError(f"synthesis needs Verilog files, not {missing[0]} (no such file); emit the design first")
        if place_and_route and not (target(device).routed and seeds):
            raise HwqError(f"place and route needs ecp5 and seeds, not {device} with {list(seeds)}; leave it out")
        if not target(device).liberty:
            if liberty:
                raise HwqError(f"a Liberty file needs a device of standard cells, not {device}; leave it out")
            tried = tuple(seeds) if place_and_route else ()
            return cls(paths, module, device, tried, route=route or Route(), design=design)
        libraries = library_files(device, liberty)
        return cls(paths, module, device, (), libraries, tuple(efforts), design=design)

    def tools(self) -> dict[str, str]:
        """Versions of the tools that this job runs, and digests of the cell library's files."""
        digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:8] for path in self.liberty}
        return {**versions(bool(self.seeds)), **digests}

    def count(self, cells: Mapping[str, int]) -> Counts:
        """Totals of the job's mapped cells."""
        if not self.liberty:
            return target(self.device).count(cells)
        return Counts(ff=sum(n for cell, n in cells.items() if cell in flip_flops(self.liberty)))

    def key(self) -> str:
        """Digest of the Verilog, the module, the flow and the tools: what a stored row may be reused for."""
        digest = hashlib.sha256()
        for path in (*self.files, *self.liberty):
            digest.update(path.read_bytes() + b"\0")
        fast = target(self.device).fast if self.seeds and self.route.wide else ()
        route = [self.route.chip, self.route.aim, *self.route.options]
        how = [EFFORTS[name] for name in self.efforts] + route * bool(self.seeds)
        flow = [self.module, self.device, self.seeds, target(self.device).text(), self.tools(), *fast, *how]
        digest.update(json.dumps(flow, sort_keys=True).encode())
        return digest.hexdigest()
