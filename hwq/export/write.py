"""Exports as files: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from hwq.errors import HwqError
from hwq.export.accelergy import accelergy
from hwq.export.component import Component
from hwq.export.hwcomponents import hwcomponents
from hwq.export.zigzag import zigzag

__all__ = ["TOOLS", "check_tool", "write"]

TOOLS = ("accelergy", "hwcomponents", "zigzag")


def check_tool(tool: str, memories: Path | None) -> None:
    """Refuse what no tool is, and memories for one that takes none."""
    if tool not in TOOLS:
        raise HwqError(f"the tool must be one of {', '.join(TOOLS)}, not {tool!r}")
    if memories is not None and tool != "zigzag":
        raise HwqError(f"--memories is of zigzag, not of {tool}; leave it out")


def write(made: Component, tool: str, folder: str | Path, memories: Path | None = None) -> list[Path]:
    """Write a component for a tool into a folder, made if it is missing; the paths. Their names begin with its own."""
    check_tool(tool, memories)
    if tool == "zigzag":
        texts = zigzag(made, memories)
    else:
        texts = accelergy(made) if tool == "accelergy" else hwcomponents(made)
    paths = []
    for name, text in texts.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        partial.write_text(text, encoding="utf-8", newline="")
        os.replace(partial, path)
        paths.append(path)
    return paths
