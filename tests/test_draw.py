"""What simulations are run on: corners, any code, and numbers whose products meet the accumulator."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from hwq import Datapath, matmul
from hwq.datapath.draw import Draw
from hwq.formats import Special

WIDE = (
    "mxfp4_e2m1*mxfp4_e2m1 +fixed(32,8)",
    "group(uint4,bf16,8)*int8 +fixed(32,20)",
    "w4g128*bf16 +fp32",
    "mxfp4_e2m1*mxint8 +fixed(40,16)",
    "bf16*bf16 +fp32",
)


@pytest.mark.parametrize("text", WIDE)
def test_results_are_many(text: str) -> None:
    """Without close numbers a few dozen at most: the rest vanish, or are lost beyond the accumulator."""
    draw = Draw(Datapath.parse(text).mac, 0)
    found: set[str] = set()
    for _ in range(20):
        a, w = draw.operand("a", (8, 8)), draw.operand("w", (8, 8))
        found |= {str(code) for code in matmul(draw.mac, a, w).ravel()}
    assert len(found) > 150, len(found)


@pytest.mark.parametrize("text", WIDE)
def test_close_numbers_are_close_and_the_others_are_all(text: str) -> None:
    draw = Draw(Datapath.parse(text).mac, 1)
    closely, seen = 0, {"a": set(), "w": set()}
    for _ in range(200):
        for side, fmt in (("a", draw.mac.a), ("w", draw.mac.w)):
            codes = draw.operand(side, (4, 6)).ravel().tolist()
            values = {fmt.value(c) for c in codes}
            seen[side] |= {c if isinstance(c, Special) else Fraction(c) for c in values}
            if draw.close is not None:
                closely += 1
                sizes = [abs(v) for v in values if isinstance(v, Fraction) and v]
                assert len(sizes) >= len(values) - 1 and max(sizes, default=1) < 256 * min(sizes, default=1)
    assert 120 < closely < 280
    for side, fmt in (("a", draw.mac.a), ("w", draw.mac.w)):
        ends = {fmt.value(int(draw.finite[side][at])) for at in (0, -1)}  # of a wide format, those that are listed
        assert ends <= seen[side] and (fmt.bits > 16 or ends == set(fmt.extremes))
        assert 0 in seen[side] and (Special.NAN in seen[side]) == fmt.has_nan


def test_numbers_of_few_binades_are_drawn_from_all() -> None:
    draw = Draw(Datapath.parse("int8*uint4").mac, 2)
    codes = np.concatenate([draw.operand("a", (8, 40)).ravel() for _ in range(20)])
    assert draw.close is None and set(codes.tolist()) == set(range(256))


@pytest.mark.parametrize("text", ["log4*int4", "binary*mxint8 +fp32", "mxfp8_e4m3*mxfp8_e4m3 +fixed(16,-300)"])
def test_any_pair_has_close_numbers(text: str) -> None:
    """Few numbers, none that is zero, and an accumulator at the end of what products reach."""
    draw = Draw(Datapath.parse(text).mac, 3)
    for _ in range(50):
        found = draw._closely()
        assert len(found["a"]) and len(found["w"])
