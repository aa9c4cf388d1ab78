"""Bundles of wires as lists of bits, lowest first, and their text: slices, concatenations and repetitions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["Bit", "Bits", "bus", "constant", "extended", "text", "whole"]

Bit = tuple[str, int] | int
"""A bit of a named signal, or a known 0 or 1."""

Bits = tuple[Bit, ...]


def whole(name: str, width: int) -> Bits:
    """All bits of a signal."""
    return tuple((name, at) for at in range(width))


def constant(value: int, width: int) -> Bits:
    return tuple(value >> at & 1 for at in range(width))


def extended(bits: Bits, width: int, signed: bool) -> Bits:
    """Cut, or extended by zeros or by the top bit, to `width`."""
    return bits[:width] + (bits[-1] if signed else 0,) * (width - len(bits))


def bus(width: int) -> str:
    """A declaration's range, with its trailing blank: nothing for one bit."""
    return f"[{width - 1}:0] " if width > 1 else ""


def text(bits: Bits, widths: Mapping[str, int]) -> str:
    """The bits as one Verilog operand, in as few pieces as possible; `widths` are those of the signals."""
    pieces = [_piece(run, widths) for run in reversed(list(_runs(bits)))]
    return pieces[0] if len(pieces) == 1 else f"{{{', '.join(pieces)}}}"


def _runs(bits: Bits) -> Iterable[list[Bit]]:
    """Maximal runs: constants, one bit repeated, or consecutive bits of a signal."""
    run: list[Bit] = []
    for bit in bits:
        if run and not _continues(run, bit):
            yield run
            run = []
        run.append(bit)
    if run:
        yield run


def _continues(run: list[Bit], bit: Bit) -> bool:
    first, last = run[0], run[-1]
    if isinstance(bit, int) or isinstance(last, int):
        return isinstance(bit, int) and isinstance(last, int)
    if len(run) > 1 and last == first:
        return bit == last
    return bit == (last[0], last[1] + 1) or len(run) == 1 and bit == last


def _piece(run: list[Bit], widths: Mapping[str, int]) -> str:
    first, last = run[0], run[-1]
    if isinstance(first, int) or isinstance(last, int):
        value = sum(int(bool(bit)) << at for at, bit in enumerate(run))
        return f"{len(run)}'h{value:x}"
    name, low = first
    if first == last:
        one = name if widths[name] == 1 else f"{name}[{low}]"
        return one if len(run) == 1 else f"{{{len(run)}{{{one}}}}}"
    high = last[1]
    return name if (low, high) == (0, widths[name] - 1) else f"{name}[{high}:{low}]"
