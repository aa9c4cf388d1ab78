"""What surrounds a kernel's Verilog in its folder: a makefile for simulation, lint, synthesis and a bitstream."""

from __future__ import annotations

from collections.abc import Sequence

from hwq.rtl.project import MHZ

__all__ = ["project"]

_MAKEFILE = """\
# {text}
# make verilator  the bench of bench/ in Verilator: every stored word and every result against the exact emulator's
# make sim        the same in Icarus, which takes minutes
# make lint       what Verilator and Icarus have to say
# make synth      Yosys for {device}: cells of the top, in build/synth.txt
{help}# make clean      removes build/ and what the bench wrote
TOP = {top}
OUTER = {outer}
SOURCES = {sources}
MODELS = {models}
IVERILOG = iverilog
VVP = vvp
VERILATOR = verilator
YOSYS = yosys
FROM_BENCH = $(addprefix ../,$(SOURCES) $(MODELS))

.PHONY: sim verilator compared lint synth {route}clean
sim: build
	cd bench && $(IVERILOG) -g2005 -f bench.f -s bench -o ../build/sim.vvp bench.v $(FROM_BENCH)
	cd bench && $(VVP) -n ../build/sim.vvp
	@$(MAKE) --no-print-directory compared

verilator: build
	cd bench && $(VERILATOR) --cc --exe --build -Wno-fatal --x-initial unique -f bench.f --top-module bench \\
		--prefix Vtop -Mdir ../build/verilator -MAKEFLAGS VM_PARALLEL_BUILDS=0 -o sim bench.cpp bench.v $(FROM_BENCH)
	cd bench && ../build/verilator/sim
	@$(MAKE) --no-print-directory compared

compared:
	@for what in trace results; do cmp -s bench/$$what.txt bench/expected_$$what.txt || {{ \\
		echo "$$what.txt: $$(wc -l < bench/$$what.txt) of $$(wc -l < bench/expected_$$what.txt) lines came;" \\
			"a line is a layer (results: last) and a word; < came, > is the emulator's:"; \\
		diff bench/$$what.txt bench/expected_$$what.txt | head -9; exit 1; }}; done
	@echo "$$(wc -l < bench/expected_trace.txt) stored words and $$(wc -l < bench/expected_results.txt) results" \\
		"compared, 0 mismatches"

lint:
	$(VERILATOR) --lint-only --top-module $(OUTER) $(SOURCES) $(MODELS)
	$(IVERILOG) -g2005 -Wall -o /dev/null $(SOURCES) $(MODELS)

synth: build
	$(YOSYS) -q -p "read_verilog $(SOURCES); {synth}; tee -o build/synth.txt stat{json}"
{place}
build:
	mkdir -p build

clean:
	rm -rf build bench/trace.txt bench/results.txt bench/cycles.txt
"""

_SYNTH = {
    "xc7": "scratchpad -set abc9.nomfs 1; scratchpad -set abc9.verify 0; "
    "synth_xilinx -family xc7 -flatten -nodsp -noiopad -noclkbuf -top $(OUTER)",
    "ecp5": "synth_ecp5 -nodsp -top $(OUTER)",
}
_ANY = "synth -flatten -top $(OUTER); abc -g cmos2; opt_clean"

_ROUTE_HELP = "# make bitstream  nextpnr and ecppack for an LFE5U-85F, pins wherever they fall\n"
_ROUTE = """
NEXTPNR = nextpnr-ecp5
ECPPACK = ecppack
bitstream: synth
	$(NEXTPNR) --85k --package CABGA756 --speed 6 --lpf-allow-unconstrained --timing-allow-fail --placer static \\
		--freq {mhz:g} --json build/$(TOP).json --textcfg build/$(TOP).config --report build/route.json
	$(ECPPACK) build/$(TOP).config build/$(TOP).bit
"""


def project(
    text: str, device: str, top: str, outer: str, sources: Sequence[str], models: Sequence[str], clock: float | None
) -> dict[str, str]:
    """The makefile by its name.

    `outer`, the top or its wrapper, is what is linted and synthesised; `clock` in MHz is what the router aims at.
    """
    routed = device == "ecp5"
    return {
        "Makefile": _MAKEFILE.format(
            text=text,
            device=device,
            top=top,
            outer=outer,
            synth=_SYNTH.get(device, _ANY),
            json="; write_json build/$(TOP).json" if routed else "",
            help=_ROUTE_HELP if routed else "",
            route="bitstream " if routed else "",
            place=_ROUTE.format(mhz=clock or MHZ) if routed else "",
            sources=" ".join(sources),
            models=" ".join(models),
        )
    }
