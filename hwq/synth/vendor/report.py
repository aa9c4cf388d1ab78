"""Reads a tool's reports by the table of where it prints what: one reader, no code for any one tool."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from hwq.errors import HwqError

__all__ = ["Figure", "Layout", "Report", "Text", "read"]

NO_CLOCK = ("NA", "N/A", "n/a", "uninit", "inf")  # what tools write where no path is timed


@dataclass(frozen=True)
class Text:
    """One report: its file's name as it is shown to a person, and what it says."""

    name: str
    text: str


@dataclass(frozen=True)
class Figure:
    """Where a number stands: the report, its table and the line's label in words, and a pattern whose group 1 it is.

    `{module}` in the pattern is the module's name. `scale`: of the printed number in ours. A figure that is not
    `needed` is absent where no line matches; of several lines, the first counts, or the sum of `every`.
    """

    report: str
    table: str
    label: str
    pattern: str
    scale: float = 1.0
    needed: bool = True
    every: bool = False


@dataclass(frozen=True)
class Layout:
    """How a tool prints: of its head the version, the module and the part (group 1 of a pattern each), then figures.

    Without a pattern for the module or the part, they are not compared with what was asked for.

    `clock` is the fastest clock, in MHz, or the period asked for and the slack, in ns. `extra` goes into a row's
    breakdown, beside what `listing` finds: groups 1 and 2 are a cell's name and how many. `also` names parts of the
    head without which two rows are not of one kind.
    """

    version: str
    counts: Mapping[str, Figure]
    module: str = ""
    part: str = ""
    area: Figure | None = None
    clock: tuple[Figure, ...] = ()
    extra: Mapping[str, Figure] = field(default_factory=dict)
    listing: str = ""
    also: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What one tool says of one module; `tools` its version and what else must be equal for rows to be of one kind."""

    module: str
    part: str
    tools: Mapping[str, str]
    counts: Mapping[str, int]
    breakdown: Mapping[str, int]
    area_um2: float | None = None
    fmax_mhz: float | None = None
    ge: float | None = None


def read(layout: Layout, program: str, texts: Mapping[str, Text], module: str) -> Report:
    """The report of a module in the texts of a tool's reports, by their roles; the first of them names the tool."""
    head = next(iter(texts.values()))
    version = _head(layout.version, head, f"the version of {program}")
    found = _head(layout.module, head, "the module") if layout.module else module
    if found != module:
        raise HwqError(f"{head.name} must be of the module {module}, not {found}; put each report where it was made")
    also = {name: _search(pattern, head.text) for name, pattern in layout.also.items()}
    counts = {name: _figure(one, texts, module) for name, one in layout.counts.items()}
    extra = {name: _figure(one, texts, module) for name, one in layout.extra.items()}
    listed = re.findall(layout.listing, head.text, re.MULTILINE) if layout.listing else []
    return Report(
        module=module,
        part=_head(layout.part, head, "the part") if layout.part else "",
        tools={program: version} | {name: value for name, value in also.items() if value},
        counts={name: _whole(value, layout.counts[name], texts) for name, value in counts.items() if value is not None},
        breakdown={name: int(value) for name, value in (extra | dict(_pairs(listed))).items() if value},
        area_um2=None if layout.area is None else _figure(layout.area, texts, module),
        fmax_mhz=_clock(layout.clock, texts, module),
    )


def _search(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1].strip() if found else ""


def _head(pattern: str, head: Text, what: str) -> str:
    found = _search(pattern, head.text)
    if not found:
        raise HwqError(
            f"the head of {head.name} must name {what}, which it does not; give the tool's own report, whole"
        )
    return found


def _pairs(listed: list[tuple[str, str]]) -> list[tuple[str, float]]:
    return [(name, float(count.replace(",", ""))) for name, count in listed]


def _figure(figure: Figure, texts: Mapping[str, Text], module: str) -> float | None:
    """The number that a figure names, None where it need not be there and is not."""
    given = texts.get(figure.report)
    if given is None:
        return None
    found = [m[1].strip() for m in re.finditer(figure.pattern.format(module=module), given.text, re.MULTILINE)]
    if not found and figure.needed:
        where = f"the table {figure.table} of {given.name}"
        raise HwqError(f"{where} must have a line {figure.label}, which it has not; run the tool to its end again")
    if not found:
        return None
    values = [_number(value, figure, given) for value in (found if figure.every else found[:1])]
    return None if None in values else sum(value for value in values if value is not None) * figure.scale


def _number(text: str, figure: Figure, given: Text) -> float | None:
    """The first word as a number; None where a tool says that there is no such path."""
    word = (text.split() or [""])[0].replace(",", "")
    try:
        value = math.nan if word in NO_CLOCK else float(word)
    except ValueError:
        value = math.inf
    if word in NO_CLOCK and not figure.needed:
        return None
    if not math.isfinite(value):
        raise HwqError(
            f"{figure.label} in the table {figure.table} of {given.name} must be a number, not {text[:40]!r}; "
            "run the tool to its end again"
        )
    return value


def _whole(value: float, figure: Figure, texts: Mapping[str, Text]) -> int:
    """A count of ours: a whole number, never negative."""
    if value < 0 or value != int(value):
        where = f"{figure.label} in the table {figure.table} of {texts[figure.report].name}"
        raise HwqError(f"{where} must come to whole cells, not {value:g}; run the tool to its end again")
    return int(value)


def _clock(clock: tuple[Figure, ...], texts: Mapping[str, Text], module: str) -> float | None:
    """The fastest clock in MHz, of the slowest of the corners that are printed; None where no path is timed."""
    if len(clock) == 1:
        given = texts.get(clock[0].report)
        found = re.findall(clock[0].pattern.format(module=module), given.text, re.MULTILINE) if given else []
        values = [_number(value, clock[0], given) for value in found] if given else []
        timed = [value for value in values if value]
        return round(min(timed) * clock[0].scale, 2) if timed else None
    values = [_figure(one, texts, module) for one in clock]
    if not values or None in values:
        return None
    period, slack = (value for value in values if value is not None)
    if period <= slack:
        where = texts[clock[1].report].name
        raise HwqError(f"the slack in {where} must be below the clock's period of {period:g} ns, not {slack:g} ns")
    return round(1000 / (period - slack), 2)
