"""`hwq memory`: what holding bits costs, in an FPGA's blocks, in SRAM at a node, or moving them to and from a DRAM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwq.cli.console import Json, show, table
from hwq.errors import HwqError

if TYPE_CHECKING:
    from hwq.costmodel.cost import Quantity

__all__ = ["register"]

Bits = Annotated[int, typer.Argument(metavar="BITS", help="Bits that are held, or moved with --dram.")]
Width = Annotated[int | None, typer.Option("--width", "-w", metavar="W", help="Bits of a word.")]
Fpga = Annotated[
    str | None, typer.Option("--device", "-d", metavar="D", help="Blocks of an FPGA; a wrong one lists them.")
]
Node = Annotated[int | None, typer.Option("--node", metavar="NM", help="SRAM at a node; a wrong one lists them.")]
Dram = Annotated[
    str | None, typer.Option("--dram", metavar="KIND", help="A DRAM such as lpddr4; a wrong one lists them.")
]
Banks = Annotated[int, typer.Option("--banks", metavar="N", help="Cut SRAM into at least N banks by address.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("memory")(memory)


def memory(
    bits: Bits,
    width: Width = None,
    device: Fpga = None,
    node: Node = None,
    dram: Dram = None,
    banks: Banks = 1,
    as_json: Json = False,
) -> None:
    """Price a memory: blocks of a device, SRAM at a node (nm), or the bits that a DRAM moves."""
    if sum(one is not None for one in (device, node, dram)) != 1:
        raise HwqError("a memory needs one of --device, --node and --dram; give one")
    if dram is None and width is None:
        raise HwqError("a memory on a device or at a node needs the width of its words; give --width")
    if banks != 1 and node is None:
        raise HwqError(f"only SRAM is cut into banks, not {device or dram} into {banks}; leave --banks out")
    record, title, rows = _found(bits, 1 if width is None else width, device, node, dram, banks)
    if as_json:
        show(record)
        return
    print(f"{title}; {record['level']}: {record['source']}\n")
    table(["figure", "unit ", "value", "low", "high"], rows)
    print("\nnot counted: " + "; ".join(record["unmodelled"]))


Found = tuple[dict[str, Any], str, list[tuple[object, ...]]]


def _found(bits: int, width: int, device: str | None, node: int | None, dram: str | None, banks: int) -> Found:
    """The record, a title and the rows of the table."""
    if device is not None:
        return _blocks(bits, width, device)
    if node is not None:
        return _sram(bits, width, node, banks)
    from hwq.costmodel import memory

    found = memory.dram(bits, str(dram))
    rows = [_row("energy", "pJ", found.energy_pj), _row("energy of a bit", "pJ", found.pj_per_bit)]
    return found.json(), f"{bits} bits of {dram}", rows


def _blocks(bits: int, width: int, device: str) -> Found:
    from hwq.costmodel.memory import bram

    found = bram(bits, width, device)
    shape = f"{found.shape.words} x {found.shape.width}"
    rows = [_row(found.block, f"blocks of {shape}", found.blocks)]
    if found.pairs is not None:
        rows.append(("or in pairs", "blocks of 36 Kbit", found.pairs))
    if found.large is not None:
        rows.append((f"or {found.large[0]}", "blocks", found.large[1]))
    if found.lutram is not None:
        smaller = ", smaller" * found.lutram.smaller
        rows.append(_row(f"or {found.lutram.cells} {found.lutram.cell}{smaller}", "LUT", found.lutram.lut))
    return found.json(), f"{found.depth} words of {width} bits on {device}, {found.ports}", rows


def _sram(bits: int, width: int, node: int, banks: int) -> Found:
    from hwq.costmodel.memory import sram

    found = sram(bits, width, node, banks)
    cut = found.macro
    rows = [_row(name.partition("_")[0], name.partition("_")[2], q) for name, q in found.figures.items()]
    title = f"{bits} bits in words of {width} at {node} nm, {cut.rows} x {cut.lanes} banks of {cut.depth} x {cut.width}"
    return found.json(), title, rows


def _row(name: str, unit: str, q: Quantity) -> tuple[object, ...]:
    return (name, {"pj": "pJ", "mw": "mW"}.get(unit, unit), float(q.value), float(q.low), float(q.high))
