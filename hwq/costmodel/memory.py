"""What a memory costs: SRAM banks from a table of CACTI, blocks of an FPGA, the bits that a DRAM moves."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from numbers import Integral
from typing import Any

from hwq.costmodel.bram import Bram, bram
from hwq.costmodel.cost import Quantity
from hwq.costmodel.nodes import nodes, scale, spread
from hwq.costmodel.table import Bank, Table, check_count
from hwq.errors import HwqError

__all__ = ["Bram", "Dram", "Macro", "Sram", "bram", "dram", "sram"]

FIGURES = ("read_pj", "write_pj", "access_ns", "leakage_mw", "area_mm2")
SCALED = {"read_pj": "energy", "write_pj": "energy", "access_ns": "delay", "area_mm2": "area"}


@dataclass(frozen=True)
class Macro:
    """How a memory is cut: `lanes` banks side by side, all of them accessed, in each of `rows`, one of which is."""

    lanes: int
    rows: int
    depth: int
    width: int

    @property
    def bits(self) -> int:
        """What is paid for."""
        return self.lanes * self.rows * self.depth * self.width


@dataclass(frozen=True)
class Sram:
    """An SRAM; figures are of an access of one word, of the whole memory. `level` is "table" or "scaled".

    A figure that is not known at the node is absent and named in `unmodelled`, never zero.
    """

    bits: int
    width: int
    node: int
    macro: Macro
    level: str
    source: str
    figures: Mapping[str, Quantity]
    unmodelled: tuple[str, ...]

    def json(self) -> dict[str, Any]:
        """The record that `hwq memory --node --json` prints."""
        cut = {"lanes": self.macro.lanes, "rows": self.macro.rows, "depth": self.macro.depth, "width": self.macro.width}
        return (
            {"bits": self.bits, "width": self.width, "node_nm": self.node, "level": self.level, "source": self.source}
            | {"macro": cut | {"bits": self.macro.bits}}
            | {name: q.json() for name, q in self.figures.items()}
            | {"unmodelled": list(self.unmodelled)}
        )


@dataclass(frozen=True)
class Dram:
    """Bits that are read from a DRAM or written to it. `level` is "published", or "unverified" where nobody has yet
    found the number that we remember.
    """

    bits: int
    kind: str
    pj_per_bit: Quantity
    level: str
    source: str
    unmodelled: tuple[str, ...] = (
        "rows opened for few words",
        "bursts cut short",
        "refresh",
        "standby",
        "our own side",
    )

    @property
    def energy_pj(self) -> Quantity:
        return self.pj_per_bit * self.bits

    def json(self) -> dict[str, Any]:
        """The record that `hwq memory --dram --json` prints."""
        return {"bits": self.bits, "kind": self.kind, "level": self.level, "source": self.source} | {
            "pj_per_bit": self.pj_per_bit.json(),
            "energy_pj": self.energy_pj.json(),
            "unmodelled": list(self.unmodelled),
        }


@cache
def _data(name: str) -> dict[str, Any]:
    return tomllib.loads((resources.files("hwq.costmodel") / "data" / name).read_text(encoding="utf-8"))


@cache
def _tables() -> Mapping[int, Table]:
    """Node -> what CACTI says there."""
    rows = {int(name): row["bank"] for name, row in _data("sram.toml").items() if name.isdigit()}
    figures = {
        node: {
            figure: {Bank(row["bits"], row["width"]): row[figure] for row in banks if figure in row}
            for figure in FIGURES
        }
        for node, banks in rows.items()
    }
    return {node: Table(node, own, figures) for node, own in figures.items()}


def sram(bits: int, width: int, node: int, banks: int = 1) -> Sram:
    """An SRAM of that many bits in words of `width` at a node (nm), cut into at least `banks` banks by address.

    The table's nodes are interpolated log-log in size and width; others are scaled from the nearest of the table.
    """
    check_count("bits", bits)
    check_count("width", width)
    check_count("banks", banks)
    _check_node(node)
    tables = {name: _nearest(node, name) for name in (FIGURES if node in _tables() else SCALED)}
    table = tables["read_pj"]
    macro = _cut(bits, width, banks, table)
    bank = Bank(macro.depth * macro.width, macro.width)
    shares = {"read_pj": macro.lanes, "write_pj": macro.lanes, "access_ns": 1}
    figures = {
        name: own.figure(name, bank) * shares.get(name, macro.lanes * macro.rows)
        for name, own in tables.items()
        if own.has(name)
    }
    level, source = "table", _data("sram.toml")["source"]
    if node not in _tables():
        level, source = "scaled", f"{source} at {table.node} nm; {scale(1.0, 'energy', table.node, node).source}"
        figures = {name: scale(q, SCALED[name], tables[name].node, node).quantity for name, q in figures.items()}
    return Sram(bits, width, node, macro, level, source, figures, _unmodelled(node, macro, table, bank, figures))


def _check_node(node: int) -> None:
    tables = _tables()
    if isinstance(node, bool) or not isinstance(node, Integral) or node not in {*tables, *nodes()}:
        known = ", ".join(str(one) for one in sorted({*tables, *nodes()}, reverse=True))
        raise HwqError(f"node must be one of {known} nm to have SRAM, not {node!r}")


def _nearest(node: int, figure: str) -> Table:
    """The table that a figure is taken from: the node's own, or the nearest that has it and can be scaled."""
    tables = _tables()
    if node in tables:
        return tables[node]
    able = (one for one in nodes() if one in tables and tables[one].has(figure))
    return tables[min(able, key=lambda one: max(one / node, node / one))]


def _cut(bits: int, width: int, banks: int, table: Table) -> Macro:
    """Banks no wider and no larger than the table's, words and depths in whole steps."""
    data = _data("sram.toml")
    lanes = -(-width // table.widest)
    lane = -(-width // (lanes * data["width"])) * data["width"]
    words = -(-bits // width)
    rows = max(banks, -(-words * lane // table.largest))
    depth = -(-words // (rows * data["depth"])) * data["depth"]
    least = table.smallest // data["reach"]
    if depth * lane < least:
        raise HwqError(
            f"a bank of SRAM must have at least {least} bits, not {depth * lane} ({depth} words of {lane}); "
            "take registers, or fewer banks"
        )
    return Macro(lanes, rows, depth, lane)


def _unmodelled(node: int, macro: Macro, table: Table, bank: Bank, figures: Mapping[str, Quantity]) -> tuple[str, ...]:
    found = [f"{name}: not known at {node} nm" for name in FIGURES if name not in figures]
    if macro.lanes * macro.rows > 1:
        found.append("wires and decoders between banks")
    if not table.holds(bank):
        found.append(f"a bank of {bank.bits} bits and words of {bank.width} lies outside the table: wider interval")
    if node < min(_tables()):
        found.append("cells of SRAM shrink less than the logic that these figures are scaled by")
    found.append("CACTI's own error: Horowitz gives caches of 45 nm about three times its energy")
    return tuple(found)


def dram(bits: int, kind: str) -> Dram:
    """The energy of moving bits to or from a DRAM of a kind."""
    check_count("bits", bits)
    data = _data("dram.toml")
    if kind not in data["kinds"]:
        raise HwqError(f"kind must be one of {', '.join(data['kinds'])}, not {kind!r}")
    row = data["kinds"][kind]
    pj = Quantity(row["pj"], row["low"], row["high"]) if "low" in row else spread(row["pj"], data["alone"])
    return Dram(bits, kind, pj, "published" if row["verified"] else "unverified", row["source"])
