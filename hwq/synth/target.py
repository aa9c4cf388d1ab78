"""The synthesis flows: per device, the Yosys passes and how its cells are counted.

Every flow maps one flattened module; the passes for memories, most of the time on some devices, run only where there
are any.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hwq.errors import HwqError
from hwq.synth.liberty import LIBRARIES

__all__ = ["GENLIB", "TARGETS", "Counts", "Target", "gates", "genlib", "target"]

FLIP_FLOP_GE = 17 / 3  # 16 transistor pairs and one isolation column over NAND2's three columns
GENLIB = "gates.genlib"


@dataclass(frozen=True)
class Counts:
    """Totals of one module's cells; lut or ge is None where the device has no such thing."""

    ff: int
    dsp: int = 0
    bram: int = 0
    lut: int | None = None
    ge: float | None = None


@dataclass(frozen=True)
class Target:
    """One device's flow: passes that read its libraries, those before and for memories, those that map everything
    else, and the count of its cells. `fast` maps for place and route: for speed, where `mapping` is for area.
    """

    name: str
    libraries: tuple[str, ...]
    passes: tuple[str, ...]
    memories: tuple[str, ...]
    mapping: tuple[str, ...]
    count: Callable[[Mapping[str, int]], Counts]
    models: tuple[str, ...]
    timed: bool = False
    fast: tuple[str, ...] = ()
    liberty: bool = False  # a cell library's: {liberty} in the passes stands for its files

    @property
    def routed(self) -> bool:
        return bool(self.fast)

    def text(self) -> str:
        """The flow that counts, in words, for the key of a stored row."""
        data = genlib().read_text(encoding="utf-8") if any(GENLIB in one for one in self.mapping) else ""
        return "\n".join([*self.libraries, *self.passes, *self.memories, *self.mapping, data])


def _total(cells: Mapping[str, int], weights: Mapping[str, int]) -> int:
    """Sum of cells whose type matches one of the patterns (whole name), times the pattern's weight."""
    return sum(n * w for cell, n in cells.items() for pattern, w in weights.items() if re.fullmatch(pattern, cell))


# A LUTRAM cell weighs the LUT6 sites it occupies; a LUT6_2 is one site with both outputs in use (T1p).
_XC7_LUT = {
    r"LUT[1-6]|LUT6_2": 1,
    r"SRL16E|SRLC32E|SRLC16E": 1,
    r"RAM(16|32|64)X1S": 1,
    r"RAM(16|32|64)X1D": 2,
    r"RAM128X1S": 2,
    r"RAM128X1D|RAM256X1S|RAM32M|RAM64M": 4,
}
_ECP5_LUT = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4}


def _count_xc7(cells: Mapping[str, int]) -> Counts:
    return Counts(
        lut=_total(cells, _XC7_LUT),
        ff=_total(cells, {r"FD[RSCP]E(_1)?|LD[CP]E": 1}),
        dsp=_total(cells, {r"DSP48E[12]": 1}),
        bram=_total(cells, {r"RAMB18E[12]": 1, r"RAMB36E[12]": 2}),
    )


def _count_ecp5(cells: Mapping[str, int]) -> Counts:
    return Counts(
        lut=_total(cells, _ECP5_LUT),
        ff=_total(cells, {"TRELLIS_FF": 1}),
        dsp=_total(cells, {"MULT18X18D|MULT9X9D|ALU54B": 1}),
        bram=_total(cells, {"DP16KD|PDPW16KD": 1}),
    )


def _count_ice40(cells: Mapping[str, int]) -> Counts:
    """A carry cell sits beside the LUT of its place, and is counted with that."""
    return Counts(
        lut=_total(cells, {"SB_LUT4": 1}),
        ff=_total(cells, {r"SB_DFF\w*": 1}),
        dsp=_total(cells, {"SB_MAC16": 1}),
        bram=_total(cells, {r"SB_RAM40_4K\w*": 1}),
    )


def genlib() -> Path:
    """The gate library that the package carries."""
    return Path(__file__).parent / "data" / GENLIB


@cache
def gates() -> Mapping[str, tuple[float, str]]:
    """NAND2 equivalents and function (over a, b, c, d with ! * +) of each gate of the library."""
    lines = re.findall(r"^GATE\s+(\S+)\s+(\S+)\s+O=(\S+);", genlib().read_text(encoding="utf-8"), re.MULTILINE)
    return {name: (float(area), function) for name, area, function in lines}


def _count_ge(cells: Mapping[str, int]) -> Counts:
    ff = _total(cells, {r"\$_DFF_P_": 1})
    known = gates()
    unknown = [cell for cell in cells if cell not in known and cell != "$_DFF_P_"]
    if unknown:
        raise HwqError(f"every cell must be a gate of {GENLIB} or a flip-flop, not {unknown[0]}; write it as logic")
    logic = sum(n * known[cell][0] for cell, n in cells.items() if cell in known)
    return Counts(ff=ff, ge=round(logic + ff * FLIP_FLOP_GE, 4))


_XILINX = "synth_xilinx -family xc7 -nodsp -noiopad -noclkbuf -top m -run "
_XILINX_PLUS = "synth_xilinx -family xcup -nodsp -noiopad -noclkbuf -top m -run "
# Wide tables are faster, and cost two, four and eight LUT4: a third more area in a shifter.
_LATTICE = "synth_ecp5 -nodsp -nowidelut -top m -run "
_LATTICE_FAST = "synth_ecp5 -nodsp -top m -run "
_ICE40 = "synth_ice40 -device u -top m -run "

TARGETS: Mapping[str, Target] = {
    "xc7": Target(
        name="xc7",
        libraries=("read_verilog -lib -specify +/xilinx/cells_sim.v", "read_verilog -lib +/xilinx/cells_xtra.v"),
        passes=(_XILINX + "prepare:map_memory",),
        memories=(_XILINX + "map_memory:map_ffram",),
        # "check" would turn the cells' timing arcs into black boxes before `sta` has read them.
        mapping=(_XILINX + "map_ffram:check",),
        count=_count_xc7,
        models=("xilinx/cells_sim.v",),
        timed=True,
    ),
    "xcup": Target(
        name="xcup",
        libraries=("read_verilog -lib -specify +/xilinx/cells_sim.v", "read_verilog -lib +/xilinx/cells_xtra.v"),
        passes=(_XILINX_PLUS + "prepare:map_memory",),
        memories=(_XILINX_PLUS + "map_memory:map_ffram",),
        mapping=(_XILINX_PLUS + "map_ffram:check",),
        count=_count_xc7,
        models=("xilinx/cells_sim.v",),
    ),
    "ecp5": Target(
        name="ecp5",
        libraries=("read_verilog -lib -specify +/lattice/cells_sim_ecp5.v +/lattice/cells_bb_ecp5.v",),
        passes=(_LATTICE + "coarse:map_ram",),
        memories=(_LATTICE + "map_ram:map_ffram",),
        mapping=(_LATTICE + "map_ffram:check",),
        count=_count_ecp5,
        models=("lattice/common_sim.vh", "lattice/ccu2c_sim.vh", "lattice/cells_sim_ecp5.v"),
        fast=(_LATTICE_FAST + "map_ffram:check",),
    ),
    "ice40": Target(
        name="ice40",
        libraries=("read_verilog -D ICE40_U -lib -specify +/ice40/cells_sim.v",),
        passes=(_ICE40 + "coarse:map_ram",),
        memories=(_ICE40 + "map_ram:map_ffram",),
        mapping=(_ICE40 + "map_ffram:check",),
        count=_count_ice40,
        models=("ice40/cells_sim.v",),
    ),
    "ge": Target(
        name="ge",
        libraries=(),
        passes=(),
        memories=(),
        # A cell library's plain flip-flop: enable and synchronous reset become gates, as a foundry's DFF_X1 sees them.
        mapping=(
            "synth -noabc -top m -run coarse:check",
            "dfflegalize -cell $_DFF_P_ 01",
            "opt -nodffe -nosdff",
            f"abc -genlib {GENLIB}",
            "opt_clean",
        ),
        count=_count_ge,
        models=(),
    ),
}

# Up to flip-flops and clock gates; the logic between them is mapped with an effort of `efforts`.
_LIBRARY = (
    "opt_expr",
    "opt_dff -nosdff",  # a synchronous reset becomes logic, or the enable would not be free to gate the clock
    "synth -noabc -booth -top m -run coarse:check",  # the best that is done with a "*", which no design of ours has
    "dfflegalize -cell $_DFFE_PP_ 01 -cell $_DFF_P_ 01",
    "clockgate -min_net_size 4 {liberty}",  # a clock gate costs about three of the multiplexers that it saves
    "dfflibmap {liberty}",
    "opt_clean",
)


def _count_cells(cells: Mapping[str, int]) -> Counts:
    raise AssertionError("the flip-flops of a cell library are counted by its files")


def target(device: str) -> Target:
    """The flow of a device; HwqError if this package has none."""
    if device in LIBRARIES:
        return Target(device, (), (), (), _LIBRARY, _count_cells, (), liberty=True)
    if device not in TARGETS:
        names = ", ".join(sorted([*TARGETS, *LIBRARIES]))
        raise HwqError(f"device must be one of {names} to be synthesised, not {device!r}")
    return TARGETS[device]
