"""The list of commands, and how a run ends: 0 done, 1 a check failed, 2 bad input, 130 interrupted."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer
from typer.core import TyperGroup

import hwq
from hwq.cli import calibrate, cost, demo, formats, later, ptq, rtl, search, sim, synth
from hwq.errors import HwqError

__all__ = ["app", "main", "run"]

INTERRUPTED = 130
COMMANDS = (formats, cost, rtl, sim, synth, ptq, search, calibrate, demo, later)


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


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit code. Bad input is one `error: ...` line on standard error, never a traceback."""
    # Read when torch is loaded: its threads then sleep between products, instead of taking a core to wait on.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        code = app(list(arguments) or ["--help"], prog_name="hwq", standalone_mode=False)
    except typer.TyperException as error:
        return _refuse(error.format_message())
    except (HwqError, OSError) as error:
        return _refuse(str(error))
    if code == INTERRUPTED:
        print("interrupted; what was finished is saved", file=sys.stderr)
    return int(code or 0)


def _refuse(message: str) -> int:
    print("error:", " ".join(message.split()), file=sys.stderr)
    return 2


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))
