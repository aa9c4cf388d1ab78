"""The tools: how each is called, for which parts of which devices, by which script, and where its reports lie."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hwq.errors import HwqError
from hwq.synth.target import TARGETS, genlib
from hwq.synth.vendor import layouts, scripts
from hwq.synth.vendor.report import Layout, Report, Text, read
from hwq.synth.vendor.scripts import Blanks

__all__ = ["TOOLS", "Part", "Tool", "check_part", "tool_of"]


@dataclass(frozen=True)
class Part:
    """The part that stands for a device where none is named, and the clock (MHz) that is asked of it: more than most
    designs reach, so that the tool keeps optimising and its slack says what they do reach.
    """

    name: str
    clock: float


@dataclass(frozen=True)
class Tool:
    """One tool. `reports` maps a role to a file in the design's folder, of which that of the area must be there.

    `level` is that of its rows; with `library`, a variable must name the files of the cells to it.
    """

    name: str
    title: str
    command: tuple[str, ...]
    parts: Mapping[str, Part]
    script: Callable[[str, Blanks], dict[str, str]]
    reports: Mapping[str, str]
    read: Callable[[str, Mapping[str, Text], str], Report]
    level: str = "T3"
    library: bool = False
    constraints: tuple[str, ...] = ("clock.sdc",)

    @property
    def program(self) -> str:
        return self.command[0]

    def files(self, device: str, blanks: Blanks) -> dict[str, str]:
        """The script and the clock's constraint, by their names in the design's folder."""
        clock = scripts.constraints(blanks)
        return self.script(device, blanks) | {name: clock[name] for name in self.constraints}


def _tcl(template: str) -> Callable[[str, Blanks], dict[str, str]]:
    return lambda device, blanks: {"run.tcl": scripts.fill(template, blanks)}


def _yosys(device: str, blanks: Blanks) -> dict[str, str]:
    cells = {genlib().name: genlib().read_text(encoding="utf-8")} if scripts.uses_genlib(device) else {}
    return {"run.ys": scripts.yosys_script(device, blanks)} | cells


def _table(layout: Layout, program: str) -> Callable[[str, Mapping[str, Text], str], Report]:
    return lambda device, texts, module: read(layout, program, texts, module)


def _stat(device: str, texts: Mapping[str, Text], module: str) -> Report:
    return layouts.read_stat(device, texts["area"], module)


# not asap7, whose library counts time in picoseconds: a constraint in nanoseconds would be read as a thousandth
_CELLS = {"nangate45": Part("", 500), "sky130": Part("", 200)}
_ALL = (
    Tool(
        name="vivado",
        title="AMD Vivado",
        command=("vivado", "-mode", "batch", "-nojournal", "-nolog", "-source", "run.tcl"),
        parts={
            "xc7": Part("xc7a100tcsg324-1", 450),
            "xcup": Part("xczu7ev-ffvc1156-2-e", 800),
            "versal": Part("xcvc1902-vsva2197-2MP-e-S", 800),
        },
        script=_tcl(scripts.VIVADO),
        reports={"area": "utilization.rpt", "clock": "timing.rpt"},
        read=_table(layouts.VIVADO, "vivado"),
        constraints=("clock.xdc",),
    ),
    Tool(
        name="quartus",
        title="Intel Quartus Prime",
        command=("quartus_sh", "-t", "run.tcl"),
        parts={"portable": Part("5CSEBA6U23I7", 350)},
        script=_tcl(scripts.QUARTUS),
        reports={"area": "output/design.fit.rpt", "clock": "output/design.sta.rpt"},
        read=_table(layouts.QUARTUS, "quartus"),
    ),
    Tool(
        name="radiant",
        title="Lattice Radiant",
        command=("radiantc", "run.tcl"),
        parts={"ice40": Part("iCE40UP5K-SG48I", 150)},
        script=_tcl(scripts.RADIANT),
        reports={"area": "impl_1/design_impl_1.mrp", "clock": "impl_1/design_impl_1.twr"},
        read=_table(layouts.RADIANT, "radiant"),
    ),
    Tool(
        name="diamond",
        title="Lattice Diamond",
        command=("diamondc", "run.tcl"),
        parts={"ecp5": Part("LFE5U-85F-6BG756C", 400)},
        script=_tcl(scripts.DIAMOND),
        reports={"area": "impl1/design_impl1.mrp", "clock": "impl1/design_impl1.twr"},
        read=_table(layouts.DIAMOND, "diamond"),
        constraints=("clock.lpf",),
    ),
    Tool(
        name="genus",
        title="Cadence Genus",
        command=("genus", "-batch", "-files", "run.tcl"),
        parts=_CELLS,
        script=_tcl(scripts.GENUS),
        reports={"area": "area.rpt", "qor": "qor.rpt", "clock": "timing.rpt"},
        read=_table(layouts.GENUS, "genus"),
        library=True,
    ),
    Tool(
        name="dc",
        title="Synopsys Design Compiler",
        command=("dc_shell", "-f", "run.tcl"),
        parts=_CELLS,
        script=_tcl(scripts.DC),
        reports={"area": "area.rpt", "qor": "qor.rpt"},
        read=_table(layouts.DC, "dc"),
        library=True,
    ),
    Tool(
        name="yosys",
        title="Yosys",
        command=("yosys", "-q", "-l", "yosys.log", "run.ys"),
        parts={device: Part("", 100) for device in TARGETS},
        script=_yosys,
        reports={"area": "stat.json"},
        read=_stat,
        level="T1",
        constraints=(),
    ),
)
TOOLS: Mapping[str, Tool] = {tool.name: tool for tool in _ALL}


def tool_of(name: str, device: str) -> Tool:
    """The tool of that name, which must know the device; without a name the first that does."""
    able = [tool.name for tool in _ALL if device in tool.parts]
    if name and name not in TOOLS:
        raise HwqError(f"tool must be one of {', '.join(TOOLS)}, not {name!r}")
    if not able:
        raise HwqError(f"device must be one that a tool knows, not {device!r}; see hwq synth --help")
    if name and name not in able:
        raise HwqError(f"the tool for {device} must be one of {', '.join(able)}, not {name}")
    return TOOLS[name or able[0]]


def check_part(part: str) -> str:
    """A part's name, which goes into a script and therefore is one word."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", part):
        raise HwqError(f"a part must be one word of letters, digits, '-', '_' and '.', not {part!r}")
    return part
