"""Shares of named parts: totals of the vendors' documents, what is refused, and the largest share."""

import json
import re
import tomllib
from pathlib import Path

import pytest

import hwq
from hwq.cli.main import run
from hwq.costmodel import Quantity, estimate
from hwq.costmodel.parts import RESOURCES, Share, fpga, fpgas, share, shares
from hwq.datapath.device import DEVICES
from hwq.errors import HwqError

TABLE = Path(hwq.__file__).parent / "costmodel" / "data" / "parts.toml"
INT8 = "int8*int8 @8x8"


def test_every_line_names_a_device_its_totals_and_the_document() -> None:
    rows = tomllib.loads(TABLE.read_text())
    assert set(rows) == {"xc7", "xcup", "ecp5", "ice40"} <= set(DEVICES)
    for parts in rows.values():
        for row in parts.values():
            assert set(row) == {*RESOURCES, "source"}
            assert re.match(r"DS\d{3}|FPGA-DS-\d{5}", row["source"])
            assert 0 < row["lut"] <= row["ff"] and row["dsp"] >= 0 and row["bram"] > 0


def test_totals_are_those_of_vendor_reports() -> None:
    """Available LUT, FF, DSP and RAMB18 as Vivado's utilisation reports of public projects print them."""
    expected = {
        ("xc7", "xc7a100t"): (63_400, 126_800, 240, 2 * 135),
        ("xc7", "xc7k325t"): (203_800, 407_600, 840, 2 * 445),
        ("xc7", "xc7z020"): (53_200, 106_400, 220, 2 * 140),
        ("xcup", "xczu3eg"): (70_560, 141_120, 360, 432),
        ("xcup", "xczu7ev"): (230_400, 460_800, 1_728, 624),
        ("xcup", "xck26"): (117_120, 234_240, 1_248, 288),
        ("xcup", "xcu250"): (1_728_000, 3_456_000, 12_288, 5_376),
    }
    for (device, name), totals in expected.items():
        assert tuple(fpga(name, device).totals[kind] for kind in RESOURCES) == totals


def test_two_flip_flops_stand_beside_each_table_of_xilinx_and_one_of_lattice() -> None:
    for device, ratio in (("xc7", 2), ("xcup", 2), ("ecp5", 1), ("ice40", 1)):
        assert all(part.totals["ff"] == ratio * part.totals["lut"] for part in fpgas(device).values())


def test_the_largest_share_is_that_of_the_scarcest_resource() -> None:
    part = fpga("xc7z020", "xc7")
    soft, hard = (estimate(text, "xc7") for text in (INT8, f"{INT8} use=dsp"))
    assert share(soft, part) == shares(soft, part)["lut"].share
    assert share(hard, part).value == pytest.approx(64 / 220)
    assert share(hard, part).is_exact
    lut = soft.figures["lut"]
    assert (share(soft, part).low, share(soft, part).high) == pytest.approx((lut.low / 53_200, lut.high / 53_200))


def test_a_share_of_nothing_is_nothing() -> None:
    assert Share(Quantity.exact(0), 0).share == Quantity.exact(0)


@pytest.mark.parametrize(
    ("name", "device", "message"),
    [
        ("xc7z020", "ecp5", r"part must be one of ecp5, not 'xc7z020', which is of xc7; write --device xc7"),
        ("z80", "ecp5", r"part must be one of 12k, 25k, 45k, 85k on ecp5, not 'z80'"),
        ("z80", "ge", r"part must be of a device with parts \(xc7, xcup, ecp5, ice40\), not of ge; leave it out"),
    ],
)
def test_unknown_parts_wrong(name: str, device: str, message: str) -> None:
    with pytest.raises(HwqError, match=f"^{message}$"):
        fpga(name, device)


def test_what_a_part_has_not_wrong() -> None:
    cost = estimate(INT8, "ecp5")
    with pytest.raises(HwqError, match=r"^a cost on ecp5 has no share of xc7z020, which is of xc7$"):
        shares(cost, fpga("xc7z020", "xc7"))
    bare = fpga("25k", "ecp5")
    bare = type(bare)(bare.name, bare.device, {**bare.totals, "ff": 0}, bare.source)
    with pytest.raises(HwqError, match=r"^25k has no ff, the design needs \d+; name another part$"):
        shares(cost, bare)


def test_cost_prints_the_shares(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cost", INT8, "--device", "ecp5", "--part", "25k", "--json"]) == 0
    part = json.loads(capsys.readouterr().out)["part"]
    assert part["name"] == "25k" and set(part) == {"name", "source", *RESOURCES, "largest_share"}
    for kind in RESOURCES:
        row = part[kind]
        assert set(row) == {"used", "total", "share", "low", "high"}
        assert row["share"] == pytest.approx(row["used"] / row["total"])
    assert part["largest_share"] == max(part[kind]["share"] for kind in RESOURCES) == part["lut"]["share"]
    assert run(["cost", INT8, "--device", "ecp5", "--part", "25k"]) == 0
    assert re.search(r"largest share \d+\.\d\d %; totals of FPGA-DS-02012", capsys.readouterr().out)
    assert run(["cost", f"{INT8[:-3]}64x64", "--device", "ecp5", "--part", "25k"]) == 0
    assert "; it does not fit;" in capsys.readouterr().out
    assert run(["cost", INT8, "--device", "xc7", "--part", "25k"]) == 2
    assert capsys.readouterr().err.startswith("error: part must be one of xc7, not '25k'")
