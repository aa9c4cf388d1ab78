"""Scaling between nodes: polynomials by hand in fractions, the authors' own example, measured areas, refused inputs."""

import math
import re
from fractions import Fraction
from typing import Any

import pytest

from hwq.costmodel import Quantity
from hwq.costmodel.nodes import KINDS, nodes, scale
from hwq.errors import HwqError


def test_energy_is_that_of_the_authors_corrected_example() -> None:
    """1 pJ of 65 nm at 1.3 V is 0.4571 / 2.604 pJ at 32 nm and 0.9 V: Stillmaker's corrigendum, equations 12 to 14."""
    top = Fraction("0.8367") * Fraction("0.9") ** 2 - Fraction("0.4341") * Fraction("0.9") + Fraction("0.1701")
    bottom = Fraction("3.755") * Fraction("1.3") ** 2 - Fraction("4.398") * Fraction("1.3") + Fraction("1.975")
    assert round(float(top), 4) == 0.4571 and round(float(bottom), 3) == 2.604
    found = scale(1.0, "energy", 65, 32, 1.3, 0.9)
    assert found.factor.value == pytest.approx(float(top / bottom), rel=1e-12)
    assert (found.level, found.volts) == ("scaled", (1.3, 0.9)) and "10.1016/j.vlsi.2017.02.002" in found.source


def test_energy_and_delay_are_polynomials_of_the_supply() -> None:
    energy45 = Fraction("1.018") * Fraction("1.1") ** 2 - Fraction("0.3107") * Fraction("1.1") + Fraction("0.1539")
    energy7 = Fraction("0.1776") * Fraction("0.7") ** 2 - Fraction("0.09097") * Fraction("0.7") + Fraction("0.02447")
    delay7 = (
        Fraction("-28.58") * Fraction("0.7") ** 3
        + Fraction("76.6") * Fraction("0.7") ** 2
        - Fraction("70.26") * Fraction("0.7")
        + Fraction("24.69")
    )
    delay130 = (
        Fraction("-76.65") * Fraction("1.3") ** 3
        + Fraction("334.9") * Fraction("1.3") ** 2
        - Fraction("493.4") * Fraction("1.3")
        + Fraction("275.8")
    )
    assert scale(3, "energy", 45, 7, 1.1).quantity.value == pytest.approx(float(3 * energy7 / energy45), rel=1e-9)
    assert scale(3, "delay", 130, 7).quantity.value == pytest.approx(float(3 * delay7 / delay130), rel=1e-9)


def test_areas_are_those_of_the_measured_libraries() -> None:
    assert scale(1, "area", 45, 130).factor == Quantity(5.0, 4.64, 5.11)
    assert scale(1, "area", 45, 7).factor == Quantity(0.078, 0.075, 0.086)
    assert scale(1, "area", 130, 7).factor.value == pytest.approx(0.078 / 5.0)


def test_between_the_libraries_the_papers_areas_are_bent_to_meet_them() -> None:
    """log area is the paper's, stretched by one ratio over the span."""
    ratio = math.log(0.078) / math.log(0.059)
    for node, paper in ((32, 0.46), (16, 0.19), (10, 0.10)):
        assert scale(1, "area", 45, node).factor.value == pytest.approx(paper**ratio)
    assert scale(1, "area", 45, 180).factor.value == pytest.approx(5.0 * 19 / 6.4)


def test_the_error_is_the_distance_of_the_paper_from_what_was_measured() -> None:
    """Area 6.4 / 5.0 and 0.078 / 0.059; energy and delay at the libraries' own supplies."""
    assert scale(1, "area", 90, 65).error == pytest.approx(6.4 / 5.0)
    assert scale(1, "area", 32, 16).error == pytest.approx(0.078 / 0.059)
    assert scale(1, "area", 90, 16).error == pytest.approx(6.4 / 5.0 * 0.078 / 0.059)
    for kind, coarse, fine in (("energy", 3.78, 0.143), ("delay", 4.44, 0.636)):
        one = scale(1, kind, 45, 130, 1.1, 1.8)
        two = scale(1, kind, 45, 7, 1.1, 0.7)
        assert one.error == pytest.approx(max(one.factor.value / coarse, coarse / one.factor.value))
        assert two.error == pytest.approx(max(two.factor.value / fine, fine / two.factor.value))
        for found, measured in ((one, coarse), (two, fine)):
            assert found.factor.low <= measured * (1 + 1e-9) and measured <= found.factor.high * (1 + 1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_scaling_goes_down_with_the_node_and_back_again(kind: str) -> None:
    factors = [scale(1, kind, 45, node).factor for node in nodes()]
    assert all(0 < q.low <= q.value <= q.high for q in factors)
    falling = [q.value for q in factors]
    if kind == "delay":  # the paper's 20 nm is slower than its 32 nm: see below
        falling.pop(nodes().index(20))
    assert falling == sorted(falling, reverse=True)
    for node in nodes():
        there = scale(2.0, kind, 45, node).quantity.value
        assert scale(there, kind, node, 45).quantity.value == pytest.approx(2.0)
    assert scale(2.0, kind, 45, 45).factor.is_exact


def test_delay_rises_from_32_to_20_nm_as_published() -> None:
    """By hand, at nominal supplies; 32 nm is what is left of terms of 2,500, and each interval holds the other."""
    at20 = Fraction("34.63") * Fraction("0.9") ** 2 - Fraction("66.37") * Fraction("0.9") + Fraction("41.15")
    at32 = (
        Fraction(-1047) * Fraction("0.9") ** 3
        + Fraction(2982) * Fraction("0.9") ** 2
        - Fraction(2797) * Fraction("0.9")
        + Fraction("873.5")
    )
    assert (round(float(at20), 2), round(float(at32), 2)) == (9.47, 8.36)
    assert scale(1, "delay", 32, 20).factor.value == pytest.approx(float(at20 / at32))
    fine, coarse = (scale(1, "delay", 45, node).factor for node in (20, 32))
    assert (round(fine.value, 3), round(coarse.value, 3)) == (0.757, 0.669)
    assert fine.low < coarse.value < fine.high and coarse.low < fine.value < coarse.high


def test_an_interval_that_is_scaled_keeps_its_own() -> None:
    found = scale(Quantity(2.0, 1.0, 4.0), "area", 45, 7)
    assert found.quantity == Quantity(pytest.approx(0.156), pytest.approx(0.075), pytest.approx(0.344))


def test_a_lower_supply_takes_less_energy_and_more_time() -> None:
    assert scale(1, "energy", 7, 7, 0.7, 0.6).factor.value < 1 < scale(1, "delay", 7, 7, 0.7, 0.6).factor.value
    assert not scale(1, "energy", 7, 7, 0.7, 0.6).factor.is_exact
    assert scale(1, "area", 7, 7, 0.7, 0.6).factor.is_exact


NODES = "180, 130, 90, 65, 45, 32, 20, 16, 14, 10, 7"


@pytest.mark.parametrize("node", [28, 5, 250, 0, -45, math.nan, True, "45", 7.0, [45], None])
def test_unknown_nodes_wrong(node: Any) -> None:
    for ends in ((node, 45), (45, node)):
        with pytest.raises(
            HwqError, match=rf"^node must be one of {NODES} nm to be scaled, not {re.escape(repr(node))}$"
        ):
            scale(1, "area", *ends)


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, True, "x", None, [1.0], Quantity("a", 1, 2)])  # type: ignore[arg-type]
def test_figures_that_are_none_wrong(value: Any) -> None:
    with pytest.raises(
        HwqError, match=rf"^energy must be a number above 0 to be scaled, not {re.escape(repr(value))}$"
    ):
        scale(value, "energy", 45, 7)


def test_kinds_and_supplies_wrong() -> None:
    with pytest.raises(HwqError, match=r"^kind must be one of energy, delay, area, not 'power'$"):
        scale(1, "power", 45, 7)
    given: list[Any] = [0, 1.5, math.nan, "a", True, [1.0]]
    for volts in given:
        with pytest.raises(
            HwqError, match=rf"^the supply at 45 nm must be within 0.6 and 1.1 V, not {re.escape(repr(volts))}$"
        ):
            scale(1, "delay", 45, 7, volts)
