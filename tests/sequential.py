"""Whether two folders of Verilog are one machine: a proof for every input sequence, by Yosys and ABC.

The machines start in reset. What they answer is compared in every cycle, payload and last of a result only while it is
offered. `dsec` proves by induction over pairs of nets that are equal in both, or finds inputs that tell them apart.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from hwq.rtl import Manifest

__all__ = ["same_machine"]

_YOSYS = "import sys\nfrom pyosys import libyosys as ys\nd = ys.Design()\nfor c in sys.argv[1:]: ys.run_pass(c, d)"
_FLIPFLOPS = "opt -full; techmap; opt_clean; dfflegalize -cell $_DFF_P_ 0; zinit -all; aigmap; opt_clean"


def same_machine(good: Path, other: Path, call: Callable[[list[str]], str]) -> bool:
    """True if it is proved; `call` runs a command and returns what it says."""
    package = importlib.util.find_spec("pyosys")
    assert package is not None
    assert package.origin is not None
    with tempfile.TemporaryDirectory(prefix="hwq-proof-") as place:
        graphs = [Path(place) / f"{name}.aig" for name in ("good", "other")]
        for folder, graph in zip((good, other), graphs, strict=True):
            _and_graph(folder, graph, call)
        if not all(graph.exists() for graph in graphs):
            return False
        said = call([str(Path(package.origin).parent / "yosys-abc"), "-c", f"dsec {graphs[0]} {graphs[1]}"])
    return "Networks are equivalent" in said


def _and_graph(folder: Path, graph: Path, call: Callable[[list[str]], str]) -> None:
    """The top as a sequential and-inverter graph."""
    manifest = Manifest.load(folder)
    wrapped = graph.with_suffix(".v")
    wrapped.write_text(_wrapped(manifest), encoding="utf-8")
    files = " ".join(map(str, [*(folder / name for name in manifest.files), wrapped]))
    script = [f"read_verilog {files}", "prep -flatten -top wrapped", "setundef -undriven -zero"]
    script += [*_FLIPFLOPS.split("; "), f"write_aiger -zinit {graph}"]
    call([sys.executable, "-c", _YOSYS, *script])


def _wrapped(manifest: Manifest) -> str:
    """The top with a first cycle of reset, its results masked while none is offered."""
    ports = [port for port in manifest.ports if port.name != "clk"]
    masked = {"o_payload", "o_last"}
    head = ["input wire clk", *(f"{port.direction} wire [{port.width - 1}:0] {port.name}" for port in ports)]
    lines = ["reg started = 0; always @(posedge clk) started <= 1;"]
    pins = [".clk(clk)"]
    for port in ports:
        signal = "rst | ~started" if port.name == "rst" else port.name
        if port.name in masked:
            signal = f"all_{port.name}"
            lines.append(f"wire [{port.width - 1}:0] {signal}; assign {port.name} = o_valid ? {signal} : 0;")
        pins.append(f".{port.name}({signal})")
    return f"module wrapped({', '.join(head)});\n{''.join(lines)}\n{manifest.top} top({', '.join(pins)});\nendmodule\n"
