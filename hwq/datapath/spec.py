"""The numerics of a datapath: whatever can change an output bit. Frozen, hashable, and equal by parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

from hwq.bits import const
from hwq.datapath.accumulators import MAX_EXACT_BITS, Accumulator, Align, Exact, Fixed, Float
from hwq.datapath.checks import check_kind, whole
from hwq.errors import HwqError
from hwq.formats import STOCHASTIC, Format, Int, Unpacked, check_rounding
from hwq.formats.flagged import Flagged
from hwq.formats.integer import MAX_FRAC

__all__ = ["Bias", "Mac", "Relu", "Requant", "Step", "check_mac"]

MAX_SHIFT = 63
MAX_OPERAND_BITS = 24


def check_mac(mac: object) -> None:
    """Refuse what is no Mac, such as a text or a whole datapath."""
    check_kind("the numerics must be a Mac", mac, Mac)


@dataclass(frozen=True)
class Bias:
    """Add the number of a code of the accumulator's format, exactly, one per output channel."""

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

    `out` None hands out the accumulator itself. `round` is the rounding of the output. `tree` consecutive products are
    added exactly before the accumulator rounds or saturates, the last of them fewer.
    """

    a: Format
    w: Format
    acc: Accumulator = field(default_factory=Exact)
    out: Format | None = None
    epilogue: tuple[Step, ...] = ()
    k: int = 4096
    round: str = "rne"
    tree: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", whole("k", self.k, 1, 1 << 24, "2**24"))
        object.__setattr__(self, "tree", whole("products added exactly", self.tree, 1, 1 << 24, "2**24"))
        check_rounding(self.round, stochastic=True)
        if self.round == STOCHASTIC and (self.out is None or self.out.uneven):
            raise HwqError(f"round=sr needs an output of even steps to round to, not {self.out or 'the sum itself'}")
        for operand in (self.a, self.w):
            check_kind("an operand must be a Format", operand, Format)
            if operand.bits > MAX_OPERAND_BITS:
                raise HwqError(f"an operand has at most {MAX_OPERAND_BITS} bits, not {operand} with {operand.bits}")
        check_kind(
            "an accumulator must be Exact(), Fixed(bits), Float(format) or Align(lanes, bits)", self.acc, Accumulator
        )
        check_kind("an output must be a Format or None", self.out, Format | None)
        if self.out is not None and self.out.blocked:
            self.out.pack(Unpacked.of(const(0)), self.out.lsb, "rne")  # refuses, in the words of the format
        check_kind("an epilogue must be a tuple of steps", self.epilogue, tuple)
        for step in self.epilogue:
            check_kind("an epilogue step must be Bias(), Requant() or Relu()", step, Step)
        kinds = [_ORDER[type(s)] for s in self.epilogue]
        if kinds != sorted(set(kinds)):
            raise HwqError(f"epilogue steps go once each in the order bias,requant,relu, not {self._steps()}")
        if self.epilogue and self.out is None:
            raise HwqError(f"epilogue steps need an output format, not none; write ->FORMAT[{self._steps()}]")
        self._check_accumulator()

    def _check_accumulator(self) -> None:
        if self.tree > 1 and not isinstance(self.acc, Fixed | Float):
            raise HwqError(
                f"order=tree(n) needs +fixed(...) or +FORMAT, which lose bits, not +{self.acc.text}; drop it"
            )
        if isinstance(self.acc, Fixed) and self.acc.frac is not None and -self.acc.frac < self.product_lsb:
            raise HwqError(
                f"accumulator frac must be at most {-self.product_lsb} (the exact product's), not {self.acc.frac}"
            )
        if isinstance(self.acc, Exact) and self.exact_bits > MAX_EXACT_BITS:
            raise HwqError(
                f"{self.a}*{self.w} needs {self.exact_bits} exact accumulator bits, not at most 1024; use +fixed(n)"
            )
        if self.floats is None and abs(self.acc_lsb) > MAX_FRAC:
            raise HwqError(
                f"the sum's grid must be between 2**-{MAX_FRAC} and 2**{MAX_FRAC}, not 2**{self.acc_lsb} as for "
                f"{self.a}*{self.w}; write +fixed(bits,frac) or +FORMAT"
            )
        if self.tree > 1 and (wide := self.sum_bits(self.group_terms)) > MAX_EXACT_BITS:
            raise HwqError(
                f"{self.tree} products of {self.a}*{self.w} need {wide} bits, not at most 1024; use order=seq"
            )
        if self.floats is not None and self.step(Bias) and (wide := _span(self.floats)) > MAX_EXACT_BITS:
            raise HwqError(f"a bias on +{self.acc.text} needs {wide} bits, not at most {MAX_EXACT_BITS}; drop bias")

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

    @property
    def floats(self) -> Format | None:
        """The float format whose code is the accumulator's state, or None where the state is a fixed-point number."""
        return self.acc.format if isinstance(self.acc, Float | Align) else None

    @property
    def group_terms(self) -> int:
        """Products that are added exactly before the accumulator rounds or saturates."""
        return min(self.tree, self.k)

    @cached_property
    def acc_lsb(self) -> int:
        """Every accumulator is a multiple of `2**acc_lsb`."""
        if self.floats is not None:
            return self.floats.lsb
        if isinstance(self.acc, Fixed) and self.acc.frac is not None:
            return -self.acc.frac
        return self.product_lsb

    def sum_bits(self, terms: int) -> int:
        """Bits of the sum of any so many products without loss."""
        lo, hi = (terms * p for p in self.product_range)
        return max(2, (~lo).bit_length() + 1 if lo < 0 else 1, hi.bit_length() + 1)

    @cached_property
    def exact_bits(self) -> int:
        """Bits of the sum of any k products without loss."""
        return self.sum_bits(self.k)

    @property
    def acc_bits(self) -> int:
        if self.floats is not None:
            return self.floats.bits
        return self.acc.bits if isinstance(self.acc, Fixed) else self.exact_bits

    @property
    def acc_format(self) -> Format:
        """The accumulator's format, without flags that are kept beside it; also that of a bias."""
        return self.floats if self.floats is not None else self._grid

    @cached_property
    def _grid(self) -> Int:
        return Int(self.acc_bits, frac=-self.acc_lsb)

    @property
    def has_nan(self) -> bool:
        """True if a nan flag exists: an operand has nan, or has inf (inf * 0, +inf - inf)."""
        return any(f.has_nan or f.has_inf for f in (self.a, self.w))

    @property
    def has_inf(self) -> bool:
        return self.a.has_inf or self.w.has_inf

    @cached_property
    def output(self) -> Format:
        """The format of the result codes."""
        if self.out is not None or self.floats is not None:
            return self.out or self.acc_format
        return Flagged(self._grid, self.has_inf) if self.has_nan else self._grid

    def step(self, kind: type[Step]) -> Step | None:
        """The epilogue step of that kind, if there is one."""
        return next((s for s in self.epilogue if isinstance(s, kind)), None)

    @cached_property
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


def _span(fmt: Format) -> int:
    """Bits of the exact sum of any two numbers of the format."""
    lo, hi = fmt.integer_range
    return max((~lo).bit_length(), hi.bit_length()) + 2
