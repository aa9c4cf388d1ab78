"""Commands of the public contract that a later version fills: named today, so that scripts can tell."""

from __future__ import annotations

from typing import Annotated

import typer

from hwq.errors import HwqError

__all__ = ["register"]

LATER = {
    "report": "a search's results as one HTML page",
}


def register(app: typer.Typer) -> None:
    """Add a command for each name."""
    for name, purpose in LATER.items():
        app.command(name, help=f"[dim]{purpose} (not available yet)[/dim]", context_settings=_ANYTHING)(_refuse(name))


_ANYTHING = {"ignore_unknown_options": True, "allow_extra_args": True}


def _refuse(name: str):  # type: ignore[no-untyped-def]
    def command(words: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
        raise HwqError(f"hwq {name} is not available yet")

    return command
