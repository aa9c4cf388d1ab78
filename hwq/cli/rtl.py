"""`hwq rtl`: a datapath as Verilog, with a manifest of what was written."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwq.cli.console import PRICED, DatapathWords, Json, parse_datapath, show
from hwq.cli.cost import Clock
from hwq.errors import HwqError

if TYPE_CHECKING:
    from hwq.rtl import Axi

__all__ = ["BUS", "DATA_WIDTH", "TARGET", "bus_of", "register"]

AXI = "axi"
TARGET = typer.Option(
    "--device", "-d", metavar="D", help=f"Its rows: portable (default), {PRICED}, or one without prices; ? lists all."
)
BUS = typer.Option("--bus", metavar="B", help="axi: a wrapper too, with AXI4-Stream and AXI4-Lite.")
DATA_WIDTH = typer.Option("--data-width", metavar="N", help="Bits of TDATA of all streams; else those of each payload.")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rtl")(rtl)


def rtl(
    words: DatapathWords,
    folder: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where the files go.")],
    device: Annotated[str, TARGET] = "portable",
    clock: Clock = None,
    bus: Annotated[str | None, BUS] = None,
    data_width: Annotated[int | None, DATA_WIDTH] = None,
    as_json: Json = False,
) -> None:
    """Write a datapath as Verilog, with a makefile and a bench that need no hwq."""
    from hwq.rtl import Manifest, emit
    from hwq.sim.folder import write_bench

    emit(parse_datapath(words), folder, device, clock, bus_of(bus, data_width))
    beats = write_bench(folder)
    manifest = Manifest.load(folder)  # with the bench
    if as_json:
        show(manifest.to_json())
        return
    print(f"{manifest.datapath} for {manifest.device}, top {manifest.top}")
    for name in (*manifest.files, *manifest.project):
        print(f"  {folder / name}")
    if bus:
        wrapper = f"{manifest.top}_axi"
        print(f"{wrapper} is the wrapper, {wrapper}.h has its registers; hwq cost does not count it")
    print(f"make -C {shlex.quote(str(folder))} sim compares {beats} result beats; also: verilator, lint, synth")


def bus_of(name: str | None, data_width: int | None) -> Axi | None:
    """What stands around the top."""
    from hwq.rtl import Axi

    if name not in (None, AXI):
        raise HwqError(f"bus must be {AXI}, not {name!r}")
    if name is None and data_width is not None:
        raise HwqError(f"data_width is that of a bus, not of hwq's streams; add --bus {AXI}")
    return Axi(data_width) if name else None
