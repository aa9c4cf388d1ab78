"""What a datapath is: numerics (`Mac`) and structure (`Array`, cuts). Frozen, hashable, and equal by parameters.

If it can change an output bit it is numerics; if it can change only area, energy or time it is structure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from numbers import Integral
from types import UnionType
from typing import Any

from hwq.errors import HwqError
from hwq.formats import Format, Int, check_rounding
from hwq.formats.flagged import Flagged

__all__ = ["Accumulator", "Array", "Bias", "Datapath", "Exact", "Fixed", "Mac", "Relu", "Requant", "Step", "check_mac"]

MAX_EXACT_BITS = 1024
MAX_SHIFT = 63


def _whole(what: str, value: Any, least: int, most: int, most_text: str = "") -> int:
    """`value` as an int, if it is a whole number in the range; a bool or a float with a whole value is none."""
    whole = type(value) is int or isinstance(value, Integral) and not isinstance(value, bool)  # the quick case first
    if not whole or not least <= value <= most:
        raise HwqError(f"{what} must be a whole number between {least} and {most_text or most}, not {value!r}")
    return int(value)


def _kind(what: str, value: object, kinds: type | UnionType) -> None:
    """Refuse what is none of these classes: a text is read by `Datapath.parse`, not by a constructor."""
    if not isinstance(value, kinds):
        raise HwqError(f"{what}, not {type(value).__name__} {value}; Datapath.parse(text) makes all of them")


def check_mac(mac: object) -> None:
    """Refuse what is no Mac, such as a text or a whole datapath."""
    _kind("the numerics must be a Mac", mac, Mac)


@dataclass(frozen=True)
class Exact:
    """`+exact`: every sum of up to k products, without rounding or overflow; the width is proved."""

    text = "exact"


@dataclass(frozen=True)
class Fixed:
    """`+fixed(bits[,frac][,wrap|sat][,rdn|rne|rtz])`: two's complement on the grid 2**-frac (default: the product's).

    A coarser grid rounds each product first; overflow is applied after each addition, in k order.
    """

    bits: int
    frac: int | None = None
    overflow: str = "wrap"
    rounding: str = "rdn"

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", _whole("accumulator bits", self.bits, 2, MAX_EXACT_BITS))
        if self.frac is not None:
            object.__setattr__(self, "frac", _whole("accumulator frac", self.frac, -MAX_EXACT_BITS, MAX_EXACT_BITS))
        if self.overflow not in ("wrap", "sat"):
            raise HwqError(f"accumulator overflow must be wrap or sat, not {self.overflow!r}")
        if self.rounding not in ("rdn", "rne", "rtz"):
            raise HwqError(f"accumulator rounding must be rdn, rne or rtz, not {self.rounding!r}")

    @property
    def text(self) -> str:
        options = [str(self.bits)] + [str(self.frac)] * (self.frac is not None)
        options += [self.overflow] * (self.overflow != "wrap") + [self.rounding] * (self.rounding != "rdn")
        return f"fixed({','.join(options)})"


Accumulator = Exact | Fixed


@dataclass(frozen=True)
class Bias:
    """Add a code of the accumulator's grid, one per output channel."""

    text = "bias"


@dataclass(frozen=True)
class Requant:
    """Multiply by `m * 2**-s`, m a code of `scale` with its top bit set, s in 0..63, one pair per output channel."""

    scale: Format = field(default_factory=lambda: Int(16, signed=False))

    def __post_init__(self) -> None:
        if self.scale.bits > 32 or (self.scale.lsb, *self.scale.integer_range) != (0, 0, (1 << self.scale.bits) - 1):
            raise HwqError(f"requant takes an unsigned integer scale such as uint(16), not {self.scale}")

    @property
    def text(self) -> str:
        return "requant" if self == Requant() else f"requant({self.scale})"


@dataclass(frozen=True)
class Relu:
    """Zero for every negative number, before the rounding."""

    text = "relu"


Step = Bias | Requant | Relu
_ORDER = {Bias: 0, Requant: 1, Relu: 2}


@dataclass(frozen=True)
class Mac:
    """The numerics of a dot product of at most `k` terms: operands, accumulator, epilogue, output.

    `out` None hands out the accumulator itself. `round` is the rounding of the output.
    """

    a: Format
    w: Format
    acc: Accumulator = Exact()
    out: Format | None = None
    epilogue: tuple[Step, ...] = ()
    k: int = 4096
    round: str = "rne"

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", _whole("k", self.k, 1, 1 << 24, "2**24"))
        check_rounding(self.round)
        for operand in (self.a, self.w):
            _kind("an operand must be a Format", operand, Format)
            if operand.bits > 16:
                raise HwqError(f"an operand must have at most 16 bits, not {operand} with {operand.bits}")
        _kind("an accumulator must be Exact() or Fixed(bits)", self.acc, Accumulator)
        _kind("an output must be a Format or None", self.out, Format | None)
        _kind("an epilogue must be a tuple of steps", self.epilogue, tuple)
        for step in self.epilogue:
            _kind("an epilogue step must be Bias(), Requant() or Relu()", step, Step)
        kinds = [_ORDER[type(s)] for s in self.epilogue]
        if kinds != sorted(set(kinds)):
            raise HwqError(f"epilogue steps go once each in the order bias,requant,relu, not {self._steps()}")
        if self.epilogue and self.out is None:
            raise HwqError(f"epilogue steps need an output format, not none; write ->FORMAT[{self._steps()}]")
        if isinstance(self.acc, Fixed) and self.acc.frac is not None and -self.acc.frac < self.product_lsb:
            raise HwqError(
                f"accumulator frac must be at most {-self.product_lsb} (the exact product's), not {self.acc.frac}"
            )
        if self.acc_bits > MAX_EXACT_BITS:
            raise HwqError(
                f"{self.a}*{self.w} needs {self.acc_bits} exact accumulator bits, not at most 1024; use +fixed(n)"
            )

    def _steps(self) -> str:
        return ",".join(s.text for s in self.epilogue)

    @property
    def product_lsb(self) -> int:
        """Every product is a multiple of `2**product_lsb`."""
        return self.a.lsb + self.w.lsb

    @cached_property
    def product_range(self) -> tuple[int, int]:
        """(least, largest) product in units of `2**product_lsb`."""
        a, w = self.a.integer_range, self.w.integer_range
        ends = [x * y for x in a for y in w]
        return min(ends), max(ends)

    @cached_property
    def acc_lsb(self) -> int:
        if isinstance(self.acc, Fixed) and self.acc.frac is not None:
            return -self.acc.frac
        return self.product_lsb

    @cached_property
    def exact_bits(self) -> int:
        """Bits of the sum of any k products without loss."""
        lo, hi = (self.k * p for p in self.product_range)
        return max(2, (~lo).bit_length() + 1 if lo < 0 else 1, hi.bit_length() + 1)

    @property
    def acc_bits(self) -> int:
        return self.acc.bits if isinstance(self.acc, Fixed) else self.exact_bits

    @property
    def acc_format(self) -> Int:
        """The accumulator's number, without its flags."""
        return Int(self.acc_bits, frac=-self.acc_lsb)

    @property
    def has_nan(self) -> bool:
        """True if a nan flag exists: an operand has nan, or has inf (inf * 0, +inf - inf)."""
        return any(f.has_nan or f.has_inf for f in (self.a, self.w))

    @property
    def has_inf(self) -> bool:
        return self.a.has_inf or self.w.has_inf

    @property
    def output(self) -> Format:
        """The format of the result codes."""
        if self.out is not None:
            return self.out
        return Flagged(self.acc_format, self.has_inf) if self.has_nan else self.acc_format

    def step(self, kind: type[Step]) -> Step | None:
        """The epilogue step of that kind, if there is one."""
        return next((s for s in self.epilogue if isinstance(s, kind)), None)

    @property
    def requant(self) -> Format | None:
        """The format of the requantizer's multiplier, or None."""
        step = self.step(Requant)
        return step.scale if isinstance(step, Requant) else None

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of the epilogue steps."""
        return tuple(s.text.partition("(")[0] for s in self.epilogue)

    def scale_value(self, m: int, s: int) -> Fraction:
        """The real number that multiplier code `m` and shift `s` stand for."""
        return Fraction(m, 1 << s)


@dataclass(frozen=True)
class Array:
    """Structure: `rows` x `cols` processing elements of `lanes` products each, and a dataflow."""

    rows: int = 1
    cols: int = 1
    lanes: int = 1
    dataflow: str = "os"

    def __post_init__(self) -> None:
        for name in ("rows", "cols"):
            object.__setattr__(self, name, _whole(name, getattr(self, name), 1, 256))
        if self.lanes != 1:
            raise HwqError(f"lanes must be 1, not {self.lanes}; more lanes are not available yet")
        if self.dataflow != "os":
            raise HwqError(
                f"dataflow must be os (output-stationary), not {self.dataflow!r}; others are not available yet"
            )

    @property
    def text(self) -> str:
        return f"{self.rows}x{self.cols}"


@dataclass(frozen=True)
class Datapath:
    """`Mac` + `Array` + pipeline cuts. `str(dp)` is its canonical text and `Datapath.parse` reads it back."""

    mac: Mac
    array: Array = Array()
    decode: str = "edge"
    cuts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_mac(self.mac)
        _kind("the structure of a datapath must be an Array", self.array, Array)
        if self.decode not in ("edge", "pe"):
            raise HwqError(f"decode must be edge or pe, not {self.decode!r}")
        from hwq.datapath.stages import check_cuts

        object.__setattr__(self, "cuts", check_cuts(self.mac, self.cuts))

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
        """Cycles from the last accepted operands of a tile to its first result."""
        from hwq.datapath.schedule import latency

        return latency(self)

    def cycles(self, m: int, n: int, k: int) -> int:
        """Clock cycles of an M x K by K x N product without stalls."""
        from hwq.datapath.schedule import cycles

        return cycles(self, m, n, k)
