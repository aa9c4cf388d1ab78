"""Every scalar format of the catalogue, in every rounding and overflow mode that it has, on every 16-bit float.

The specification is `hwq.testing.Nearest`: the nearest of the values that `value` gives, found by comparing numbers.
Inputs: all bfloat16 and all float16 numbers; in float32 every value, every midpoint between two neighbours and the
first beyond the ends, each with both its neighbours. `make test-all` prints the counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from hwq import HwqError, catalog, parse_format
from hwq.formats import ROUNDINGS, STOCHASTIC, Format, MiniFloat, noise_words
from hwq.formats.block import Block
from hwq.formats.rounding import first_state
from hwq.testing import Nearest

MORE = [
    *[
        "fp(1,1)",
        "fp(3,0)",
        "fp(3,3)",
        "fp(4,2,bias=9)",
        "fp(5,2)",
        "fp(4,3,nosub)",
        "fp(3,4,inf)",
        "fp(4,3,p3109,unsigned)",
    ],
    *["int(7,narrow)", "int(12,zp=-100)", "uint(8,zp=128)", "fixed(10,4)", "ufixed(8,9)", "sm(8)", "sm(6,3)"],
    *["log(4,1/2,axis)", "log(4,1,zero)", "adalog(4,20)", "sulq(4,1/20)", "tan(4)", "power(8)", "lognp(6,1/4)"],
    *["twin(8,3)", "trits(9,3,1)", "signs(4,2,1)", "range(-4,4)"],
]
SCALAR = [name for name in catalog if catalog[name].bits <= 16 and not isinstance(catalog[name], Block)]


def in_every_overflow(fmt: Format) -> Iterator[Format]:
    yield fmt
    for mode in ("nan", "inf", "wrap"):
        try:
            yield replace(fmt, overflow=mode)  # type: ignore[type-var]
        except (HwqError, TypeError):  # a mode, or a field, that the format does not have
            continue


def after_the_largest(fmt: Format) -> Fraction | None:
    """One last place above the largest number, by the definition of minifloats."""
    if not isinstance(fmt, MiniFloat):
        return None
    largest = fmt.extremes[1]
    binade = largest.numerator.bit_length() - largest.denominator.bit_length()
    binade -= Fraction(2) ** binade > largest
    return largest + max(Fraction(2) ** (binade - fmt.man), Fraction(2) ** fmt.lsb)


def inputs(nearest: Nearest) -> tuple[np.ndarray, ...]:  # type: ignore[type-arg]
    patterns = torch.from_numpy(np.arange(1 << 16, dtype=np.uint16).view(np.int16))
    with np.errstate(over="ignore"):
        points = nearest.points.astype(np.float32)
    around = [np.nextafter(points, np.float32(end)) for end in (-np.inf, np.inf)]
    return (
        patterns.view(torch.bfloat16).float().numpy(),
        patterns.view(torch.float16).float().numpy(),
        np.concatenate([points, *around]),
    )


@pytest.mark.slow
def test_every_rounding_and_overflow_of_every_format(say: Callable[[str], None]) -> None:
    compared = combinations = formats = 0
    for text in (*SCALAR, *MORE):
        for fmt in in_every_overflow(parse_format(text)):
            nearest, formats = Nearest(fmt, after_the_largest(fmt)), formats + 1
            x = np.concatenate(inputs(nearest))
            words = noise_words(first_state(5), x.size)
            with np.errstate(invalid="ignore"):  # signalling nans
                wide = x.astype(np.float64)
            for rounding in (*ROUNDINGS, *[STOCHASTIC] * (not fmt.uneven)):
                got = nearest.canonical(fmt.encode(x, rounding, seed=5))
                want = nearest.encode(wide, rounding, words)
                wrong = np.flatnonzero(got != want)
                assert not wrong.size, (
                    f"{fmt} {rounding}: {wide[wrong[0]]!r} gives {got[wrong[0]]}, not {want[wrong[0]]}"
                )
                compared, combinations = compared + x.size, combinations + 1
    assert combinations >= 600
    say(f"{formats} formats with overflow modes, {combinations} with roundings: {compared:,} codes, 0 mismatches")
