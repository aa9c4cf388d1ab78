"""What the commands share: arguments, JSON, tables, progress, the exit of a failed check."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from hwq.errors import HwqError

if TYPE_CHECKING:
    from hwq.datapath import Datapath

__all__ = [
    "PRICED",
    "DatapathWords",
    "Device",
    "Json",
    "Tick",
    "check_folder",
    "fail",
    "parse_datapath",
    "progress",
    "show",
    "table",
]

PIPE = 160  # columns of a table that no terminal bounds
PRICED = ", ".join(sorted(path.stem for path in (Path(__file__).parents[1] / "devices").glob("*.json")))

DatapathWords = Annotated[
    list[str],
    typer.Argument(
        metavar="DP",
        help="A datapath in quotes, 'act*weight +acc ->out @ROWSxCOLS k=N cut=STAGE', all but the product optional; "
        "acc is exact, fixed(bits), a float format or align(...), act, weight and out are formats (see hwq formats).",
    ),
]
Device = Annotated[str, typer.Option("--device", "-d", metavar="D", help=f"What is priced or targeted: {PRICED}.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


class Tick(Protocol):
    """Called once for each item that is done."""

    def __call__(self, text: str = "") -> None: ...


def check_folder(option: str, path: Path) -> None:
    """Refuse a file that cannot be written before the work whose result it is for."""
    if not path.absolute().parent.is_dir():
        raise HwqError(f"the folder of {option} must exist, not {path.parent}; make it first")


def parse_datapath(words: Sequence[str]) -> Datapath:
    """The datapath of a command line, its words joined by spaces."""
    from hwq.datapath import Datapath

    return Datapath.parse(" ".join(words))


def show(value: Any) -> None:
    """Print a JSON value to standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Print a table: the first column is text, the others are numbers unless their name ends in a space."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    out = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, show_edge=False)
    for place, name in enumerate(columns):
        left = place == 0 or name.endswith(" ")
        out.add_column(name.strip(), justify="left" if left else "right", overflow="fold")
    for row in rows:
        out.add_row(*(_cell(value) for value in row))
    Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else PIPE).print(out)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@contextmanager
def progress(title: str, total: int) -> Iterator[Tick]:
    """A progress bar on a terminal's standard error, nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda text="": None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(title, total=total)

        def tick(text: str = "") -> None:
            bars.update(task, advance=1, description=f"{title} {text}".rstrip())

        yield tick


def fail() -> typer.Exit:
    """The exit of a command whose check failed."""
    return typer.Exit(1)
