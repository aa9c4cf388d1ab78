"""The synthesised netlist against the emulator: twelve formats on a LUT6, a LUT4 and a standard-cell library."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hwq.datapath import Datapath
from hwq.rtl import emit
from hwq.sim import check
from hwq.synth import netlist
from hwq.synth.liberty import library_files

FORMATS = [
    "int8", "int4", "uint8", "ternary", "fp4_e2m1", "fp6_e2m3", "fp6_e3m2",
    "fp8_e4m3", "fp8_e5m2", "fp8_e4m3fnuz", "nf4", "log4",
]  # fmt: skip
DEVICES = ["xc7", "ecp5", "nangate45"]
SUMS = {"ternary": "+fixed(12)", "nf4": "k=64", "fp8_e5m2": "+fixed(80) cut=mul", "fp8_e4m3": "+fixed(48) cut=mul"}


@pytest.mark.slow  # half a minute each
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", FORMATS)
def test_the_netlist_of_a_format_is_its_emulator(
    tmp_path: Path, name: str, device: str, say: Callable[[str], None]
) -> None:
    dp = Datapath.parse(f"{name}*{name} {SUMS.get(name, '+fixed(32)')}")
    manifest = emit(dp, tmp_path, device)
    sources = [tmp_path / file for file in manifest.files]
    found = library_files(device) if device == "nangate45" else ()
    mapped = netlist(sources, manifest.top, device, tmp_path, liberty=found)
    replace(manifest, files={mapped.name: ""}, project={}).save(tmp_path)
    report = check(dp, folder=tmp_path, exhaustive=4 <= dp.mac.a.bits < 7, vectors=300)
    say(f"{dp}, netlist on {device}: {report.mode}, {report.compared} results, {report.mismatches} mismatches")
    assert report.first_mismatch is None
    assert report.passed
    assert report.compared >= 90
