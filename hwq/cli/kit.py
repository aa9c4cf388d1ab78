"""Kits of designs for tools that are somebody else's: which designs, and what comes back as rows for a fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from hwq.errors import HwqError

if TYPE_CHECKING:
    from hwq.datapath import Datapath
    from hwq.synth import Row
    from hwq.synth.vendor import Kit

__all__ = ["VENDOR", "check_alike", "kit_rows", "picked", "synthesise", "write_kit"]

# Of each part: designs to fit to and designs held out; 40 in all, with room for some whose run fails.
SHARES = {"pe": (20, 3), "epilogue": (5, 1), "decode_a": (4, 1), "top": (5, 1)}
VENDOR = "T3"


def picked(device: str, experiment: Mapping[str, Mapping[str, list[str]]]) -> list[tuple[Datapath, str]]:
    """40 designs of an experiment: of each part those that show most of what is priced, always the same."""
    from hwq.datapath import Datapath

    found: list[tuple[Datapath, str]] = []
    seen = {"pe": Counter[str](), "": Counter[str]()}  # elements have prices of their own, and all others
    for part, counts in SHARES.items():
        for group, count in zip(("fit", "held_out"), counts, strict=True):
            kinds = {text: _kinds(Datapath.parse(text), part, device) for text in experiment[part][group]}
            texts = _spread(kinds, count, seen[part if part == "pe" else ""])
            found += [(Datapath.parse(text), part) for text in texts]
    return found


def _spread(kinds: dict[str, frozenset[str]], count: int, seen: Counter[str]) -> list[str]:
    """Texts one after the other, each the one whose kinds of cells are the rarest so far; `seen` counts them."""
    left, found = dict(kinds), list[str]()
    while left and len(found) < count:
        best = max(left, key=lambda text: sum(1 / (1 + seen[kind]) ** 2 for kind in sorted(left[text])))
        seen.update(left.pop(best))
        found.append(best)
    return found


def _kinds(dp: Datapath, part: str, device: str) -> frozenset[str]:
    """What of a part has a price: of a top, what stands around its elements."""
    from hwq.costmodel.features import features
    from hwq.datapath import plan
    from hwq.datapath.fabric import around, structure

    made = plan(dp, device)
    if part != "top":
        counts = [features(made.blocks[part], device)]
    else:
        counts = [features(block, device) for name, _, block in structure(made) if name != "pe"]
        counts += [added for _, added in around(made)]
    return frozenset(kind for one in counts for kind, count in one.items() if count)


def write_kit(folder: Path, device: str, tool: str, part: str, clock: float | None) -> Kit:
    """Write 40 designs of the packaged experiment with a tool's scripts."""
    from hwq.costmodel.calibrate import designs
    from hwq.synth.vendor import Kit

    return Kit.write(folder, picked(device, designs()), device, tool, part, clock)


def synthesise(
    dp: Datapath, device: str, tool: str, part: str, clock: float | None, folder: Path, liberty: Sequence[Path]
) -> tuple[Kit, list[Row]]:
    """Write an element and the whole for a tool, run it if it can be called, read its reports if they are there."""
    from hwq.cli.console import progress
    from hwq.synth.vendor import Kit, on_path, run

    kit = Kit.write(folder, [(dp, "pe"), (dp, "top")], device, tool, part, clock)
    if on_path(kit):
        with progress(kit.tool, len(kit.designs)) as tick:
            run(kit, folder, liberty, lambda entry: tick(entry.block))
    return kit, [] if kit.missing(folder) else kit.rows(folder)


def kit_rows(folder: Path, device: str) -> tuple[list[Row], list[str]]:
    """The rows of a kit that came back, and the names of the designs whose report did not."""
    from hwq.synth.vendor import MANIFEST, Kit

    kit = Kit.load(folder)
    if kit.device != device:
        raise HwqError(f"{folder / MANIFEST} must be a kit for {device}, not for {kit.device}; name its own --device")
    rows, missing = kit.rows(folder), [entry.folder for entry in kit.designs if entry in kit.missing(folder)]
    if not rows:
        raise HwqError(f"{folder} must hold reports of its {len(missing)} designs, not none; run sh run.sh there")
    return _clocked(rows, kit.clock_mhz), missing


def _clocked(rows: Sequence[Row], asked: float) -> list[Row]:
    """Rows with the clocks that can be fitted: of elements that missed what was asked, if those are enough.

    One that met it may reach more: the tool had no reason to go on.
    """
    from hwq.costmodel.calibrate import designs
    from hwq.costmodel.fit import FOLDS

    def missed(row: Row) -> bool:
        return row.module.endswith("_pe") and row.fmax_mhz is not None and row.fmax_mhz.value < asked

    fitted = [row for row in rows if missed(row) and row.design in designs()["pe"]["fit"]]
    return [row if missed(row) and len(fitted) >= FOLDS else replace(row, fmax_mhz=None) for row in rows]


def check_alike(rows: Sequence[Row]) -> None:
    """Refuse to fit rows of a vendor's tool with others, or those of two versions of one tool."""
    kinds = dict.fromkeys(_Kind(row.level, tuple(sorted(row.tools.items()))) for row in rows)
    for one, other in combinations(kinds, 2):
        if not one.fits(other):
            raise HwqError(
                f"rows of one fit must be of one level and one version of each tool, not {one} and {other}; "
                "keep them in folders of their own"
            )


@dataclass(frozen=True)
class _Kind:
    """What decides whether rows may be fitted together: T1 and T2 of one synthesis may, T3 with its equals alone."""

    level: str
    tools: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.level} ({', '.join(f'{name} {value}' for name, value in self.tools)})"

    def fits(self, other: _Kind) -> bool:
        if VENDOR in (self.level, other.level):
            return self == other
        mine, theirs = dict(self.tools), dict(other.tools)
        shared = set(mine) & set(theirs)
        return bool(shared) and all(mine[name] == theirs[name] for name in shared)
