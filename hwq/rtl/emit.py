"""A datapath as Verilog-2005 files with a manifest: the same bytes for the same datapath, wherever they are written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hwq.datapath import Datapath, Plan, plan
from hwq.datapath.banks import FOOT
from hwq.datapath.device import check_device
from hwq.datapath.hard import Hard
from hwq.datapath.names import check_own, top_name, write_files
from hwq.datapath.schedule import doubled, tile_cycles
from hwq.errors import HwqError
from hwq.rtl.array import Top
from hwq.rtl.axi import Axi, Wrapper
from hwq.rtl.banked import Banked
from hwq.rtl.doubled import Doubled
from hwq.rtl.hard import PRIMITIVES, model
from hwq.rtl.modules import Port
from hwq.rtl.project import project

__all__ = ["MODELS", "Manifest", "blocks", "emit", "publish", "sources"]

_FILE = "manifest.json"
MODELS = "models/"
FRAME = ("a", "o")  # the streams whose last ends a tile's operands, and its results


@dataclass(frozen=True)
class Manifest:
    """What was written. `datapath` is the parametric text, with the cuts that a clock chose.

    `modules` maps each module to its ports, the top first. `latency`: cycles from a tile's last operands to its first
    result. `interval`: a tile of K beats takes K + interval cycles, alone. `files`, the Verilog, and `project`, what
    surrounds it, map names to SHA-256 digests.
    """

    datapath: str
    device: str
    version: str
    top: str
    modules: dict[str, tuple[Port, ...]]
    latency: int
    interval: int
    files: dict[str, str]
    project: dict[str, str]

    @property
    def ports(self) -> tuple[Port, ...]:
        """The top's ports."""
        return self.modules[self.top]

    @property
    def sources(self) -> tuple[str, ...]:
        """The files that a simulator is given: the Verilog, and models of the blocks that it instantiates."""
        return *self.files, *(name for name in self.project if name.startswith(MODELS))

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
                f"{_FILE} must be as hwq rtl wrote it, not changed ({error}); remove it and emit again"
            ) from None

    @classmethod
    def _of(cls, fields: dict[str, Any]) -> Manifest:
        """The manifest that `to_json` described; any error at all if it did not."""
        del fields["ports"]
        modules = {name: tuple(Port(**port) for port in ports) for name, ports in fields.pop("modules").items()}
        found = cls(modules=modules, **fields)
        texts = (found.datapath, found.device, found.top, *found.files.values(), *found.project.values())
        cycles = (found.latency, found.interval)
        widths = [port.width for ports in modules.values() for port in ports]
        if not found.ports or not all(isinstance(text, str) for text in texts):
            raise ValueError("a field of another type")
        if not all(isinstance(n, int) and n >= least for least, ns in ((0, cycles), (1, widths)) for n in ns):
            raise ValueError("a width or a number of cycles is no positive whole number")
        if outside := [name for name in (*found.files, *found.project) if ".." in Path(name).parts or name[:1] == "/"]:
            raise ValueError(f"{outside[0]} is outside the folder")
        check_device(found.device)
        return found


def emit(
    dp: Datapath, folder: str | Path, device: str = "portable", clock: float | None = None, bus: Axi | None = None
) -> Manifest:
    """Write one file a module, what makes them a project and manifest.json into a folder, made if it is missing.

    With a `bus` the top's wrapper is beside it, module `<top>_axi`, and `<top>_axi.h`, its registers for C.
    What an earlier call wrote there is removed. A file of it that was edited since is not, nor is one overwritten that
    no call wrote: both are refused.
    """
    chosen = plan(dp, device, clock)
    modules, texts = _written(chosen)
    top, text = next(iter(modules)), chosen.dp.parametric()
    models = {f"{MODELS}{name}.v": model(name) for name in blocks(chosen)}
    outer, header = top, dict[str, str]()
    if bus is not None:
        wrapper = Wrapper(top, modules[top], FRAME, bus, int(top.removeprefix("hwq_")[:8], 16))
        outer, header = wrapper.name, {f"{wrapper.name}.h": _header(chosen) + wrapper.header}
        modules |= {leaf.name: leaf.ports for leaf in wrapper.modules}
        texts |= {f"{leaf.name}.v": _header(chosen) + leaf.text for leaf in wrapper.modules}
    clocked = modules[outer][0].name
    around = models | header | project(text, device, top, outer, clocked, list(texts), list(models), clock)
    return publish(
        folder,
        Manifest(
            datapath=text,
            device=device,
            version=version("hwq"),
            top=top,
            modules=modules,
            latency=chosen.dp.latency,
            interval=tile_cycles(chosen.dp, 1, 1) - 1,
            files=texts,
            project=around,
        ),
    )


def publish(folder: str | Path, written: Manifest) -> Manifest:
    """Write the files of a manifest that has their texts instead of digests, and the manifest with the digests."""
    _remove(folder, {*written.files, *written.project})
    manifest = replace(written, files=write_files(folder, written.files), project=write_files(folder, written.project))
    manifest.save(folder)
    return manifest


def blocks(chosen: Plan) -> list[str]:
    """The names of the blocks and cells of its device that a design instantiates."""
    cells = [cell for block in chosen.blocks.values() for cell in block.cells]
    found = {cell.attr.block.name for cell in cells if isinstance(cell.attr, Hard)}
    return sorted(found.union(*(PRIMITIVES.get(cell.op, ()) for cell in cells)))


def sources(
    dp: Datapath, device: str = "portable", clock: float | None = None
) -> tuple[dict[str, tuple[Port, ...]], dict[str, str]]:
    """(ports of every module, the top first; Verilog by file name) of a datapath."""
    return _written(plan(dp, device, clock))


def _written(chosen: Plan) -> tuple[dict[str, tuple[Port, ...]], dict[str, str]]:
    kind = Banked if FOOT in chosen.blocks else Doubled if doubled(chosen.dp) else Top
    modules = kind(chosen, top_name(chosen.dp)).modules
    texts = {f"{leaf.name}.v": _header(chosen) + leaf.text for leaf in modules}
    return {leaf.name: leaf.ports for leaf in modules}, texts


def _header(chosen: Plan) -> str:
    """The first lines of each file."""
    return f"// hwq {version('hwq')}: {chosen.dp.parametric()}\n// rows for {chosen.device}\n"


def _remove(folder: str | Path, names: Collection[str]) -> None:
    """Remove what the manifest of a folder names, to make place for files of those names."""
    path, known = Path(folder), dict[str, str]()
    if (path / _FILE).is_file():
        before = Manifest.load(path)
        known = {**before.files, **before.project}
    check_own(path, names, known)
    found = {name: path / name for name in known if (path / name).is_file()}
    for name, file in found.items():
        if hashlib.sha256(file.read_bytes()).hexdigest() != known[name]:
            raise HwqError(f"the folder must hold what was written there, not {name} edited since; move it elsewhere")
    for file in found.values():
        file.unlink()
