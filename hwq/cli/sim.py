"""`hwq sim`: a datapath's Verilog in a simulator, every code compared with the emulator's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwq.cli.console import DatapathWords, Json, fail, parse_datapath, show
from hwq.cli.rtl import TARGET
from hwq.errors import HwqError

__all__ = ["register"]

Vectors = Annotated[int | None, typer.Option("--vectors", metavar="N", help="Random tiles; 1000 if left out.")]
Bench = Annotated[
    str | None, typer.Option("--bench", metavar="B", help="cocotb or bulk; bulk with --exhaustive if left out.")
]
Exhaustive = Annotated[bool, typer.Option("--exhaustive", help="All pairs of operand codes, of a @1x1 array.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sim")(sim)


def sim(
    words: DatapathWords,
    device: Annotated[str | None, TARGET] = None,
    simulator: Annotated[str, typer.Option("--simulator", metavar="S", help="icarus or verilator.")] = "icarus",
    bench: Bench = None,
    exhaustive: Exhaustive = False,
    vectors: Vectors = None,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Of random tiles and of stalls.")] = 0,
    waves: Annotated[Path | None, typer.Option("--waves", metavar="F", help="Keep the waveforms.")] = None,
    verilog: Annotated[Path | None, typer.Option("--verilog", metavar="DIR", help="What hwq rtl wrote.")] = None,
    as_json: Json = False,
) -> None:
    """Simulate a datapath's Verilog and compare it with the emulator; exit 1 if they differ."""
    if exhaustive and vectors is not None:
        raise HwqError("a simulation must be --exhaustive or of --vectors N, not both")
    from hwq.sim import check

    report = check(
        parse_datapath(words),
        device=device,
        simulator=simulator,
        bench=bench,
        exhaustive=None if vectors is None and not exhaustive else exhaustive,
        vectors=1000 if vectors is None else vectors,
        seed=seed,
        waves=waves,
        folder=verilog,
    )
    if as_json:
        show(report.to_json())
    else:
        print(f"{report.datapath} for {report.device} in {report.simulator}: {report.mode}, {report.tiles} tiles")
        print(f"compared {report.compared} results, mismatches {report.mismatches}")
        equal = "=" if report.cycles == report.expected_cycles + report.stalled else "!="
        print(f"cycles {report.cycles} {equal} expected {report.expected_cycles} + stalled {report.stalled}")
        if report.first_mismatch:
            print("first mismatch: " + ", ".join(f"{name} {value}" for name, value in report.first_mismatch.items()))
        if report.failure:
            print(f"failed: {report.failure}")
    if not report.passed:
        raise fail()
