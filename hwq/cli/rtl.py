"""`hwq rtl`: a datapath as Verilog, with a manifest of what was written."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from hwq.cli.console import PRICED, DatapathWords, Json, parse_datapath, show
from hwq.cli.cost import Clock

__all__ = ["TARGET", "register"]

TARGET = typer.Option(
    "--device", "-d", metavar="D", help=f"Its rows: portable (default), {PRICED}, or one without prices; ? lists all."
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rtl")(rtl)


def rtl(
    words: DatapathWords,
    folder: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where the files go.")],
    device: Annotated[str, TARGET] = "portable",
    clock: Clock = None,
    as_json: Json = False,
) -> None:
    """Write a datapath as Verilog, with a makefile and a bench that need no hwq."""
    from hwq.rtl import Manifest, emit
    from hwq.sim.folder import write_bench

    emit(parse_datapath(words), folder, device, clock)
    beats = write_bench(folder)
    manifest = Manifest.load(folder)  # with the bench
    if as_json:
        show(manifest.to_json())
        return
    print(f"{manifest.datapath} for {manifest.device}, top {manifest.top}")
    for name in (*manifest.files, *manifest.project):
        print(f"  {folder / name}")
    print(f"make -C {shlex.quote(str(folder))} sim compares {beats} result beats; also: verilator, lint, synth")
