"""What is told about formats: widths, representation errors, and what one multiply-accumulate of them costs."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

from hwq.errors import HwqError

if TYPE_CHECKING:
    from hwq.formats import Format
    from hwq.formats.fidelity import Source

__all__ = [
    "ACCUMULATOR",
    "LAYER",
    "compared",
    "details",
    "fidelities",
    "hardware",
    "priced",
    "read_format",
    "summary",
    "value",
]

LAYER = ("resnet8", "block3.conv2")  # real weights that come with the package
TERMS = 4096  # products of a sum: the default of a datapath
SUM_BITS = 32
MANY = 1 << 20  # numbers in memory, of which blocks share scales
ACCUMULATOR = (
    f"accumulator: exact for {TERMS:,} products where that takes at most {SUM_BITS} bits, else the upper {SUM_BITS} "
    "bits of their largest sum, below which products are cut"
)


def read_format(text: str) -> Format:
    """The format of a text, if float64, in which values are printed, reaches to its ends."""
    from hwq.formats import parse_format

    fmt = parse_format(text)
    if fmt.max > 0 and float(fmt.least_positive) == 0:  # the largest first: it may be refused
        raise HwqError(f"values that are shown must be numbers of float64, not as small as those of {fmt}")
    return fmt


def summary(fmt: Format) -> dict[str, Any]:
    """A row of the catalogue."""
    specials = [flag for flag, has in (("nan", fmt.has_nan), ("inf", fmt.has_inf)) if has]
    return {
        "name": str(fmt),
        "text": fmt.text,
        "bits": fmt.bits,
        "min": fmt.min,
        "max": fmt.max,
        "least": float(fmt.least_positive) if fmt.max > 0 else None,
        "specials": " ".join(specials),
    }


def details(fmt: Format) -> dict[str, Any]:
    """What a summary does not say: precision, levels, and the ratio of the largest to the least positive value."""
    from hwq.formats import packed_bytes

    u = fmt.unpack(fmt.code_word)
    finite = _finite(fmt) if fmt.bits <= 16 else None
    ratio = fmt.extremes[1] / fmt.least_positive if fmt.max > 0 else Fraction(1)
    return {
        "stored_bits": packed_bytes(fmt, (MANY,)) * 8 / MANY,
        "least_normal": float(Fraction(2) ** (fmt.lsb + u.mag.width - 1)) if u.normal else None,
        "range_db": 20 * _log10(ratio),
        "significand_bits": u.mag.hi.bit_length(),
        "negative_zero": any(map(fmt.negative_zero, fmt.codes().tolist())) if finite else None,
        "levels": len(set(finite)) if finite else None,
    }


def _finite(fmt: Format) -> list[Fraction]:
    return [v for code in fmt.codes().tolist() if isinstance(v := fmt.value(code), Fraction)]


def _log10(ratio: Fraction) -> float:
    """Also of ratios beyond float64."""
    return math.log10(ratio.numerator) - math.log10(ratio.denominator)


def value(fmt: Format, code: int) -> float | str:
    """The value of a code from the specification, not from the circuit; a special by its name."""
    from hwq.formats import Special

    found = fmt.value(code)
    if isinstance(found, Special):
        return str(found.value)
    return -0.0 if fmt.negative_zero(code) else float(found)


def hardware(fmt: Format) -> dict[str, Any]:
    """Bits of the integer that embeds every value, of what travels to a processing element, of products and sums."""
    from hwq.datapath import Fixed, Mac
    from hwq.datapath.operand import operands

    lo, hi = fmt.integer_range
    found: dict[str, Any] = {"embedding_bits": max(hi.bit_length(), (~lo).bit_length() if lo < 0 else 0) + (lo < 0)}
    try:
        mac = Mac(fmt, fmt, Fixed(SUM_BITS), k=TERMS)
    except HwqError as error:
        return found | {"unavailable": str(error)}
    operand = operands(mac)[0]
    fields = {name: word.width for name, word in operand.fields.items() if not word.constant}
    return found | {
        "operand": "embedded" if operand.embedded else "split",
        "fields": fields,
        "product_bits": mac.sum_bits(1),
        "accumulator_bits": mac.exact_bits,
        "k": TERMS,
    }


@cache
def sources() -> tuple[Source, ...]:
    """The distributions, and the weights of a layer."""
    from hwq.formats.fidelity import DISTRIBUTIONS, Source, distribution
    from hwq.zoo.layers import layer_weights

    return (*map(distribution, DISTRIBUTIONS), Source.of(" ".join(LAYER), layer_weights(*LAYER)))


def fidelities(fmt: Format) -> list[dict[str, Any]]:
    """The error on each source at its best scale; none where the format has no scale."""
    from hwq.formats.fidelity import fidelity

    if fmt.max <= 0 or fmt.bits > 64:
        return []
    return [_fidelity(source.name, fidelity(fmt, source)) for source in sources()]


def _fidelity(name: str, found: Any) -> dict[str, Any]:
    exact = math.isinf(found.sqnr_db)  # nothing is lost: no ratio
    return {
        "source": f"|{name}|" if found.one_sided else name,
        "sqnr_db": None if exact else found.sqnr_db,
        "mse": found.mse,
        "clip": found.clip,
    }


def compared(fmt: Format, devices: tuple[str, ...]) -> dict[str, Any]:
    """A summary, the errors, and on each device the figures of one element or the reason that there are none."""
    if fmt.bits > 64:
        raise HwqError(f"formats that are compared must have at most 64 bits, not {fmt} with {fmt.bits}")
    return {
        **summary(fmt),
        "range_db": details(fmt)["range_db"],
        "fidelity": fidelities(fmt),
        "cost": {device: priced(fmt, device) for device in devices},
    }


def priced(fmt: Format, device: str) -> dict[str, Any]:
    """The area of one processing element that multiplies two numbers of the format, or why it is unknown."""
    from hwq.costmodel import estimate
    from hwq.datapath import Datapath, Fixed, Mac

    try:
        mac = Mac(fmt, fmt, Fixed(SUM_BITS), k=TERMS)
        cut = mac.product_lsb + mac.exact_bits - SUM_BITS
        mac = Mac(fmt, fmt, Fixed(SUM_BITS, -cut), k=TERMS) if mac.exact_bits > SUM_BITS else Mac(fmt, fmt, k=TERMS)
        found = estimate(Datapath(mac), device)
    except HwqError as error:
        return {"unavailable": str(error)}
    area = next(iter(found.figures))
    return {
        "datapath": found.datapath,
        "level": found.level,
        "source": found.source,
        "unit": area,
        area: found.pe.figures[area].json(),
    }
