"""A row of elements, and the choice of one row's sums."""

from __future__ import annotations

from collections.abc import Iterator

from hwq.datapath import Array
from hwq.datapath.plans import SUM
from hwq.rtl.modules import Leaf, Port, assigned, instance, module, part, wire

__all__ = ["grid_row", "readout"]


def grid_row(array: Array, element: Leaf, name: str) -> Leaf:
    """A module of `cols` elements: operands a from the left, w from above (or weights from below, sums from above)."""
    width = element.widths
    passed = {port: width[port] for port in ("a_q", "w_q") if port in width}
    held = [port.name for port in element.ports if port.direction == "output" and port.name not in passed]
    size = sum(width[field] for field in held)
    shared = [port.name for port in element.ports if port.name in ("clk", "rst", "en", "load", "clear")]
    fed = any(port.name.startswith(SUM) for port in element.ports)
    ports = [Port(wire_, "input", 1) for wire_ in shared]
    ports += [Port("a", "input", width["a"]), Port("w", "input", array.cols * width["w"])]
    ports += [Port("sums_in", "input", array.cols * size)] * fed + [Port("sums", "output", array.cols * size)]
    ports += [Port("w_q", "output", array.cols * width["w_q"])] if "w_q" in passed else []
    about = [f"One row of elements: its sums, {{{', '.join(reversed(held))}}} for each column, column 0 lowest."]

    def lines() -> Iterator[str]:
        for col in range(array.cols):
            pins: dict[str, str] = {port: port for port in shared}
            pins["a"] = f"a_{col}" if col and "a_q" in passed else "a"
            pins["w"] = part("w", col * width["w"], width["w"], array.cols * width["w"])
            at = col * size
            for field in held:
                pins[field] = part("sums", at, width[field], array.cols * size)
                pins[f"{SUM}{field}"] = part("sums_in", at, width[field], array.cols * size)
                at += width[field]
            if "a_q" in passed:
                yield wire(f"a_{col + 1}", width["a_q"])
                pins["a_q"] = f"a_{col + 1}"
            if "w_q" in passed:
                pins["w_q"] = part("w_q", col * width["w_q"], width["w_q"], array.cols * width["w_q"])
            yield from instance(element.name, f"pe_{col}", {port.name: pins[port.name] for port in element.ports})

    return module(name, about, ports, lines())


def readout(rows: int, width: int, top: str) -> Leaf:
    """Module `<top>_readout`: the sums of one row, `below` rows from the last, by a tree of 2:1 multiplexers."""
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

    return module(f"{top}_readout", ["Read-out: the sums of one row."], ports, lines())
