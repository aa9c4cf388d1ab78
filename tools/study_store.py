"""Where studies keep their points: a line of JSON each, to which a run that was killed adds what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from hwq.cli.objectives import code_digest

Record = dict[str, Any]


@cache
def code() -> str:
    """The state of the packages that decide a point."""
    return code_digest(("bits", "formats", "datapath", "ptq", "costmodel", "zoo"))[:16]


def records(store: Path) -> list[Record]:
    """The points of a store; a line that a kill cut off is left out."""
    found = []
    for line in store.read_text().splitlines() if store.is_file() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


@contextmanager
def opened(store: Path) -> Iterator[Callable[[Record], None]]:
    """What adds a point to a store, kept at once."""
    with store.open("a") as file:
        if file.tell() and not store.read_bytes().endswith(b"\n"):
            file.write("\n")  # behind a line that a kill cut off

        def add(record: Record) -> None:
            file.write(json.dumps(record) + "\n")
            file.flush()

        yield add
