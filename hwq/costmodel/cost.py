"""What a design costs: each figure with its interval, its unit in its name, its truth level and its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from hwq.errors import HwqError

if TYPE_CHECKING:
    from hwq.costmodel.tree import Tree

__all__ = ["Cost", "Figures", "Part", "Quantity", "set_at_once"]

FIELDS = ("lut", "ff", "dsp", "bram", "ge", "area_um2", "fast_um2", "fmax_mhz", "energy_pj_per_mac")
COUNTED = ("ff", "dsp", "bram")  # the same at every node


class Quantity(NamedTuple):  # not a dataclass: an estimate makes four of them, and they take half of its time then
    """A figure with its 90 % prediction interval; an exact figure has low = value = high."""

    value: float
    low: float
    high: float

    @classmethod
    def exact(cls, value: float) -> Quantity:
        return cls(value, value, value)

    @classmethod
    def within(cls, value: float, relative: float) -> Quantity:
        """`value` with a symmetric relative half-width."""
        return cls(value, value * (1 - relative), value * (1 + relative))

    def __add__(self, other: Quantity) -> Quantity:  # type: ignore[override]
        """Intervals add: parts of one design err together."""
        return Quantity(self.value + other.value, self.low + other.low, self.high + other.high)

    def __mul__(self, count: float) -> Quantity:  # type: ignore[override]
        return Quantity(self.value * count, self.low * count, self.high * count)

    @property
    def is_exact(self) -> bool:
        return self.low == self.high

    def json(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}


class Figures(dict[str, Quantity]):  # not a MappingProxyType, which can neither be pickled nor copied
    """Figures by name, to be read: a cost that was estimated stays as it was."""

    def _refuse(self, *_: object) -> NoReturn:
        remedy = "dataclasses.replace(cost, figures={**cost.figures, ...}) makes another"
        raise HwqError(f"figures of a cost must stay as they were estimated, not be set; {remedy}")

    __setitem__ = __delitem__ = __ior__ = update = setdefault = pop = popitem = clear = _refuse  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return Figures, (dict(self),)


@dataclass(frozen=True)
class Part:
    """`count` equal pieces of a design; `figures` are those of one."""

    name: str
    count: int
    figures: Mapping[str, Quantity]

    def __post_init__(self) -> None:
        _close(self)

    def json(self) -> dict[str, Any]:
        return {"part": self.name, "count": self.count} | {k: (q * self.count).json() for k, q in self.figures.items()}


@dataclass(frozen=True)
class Cost:
    """The cost of a design on a device. A field that means nothing there is absent, never zero; none can be set.

    `lut` are LUT1-6 cells (xc7, xcup), LUT4 (ice40), or LUT4 + 2 CCU2C (ecp5); `ge` NAND2 equivalents; `area_um2` cells
    mapped for area, `fast_um2` for delay; `pe` the share of one processing element. `level` is what the prices were
    measured by, `T1 cells, T2 clock` where the clock is another's; `counts_level` that of flip-flops and blocks where
    only the rest was scaled. `unmodelled` names what is not counted.
    """

    datapath: str
    device: str
    level: str
    source: str
    figures: Mapping[str, Quantity]
    parts: Callable[[], tuple[Part, ...]] = field(repr=False, compare=False)
    unmodelled: tuple[str, ...]
    counts_level: str = ""

    def __post_init__(self) -> None:
        _close(self)

    @property
    def breakdown(self) -> tuple[Part, ...]:
        """The pieces, made when they are asked for: a search looks at figures alone."""
        return self.parts()

    @property
    def tree(self) -> Tree:
        """The pieces down to the counts that are priced, made when asked for."""
        from hwq.costmodel.tree import tree

        return tree(self)

    def __getattr__(self, name: str) -> Quantity:
        if name in FIELDS:
            try:
                return self.figures[name]
            except KeyError:
                raise AttributeError(
                    f"{name} has no figure on {self.device}; it has {', '.join(self.figures)}"
                ) from None
        raise AttributeError(name)

    def __contains__(self, field: str) -> bool:
        return field in self.figures

    @property
    def pe(self) -> Part:
        """One processing element."""
        return next(p for p in self.breakdown if p.name == "pe")

    def level_of(self, field: str) -> str:
        """The truth level of one figure: T1 synthesis cells, T2 open place and route, T3 a vendor's tool, or scaled."""
        if self.counts_level and field in COUNTED:
            return self.counts_level
        cells, _, clock = self.level.partition(", ")
        return (clock if clock and field == "fmax_mhz" else cells).partition(" ")[0]

    def json(self) -> dict[str, Any]:
        """The record that `hwq cost --json` prints."""
        return (
            {"datapath": self.datapath, "device": self.device, "level": self.level, "source": self.source}
            | {name: {**q.json(), "level": self.level_of(name)} for name, q in self.figures.items()}
            | {"breakdown": [p.json() for p in self.breakdown], "unmodelled": list(self.unmodelled)}
        )


def set_at_once(fields: dict[str, Any]) -> Cost:
    """A cost of all its fields; a frozen dataclass sets each by a call, a sixth of the time of an estimate."""
    cost = object.__new__(Cost)
    object.__setattr__(cost, "__dict__", fields)
    return cost


def _close(owner: Part | Cost) -> None:
    """Figures as they can only be read."""
    if type(owner.figures) is not Figures:
        object.__setattr__(owner, "figures", Figures(owner.figures))
