"""The scripts of the tools, as templates: relative names only, the same bytes for the same design everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwq.synth.target import GENLIB, TARGETS

__all__ = [
    *("DC", "DIAMOND", "GENUS", "LIBRARY", "QUARTUS", "RADIANT", "VIVADO"),
    *("Blanks", "constraints", "fill", "uses_genlib", "yosys_script"),
]

LIBRARY = "HWQ_LIBRARY"  # names a cell library's files to the tools that need one, colons between them


@dataclass(frozen=True)
class Blanks:
    """What a script names: the design in words, its module, Verilog files, part and clock (MHz)."""

    about: str
    module: str
    files: Sequence[str]
    part: str
    clock: float
    clocked: bool  # the module has registers, and so a port of the clock


# Out of context: no pin, no pad, no clock buffer, as in the module's place inside a design.
VIVADO = """\
# {about}
create_project -in_memory -part {part}
read_verilog {{ {files} }}
read_xdc -mode out_of_context clock.xdc
synth_design -mode out_of_context -top {module} -part {part}
report_utilization -file synth_utilization.rpt
report_timing_summary -file synth_timing.rpt
opt_design
place_design
route_design
report_timing_summary -file timing.rpt
report_utilization -file utilization.rpt
"""

# A virtual pin is a port without a pin of the package.
QUARTUS = """\
# {about}
load_package flow
project_new design -overwrite
set_global_assignment -name DEVICE {part}
set_global_assignment -name TOP_LEVEL_ENTITY {module}
set_global_assignment -name PROJECT_OUTPUT_DIRECTORY output
foreach file {{ {files} }} {{ set_global_assignment -name VERILOG_FILE $file }}
set_global_assignment -name SDC_FILE clock.sdc
set_instance_assignment -name VIRTUAL_PIN ON -to *
set_instance_assignment -name VIRTUAL_PIN OFF -to clk
export_assignments
execute_module -tool [expr {{[string match *Pro* $quartus(version)] ? "syn" : "map"}}]
execute_module -tool fit
execute_module -tool sta
project_close
"""

# What does not fit the pins of the package is mapped and not placed: cells without a clock.
RADIANT = """\
# {about}
prj_create -name design -impl impl_1 -dev {part} -synthesis lse
foreach file {{ {files} clock.sdc }} {{ prj_add_source $file }}
prj_set_impl_opt -impl impl_1 top {module}
prj_run Synthesis -impl impl_1
prj_run Map -impl impl_1
if {{[catch {{ prj_run PAR -impl impl_1 }} why]}} {{ puts "not placed: $why" }}
prj_save
prj_close
"""

DIAMOND = """\
# {about}
prj_project new -name design -impl impl1 -dev {part} -synthesis lse
foreach file {{ {files} }} {{ prj_src add $file }}
prj_src add clock.lpf
prj_impl option top {module}
prj_run Synthesis -impl impl1
prj_run Translate -impl impl1
prj_run Map -impl impl1
if {{[catch {{ prj_run PAR -impl impl1; prj_run PAR -impl impl1 -task PARTrace }} why]}} {{ puts "not placed: $why" }}
prj_project save
prj_project close
"""

GENUS = """\
# {about}
read_libs [split $env({library}) :]
read_hdl -language v2001 {{ {files} }}
elaborate {module}
read_sdc clock.sdc
syn_generic
syn_map
syn_opt
report_timing > timing.rpt
report_power > power.rpt
report_qor > qor.rpt
report_area > area.rpt
exit
"""

DC = """\
# {about}
set_app_var target_library [split $env({library}) :]
set_app_var link_library [concat * $target_library]
analyze -format verilog {{ {files} }}
elaborate {module}
link
source clock.sdc
set_max_area 0
compile_ultra -no_autoungroup
report_timing > timing.rpt
report_power > power.rpt
report_qor -nosplit > qor.rpt
report_area -nosplit > area.rpt
exit
"""


def fill(template: str, blanks: Blanks) -> str:
    """A script with its names in place."""
    files = " ".join(blanks.files)
    return template.format(about=blanks.about, module=blanks.module, files=files, part=blanks.part, library=LIBRARY)


def yosys_script(device: str, blanks: Blanks) -> str:
    """The very passes of `hwq synth`, for a Yosys of one's own."""
    flow = TARGETS[device]
    passes = [*flow.passes, *flow.memories, "delete t:$scopeinfo", *flow.mapping]
    lines = [
        f"# {blanks.about}",
        *flow.libraries,
        *(f"read_verilog {name}" for name in blanks.files),
        f"hierarchy -check -top {blanks.module}",
        f"rename {blanks.module} m",
        "proc",
        "flatten",
        "opt_clean",
        "scratchpad -set abc9.verify false",
        *passes,
        f"rename m {blanks.module}",
        "tee -q -o stat.json stat -json",
    ]
    return "\n".join(lines) + "\n"


def constraints(blanks: Blanks) -> dict[str, str]:
    """The clock by file name: of its port, or of no port where the module is logic alone."""
    port = " [get_ports clk]" if blanks.clocked else ""
    why = f"# {blanks.clock:g} MHz\n"
    lpf = f'FREQUENCY PORT "clk" {blanks.clock:g} MHZ;\n' if blanks.clocked else ""
    sdc = f"create_clock -name clk -period {1000 / blanks.clock:.3f}{port}\n"
    return {"clock.sdc": why + sdc, "clock.xdc": why + sdc, "clock.lpf": why + lpf}


def uses_genlib(device: str) -> bool:
    """True where the passes of a device read the package's gate library."""
    return any(GENLIB in one for one in TARGETS[device].mapping)
