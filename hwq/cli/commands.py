"""The list of commands, and the call of one of them."""

from __future__ import annotations

from collections.abc import Sequence

import typer
from typer.core import TyperGroup

import hwq
from hwq.cli import (
    calibrate,
    compiled,
    cost,
    demo,
    export,
    formats,
    golden,
    imported,
    later,
    memory,
    ptq,
    rtl,
    search,
    sim,
    synth,
)
from hwq.errors import HwqError

__all__ = ["COMMANDS", "app", "call"]

COMMANDS = (
    formats,
    cost,
    memory,
    rtl,
    golden,
    sim,
    synth,
    ptq,
    search,
    calibrate,
    export,
    imported,
    compiled,
    demo,
    later,
)


class Ordered(TyperGroup):
    """Commands in the order of the main job, not of the alphabet."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return list(self.commands)


app = typer.Typer(
    cls=Ordered,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Describe a datapath once; get its bits, its price, its Verilog and the proof that they agree.",
)
for module in COMMANDS:
    module.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        print(hwq.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def call(arguments: Sequence[str]) -> int:
    """Call one command; its exit code. A command line that is none is an HwqError."""
    try:
        return int(app(list(arguments) or ["--help"], prog_name="hwq", standalone_mode=False) or 0)
    except typer.TyperException as error:
        raise HwqError(error.format_message()) from error
