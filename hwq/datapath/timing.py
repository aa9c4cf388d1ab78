"""The longest register-to-register path of a block, as counts of what it passes through.

A path is clock-to-output and setup (1 `base`), `lut` levels, `row` entries of a carry chain, and the bits of the
longest chain on it (`bit`). Delays per count come from a device file.
"""

from __future__ import annotations

from collections.abc import Mapping

from hwq.bits.cells import Block, Cell, Net

__all__ = ["COUNTS", "critical_path", "path_ns"]

COUNTS = ("base", "lut", "row", "bit")
SHORT = 4  # bits up to which an unsigned sum is tables, not a carry chain
Path = tuple[int, int, int, int]
_START: Path = (1, 0, 0, 0)


def path_ns(path: Path, delays: Mapping[str, float]) -> float:
    """The path's delay in ns."""
    return sum(n * delays[name] for n, name in zip(path, COUNTS, strict=True))


def critical_path(block: Block, delays: Mapping[str, float]) -> Path:
    """The slowest path of the block under those delays, from any input or register to any register or output."""
    arrival: dict[Net, Path] = {}

    def worst(paths: list[Path]) -> Path:
        return max(paths, key=lambda p: path_ns(p, delays), default=_START)

    ends = [s.d for s in block.states] + [n for _, n in block.outputs]
    slowest = [_START]
    for cell in block.cells:
        start = worst([arrival.get(a, _START) for a in cell.args])
        if cell.op == "reg":
            slowest.append(start)
            arrival[cell.out] = _START
        else:
            arrival[cell.out] = _through(cell, start)
    return worst(slowest + [arrival.get(n, _START) for n in ends])


def _through(cell: Cell, path: Path) -> Path:
    base, lut, row, bit = path
    if cell.op in ("view", "cat"):
        return path
    if cell.op == "row" and cell.out.width <= SHORT and not cell.args[1].signed:
        return base, lut + 2, row, bit
    if cell.op == "lt" and any(a.value is not None for a in cell.args):
        return base, lut + 1, row, bit  # a clamp looks at the bits above its limit only
    if cell.op in ("row", "gated", "pair", "twin", "triple", "bank", "lt"):
        return base, lut, row + 1, max(bit, cell.args[0].width if cell.op == "lt" else cell.out.width)
    return base, lut + _levels(cell), row, bit


def _levels(cell: Cell) -> int:
    """Levels of four-input tables."""
    if cell.op == "table":
        return max(1, cell.args[0].width - 3)
    if cell.op == "eq":
        return 1 + (cell.args[0].width > 4) + (cell.args[0].width > 16)
    if cell.op == "booth":
        return 2
    return 2 if cell.op == "select" and len(cell.args) > 3 else 1
