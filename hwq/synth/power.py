"""What a cell library says about energy: internal power tables, pin capacitances, leakage.

Units are fJ, fF, ps, nW and V, whatever the file's own are. Liberty gives its power tables no unit: an entry is the
energy of one transition in `capacitive_load_unit` times `voltage_unit` squared, fJ for Nangate45 and ASAP7 and pJ for
SKY130. It is what the cell takes beside the C V^2 / 2 of the load at its output.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hwq.errors import HwqError
from hwq.synth.liberty import cell_texts, library_text

__all__ = ["Arc", "PowerCell", "PowerPin", "Table", "power_cells", "supply"]

_ITEM = re.compile(r'(\w+)\s*\(([^(){}]*)\)\s*(\{)?|(\w+)\s*:\s*("[^"]*"|[^;}\n]+)|(\})')
_PREFIX = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
_SLEW = "input_transition_time"


@dataclass(frozen=True)
class Table:
    """Energies of one transition in fJ, by the slew at the input (ps) and the load at the output (fF)."""

    slews: tuple[float, ...]
    loads: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]  # a row a slew

    def at(self, slew: float, load: float) -> float:
        """Between four entries: linear in both; beyond the table: its edge."""
        row, up = _place(self.slews, slew)
        column, right = _place(self.loads, load)
        low, high = (self.values[min(r, len(self.slews) - 1)] for r in (row, row + 1))
        last = len(self.loads) - 1
        near, far = (one[column] * (1 - right) + one[min(column + 1, last)] * right for one in (low, high))
        return near * (1 - up) + far * up


def _place(points: Sequence[float], x: float) -> tuple[int, float]:
    """The point at or below x, and how far on the way to the next x is."""
    at = min(max(bisect_right(points, x) - 1, 0), max(len(points) - 2, 0))
    if len(points) == 1:
        return at, 0.0
    return at, min(max((x - points[at]) / (points[at + 1] - points[at]), 0.0), 1.0)


@dataclass(frozen=True)
class Arc:
    """The energy of a pin's transitions under a condition: of an output that follows one of `related`, or of an input
    that moves by itself. Energies of several supplies add up.
    """

    related: tuple[str, ...]
    when: str
    supply: str
    rise: Table
    fall: Table


@dataclass(frozen=True)
class PowerPin:
    """A pin: its capacitance (fF) if it is an input, its energies."""

    output: bool
    clock: bool
    load: float
    arcs: tuple[Arc, ...]


@dataclass(frozen=True)
class PowerCell:
    """A cell: its pins, its leakage (nW), whether it holds state."""

    name: str
    pins: Mapping[str, PowerPin]
    leakage: float
    state: bool


@dataclass(frozen=True)
class _Group:
    """A group of a Liberty file: `kind (name) { fields groups }`."""

    kind: str
    name: str
    fields: dict[str, str]
    groups: list[_Group]

    def all(self, *kinds: str) -> list[_Group]:
        return [group for group in self.groups if group.kind in kinds]


@dataclass(frozen=True)
class _Head:
    """A library before its cells: factors to fF, ps, nW, its supply in V, and its power tables' templates."""

    load: float
    slew: float
    leakage: float
    energy: float
    volts: float
    templates: Mapping[str, _Group]


def power_cells(files: tuple[Path, ...], names: Sequence[str]) -> Mapping[str, PowerCell]:
    """The cells of some names. HwqError for a cell that no file has, and if none of them has a power table."""
    homes = {name: path for path in reversed(files) for name in cell_texts((path,))}
    unknown = [name for name in names if name not in homes]
    if unknown:
        raise HwqError(
            f"every cell of a netlist must be in the library, not {unknown[0]}; name the Liberty file it has"
        )
    found = {name: _cell(homes[name], name) for name in names}
    if not any(pin.arcs for cell in found.values() for pin in cell.pins.values()):
        raise HwqError(
            f"a Liberty file must have tables of internal_power to tell an energy, not none as {files[0].name}; "
            "take the library's characterised file"
        )
    return found


def supply(files: Sequence[Path]) -> float:
    """The libraries' voltage."""
    volts = {_head(path).volts for path in files}
    if len(volts) != 1:
        raise HwqError(f"Liberty files of one device must have one voltage, not {sorted(volts)}; take one corner")
    return volts.pop()


def _parse(text: str) -> _Group:
    """The first group of a text, or what there is of it."""
    root = _Group("", "", {}, [])
    stack = [root]
    for word, args, opens, key, value, closes in _ITEM.findall(re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)):
        if opens:
            stack.append(_Group(word, args.strip().strip('"'), {}, []))
            stack[-2].groups.append(stack[-1])
        elif word:
            stack[-1].fields[word] = args
        elif key:
            stack[-1].fields[key] = value.strip().strip('"')
        elif closes:
            stack.pop()
            if len(stack) < 2:
                break
    return root.groups[0]


@lru_cache(maxsize=16)
def _head(path: Path) -> _Head:
    text = library_text(path)
    head = _parse(re.split(r'\bcell\s*\(\s*"?\w', text, maxsplit=1)[0])
    volt = _unit(head.fields.get("voltage_unit", "1V"))
    number, unit = head.fields.get("capacitive_load_unit", "1,pf").replace('"', "").split(",")
    farad = float(number) * _unit(unit.strip().lower())
    return _Head(
        load=farad * 1e15,
        slew=_unit(head.fields.get("time_unit", "1ns")) * 1e12,
        leakage=_unit(head.fields.get("leakage_power_unit", "1nW")) * 1e9,
        energy=farad * volt**2 * 1e15,
        volts=_volts(head, path) * volt,
        templates={group.name: group for group in head.all("power_lut_template")},
    )


def _unit(text: str) -> float:
    """The unit `10pf` in farad, `1nW` in watt."""
    found = re.fullmatch(r"\s*([\d.]*)\s*([munpf]?)(s|V|W|f|F)\s*", text)
    if not found:
        raise HwqError(f"a Liberty unit must be one such as 1ns, 1nW or 1V, not {text!r}; correct the file")
    return float(found[1] or 1) * _PREFIX[found[2]]


def _volts(head: _Group, path: Path) -> float:
    corners = [group.fields["voltage"] for group in head.all("operating_conditions") if "voltage" in group.fields]
    found = [head.fields["nom_voltage"]] if "nom_voltage" in head.fields else corners
    if not found:
        raise HwqError(f"a Liberty file must state nom_voltage to tell an energy, not nothing as {path.name}; add it")
    return float(found[0])


@lru_cache(maxsize=4096)
def _cell(path: Path, name: str) -> PowerCell:
    head, cell = _head(path), _parse("cell (x) " + cell_texts((path,))[name])
    held = cell.all("ff", "latch", "ff_bank", "latch_bank", "statetable")
    clocked = " ".join(group.fields.get(key, "") for group in held for key in ("clocked_on", "enable"))
    pins = {pin.name: _pin(pin, head, re.findall(r"\w+", clocked)) for pin in cell.all("pin")}
    known = {key: pin for key, pin in pins.items() if pin}
    return PowerCell(name, {key: pin for key, pin in known.items() if pin}, _leakage(cell) * head.leakage, bool(held))


def _pin(pin: _Group, head: _Head, clocks: Sequence[str]) -> PowerPin | None:
    """A pin that can be connected."""
    direction = pin.fields.get("direction", "")
    if direction not in ("input", "output"):
        return None
    clock = pin.name in clocks or "true" in (pin.fields.get("clock"), pin.fields.get("clock_gate_clock_pin"))
    load = float(pin.fields.get("capacitance", 0)) * head.load if direction == "input" else 0.0
    arcs = tuple(arc for group in pin.all("internal_power") if (arc := _arc(group, head)))
    return PowerPin(direction == "output", clock, load, arcs)


def _arc(group: _Group, head: _Head) -> Arc | None:
    tables = {table.kind: _table(table, head) for table in group.all("rise_power", "fall_power", "power")}
    if not tables:
        return None
    none = Table((0.0,), (0.0,), ((0.0,),))
    rise, fall = (tables.get(f"{edge}_power", tables.get("power", none)) for edge in ("rise", "fall"))
    related = tuple(re.findall(r"\w+", group.fields.get("related_pin", "")))
    return Arc(related, group.fields.get("when", ""), group.fields.get("related_pg_pin", ""), rise, fall)


def _table(table: _Group, head: _Head) -> Table:
    """A table with its slews down and its loads across, whichever of them its template has first."""
    template = head.templates.get(table.name)
    rows = [_numbers(row) for row in re.findall(r'"([^"]*)"', table.fields["values"])]
    rows = [[value * head.energy for value in row] for row in rows]
    axes = []
    for place in ("1", "2"):
        kind = template.fields.get(f"variable_{place}") if template else None
        if template and kind:
            index = table.fields.get(f"index_{place}", template.fields.get(f"index_{place}", ""))
            unit = head.slew if kind == _SLEW else head.load
            axes.append((kind, tuple(value * unit for value in _numbers(index))))
    if len(axes) == 1:  # its values are one row, or one in each
        line = [value for row in rows for value in row]
        rows = [[value] for value in line] if axes[0][0] == _SLEW else [line]
    elif len(axes) == 2 and axes[0][0] != _SLEW:
        rows = [list(column) for column in zip(*rows, strict=True)]
    slews = next((points for kind, points in axes if kind == _SLEW), (0.0,))
    loads = next((points for kind, points in axes if kind != _SLEW), (0.0,))
    if [len(loads)] * len(slews) != [len(row) for row in rows]:
        raise HwqError(f"a power table must be {len(slews)} x {len(loads)} as its axes, not another; correct the file")
    return Table(slews, loads, tuple(map(tuple, rows)))


def _numbers(text: str) -> list[float]:
    return [float(word) for word in re.findall(r"[-+]?[\d.]+(?:[eE][-+]?\d+)?", text)]


def _leakage(cell: _Group) -> float:
    """The cell's one figure; else the sum over supplies of the one without a condition, or of the mean of all."""
    if "cell_leakage_power" in cell.fields:
        return float(cell.fields["cell_leakage_power"])
    supplies: dict[str, list[_Group]] = {}
    for group in cell.all("leakage_power"):
        supplies.setdefault(group.fields.get("related_pg_pin", ""), []).append(group)
    total = 0.0
    for groups in supplies.values():
        plain = [float(group.fields["value"]) for group in groups if "when" not in group.fields]
        values = plain or [float(group.fields["value"]) for group in groups]
        total += sum(values) / len(values)
    return total
