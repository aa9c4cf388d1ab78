"""`hwq golden`: a datapath's reference model in C99, for somebody else's testbench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwq.cli.console import DatapathWords, Json, parse_datapath, show

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("golden")(golden)


def golden(
    words: DatapathWords,
    folder: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where the files go.")],
    vectors: Annotated[int, typer.Option("--vectors", metavar="N", help="Dot products to be compared.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Of the vectors.")] = 0,
    as_json: Json = False,
) -> None:
    """Write a C99 reference model, a DPI-C wrapper, vectors and a self-test; `make check` there runs it."""
    from hwq.golden import emit

    manifest = emit(parse_datapath(words), folder, vectors, seed)
    if as_json:
        show(manifest.to_json())
        return
    print(f"{manifest.datapath}, functions {manifest.top}_*, {manifest.vectors} vectors")
    for name in manifest.files:
        print(f"  {folder / name}")
