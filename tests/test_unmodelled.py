"""What is not modelled is named, refused or widened: never counted as 0, never left out in silence."""

from __future__ import annotations

import pytest

from hwq.costmodel import Cost, estimate
from hwq.costmodel.bram import bram
from hwq.costmodel.scaled import at_node
from hwq.errors import HwqError

ONE = "int8*int8 +fixed(32)"

# (datapath, device, the figure that is absent or doubtful, the words that say so)
NAMED = [
    (ONE, "xc7", "fmax_mhz", "fmax_mhz: no open place and route; not checked against Vivado"),
    (ONE, "xc7", "energy_pj_per_mac", "energy_pj_per_mac: "),
    (ONE, "ice40", "fmax_mhz", "fmax_mhz: no design was placed and routed on this device"),
    (ONE, "ge", "area_um2", "area_um2: multiply ge by a library's NAND2"),
    (ONE, "ge", "fmax_mhz", "fmax_mhz: no library"),
    (f"{ONE} @4x4", "ecp5", "", "fmax_mhz: of the slowest module by itself; an array's control and wires are not"),
    (f"{ONE} use=dsp", "ecp5", "fmax_mhz", "fmax_mhz: no multiplier block was placed and routed"),
    ("int8*int8 +fixed(24) @8x8/ws k=8 use=dsp", "xc7", "", "use=dsp: no array of blocks was fitted"),
    ("int8*int4 +fixed(24,sat) @2x2/ws k=2", "ice40", "", "saturation in /ws: none was fitted"),
    ("int4*int4 +fixed(24) @2x5/ws k=2", "ge", "", "ff in /ws: a synthesiser joins registers of equal signs"),
    ("fp8_e4m3*fp8_e4m3 @4x4 k=64 use=banks", "xc7", "", "use=banks: no array of them was fitted"),
    ("fp16*fp16 +fixed(80,48)", "xc7", "", "the fit at most"),
    ("bf16*bf16 +fp32 k=4096 cut=mul", "xc7", "", "the fit at most"),
]


@pytest.mark.parametrize(("text", "device", "absent", "words"), NAMED)
def test_what_is_not_modelled_is_named(text: str, device: str, absent: str, words: str) -> None:
    cost = estimate(text, device)
    assert any(words in line for line in cost.unmodelled), cost.unmodelled
    assert absent not in cost.figures and absent not in cost.json()
    assert cost.json()["unmodelled"] == list(cost.unmodelled)


def test_a_network_names_the_figure_that_one_of_its_datapaths_lacks() -> None:
    cost = estimate({"first": ONE, "body": f"{ONE} use=dsp"}, "ecp5")
    assert isinstance(cost, Cost)
    assert "fmax_mhz" not in cost and any("fmax_mhz: " in line and "has none" in line for line in cost.unmodelled)


@pytest.mark.parametrize("device", ["portable", "versal"])
def test_a_device_without_prices_is_refused(device: str) -> None:
    with pytest.raises(HwqError, match="must have prices"):
        estimate(ONE, device)


def test_what_does_not_scale_is_named() -> None:
    with pytest.raises(HwqError, match=r"^a cost that is scaled must be of asap7, nangate45, sky130, not xc7; "):
        at_node(estimate(ONE, "xc7"), 7)
    cells = estimate(ONE, "nangate45")
    with pytest.raises(HwqError, match=r"^node must be one of 180, .* nm to be scaled, not 45.0$"):
        at_node(cells, 45.0)  # type: ignore[arg-type]
    there = at_node(cells, 7)
    assert [there.level_of(name) for name in there.figures] == ["scaled", "scaled", "T1"]


def test_a_memory_names_what_it_leaves_out() -> None:
    assert bram(1 << 18, 64, "xc7").json()["unmodelled"]
