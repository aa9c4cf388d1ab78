"""The only rounder. Every format, accumulator grid and requantizer rounds through `round_shift`."""

from __future__ import annotations

from hwq.bits import Word, const, mux
from hwq.errors import HwqError

__all__ = ["ROUNDINGS", "check_rounding", "round_shift"]

ROUNDINGS = {
    "rne": "to nearest, ties to even",
    "rna": "to nearest, ties away from zero",
    "rtz": "toward zero",
    "rdn": "toward minus infinity",
    "rup": "toward plus infinity",
}


def check_rounding(mode: str) -> str:
    if mode not in ROUNDINGS:
        raise HwqError(f"round must be one of {', '.join(ROUNDINGS)}, not {mode!r}")
    return mode


def round_shift(x: Word, n: Word | int, mode: str, neg: Word | None = None) -> Word:
    """x / 2**n rounded to an integer, n >= 0.

    `x` is either a signed number (`neg` None) or a magnitude whose sign is `neg`; the result is of the same kind.
    Two's complement floors for free, so each mode is an increment before the shift:

    - rne: half an ulp, less one bit, plus the result's last bit, so that a tie carries only into an odd result;
    - rna: half an ulp, less one bit where x < 0, so that a tie moves away from zero;
    - rdn, rup, rtz: all or none of the fraction's ones, by the sign.
    """
    n = n if isinstance(n, Word) else const(n)
    if n.hi == 0:
        return x
    ones = (const(1) << n) - 1
    if mode == "rne":
        return ((x << 1) + ones + (x >> n).low(1)) >> (n + 1)
    if mode == "rna":
        tie_down = const(0) if neg is not None else x < 0
        return ((x << 1) + (const(1) << n) - tie_down) >> (n + 1)
    if neg is None:
        up = {"rdn": const(0), "rup": const(1), "rtz": x < 0}[mode]
    else:
        up = {"rdn": neg, "rup": const(1) - neg, "rtz": const(0)}[mode]
    return (x + mux(up, ones, 0)) >> n
