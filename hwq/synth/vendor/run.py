"""Runs a kit's tool where it is on PATH: a design after the other, each in its folder, what it says in run.log."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from hwq.errors import HwqError, ToolError
from hwq.synth.vendor.kit import Entry, Kit
from hwq.synth.vendor.scripts import LIBRARY

__all__ = ["on_path", "run"]


def on_path(kit: Kit) -> bool:
    """True if the tool can be called."""
    return shutil.which(kit.by.program) is not None


def run(
    kit: Kit, folder: Path, library: Sequence[Path] = (), on_done: Callable[[Entry], None] = lambda entry: None
) -> None:
    """Run the tool on every design; ToolError at the first that ends without a report. Old reports go first."""
    if absent := [path for path in library if not path.is_file()]:
        raise HwqError(f"the file of --liberty must exist, not {absent[0]}; name another")
    named = ":".join(str(path.resolve()) for path in library) or os.environ.get(LIBRARY, "")
    if kit.by.library and not named:
        raise ToolError(f"{kit.tool} needs the cell library's files: give --liberty FILE or set {LIBRARY}")
    for entry in kit.designs:
        _run(kit, folder / entry.folder, {**os.environ, LIBRARY: named})
        on_done(entry)


def _run(kit: Kit, place: Path, environment: dict[str, str]) -> None:
    for name in kit.by.reports.values():
        (place / name).unlink(missing_ok=True)
    log, report = place / "run.log", kit.by.reports["area"]
    with log.open("wb") as said:
        command = [shutil.which(kit.by.program) or kit.by.program, *kit.by.command[1:]]
        done = subprocess.run(
            command, cwd=place, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False
        )
    if done.returncode or not (place / report).is_file():
        raise ToolError(
            f"{kit.tool} must write {report} in {place}, not exit with {done.returncode}: {_last(log)}; see {log}"
        )


def _last(log: Path) -> str:
    """The tool's own words: its first line that names an error, else its last line."""
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no message"]
    return next((line for line in lines if line.lower().startswith(("error", "** error", "*e"))), lines[-1])
