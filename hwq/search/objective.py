"""What a study measures: objectives, their columns in a store, and hard limits."""

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

from hwq.errors import HwqError
from hwq.search.space import Assignment

__all__ = ["Axis", "Better", "Interval", "Limit", "Measure", "Objective"]

Better = Literal["low", "high"]


class Interval(Protocol):
    """A value with its bounds, low <= value <= high, as costs and accuracies carry them."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


class Objective(Protocol):
    """One figure of an assignment.

    `key` says everything that the value depends on besides the assignment: the hashes of model, images and device
    file, the recipe. Two objectives with equal descriptions share their stored values. An objective may also have
    `level`, the truth level of its figure ("T1 Yosys 0.70"), which plots print beside the unit; `decimals`, how many
    its figure is printed with; and `interval`, what its bounds are ("95 %"). What an objective cannot measure for its
    device it refuses when it is made, not when it is called.
    """

    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def better(self) -> Better: ...
    @property
    def key(self) -> str: ...
    def __call__(self, assignment: Assignment) -> float | Interval: ...


@dataclass(frozen=True)
class Measure:
    """An objective made of a function."""

    name: str
    unit: str
    better: Better
    key: str
    function: Callable[[Assignment], float | Interval]
    level: str = ""
    decimals: int | None = None
    interval: str = ""

    def __call__(self, assignment: Assignment) -> float | Interval:
        """The function's value."""
        return self.function(assignment)


@dataclass(frozen=True)
class Axis:
    """The description of an objective, as a store, a table or a plot needs it.

    `decimals` says how its figures are printed, None with 6 digits; `interval` what its bounds are ("95 %").
    """

    name: str
    unit: str
    better: Better
    key: str
    level: str = ""
    decimals: int | None = None
    interval: str = ""

    @classmethod
    def of(cls, objective: Objective) -> "Axis":
        """Check and copy an objective's description."""
        if not re.fullmatch(r"[A-Za-z_]\w*", objective.name):
            raise HwqError(f"an objective's name must be a word, as --fit writes it, not {objective.name!r}")
        if objective.better not in ("low", "high"):
            raise HwqError(f'{objective.name}.better must be "low" or "high", not {objective.better!r}')
        level, interval = (str(getattr(objective, name, "")) for name in ("level", "interval"))
        decimals = getattr(objective, "decimals", None)
        return cls(objective.name, objective.unit, objective.better, objective.key, level, decimals, interval)

    @property
    def sign(self) -> float:
        """+1 where low is better, -1 where high is: value * sign is a loss."""
        return 1.0 if self.better == "low" else -1.0

    @property
    def label(self) -> str:
        """Name, unit and level as "name (unit, level)", with the parts that exist."""
        parts = ", ".join(part for part in (self.unit, self.level) if part)
        return f"{self.name} ({parts})" if parts else self.name

    def text(self, value: float, low: float, high: float) -> str:
        """A figure with its bounds, as "0.9200 [0.9100, 0.9300]"; an exact one is the value alone."""
        form = ",.6g" if self.decimals is None else f",.{self.decimals}f"
        return f"{value:{form}}" if low == high else f"{value:{form}} [{low:{form}}, {high:{form}}]"

    def digest(self, version: str) -> str:
        """sha256 that stored values are filed under: description and version of hwq, not how figures are printed."""
        filed = {name: said for name, said in asdict(self).items() if name not in ("decimals", "interval")}
        return hashlib.sha256(json.dumps([filed, version], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Limit:
    """A hard limit on an objective: "lut<=20000". Points beyond it are kept but are never on the front."""

    name: str
    op: Literal["<=", ">=", "<", ">"]
    bound: float

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """Read "name op number", op one of <= >= < >."""
        match = re.fullmatch(r"\s*([A-Za-z_]\w*)\s*(<=|>=|<|>)\s*(\S+)\s*", text)
        if not match:
            raise HwqError(f'a limit must be "name<=number" with <=, >=, < or >, not {text!r}')
        name, op, number = match.groups()
        try:
            bound = float(number)
        except ValueError:
            bound = math.nan
        if not math.isfinite(bound):
            raise HwqError(f"the bound of {text!r} must be a finite number, not {number!r}")
        return cls(name, op, bound)  # type: ignore[arg-type]  # the pattern admits only these operators

    def violation(self, values: Mapping[str, float]) -> float:
        """How far a point is beyond the limit, in the objective's unit; 0 or less where it holds."""
        value = values[self.name]
        beyond = value - self.bound if self.op[0] == "<" else self.bound - value
        return math.ulp(0.0) if beyond == 0 and len(self.op) == 1 else beyond

    def holds(self, values: Mapping[str, float]) -> bool:
        """Whether the limit holds for a point's values."""
        return self.violation(values) <= 0

    def __str__(self) -> str:
        return f"{self.name}{self.op}{self.bound:g}"
