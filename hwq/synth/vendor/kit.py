"""A kit: designs with the scripts of one tool in a folder, made for whoever owns the tool, and read back as rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hwq.datapath import Datapath, plan
from hwq.datapath.device import check_device
from hwq.datapath.names import top_name, write_files
from hwq.errors import HwqError
from hwq.rtl import leaves
from hwq.rtl.emit import sources
from hwq.synth.row import Row, Spread
from hwq.synth.vendor.report import Report, Text
from hwq.synth.vendor.scripts import LIBRARY, Blanks
from hwq.synth.vendor.tool import TOOLS, Tool, check_part, tool_of

__all__ = ["MANIFEST", "Entry", "Kit"]

MANIFEST = "kit.json"
RUNNER = "run.sh"

_RUN = """\
#!/bin/sh
# hwq {version}: {count} designs for {title}. Started again, it goes on where it was; the exit code is 1 if one failed.
cd "$(dirname "$0")" || exit 2
command -v {program} >/dev/null || {{ echo "error: {program} must be on PATH" >&2; exit 2; }}
{library}code=0
for design in {folders}; do
  [ -e "$design/done" ] && continue
  echo "$design"
  if (cd "$design" && {command} >run.log 2>&1 && [ -s {report} ]); then
    : >"$design/done"
  else
    echo "error: {program} must write {report}, not end as $design/run.log says" >&2
    code=1
  fi
done
exit $code
"""
_NEEDS = ': "${{{variable}:?error: it must name the files of the cell library, colons between them}}"\n'

_README = """\
# {count} designs for {title}

hwq wrote this folder to learn what {title} makes of its Verilog. It needs the tool on PATH and nothing of hwq:

    sh {runner}

Every folder is a design of its own: Verilog, the clock's constraint, a script. `{manifest}` says what each is.
Back where hwq is, with this folder as the tool left it:

    hwq calibrate --device {device} --from FOLDER -o {device}.json

{checked}"""

_UNCHECKED = """\
Device {device}{part}, asked for {clock:g} MHz. Unless one was named, that is more than most designs reach, so that
their slack says what they do reach. hwq's authors have not run these scripts: no {title} was at hand.
If one fails, please send its run.log.
"""


@dataclass(frozen=True)
class Entry:
    """One design of a kit: its folder, the datapath's text, which block of it (`pe`, `top`, ...), its module."""

    folder: str
    datapath: str
    block: str
    module: str


@dataclass(frozen=True)
class Kit:
    """Designs for a tool. `part` of the device's family, none for cells; `clock_mhz` is the constraint's."""

    device: str
    tool: str
    part: str
    clock_mhz: float
    designs: tuple[Entry, ...]

    @property
    def by(self) -> Tool:
        return TOOLS[self.tool]

    @classmethod
    def write(
        cls,
        folder: Path,
        designs: Sequence[tuple[Datapath, str]],
        device: str,
        tool: str = "",
        part: str = "",
        clock: float | None = None,
    ) -> Kit:
        """Write blocks of datapaths with their scripts into a new folder, or again into the one of this very kit."""
        check_device(device)
        by = tool_of(tool, device)
        usual = by.parts[device]
        if clock is not None and not 0 < clock < 1e5:
            raise HwqError(f"the clock must be above 0 and below 100000 MHz, not {clock:g}")
        mhz = usual.clock if clock is None else clock
        kit = cls(device, by.name, check_part(part) if part else usual.name, mhz, ())
        texts: dict[str, str] = {}
        entries = []
        for at, (dp, block) in enumerate(designs):
            entry, files = kit._design(f"{at:02}_{block}", dp, block)
            entries.append(entry)
            texts |= {f"{entry.folder}/{name}": text for name, text in files.items()}
        kit = replace(kit, designs=tuple(entries))
        kit._save(folder, texts)
        return kit

    def _design(self, folder: str, dp: Datapath, block: str) -> tuple[Entry, dict[str, str]]:
        """A design's entry, and the files of its folder by their names."""
        module, verilog, clocked = _verilog(dp, block, self.device)
        about = f"hwq {version('hwq')}: {block} of {dp}"
        blanks = Blanks(about, module, list(verilog), self.part, self.clock_mhz, clocked)
        return Entry(folder, str(dp), block, module), verilog | self.by.files(self.device, blanks)

    def _save(self, folder: Path, texts: dict[str, str]) -> None:
        """Write the files, the manifest last, into a folder that holds nothing else than them and their reports."""
        around = {RUNNER: self._runner(), "README.md": self._readme(), MANIFEST: self._manifest()}
        known = folder / MANIFEST
        if known.is_file() and known.read_text(encoding="utf-8") != around[MANIFEST]:
            raise HwqError(f"{folder} must be new or hold this very kit, not another one; name another folder")
        if not known.is_file() and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise HwqError(f"{folder} must be new or empty, not hold files of yours; name another folder")
        folder.mkdir(parents=True, exist_ok=True)
        write_files(folder, texts | around)

    def _runner(self) -> str:
        by = self.by
        return _RUN.format(
            version=version("hwq"),
            count=len(self.designs),
            title=by.title,
            program=by.program,
            library=_NEEDS.format(variable=LIBRARY) if by.library else "",
            folders=" ".join(entry.folder for entry in self.designs),
            command=" ".join(by.command),
            report=by.reports["area"],
        )

    def _readme(self) -> str:
        return _README.format(
            count=len(self.designs),
            title=self.by.title,
            runner=RUNNER,
            manifest=MANIFEST,
            device=self.device,
            checked="" if self.by.level == "T1" else self._unchecked(),
        )

    def _unchecked(self) -> str:
        part = f", part {self.part}" if self.part else ""
        return _UNCHECKED.format(device=self.device, part=part, clock=self.clock_mhz, title=self.by.title)

    def _manifest(self) -> str:
        fields = asdict(self)
        for entry in fields["designs"]:
            entry["reports"] = {role: f"{entry['folder']}/{name}" for role, name in self.by.reports.items()}
        return json.dumps({"hwq": version("hwq"), **fields}, indent=1) + "\n"

    @classmethod
    def load(cls, folder: Path) -> Kit:
        """The kit that `write` made in a folder."""
        path = folder / MANIFEST
        try:
            fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            entries = [Entry(*(str(entry[name]) for name in Entry.__dataclass_fields__)) for entry in fields["designs"]]
            kit = cls(fields["device"], fields["tool"], fields["part"], float(fields["clock_mhz"]), tuple(entries))
            tool_of(kit.tool, kit.device)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            reason = error if isinstance(error, HwqError) else f"{type(error).__name__}: {error}"
            raise HwqError(f"{path} must be as hwq wrote it, not changed ({reason}); write the kit again") from None
        if bad := [entry.folder for entry in entries if Path(entry.folder).name != entry.folder]:
            raise HwqError(f"{path} must name folders beside it, not {bad[0]!r}; write the kit again")
        return kit

    def missing(self, folder: Path) -> list[Entry]:
        """The designs whose report is not there."""
        return [entry for entry in self.designs if not (folder / entry.folder / self.by.reports["area"]).is_file()]

    def rows(self, folder: Path) -> list[Row]:
        """Rows of the designs whose reports are there, in the kit's order."""
        absent = self.missing(folder)
        return [self._row(folder, entry) for entry in self.designs if entry not in absent]

    def _row(self, folder: Path, entry: Entry) -> Row:
        """The row of one design; its time is not known, and 0."""
        found = self._read(folder, entry)
        clock = found.fmax_mhz
        return Row(
            design=entry.datapath,
            module=entry.module,
            device=self.device,
            level=self.by.level,
            tools=dict(found.tools) | ({"part": self.part} if self.part else {}),
            ff=found.counts.get("ff", 0),
            dsp=found.counts.get("dsp", 0),
            bram=found.counts.get("bram", 0),
            breakdown=found.breakdown,
            seconds=0.0,
            lut=found.counts.get("lut"),
            ge=found.ge,
            area_um2=found.area_um2,
            fmax_mhz=None if clock is None else Spread(clock, clock, clock),
        )

    def _read(self, folder: Path, entry: Entry) -> Report:
        paths = {role: folder / entry.folder / name for role, name in self.by.reports.items()}
        texts = {role: Text(str(path), _text(path)) for role, path in paths.items() if path.is_file()}
        found = self.by.read(self.device, texts, entry.module)
        if self.part and found.part and not _same_part(found.part, self.part):
            where = texts["area"].name
            raise HwqError(f"{where} must be of the part {self.part}, not {found.part}; write a kit with --part for it")
        return found


def _text(path: Path) -> str:
    """Tools write names of machines and people into their heads, in any encoding."""
    return path.read_text(encoding="utf-8", errors="replace")


def _same_part(one: str, other: str) -> bool:
    """Versions of a tool print a part with its hyphens or without, and with the temperature grade or without."""
    short, long = sorted(("".join(filter(str.isalnum, name)).lower() for name in (one, other)), key=len)
    return long.startswith(short) or long.removeprefix("xc").startswith(short.removeprefix("xc"))


def _verilog(dp: Datapath, block: str, device: str) -> tuple[str, dict[str, str], bool]:
    """The module of a block, its files by name, and whether a clock goes into it."""
    if block == "top":
        modules, texts = sources(dp, device)
        return next(iter(modules)), texts, True
    leaf = leaves(plan(dp, device), top_name(dp))[block]  # alone: the array around it need not be written
    return leaf.name, {f"{leaf.name}.v": leaf.text}, "clk" in leaf.widths
