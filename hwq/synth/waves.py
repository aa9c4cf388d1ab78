"""What every net of a mapped netlist is in each half of each clock cycle, from a simulation in Icarus.

Nothing in it has a delay: of each half cycle the simulation keeps what the nets settle at, so that no net is seen to
move twice in it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwq.errors import HwqError, ToolError
from hwq.synth.tools import python, require

__all__ = ["Bit", "Bits", "Circuit", "Instance", "Stimulus", "Waves", "circuit", "simulate"]

Bit = int | str  # a net's number, or a constant "0", "1" or "x"
Bits = NDArray[np.bool_]

_READ = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for command in sys.argv[1:]:
    libyosys.run_pass(command, design)
"""
_BENCH = """\
`timescale 1ns/1ns
module bench;
  reg clk = 0;
  reg [{top}:0] beats [0:{last}];
  reg [{top}:0] beat = 0;
  integer at, file;
{wires}
  {module} dut (.{clock}(clk){ports});
  initial begin
    $readmemh("beats.hex", beats);
    file = $fopen("waves.txt", "w");
    for (at = 0; at <= {last}; at = at + 1) begin
      clk = 1;
      beat <= beats[at];
      #1 $fwrite(file, "%b\\n", {{{nets}}});
      clk = 0;
      #1 $fwrite(file, "%b\\n", {{{nets}}});
    end
    $fclose(file);
    $finish;
  end
endmodule
"""


@dataclass(frozen=True)
class Instance:
    """A cell of a netlist: what it is, and what each of its pins is connected to."""

    cell: str
    pins: Mapping[str, Bit]


@dataclass(frozen=True, eq=False)
class Circuit:
    """A mapped module: its inputs, lowest bit first, its cells, and a name of each net."""

    module: str
    inputs: Mapping[str, tuple[Bit, ...]]
    cells: tuple[Instance, ...]
    names: Mapping[int, str]


@dataclass(frozen=True, eq=False)
class Stimulus:
    """What the inputs of a module are in each clock cycle, after its rising edge; `clock` is none of them.

    The first `warm` cycles are simulated and not counted. An input that stands in `through` gets what the module of
    that name, one of `sources`, makes of the value: its port `fields` of its port `code`.
    """

    ports: Mapping[str, Sequence[int]]
    warm: int
    clock: str = "clk"
    through: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[Path, ...] = ()


@dataclass(frozen=True, eq=False)
class Waves:
    """Values [samples, nets]: one before the first cycle, then two a cycle, its clock high and its clock low."""

    values: Bits
    columns: Mapping[int, int]
    cycles: int

    def of(self, bit: Bit) -> Bits:
        """The values of a net or of a constant; one that is not defined counts as 0."""
        if isinstance(bit, int):
            return self.values[:, self.columns[bit]]
        return np.full(len(self.values), bit == "1")

    def toggles(self, bit: Bit) -> int:
        """How often it changes."""
        wave = self.of(bit)
        return int(np.count_nonzero(wave[1:] ^ wave[:-1]))


def circuit(netlist: Path, module: str, folder: Path) -> Circuit:
    """The cells of a netlist that `hwq.synth.netlist` wrote, and what connects them; `folder` is for its files."""
    require("pyosys")
    shutil.copyfile(netlist, folder / "netlist.v")
    read = ("read_verilog netlist.v", f"hierarchy -check -top {module}", "proc", "write_json netlist.json")
    _call([python(), "-c", _READ, *read], folder)
    found = json.loads((folder / "netlist.json").read_text(encoding="utf-8"))["modules"][module]
    if not found["cells"]:
        raise HwqError(f"a netlist must have cells to take energy, not none as {module}; measure a module with logic")
    inputs = {name: tuple(port["bits"]) for name, port in found["ports"].items() if port["direction"] == "input"}
    cells = tuple(Instance(cell["type"], _pins(cell["connections"])) for cell in found["cells"].values())
    used = {bit for bits in (*inputs.values(), *(cell.pins.values() for cell in cells)) for bit in bits}
    texts = [pair for name, net in reversed(found["netnames"].items()) for pair in _texts(name, net)]
    return Circuit(module, inputs, cells, {bit: text for bit, text in texts if isinstance(bit, int) and bit in used})


def _pins(connections: Mapping[str, list[Bit]]) -> dict[str, Bit]:
    return {pin: bits[0] for pin, bits in connections.items() if bits}


def _texts(name: str, net: Mapping[str, object]) -> list[tuple[Bit, str]]:
    """The bits of a wire, and what Verilog calls each."""
    bits, offset = net["bits"], net.get("offset", 0)
    assert isinstance(bits, list) and isinstance(offset, int)
    if len(bits) == 1:
        return [(bits[0], f"\\{name} ")]
    return [(bit, f"\\{name} [{offset + at}]") for at, bit in enumerate(bits)]


def simulate(netlist: Path, what: Circuit, stimulus: Stimulus, folder: Path) -> Waves:
    """Run a stimulus through a netlist. HwqError for a net that is not defined when the counting begins."""
    for tool in ("iverilog", "vvp"):
        if shutil.which(tool) is None:
            raise ToolError(f"energy needs {tool} on PATH, not found; install the package iverilog")
    ports = [name for name in what.inputs if name != stimulus.clock]
    if sorted(ports) != sorted(stimulus.ports) or stimulus.clock not in what.inputs:
        given = ", ".join([stimulus.clock, *stimulus.ports])
        raise HwqError(f"the inputs of {what.module} must be {given}, not {', '.join(what.inputs)}; give each a value")
    nets = sorted(what.names)
    _write(what, stimulus, nets, folder)
    sources = [str(path.resolve()) for path in (netlist, *stimulus.sources)]
    _call(["iverilog", "-g2005", "-o", "bench.vvp", "-s", "bench", "bench.v", *sources], folder)
    _call(["vvp", "-n", "bench.vvp"], folder)
    cycles = len(next(iter(stimulus.ports.values())))
    text = np.frombuffer((folder / "waves.txt").read_bytes(), dtype=np.uint8).reshape(2 * cycles, len(nets) + 1)
    kept = text[2 * stimulus.warm - 1 :, :-1]
    wrong = np.flatnonzero(((kept != ord("0")) & (kept != ord("1"))).any(axis=0))
    if len(wrong):
        name = what.names[nets[wrong[0]]].strip().removeprefix("\\")
        raise HwqError(f"every net of {what.module} must be 0 or 1 after {stimulus.warm} cycles, not x as {name}")
    return Waves(kept == ord("1"), {bit: at for at, bit in enumerate(nets)}, cycles - stimulus.warm)


def _write(what: Circuit, stimulus: Stimulus, nets: Sequence[int], folder: Path) -> None:
    """The bench and its beats: in each, the inputs in order, the first highest."""
    lines, at, words = [], 0, [0] * len(next(iter(stimulus.ports.values())))
    for name, values in reversed(list(stimulus.ports.items())):
        width = max(1, max(map(int, values)).bit_length(), 0 if name in stimulus.through else len(what.inputs[name]))
        words = [word | int(value) << at for word, value in zip(words, values, strict=True)]
        code = f"beat[{at + width - 1}:{at}]"
        lines.append(
            f"  wire [{len(what.inputs[name]) - 1}:0] p_{name}{'' if name in stimulus.through else f' = {code}'};"
        )
        if name in stimulus.through:
            lines.append(f"  {stimulus.through[name]} d_{name} (.code({code}), .fields(p_{name}));")
        at += width
    text = _BENCH.format(
        top=at - 1,
        last=len(words) - 1,
        wires="\n".join(lines),
        module=what.module,
        clock=stimulus.clock,
        ports="".join(f", .{name}(p_{name})" for name in stimulus.ports),
        nets=", ".join(f"dut.{what.names[bit]}" for bit in nets),
    )
    (folder / "bench.v").write_text(text, encoding="utf-8")
    (folder / "beats.hex").write_text("".join(f"{word:x}\n" for word in words), encoding="ascii")


def _call(command: Sequence[str], folder: Path) -> None:
    """Run a tool quietly; if it fails, its own words are the message."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()] or ["no message"]
        words = next((line for line in lines if re.search(r"\berror\b", line, re.IGNORECASE)), lines[-1])
        raise ToolError(f"{Path(command[0]).name} must succeed, not end with: {words}")
