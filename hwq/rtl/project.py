"""What surrounds the Verilog in a folder, so that it is used without hwq: a makefile, a FuseSoC core, constraints."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["MHZ", "project"]

MHZ = 100.0  # of the constraints, where no clock was asked for

# how Yosys synthesises for a device; -nodsp where the rows are made for lookup tables. ABC's last passes over a whole
# array (a resubstitution, then its own proof of what it did) take minutes each, for a percent: not here.
_SYNTH = {
    "xc7": "scratchpad -set abc9.nomfs 1; scratchpad -set abc9.verify 0; "
    "synth_xilinx -family xc7 -flatten -nodsp -noiopad -noclkbuf -top $(OUTER)",
    "ecp5": "synth_ecp5 -nodsp -top $(OUTER)",
}
_ANY = "synth -flatten -top $(OUTER); abc -g cmos2; opt_clean"

_MAKEFILE = """\
# {text}
# make sim        the bench of bench/ in Icarus, every result against the exact emulator's
# make verilator  the same in Verilator
# make lint       what Verilator and Icarus have to say
# make synth      Yosys for {device}: cells of $(OUTER), in build/synth.txt
# make clean      removes build/ and what the bench wrote
TOP = {top}
OUTER = {outer}
SOURCES = {sources}
MODELS = {models}
IVERILOG = iverilog
VVP = vvp
VERILATOR = verilator
YOSYS = yosys
FROM_BENCH = $(addprefix ../,$(SOURCES) $(MODELS))

.PHONY: sim verilator compared lint synth clean
sim: build
	cd bench && $(IVERILOG) -g2005 -f bench.f -s bench -o ../build/sim.vvp bench.v $(FROM_BENCH)
	cd bench && $(VVP) -n ../build/sim.vvp
	@$(MAKE) --no-print-directory compared

verilator: build
	cd bench && $(VERILATOR) --cc --exe --build -Wno-fatal --x-initial unique -f bench.f --top-module bench \\
		--prefix Vtop -Mdir ../build/verilator -o sim bench.cpp bench.v $(FROM_BENCH)
	cd bench && ../build/verilator/sim
	@$(MAKE) --no-print-directory compared

compared:
	@cmp -s bench/results.txt bench/expected.txt || {{ \
		echo "$$(wc -l < bench/results.txt) of $$(wc -l < bench/expected.txt) result beats came; a line is a beat's" \
			"last, then its codes, column 0 at the end; < came, > is the emulator's:"; \
		diff bench/results.txt bench/expected.txt | head -9; exit 1; }}
	@echo "$$(wc -l < bench/expected.txt) result beats compared, 0 mismatches"

lint:
	$(VERILATOR) --lint-only --top-module $(OUTER) $(SOURCES) $(MODELS)
	$(IVERILOG) -g2005 -Wall -o /dev/null $(SOURCES) $(MODELS)

synth: build
	$(YOSYS) -q -p "read_verilog $(SOURCES); {synth}; tee -o build/synth.txt stat; write_verilog build/netlist.v"

build:
	mkdir -p build

clean:
	rm -rf build bench/results.txt bench/outcome.txt
"""

_CORE = """\
CAPI=2:
name: "hwq:generated:{top}:0"
description: "{text}"
filesets:
  rtl:
    files: [{sources}]
    file_type: verilogSource-2005
  models:
    files: [{models}]
    file_type: verilogSource-2005
  constraints:
    files:
      - {top}.xdc: {{file_type: xdc}}
      - {top}.sdc: {{file_type: SDC}}
targets:
  default: &default
    filesets: [rtl]
    toplevel: {outer}
  lint:
    <<: *default
    filesets: [rtl, models]
    default_tool: verilator
    tools: {{verilator: {{mode: lint-only}}}}
  synth:
    <<: *default
    filesets: [rtl, constraints]
"""

_CLOCK = "# {why}\ncreate_clock -name {clk} -period {period:.3f} [get_ports {clk}]\n"


def project(
    text: str,
    device: str,
    top: str,
    outer: str,
    clk: str,
    sources: Sequence[str],
    models: Sequence[str],
    clock: float | None,
) -> dict[str, str]:
    """The files by name. `outer` is the outermost module, the top or what wraps it, and `clk` its clock; `clock` in MHz
    is that of the constraints, else `MHZ`.
    """
    given = {"text": text, "device": device, "top": top, "outer": outer, "synth": _SYNTH.get(device, _ANY)}
    why = f"{clock:g} MHz, as asked" if clock else f"no clock was asked for: {MHZ:g} MHz stands here to be replaced"
    period = _CLOCK.format(why=why, clk=clk, period=1000 / (clock or MHZ))
    return {
        "Makefile": _MAKEFILE.format(**given, sources=" ".join(sources), models=" ".join(models)),
        f"{top}.core": _CORE.format(**given, sources=", ".join(sources), models=", ".join(models)),
        f"{top}.sdc": period,
        f"{top}.xdc": period,
        f"{top}.lpf": f'# {why}\nFREQUENCY PORT "{clk}" {clock or MHZ:g} MHZ;\n',
    }
