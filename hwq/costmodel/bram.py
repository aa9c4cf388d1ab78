"""Memories of an FPGA: blocks by their real shapes, and tables that hold memory instead of logic."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from hwq.costmodel.cost import Quantity
from hwq.costmodel.parts import fpgas
from hwq.costmodel.table import check_count
from hwq.errors import HwqError

__all__ = ["Bram", "Lutram", "Shape", "bram"]

# Beyond so many rows of blocks Yosys may take up to so much more, and at least one, to have fewer multiplexers. Of 308
# memories of random shapes on four devices 17 had more than the fewest, at most 9 %, none had less.
SHALLOW, MORE = 4, 0.10


@dataclass(frozen=True)
class Shape:
    """A way to use a block: `words` of `width` bits, of which `alone` can be written without the others."""

    words: int
    width: int
    alone: int

    def rows(self, depth: int) -> int:
        return -(-depth // self.words)

    def blocks(self, depth: int, width: int) -> int:
        """A block is read whole and its row chosen behind it, so that rows written in parts may share one."""
        return -(-self.rows(depth) * -(-width // self.alone) // (self.width // self.alone))


@dataclass(frozen=True)
class Lutram:
    """Tables as memory: so many cells of a kind, and the LUT that they take. `smaller`: these are a smaller share of
    each of the device's parts than the blocks are of its blocks.
    """

    cell: str
    cells: int
    lut: Quantity
    smaller: bool


@dataclass(frozen=True)
class Bram:
    """A memory with one port that writes and one that reads, in blocks of a device; counts are of Yosys cells (T1).

    `blocks` has an interval where the memory is so deep that multiplexers decide; `pairs` are its 36 Kbit blocks;
    `large` counts the large blocks that it would take instead.
    """

    bits: int
    width: int
    depth: int
    device: str
    block: str
    blocks: Quantity
    shape: Shape
    pairs: int | None
    large: tuple[str, int] | None
    lutram: Lutram | None
    ports: str
    level: str
    source: str
    unmodelled: tuple[str, ...]

    def json(self) -> dict[str, Any]:
        """The record that `hwq memory --device --json` prints."""
        found: dict[str, Any] = {"bits": self.bits, "width": self.width, "depth": self.depth, "device": self.device}
        found |= {"level": self.level, "source": self.source, "block": self.block, "bram": self.blocks.json()}
        found |= {"shape": [self.shape.words, self.shape.width], "ports": self.ports}
        if self.pairs is not None:
            found["pairs"] = self.pairs
        if self.large is not None:
            found["large"] = {"block": self.large[0], "count": self.large[1]}
        if self.lutram is not None:
            one = self.lutram
            found["lutram"] = {"cell": one.cell, "cells": one.cells, "lut": one.lut.json(), "smaller": one.smaller}
        return found | {"unmodelled": list(self.unmodelled)}


@dataclass(frozen=True)
class _Device:
    block: str
    shapes: tuple[Shape, ...]
    ports: str
    source: str
    pair: str
    large: str
    large_shapes: tuple[Shape, ...]
    lutram: tuple[tuple[str, int, int, int, int], ...]


@cache
def _devices() -> dict[str, _Device]:
    text = (resources.files("hwq.costmodel") / "data" / "bram.toml").read_text(encoding="utf-8")
    return {
        name: _Device(
            row["block"],
            _shapes(row["shapes"]),
            row["ports"],
            row["source"],
            row.get("pair", ""),
            row.get("large", ""),
            _shapes(row.get("large_shapes", [])),
            tuple((cell, *shape) for cell, shape in row.get("lutram", {}).items()),
        )
        for name, row in tomllib.loads(text).items()
    }


def _shapes(rows: Sequence[Sequence[int]]) -> tuple[Shape, ...]:
    return tuple(Shape(*row) for row in rows)


def bram(bits: int, width: int, device: str) -> Bram:
    """A memory of that many bits in words of `width`, by the shape of block that takes the fewest."""
    check_count("bits", bits)
    check_count("width", width)
    if device not in _devices():
        raise HwqError(f"device must be one of {', '.join(_devices())} to have memory blocks, not {device!r}")
    fabric, depth = _devices()[device], -(-bits // width)
    shape = min(fabric.shapes, key=lambda one: (one.blocks(depth, width), one.rows(depth)))
    count, rows = shape.blocks(depth, width), shape.rows(depth)
    large = min((one.blocks(depth, width) for one in fabric.large_shapes), default=0)
    return Bram(
        bits=bits,
        width=width,
        depth=depth,
        device=device,
        block=fabric.block,
        blocks=_seen(count, rows <= SHALLOW),
        shape=shape,
        pairs=-(-count // 2) if fabric.pair else None,
        large=(fabric.large, large) if fabric.large else None,
        lutram=_lutram(fabric, device, depth, width, count),
        ports=fabric.ports,
        level="T1",
        source=fabric.source,
        unmodelled=_unmodelled(rows),
    )


def _seen(count: int, exact: bool) -> Quantity:
    """What Yosys takes where the fewest are `count`."""
    return Quantity.exact(count) if exact else Quantity(count, count, count + max(1, round(MORE * count)))


@cache
def _worth(device: str) -> float:
    """LUT that are as large a share of their kind as one block is of the blocks, on the part where it is the fewest."""
    return min(part.totals["lut"] / part.totals["bram"] for part in fpgas(device).values())


def _lutram(fabric: _Device, device: str, depth: int, width: int, blocks: int) -> Lutram | None:
    """A shallow cell for a memory that it holds in one row, else the deeper one, whose multiplexers are fewer."""
    found = [
        (lut * -(-depth // words) * -(-width // wide), lut, cell, depth <= words or len(fabric.lutram) == 1)
        for cell, words, wide, lut, most in fabric.lutram
        if not most or depth <= most
    ]
    if not found:
        return None
    total, each, cell, exact = min(found)
    return Lutram(cell, total // each, _seen(total // each, exact) * each, total < blocks * _worth(device))


def _unmodelled(rows: int) -> tuple[str, ...]:
    found = ["energy: not known on FPGAs", "second ports that read or write", "words written in parts"]
    if rows > 1:
        found.append(f"the multiplexer among {rows} rows of blocks")
    return tuple(found)
