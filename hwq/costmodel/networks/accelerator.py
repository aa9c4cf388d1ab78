"""An accelerator: an array, the buffers beside it, a way to a DRAM, and a vector unit for what is no product."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hwq.costmodel.cost import Quantity
from hwq.costmodel.memory import dram, sram
from hwq.costmodel.networks.arrays import Compute
from hwq.datapath.checks import whole
from hwq.errors import HwqError

__all__ = ["OPERANDS", "Accelerator", "Buffer", "Offchip"]

OPERANDS = ("input", "weight", "output")
MOST_BITS = 1 << 43


@dataclass(frozen=True)
class Buffer:
    """A memory on the chip that holds tiles of some `OPERANDS`, `bits` in words of `width`.

    `read_pj` and `write_pj` are of an access of one word; None where nobody knows them, then named as not counted.
    """

    name: str
    operands: tuple[str, ...]
    bits: int
    width: int
    read_pj: Quantity | None = None
    write_pj: Quantity | None = None
    source: str = ""

    def __post_init__(self) -> None:
        whole(f"bits of {self.name}", self.bits, 1, MOST_BITS)
        whole(f"width of {self.name}", self.width, 1, self.bits)
        if not self.operands or set(self.operands) - {*OPERANDS}:
            raise HwqError(f"{self.name} must hold some of {', '.join(OPERANDS)}, not {self.operands!r}")

    @classmethod
    def sram(cls, name: str, operands: tuple[str, ...], bits: int, width: int, node: int, banks: int = 1) -> Buffer:
        """A buffer with the energies of `hwq.costmodel.memory.sram` at a node in nm."""
        found = sram(bits, width, node, banks)
        read, write = found.figures["read_pj"], found.figures["write_pj"]
        about = f"{found.level}: {found.source}; not in it: {', '.join(found.unmodelled)}"
        return cls(name, operands, bits, width, read, write, about)


@dataclass(frozen=True)
class Offchip:
    """The way to a DRAM: bytes a second, in units of 1e9, in one direction at a time; pJ of one bit moved, if known."""

    gb_s: float
    pj_per_bit: Quantity | None = None
    source: str = ""

    def __post_init__(self) -> None:
        _positive("bandwidth in GB/s", self.gb_s)

    @classmethod
    def dram(cls, gb_s: float, kind: str) -> Offchip:
        """With the energy of `hwq.costmodel.memory.dram`."""
        found = dram(1, kind)
        about = f"{kind}, {found.level}: {found.source}; not in it: {', '.join(found.unmodelled)}"
        return cls(gb_s, found.pj_per_bit, about)


@dataclass(frozen=True)
class Accelerator:
    """What a network runs on.

    `buffers` hold all three operands, each in one of them. `vector_ops` are elementary operations that the vector unit
    does in a cycle, None where there is none; unless `vector_overlaps`, the array waits for it. Without `offchip`
    nothing leaves the chip: weights lie in their buffer, activations in theirs. `mac_pj` is the energy of one
    multiply-accumulate and `mac_source` where that is from.
    """

    name: str
    array: Compute
    clock_mhz: float
    buffers: tuple[Buffer, ...]
    offchip: Offchip | None = None
    vector_ops: float | None = None
    vector_overlaps: bool = True
    mac_pj: Quantity | None = None
    mac_source: str = ""

    def __post_init__(self) -> None:
        _positive("clock in MHz", self.clock_mhz)
        if self.vector_ops is not None:
            _positive("vector_ops a cycle", self.vector_ops)
        held = sorted(operand for buffer in self.buffers for operand in buffer.operands)
        if held != sorted(OPERANDS):
            raise HwqError(f"each of {', '.join(OPERANDS)} must lie in one buffer of {self.name}, not {held}")
        names = ["DRAM", *(buffer.name for buffer in self.buffers)]
        if len({*names}) < len(names):
            raise HwqError(f"buffers of {self.name} must have names of their own, none of them DRAM, not {names[1:]}")

    def buffer(self, operand: str) -> Buffer:
        """The one that holds an operand."""
        return next(buffer for buffer in self.buffers if operand in buffer.operands)

    @property
    def cycles_per_bit(self) -> Fraction:
        """Cycles that one bit takes to or from the DRAM."""
        if self.offchip is None:
            return Fraction(0)
        return Fraction(str(self.clock_mhz)) / (8000 * Fraction(str(self.offchip.gb_s)))

    @property
    def cycles_per_op(self) -> Fraction:
        """Cycles that one elementary operation takes in the vector unit."""
        return Fraction(0) if self.vector_ops is None else 1 / Fraction(str(self.vector_ops))


def _positive(what: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise HwqError(f"{what} must be a number above 0, not {value!r}")
