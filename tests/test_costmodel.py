"""Prices: exact where rows are, fitted with an interval that holds elsewhere; nothing unmodelled counts as zero."""

from __future__ import annotations

import copy
import json
import operator
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Any

import pytest

from hwq.cli.calibrate import measured_of, read_rows
from hwq.cli.main import run
from hwq.costmodel import Cost, Fit, Quantity, Sample, estimate, features, fit
from hwq.costmodel.calibrate import Measured, designs
from hwq.costmodel.fabrics import FABRICS
from hwq.costmodel.fit import price, spread
from hwq.costmodel.score import Judged, judge
from hwq.datapath import Datapath, plan
from hwq.datapath.device import device as read_device
from hwq.errors import HwqError

PRICED = "xc7, xcup, ecp5, ice40, ge, nangate45, sky130, asap7"


def test_the_held_out_designs_are_not_fitted() -> None:
    assert len(designs()["pe"]["held_out"]) >= 30
    for part in designs().values():
        assert len(part["fit"]) > len(part["held_out"]) >= 1
        assert not set(part["fit"]) & set(part["held_out"])
        assert all(str(Datapath.parse(t)) == t for texts in part.values() for t in texts)


@pytest.mark.parametrize(
    ("text", "luts"),
    [
        ("int8*int8 +fixed(32)", 60),  # 4 rows of 9, 24 bits of accumulator above them
        ("int4*int4 +fixed(16)", 22),  # 2 rows of 5, and 12
        ("int8*ternary +fixed(20)", 20),  # one row of 8, and 12
        ("int8*int8 +fixed(32) cut=mul", 68),  # the product's rows, then 32
        ("int5*int5 +fixed(24)", 36),  # rows of 6, 6 and 5, and 19
    ],
)
def test_integer_elements_cost_their_rows(text: str, luts: int) -> None:
    counts = features(plan(Datapath.parse(text), "xc7").blocks["pe"], "xc7")
    assert {k: v for k, v in counts.items() if v and k != "ff"} == {"row": luts}
    cost = estimate(text, "xc7")
    assert cost.pe.figures["lut"] == Quantity.exact(luts)


# Flip-flops and LUT measured on 2026-11-23, pyosys 0.70, in no design of the experiment
FLIP_FLOPS = [
    ("fp8_e4m3*int4 +fixed(26) @2x3/ws k=2", {"ice40": 388, "ecp5": 388, "xc7": 415}),
    ("fp(4,3)*int4 +fixed(32) @2x3/ws k=2", {"ice40": 372, "ecp5": 372, "xc7": 453}),
    ("fp8_e4m3*int4 +fixed(32) @3x3/ws k=3", {"ice40": 600, "ecp5": 600, "xc7": 627}),
    ("fp8_e4m3*fp8_e4m3 +fixed(48) @4x2/ws k=4", {"ice40": 719, "ecp5": 719, "xc7": 739}),
    ("log4*int4 +fixed(40) @2x3/ws k=2", {"ice40": 302, "xc7": 482}),
    ("nf4*int4 +fixed(32) @2x3/ws k=2", {"ice40": 599, "xc7": 599}),
    ("mxfp6_e2m3*int8 +fixed(40,12) @2x2/ws k=2", {"ice40": 404, "xc7": 404}),
    ("fp(3,2,inf)*int4 +fixed(24) @2x2/ws k=2", {"ice40": 217, "xc7": 239}),
]


@pytest.mark.parametrize(("text", "measured"), FLIP_FLOPS)
def test_registers_that_a_synthesiser_finds_twice_are_not_counted(text: str, measured: dict[str, int]) -> None:
    assert {device: estimate(text, device).ff.value for device in measured} == measured


@pytest.mark.parametrize(
    ("text", "measured"),
    [
        ("int8*int8 +fixed(32) @4x4/ws k=4 use=dsp", {"xc7": 47, "xcup": 47}),
        ("int8*int8 +fixed(24) @2x5/ws k=2 use=dsp", {"xc7": 29}),
        ("fp8_e4m3*fp8_e4m3 +fixed(48)", {"xc7": 199, "ice40": 287, "ecp5": 296}),
    ],
)
def test_a_figure_is_near_what_was_measured(text: str, measured: dict[str, int]) -> None:
    for device, luts in measured.items():
        assert estimate(text, device).figures["lut"].value == pytest.approx(luts, rel=0.08)


def test_a_sum_that_only_one_end_can_leave_has_one_comparison() -> None:
    measured = {"xc7": 86, "ice40": 162}
    costs = {device: estimate("uint8*uint8 +fixed(24,sat)", device).pe.figures["lut"] for device in measured}
    assert {device: q.value for device, q in costs.items()} == measured and all(q.is_exact for q in costs.values())


def test_a_cost_states_what_it_is() -> None:
    cost = estimate("fp8_e4m3*fp8_e4m3 +fixed(48) @2x2 cut=mul", "ecp5")
    record = json.loads(json.dumps(cost.json()))
    assert record["device"] == "ecp5" and record["level"] and record["source"] and record["unmodelled"]
    assert record["lut"]["low"] < record["lut"]["value"] < record["lut"]["high"]
    assert record["ff"]["low"] == record["ff"]["high"]
    assert sum(p["lut"]["value"] for p in record["breakdown"]) == pytest.approx(record["lut"]["value"], abs=0.1)
    assert "fmax_mhz" in record and "energy_pj_per_mac" not in record
    assert "fmax_mhz" not in estimate("int8*int8", "xc7").json()


def test_a_missing_figure_is_named_not_zero() -> None:
    cost = estimate("int8*int8", "ge")
    with pytest.raises(AttributeError, match=r"^lut has no figure on ge; it has ge, ff$"):
        _ = cost.lut


def test_a_network_pays_once_for_each_distinct_text() -> None:
    one, two = "int8*int8 +fixed(24) @2x2", "int8*int4 +fixed(20) @2x2"
    network = estimate({"first": one, "body": two, "last": one}, "xc7")
    assert isinstance(network, Cost)
    assert network.lut.value == pytest.approx(estimate(one, "xc7").lut.value + estimate(two, "xc7").lut.value)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        (
            "vax",
            "^device must be one of portable, xc7, xcup, versal, ecp5, ice40, ge, nangate45, sky130, asap7, not 'vax'$",
        ),
        (
            "portable",
            rf"^device must have prices \({PRICED}\), not 'portable'; choose one of these$",
        ),
        ("versal", rf"^device must have prices \({PRICED}\), not 'versal'"),
    ],
)
def test_a_device_without_prices_wrong(device: str, message: str) -> None:
    with pytest.raises(HwqError, match=message):
        estimate("int8*int8", device)


@pytest.mark.parametrize("device", [None, 3, ["ice40"], Quantity.exact(1)])
def test_a_device_is_a_name_or_what_was_loaded(device: Any) -> None:
    with pytest.raises(
        HwqError, match=r"^device must be a name such as 'xc7', or what .*load reads, not .*; name one$"
    ):
        estimate("int8*int8", device)
    with pytest.raises(HwqError, match=r"^device must have prices .*, not 'portable'"):
        estimate("int8*int8", read_device("portable"))


def test_a_cost_stays_as_it_was_estimated() -> None:
    cost = estimate("int8*int8 @2x2", "xc7")
    before = dict(cost.figures)
    changes: list[Callable[[Any], object]] = [
        lambda figures: figures.update({"lut": 0}),
        lambda figures: figures.pop("lut"),
        lambda figures: figures.clear(),
        lambda figures: figures.setdefault("x", 0),
        lambda figures: operator.setitem(figures, "lut", 0),
        lambda figures: operator.delitem(figures, "lut"),
        lambda figures: operator.ior(figures, {}),
    ]
    several: list[Any] = [cost, cost.pe, estimate({"a": "int8*int8"}, "xc7"), *estimate(["int8*int8"] * 2, "ge")]
    for owner in several:
        for change in changes:
            with pytest.raises(HwqError, match=r"^figures of a cost must stay as they were estimated, not be set; "):
                change(owner.figures)
    for again in (
        pickle.loads(pickle.dumps(cost)),
        copy.copy(cost),
        copy.deepcopy(cost),
        replace(cost, figures=before),
    ):
        assert again == cost and again.breakdown == cost.breakdown and type(again.figures) is type(cost.figures)
    assert cost.figures == before and json.dumps(cost.figures) == json.dumps(before)


def test_cells_beyond_the_fit_are_one_clause_a_module() -> None:
    cost = estimate("fp8_e5m2*fp8_e5m2 +fp32 ->bf16", "ecp5")
    (clause,) = [line for line in cost.unmodelled if "the fit at most" in line]
    number = r"\d+ of '[\w:]+'"
    assert re.fullmatch(
        rf"epilogue has {number} \(the fit at most \d+\)(, {number} \(\d+\))+: its interval is 2 times as wide", clause
    )


def test_an_unpriced_feature_is_refused() -> None:
    with pytest.raises(HwqError, match=r"^feature 'warp' must have a price on this device, not none; recalibrate$"):
        price({"warp": 2}, {"row": 1.0})


def test_a_fit_finds_the_coefficients_it_was_made_from() -> None:
    samples = [Sample(f"d{j}", {"row": 10 + j, "logic": 3 * j % 7}, 10 + j + 2.5 * (3 * j % 7)) for j in range(40)]
    found = fit(samples, "xc7", "blocks")
    assert isinstance(found, Fit)
    assert found.coefficients["row"] == 1.0 and found.coefficients["logic"] == pytest.approx(2.5)
    assert spread(found.scores) < 1e-6 and found.region == {"logic": 6.0}
    with pytest.raises(HwqError, match=r"^a fit needs at least 10 measured blocks, not 3; measure more designs$"):
        fit(samples[:3], "xc7", "blocks")


def test_the_interval_is_the_conformal_quantile() -> None:
    assert spread([0.01 * j for j in range(1, 10)]) == pytest.approx(0.09)
    assert spread([0.01 * j for j in range(1, 100)]) == pytest.approx(0.90)


def test_a_clock_picks_cuts_or_refuses() -> None:
    dp = Datapath.parse("int8*int8 +fixed(32)")
    fast = plan(dp, "ecp5", clock=200).dp
    assert fast.cuts and estimate(fast, "ecp5").fmax_mhz.value >= 200
    assert plan(dp, "ecp5", clock=50).dp == dp
    with pytest.raises(
        HwqError, match=re.compile(r"^the pe of .* reaches at most about \d+ MHz, not 2000; ask for less$")
    ):
        plan(dp, "ecp5", clock=2000)
    with pytest.raises(HwqError, match=r"^clock= needs a device with place and route \(ecp5\), not xc7$"):
        plan(dp, "xc7", clock=200)


ROWS = Path(__file__).parent / "data" / "rows"
DEVICES = ("xc7", "xcup", "ecp5", "ice40", "ge", "nangate45", "sky130", "asap7")
ELEMENTS = 80  # held out of every fit, by a seed that was stated before any of them was measured


def measured_rows(device: str) -> list[Measured]:
    return [measured_of(row, device) for row in read_rows(ROWS, device)]


def held_out(device: str) -> list[Judged]:
    return [j for j in judge(measured_rows(device), read_device(device)) if j.part == "pe"]


def sort(text: str) -> str:
    """What kind of numbers an element multiplies and adds."""
    if re.search(r"\+(fp|bf)", text):
        return "float sums"
    if re.search("nf4|bnb|codebook", text):
        return "codebooks"
    if re.search("mx|nv|msfp", text):
        return "blocks"
    if re.search("log|power|sulq", text):
        return "logarithms"
    return "minifloats" if "fp" in text else "integers"


def errors(judged: list[Judged], field: str, *kinds: str) -> list[float]:
    """Relative errors of the elements of some kinds; ternary weights are integers."""
    return [abs(j.error) for j in judged if j.field == field and sort(j.datapath) in kinds]


@pytest.mark.parametrize("device", DEVICES)
def test_the_shipped_prices_are_fitted_to_the_measured_rows(device: str, tmp_path: Path) -> None:
    assert run(["calibrate", "--device", device, "--from", str(ROWS), "-o", str(tmp_path / "device.json")]) == 0
    shipped = resources.files("hwq") / "devices" / f"{device}.json"
    assert (tmp_path / "device.json").read_text("utf-8") == shipped.read_text("utf-8")


@pytest.mark.parametrize(
    ("device", "field"), [(device, field) for device in DEVICES for field in FABRICS[device].fields]
)
def test_prices_hold_for_elements_that_the_fit_never_saw(device: str, field: str) -> None:
    judged = held_out(device)
    integers, logarithms = errors(judged, field, "integers"), errors(judged, field, "logarithms")
    floats = errors(judged, field, "float sums")
    scaled = errors(judged, field, "minifloats", "blocks", "codebooks")
    assert (len(integers), len(logarithms), len(scaled), len(floats)) == (16, 8, 45, 11)
    assert all(j.error == 0 for j in judged if j.field == "ff")
    assert mean(floats) < 0.06
    if field == "lut":
        assert max(integers) == max(logarithms) == 0
    else:
        assert mean(integers) < 0.02
    if device in ("xc7", "xcup"):  # asked for are 2 %, which a mapper to LUT6 misses: docs/cost-model.md
        assert mean(scaled) < 0.035
    else:
        assert mean(scaled) < 0.02 and quantiles(scaled, n=20)[-1] < 0.06
    clocks = [abs(j.error) for j in judged if j.field == "fmax_mhz"]
    assert len(clocks) == (34 if device == "ecp5" else 0)
    assert not clocks or mean(clocks) < 0.08


def test_intervals_hold_and_are_narrow() -> None:
    every = [j for device in DEVICES for j in judge(measured_rows(device), read_device(device))]
    judged = [j for j in every if not j.estimated.is_exact]
    assert len(judged) >= 1000
    assert sum(j.inside for j in judged) >= 0.86 * len(judged)
    assert median(j.half_width for j in judged) <= 0.05
