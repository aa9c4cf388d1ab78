"""A datapath as Verilog-2005 files with a manifest: the same bytes for the same datapath, wherever they are written."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hwq.datapath import Datapath, plan
from hwq.datapath.names import top_name, write_files
from hwq.datapath.schedule import tile_cycles
from hwq.errors import HwqError
from hwq.rtl.array import Top
from hwq.rtl.modules import Port

__all__ = ["Manifest", "emit"]

_FILE = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """What was written. `datapath` is the parametric text, with the cuts that a clock chose.

    `modules` maps each module to its ports, the top first. `latency`: cycles from a tile's last operands to its first
    result. `interval`: a tile of K terms takes K + interval cycles. `files` maps names to SHA-256 digests.
    """

    datapath: str
    device: str
    version: str
    top: str
    modules: dict[str, tuple[Port, ...]]
    latency: int
    interval: int
    files: dict[str, str]

    @property
    def ports(self) -> tuple[Port, ...]:
        """The top's ports."""
        return self.modules[self.top]

    @property
    def pe(self) -> str:
        """The processing element's module."""
        return f"{self.top}_pe"

    def to_json(self) -> dict[str, Any]:
        fields = asdict(self)
        return {"ports": [asdict(port) for port in self.ports]} | fields

    def save(self, folder: str | Path) -> None:
        text = json.dumps(self.to_json(), indent=2) + "\n"
        (Path(folder) / _FILE).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Manifest:
        """The manifest that `emit` wrote into a folder."""
        path = Path(folder) / _FILE
        if not path.is_file():
            raise HwqError(f"the folder must hold {_FILE}, not {Path(folder).name!r} without it; emit into it first")
        try:
            return cls._of(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise HwqError(
                f"{_FILE} must be as hwq rtl wrote it, not one with {type(error).__name__}: {error}; emit it again"
            ) from None

    @classmethod
    def _of(cls, fields: dict[str, Any]) -> Manifest:
        """The manifest that `to_json` described; any error at all if it did not."""
        del fields["ports"]
        modules = {name: tuple(Port(**port) for port in ports) for name, ports in fields.pop("modules").items()}
        found = cls(modules=modules, **fields)
        texts = (found.datapath, found.device, found.top, *found.files.values())
        if found.top not in modules or not all(isinstance(text, str) for text in texts):
            raise ValueError("a field of another type")
        return found


def emit(dp: Datapath, folder: str | Path, device: str = "portable", clock: float | None = None) -> Manifest:
    """Write one file a module and manifest.json into a folder, which is made if it is missing."""
    chosen = plan(dp, device, clock)
    top = top_name(chosen.dp)
    modules = Top(chosen, top).modules
    header = f"// hwq {version('hwq')}: {chosen.dp.parametric()}\n// rows for {device}\n"
    sources = {f"{leaf.name}.v": header + leaf.text for leaf in modules}
    manifest = Manifest(
        datapath=chosen.dp.parametric(),
        device=device,
        version=version("hwq"),
        top=top,
        modules={leaf.name: leaf.ports for leaf in modules},
        latency=chosen.dp.latency,
        interval=tile_cycles(chosen.dp, 1, 1) - 1,
        files=write_files(folder, sources),
    )
    manifest.save(folder)
    return manifest
