"""The studies of docs/studies: their scripts run on little, go on where they stopped, and print what the pages show."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from hwq.errors import HwqError

torch.set_num_threads(1)
ROOT = Path(__file__).parents[1]
STUDIES = ROOT / "docs" / "studies"
sys.path.append(str(ROOT / "tools"))  # where a script finds those beside it


@pytest.fixture(scope="module")
def formats() -> ModuleType:
    import study_formats

    return study_formats


@pytest.fixture(scope="module")
def accumulators() -> ModuleType:
    import study_accumulators

    return study_accumulators


def test_every_split_of_three_to_eight_bits_is_swept(formats: ModuleType) -> None:
    import study_tables

    equal, paper, *mixed = formats.stages(mixed=True)
    assert len(equal) == len(paper) == 6 + sum(range(2, 8))
    assert formats.stages() == [equal, paper]
    assert {pair.activation for stage in mixed for pair in stage} == set(formats.WIDE)
    assert [study_tables.named(fmt) for fmt in formats.formats(4)] == ["int4", "E1M2", "E2M1", "E3M0"]


def test_a_sweep_goes_on_where_it_was_killed(formats: ModuleType, tmp_path: Path) -> None:
    store = tmp_path / "points.jsonl"
    two = [formats.Pair(formats.FULL, fmt, fmt) for fmt in ("int(4)", "fp(7,0)")]
    formats.sweep("resnet8", store, 20, 8, two)
    whole = store.read_text()
    store.write_text(whole[:-9])  # in the middle of the last line
    formats.sweep("resnet8", store, 20, 8, two)
    floats, ran, refused = formats.records(store)
    assert (floats["recipe"], floats["lost"]["value"]) == ("float", 0)
    assert ran["lut"]["low"] <= ran["lut"]["value"] <= ran["lut"]["high"] < ran["array_lut"]["value"]
    assert "must fit" in refused["refused"]
    assert formats.records(store)[:2] == [json.loads(line) for line in whole.splitlines()[:2]]


def test_the_better_of_two_is_not_flattered(formats: ModuleType) -> None:
    import study_tables

    def point(name: str, right: str) -> study_tables.Point:
        return study_tables.Point({"pair": [name, name], "n": len(right), "right": f"{int(right, 2):x}"})

    lucky = [point("fp(2,1)", "10101010"), point("fp(3,0)", "01010101")]  # each better where the other is chosen
    score, chosen = study_tables.best_gain(lucky, point("int(4)", "11111111"))
    assert score.value == -1
    assert set(chosen.split(", ")) == {"E2M1", "E3M0"}
    assert study_tables.points(score).startswith("**-100.00 [")


def test_points_of_two_states_of_the_code_are_not_compared() -> None:
    import study_tables

    with pytest.raises(HwqError, match=r"^points must be of one state of hwq's code, not 2; take them again"):
        study_tables.studies([{"code": "a"}, {"code": "b"}])


def test_accumulators_share_codes_and_are_compared_with_the_exact_one(accumulators: ModuleType, tmp_path: Path) -> None:
    store = tmp_path / "points.jsonl"
    accumulators.sweep(store, 10, 8, ("int4*int4", "mxfp4_e2m1*mxfp4_e2m1"))
    found = {(r["pair"], r["sum"]): r for r in accumulators.records(store)}
    assert found["int4*int4", "fp32"]["same"] == 1  # 14 bits are exact in a significand of 24
    assert found["int4*int4", "exact"]["gain"]["value"] == 0
    assert "refused" in found["mxfp4_e2m1*mxfp4_e2m1", "exact"]
    assert accumulators.table(list(found.values())).count("same bits") >= 2


def test_a_narrow_sum_wraps_or_saturates_four_bits_below_its_certificate(accumulators: ModuleType) -> None:
    from hwq.datapath import Datapath

    mac = Datapath.parse("int8*int4 +fixed(18)").mac
    texts = {name: text for name, text in accumulators.SUMS.items() if name != "exact"}
    sums = {name: str(Datapath(accumulators._summed(mac, text))) for name, text in texts.items()}
    assert sums["narrow, wraps"] == "int8*int4 +fixed(14,0)"
    assert sums["narrow, saturates"] == "int8*int4 +fixed(14,0,sat)"
    assert sums["fp32"] == "int8*int4 +fp32"


def test_pages_show_what_the_scripts_print_of_the_stored_points(
    formats: ModuleType, accumulators: ModuleType, tmp_path: Path
) -> None:
    printed = formats.tables(formats.records(STUDIES / "minifloat.jsonl"))
    page = (STUDIES / "minifloat.md").read_text("utf-8")
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    assert len(lines) > 60
    assert [line for line in lines if line not in page] == []
    printed = accumulators.table(accumulators.records(STUDIES / "accumulators.jsonl"))
    page = (STUDIES / "accumulators.md").read_text("utf-8")
    assert [line for line in printed.splitlines() if line not in page] == []


def test_the_picture_is_that_of_the_stored_points(formats: ModuleType, tmp_path: Path) -> None:
    formats.draw(formats.records(STUDIES / "minifloat.jsonl"), tmp_path / "minifloat.svg")
    assert (tmp_path / "minifloat.svg").stat().st_size > 20_000
