"""What every tool is told: the figures of one multiply-accumulate of an array, each with interval, level and source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hwq.costmodel import Cost, Quantity
from hwq.datapath import Datapath
from hwq.datapath.names import top_name
from hwq.errors import HwqError

__all__ = ["FIGURES", "Component", "Figure", "component", "stated"]

# figures that tools ask for, as a Cost names them, and the option by which a user states one
FIGURES = {
    "energy_pj_per_mac": "--energy-pj",
    "area_um2": "--area-um2",
    "leakage_nw": "--leakage-nw",
    "fmax_mhz": "--fmax-mhz",
}
SHARED = ("area_um2", "leakage_nw")  # of a whole array: what one multiply-accumulate has is a share
STATED = "stated by the user"


@dataclass(frozen=True)
class Figure:
    """A value with its 90 % interval, the truth level it is of and where it is from."""

    quantity: Quantity
    level: str
    source: str

    @property
    def error(self) -> float:
        """The relative half-width of the interval, the larger side."""
        q = self.quantity
        return max(q.high - q.value, q.value - q.low) / q.value

    def json(self) -> dict[str, object]:
        return {**self.quantity.json(), "level": self.level, "source": self.source}


@dataclass(frozen=True)
class Component:
    """A datapath on a device as a component; `figures` are of the whole design, energy of one multiply-accumulate."""

    dp: Datapath
    device: str
    figures: Mapping[str, Figure]
    unmodelled: tuple[str, ...]

    @property
    def name(self) -> str:
        """That of the datapath's hardware, and the device."""
        return f"{top_name(self.dp)}_{self.device}"

    @property
    def macs(self) -> int:
        """Multiply-accumulates a cycle of the whole array."""
        array = self.dp.array
        return array.rows * array.cols * array.lanes

    def of_one(self, name: str) -> float:
        """The value of a figure for one multiply-accumulate, with its share of what surrounds the elements."""
        value = self.figures[name].quantity.value
        return value / self.macs if name in SHARED else value

    def need(self, tool: str, *names: str) -> None:
        """Refuse where a figure is missing that the tool cannot do without."""
        missing = [name for name in names if name not in self.figures]
        if missing:
            why = next(
                (text for text in self.unmodelled if text.startswith(f"{missing[0]}:")), f"{missing[0]}: not modelled"
            )
            options = " ".join(f"{FIGURES[name]} VALUE" for name in missing)
            raise HwqError(
                f"{tool} must be given {' and '.join(missing)}, which hwq does not know on {self.device} "
                f"({why.partition(': ')[2]}); state what you know: {options} --error PERCENT --source TEXT"
            )

    def error(self, *names: str) -> float:
        """The largest relative half-width of these figures."""
        return max(self.figures[name].error for name in names)

    def about(self, *names: str) -> list[str]:
        """Lines that say what the component is, and for each of these figures its interval, level and source."""
        lines = [f"hwq component: {self.dp} on {self.device}"]
        lines.append(f"one of {self.macs} multiply-accumulates a cycle, with its share of the whole array")
        for name in names:
            if name in self.figures:
                figure = self.figures[name]
                q = figure.quantity
                whole = " of the whole array" * (name in SHARED)
                interval = f"{q.value:.6g}{whole}, 90 % interval {q.low:.6g} to {q.high:.6g}"
                lines.append(f"{name}: {interval}; {figure.level}; {figure.source}")
        return lines + [f"not counted: {text}" for text in self.left_out]

    def sources(self, *names: str) -> str:
        """Level and source of each of these figures, in one line."""
        return "; ".join(f"{name}: {self.figures[name].level}; {self.figures[name].source}" for name in names)

    @property
    def left_out(self) -> list[str]:
        """What has no figure here."""
        known = [name for name in FIGURES if name in self.figures]
        left = [text for text in self.unmodelled if text.partition(":")[0] not in known]
        named = {text.partition(":")[0] for text in left}
        return left + [f"{name}: not modelled" for name in FIGURES if name not in named | set(known)]


def stated(values: Mapping[str, float], error: float | None, source: str | None) -> dict[str, Figure]:
    """The figures that a user states, by name, of one source and with one relative error (percent), both asked for."""
    if not values:
        if error is not None or source is not None:
            raise HwqError(f"--error and --source are of figures that are stated; add one of {_options()}")
        return {}
    if error is None or not source or not source.strip():
        raise HwqError("figures that are stated must have an --error PERCENT and a --source TEXT; add both")
    if not 0 <= error < 100:
        raise HwqError(f"--error must be from 0 to below 100 percent, not {error:g}")
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise HwqError(f"{FIGURES[name]} must be a positive number, not {value:g}")
    text = " ".join(source.split())
    return {name: Figure(Quantity.within(v, error / 100), STATED, text) for name, v in values.items()}


def _options() -> str:
    return ", ".join(FIGURES.values())


def component(dp: Datapath, cost: Cost, own: Mapping[str, Figure] | None = None) -> Component:
    """The component of a datapath from its cost; what a user states replaces what is estimated."""
    estimated = {name: Figure(cost.figures[name], cost.level_of(name), cost.source) for name in FIGURES if name in cost}
    return Component(dp, cost.device, {**estimated, **(own or {})}, cost.unmodelled)
