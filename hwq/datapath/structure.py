"""Structure: what can change area, energy or time only. An `Array` of elements, and a `Datapath` of `Mac` and array."""

from __future__ import annotations

from dataclasses import dataclass

from hwq.datapath.accumulators import Align, Fixed
from hwq.datapath.checks import check_kind, whole
from hwq.datapath.spec import Mac, check_mac
from hwq.errors import HwqError

__all__ = ["DATAFLOWS", "Array", "Datapath"]

MOST = 256  # rows, columns
MOST_LANES = 64
DATAFLOWS = {
    "os": "output-stationary: a sum stays in its element, operands pass from neighbour to neighbour",
    "ws": "weight-stationary: a weight stays in its element, sums pass down a column",
    "tree": "dot-product units: a sum stays, operands reach every element at once",
}


@dataclass(frozen=True)
class Array:
    """`rows` x `cols` elements that take `lanes` products a cycle each, in one of the `DATAFLOWS`."""

    rows: int = 1
    cols: int = 1
    lanes: int = 1
    dataflow: str = "os"

    def __post_init__(self) -> None:
        for name, most in (("rows", MOST), ("cols", MOST), ("lanes", MOST_LANES)):
            object.__setattr__(self, name, whole(name, getattr(self, name), 1, most))
        if self.dataflow not in DATAFLOWS:
            raise HwqError(f"dataflow must be one of {', '.join(DATAFLOWS)}, not {self.dataflow!r}")

    @property
    def text(self) -> str:
        lanes = f"x{self.lanes}" if self.lanes > 1 else ""
        dataflow = f"/{self.dataflow}" if self.dataflow != "os" else ""
        return f"{self.rows}x{self.cols}{lanes}{dataflow}"

    @property
    def terms(self) -> int:
        """Products of one sum that are in the array at a time."""
        return self.lanes * (self.rows if self.dataflow == "ws" else 1)


@dataclass(frozen=True)
class Datapath:
    """`Mac` + `Array` + pipeline cuts + variants. `str(dp)` is its canonical text and `Datapath.parse` reads it back.

    `cuts` name the stages that a register follows, `uses` the structures that are taken by hand: see `VARIANTS`.
    """

    mac: Mac
    array: Array = Array()
    decode: str = "edge"
    cuts: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_mac(self.mac)
        check_kind("the structure of a datapath must be an Array", self.array, Array)
        if self.decode not in ("edge", "pe"):
            raise HwqError(f"decode must be edge or pe, not {self.decode!r}")
        _check_order(self.mac, self.array)
        from hwq.datapath.stages import check_cuts
        from hwq.datapath.variants import check_uses

        object.__setattr__(self, "cuts", check_cuts(self.mac, self.cuts))
        object.__setattr__(self, "uses", check_uses(self.mac, self.uses))
        if "double" in self.uses and self.array.dataflow != "ws":
            shape = f"{self.array.rows}x{self.array.cols}"
            raise HwqError(
                f"use=double keeps two weights an element, which stay only in @{shape}/ws, not @{self.array.text}; "
                "write that, or leave it out"
            )

    @classmethod
    def parse(cls, text: str) -> Datapath:
        """The datapath that `text` describes."""
        from hwq.datapath.text import parse

        return parse(text)

    def __str__(self) -> str:
        from hwq.datapath.text import write

        return write(self)

    def parametric(self) -> str:
        """The text with every format written by its parameters: the same in every catalogue."""
        from hwq.datapath.text import write

        return write(self, named=False)

    @property
    def latency(self) -> int:
        """Cycles from the last accepted operands of a tile to its first result; of a stream (ws), to theirs."""
        from hwq.datapath.schedule import latency

        return latency(self)

    def cycles(self, m: int, n: int, k: int) -> int:
        """Clock cycles of an M x K by K x N product without stalls."""
        from hwq.datapath.schedule import cycles

        return cycles(self, m, n, k)


def _check_order(mac: Mac, array: Array) -> None:
    """Lanes are structure where a sum has no order; where it has, they are what the Mac says."""
    ordered = mac.floats is not None or isinstance(mac.acc, Fixed) and mac.acc.overflow == "sat"
    at_once = mac.acc.lanes if isinstance(mac.acc, Align) else mac.tree
    if array.lanes > 1 and ordered and array.lanes != at_once:
        remedy = f"+align({array.lanes},...)" if isinstance(mac.acc, Align) else f"order=tree({array.lanes})"
        raise HwqError(
            f"lanes={array.lanes} adds that many products at once, which +{mac.acc.text} tells from one after the "
            f"other; write {remedy}, or @{array.rows}x{array.cols}"
        )
    if array.dataflow == "ws" and mac.k > array.terms:
        raise HwqError(
            f"a weight-stationary array holds all terms of a sum: k must be at most {array.terms} for @{array.text}, "
            f"not {mac.k}; write k={array.terms}, or @{array.rows}x{array.cols}"
        )
