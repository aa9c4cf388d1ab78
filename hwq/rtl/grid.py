"""A row of elements, and the choice of one row's sums."""

from __future__ import annotations

from collections.abc import Iterator

from hwq.datapath import Plan
from hwq.datapath.elements import MARKS, SUM
from hwq.rtl.modules import Leaf, Port, assigned, instance, module, part, wire

__all__ = ["grid_row", "readout", "sums_name"]


def grid_row(plan: Plan, element: Leaf, name: str) -> Leaf:
    """A module of one row of elements: operands a from the left, w from above (or weights from below, sums from above).

    Its sums go out a vector for each row of the array that it serves.
    """
    (down, across), width = plan.tile, element.widths
    count = plan.dp.array.cols // across
    shared = [port.name for port in element.ports if port.name in ("clk", "rst", "en", "load", "clear")]
    marks = [name for name in MARKS if name in width]
    passed = {port: width[port] for port in ("a_q", "w_q", *(f"{name}_q" for name in marks)) if port in width}
    moving = [port.removesuffix("_q") for port in passed if port != "w_q"]  # from column to column
    fields = [port.name for port in element.ports if port.direction == "output" and port.name not in passed]
    held = {row: _of_row(fields, row, down) for row in range(down)}
    size = plan.dp.array.cols * sum(width[field] for field in held[0]) // across
    fed = any(port.name.startswith(SUM) for port in element.ports)
    ports = [Port(port, "input", 1) for port in shared]
    ports += [Port("a", "input", width["a"]), Port("w", "input", count * width["w"])]
    ports += [Port("sums_in", "input", size)] * fed
    ports += [Port(name, "input", 1) for name in marks]
    ports += [Port(sums_name(row, down), "output", size) for row in range(down)]
    ports += [Port("w_q", "output", count * width["w_q"])] if "w_q" in passed else []
    about = [f"One row of elements: its sums, {{{', '.join(reversed(held[0]))}}} for each column, column 0 lowest."]

    def lines() -> Iterator[str]:
        for col in range(count):
            pins: dict[str, str] = {port: port for port in shared}
            pins |= {port: f"{port}_{col}" if col and port in moving else port for port in ("a", *marks)}
            pins["w"] = part("w", col * width["w"], width["w"], count * width["w"])
            for row in range(down):
                at = col * size // count
                for field in held[row]:
                    pins[field] = part(sums_name(row, down), at, width[field], size)
                    pins[f"{SUM}{field}"] = part("sums_in", at, width[field], size)
                    at += width[field]
            for port in moving:
                yield wire(f"{port}_{col + 1}", width[f"{port}_q"])
                pins[f"{port}_q"] = f"{port}_{col + 1}"
            if "w_q" in passed:
                pins["w_q"] = part("w_q", col * width["w_q"], width["w_q"], count * width["w_q"])
            yield from instance(element.name, f"pe_{col}", {port.name: pins[port.name] for port in element.ports})

    return module(name, about, ports, lines())


def _of_row(fields: list[str], row: int, down: int) -> list[str]:
    """The sums of one of an element's rows, column by column."""
    return [field for field in fields if field.startswith(f"acc_{row}_")] if down > 1 else fields


def sums_name(row: int, down: int) -> str:
    """The port of a row's sums."""
    return f"sums_{row}" if down > 1 else "sums"


def readout(rows: int, width: int, top: str) -> Leaf:
    """Module `<top>_readout`: a column's sum in one row, `below` rows from the last, by a tree of 2:1 multiplexers."""
    bits = (rows - 1).bit_length()
    ports = [Port(f"row_{at}", "input", width) for at in range(rows)]
    ports += [Port("below", "input", bits), Port("chosen", "output", width)]

    def lines() -> Iterator[str]:
        values = [f"row_{at}" for at in reversed(range(rows))]
        for bit in range(bits):
            index = part("below", bit, 1, bits)
            pairs = [values[at : at + 2] for at in range(0, len(values), 2)]
            values = [f"pick_{bit}_{at}" if len(pair) == 2 else pair[0] for at, pair in enumerate(pairs)]
            for name, pair in zip(values, pairs, strict=True):
                if len(pair) == 2:
                    yield wire(name, width, f"{index} ? {pair[1]} : {pair[0]}")
        yield assigned("chosen", values[0])

    return module(f"{top}_readout", ["Read-out of a column: the sum of one row."], ports, lines())
