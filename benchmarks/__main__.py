"""Run every benchmark, or those that are named, and print their lines."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import torch

from benchmarks.timing import Line

THREADS = 2


def names() -> list[str]:
    """The benchmarks of this folder."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return [file.stem for file in files if file.stem not in ("__init__", "__main__", "timing")]


def text(line: Line) -> str:
    """One line of the report."""
    limit = "" if line.limit is None else f"  {'<=' if line.holds else 'NOT <='} {line.limit:g}"
    return f"{line.name:<56} {line.value:>10.3g} {line.unit:<6}{limit}{'  ' if line.note else ''}{line.note}"


def main(wanted: list[str]) -> int:
    """Print the lines; 1 if a limit does not hold."""
    torch.set_num_threads(THREADS)
    late = 0
    for name in wanted or names():
        for line in import_module(f"benchmarks.{name}").measure():
            print(text(line), flush=True)
            late += not line.holds
    return min(late, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
