"""What keeps the sum of a dot product: exact, fixed point, a float, or aligned lanes. See docs/accumulators.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from hwq.bits import const
from hwq.datapath.checks import check_kind, whole
from hwq.errors import HwqError
from hwq.formats import Format, MiniFloat, Unpacked

__all__ = ["MAX_EXACT_BITS", "Accumulator", "Align", "Exact", "Fixed", "Float", "top_binade"]

MAX_EXACT_BITS = 1024
MAX_LANES = 64
MAX_KEPT_BITS = 64  # fraction bits below the largest exponent of a group


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
        object.__setattr__(self, "bits", whole("accumulator bits", self.bits, 2, MAX_EXACT_BITS))
        if self.frac is not None:
            object.__setattr__(self, "frac", whole("accumulator frac", self.frac, -MAX_EXACT_BITS, MAX_EXACT_BITS))
        _check_word("accumulator overflow", self.overflow, ("wrap", "sat"))
        _check_word("accumulator rounding", self.rounding, ("rdn", "rne", "rtz"))

    @property
    def text(self) -> str:
        options = [str(self.bits)] + [str(self.frac)] * (self.frac is not None)
        options += [self.overflow] * (self.overflow != "wrap") + [self.rounding] * (self.rounding != "rdn")
        return f"fixed({','.join(options)})"


@dataclass(frozen=True)
class Float:
    """`+FORMAT`: a float format; `s = round(s + exact product)`, to nearest, ties to even, once a term, from +0.

    What leaves the format's range becomes what the format says (`ovf=`); a sum that rounds to zero is +0.
    """

    format: Format

    def __post_init__(self) -> None:
        _check_float(self.format)

    @property
    def text(self) -> str:
        return str(self.format)

    @property
    def parametric(self) -> str:
        """The text without catalogue names."""
        return self.format.text


def _binary32() -> Format:
    return MiniFloat(8, 23, specials="inf", overflow="inf")


@dataclass(frozen=True)
class Align:
    """`+align(lanes,bits,mode[,format[,rounding]])`: the fused sum of tensor cores, `lanes` products at a time.

    The products of a group and the sum so far are aligned to the largest of their exponents, each is cut by `mode` to
    `bits` fraction bits below it, they are added exactly, and the total is rounded into `format` (default IEEE's
    binary32) by `rounding` (default `mode`); a finite overflow becomes what the format says, in any rounding.
    """

    lanes: int
    bits: int
    mode: str = "rtz"
    format: Format = field(default_factory=_binary32)
    rounding: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "lanes", whole("align lanes", self.lanes, 1, MAX_LANES))
        object.__setattr__(self, "bits", whole("align bits", self.bits, 1, MAX_KEPT_BITS))
        _check_word("align mode", self.mode, ("rtz", "rne"))
        object.__setattr__(
            self, "rounding", self.mode if isinstance(self.rounding, str) and not self.rounding else self.rounding
        )
        _check_word("align rounding", self.rounding, ("rtz", "rne"))
        _check_float(self.format)
        if self.rounding == "rtz" and self.format.overflow != "sat" and top_binade(self.format) is None:
            raise HwqError(
                f"align that rounds rtz needs a format that saturates or is full to a power of two, not {self.format}"
            )

    @property
    def text(self) -> str:
        return self._written(str(self.format))

    @property
    def parametric(self) -> str:
        """The text without catalogue names."""
        return self._written(self.format.text)

    def _written(self, fmt: str) -> str:
        rounding = [self.rounding] * (self.rounding != self.mode)
        options = [fmt] * (self.format != _binary32() or bool(rounding)) + rounding
        return f"align({','.join([str(self.lanes), str(self.bits), self.mode, *options])})"


Accumulator = Exact | Fixed | Float | Align


def _check_word(what: str, mode: str, modes: tuple[str, ...]) -> None:
    if not isinstance(mode, str) or mode not in modes:
        raise HwqError(f"{what} must be {', '.join(modes[:-1])} or {modes[-1]}, not {mode!r}")


def _check_float(fmt: Format) -> None:
    """A float accumulator starts at code 0, takes both signs and has an exponent that moves."""
    check_kind("an accumulator's format must be a Format", fmt, Format)
    if fmt.unpack(fmt.code_word).exp.constant or fmt.extremes[0] >= 0 or fmt.value(0) != 0:
        raise HwqError(f"an accumulator must be a float format with both signs whose code 0 is 0, not {fmt}; {_REMEDY}")
    zero = const(0)
    fmt.pack(Unpacked(zero, zero, zero, zero, zero), fmt.lsb, "rne")  # refuses what cannot round one number alone


_REMEDY = "write +fixed(bits,sat) for an integer"


def top_binade(fmt: Format) -> int | None:
    """t where the largest value is the last below `2**t` in the format's precision; None where codes are missing."""
    top, precision = fmt.extremes[1], fmt.unpack(fmt.code_word).mag.width
    t = top.numerator.bit_length() - top.denominator.bit_length()
    t += top >= Fraction(2) ** t
    return t if top == Fraction(2) ** t - Fraction(2) ** (t - precision) else None
