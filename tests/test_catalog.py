"""Every format of the catalogue conforms, and so does one that is added in one line at run time."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from hwq import HwqError, catalog, parse_format
from hwq.formats import Catalog, Format, Int, MiniFloat
from hwq.testing import FormatConformance

NARROW = [name for name in catalog if catalog[name].bits <= 16 and not catalog[name].blocked]


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> Format:
    """A format that the catalogue learns for the length of a test."""
    for names in ("_by_name", "_by_format"):
        monkeypatch.setattr(catalog, names, dict(getattr(catalog, names)))
    return catalog.add("added_here", parse_format("fp(4,2,bias=9)"))


class TestCatalogue(FormatConformance):
    @pytest.fixture(params=NARROW)
    def fmt(self, request: pytest.FixtureRequest) -> Format:
        return catalog[request.param]


class TestAdded(FormatConformance):
    @pytest.fixture
    def fmt(self, added: Format) -> Format:
        return added


def test_there_are_formats() -> None:
    assert len(NARROW) >= 25
    assert len(catalog) == len(list(catalog)) == len(set(catalog))


@pytest.mark.parametrize("name", list(catalog))
def test_names_and_parameters_read_back(name: str) -> None:
    fmt = catalog[name]
    assert str(fmt) == name
    assert parse_format(name) == parse_format(f" {name} ") == parse_format(fmt.text) == fmt
    assert str(parse_format(fmt.text)) == name
    assert name in catalog and catalog.name_of(fmt) == name


# Published constants, not derived here: OCP OFP8 and MX tables, IEEE 754, the FNUZ paper.
@pytest.mark.parametrize(
    ("name", "largest", "least", "values"),
    [
        ("fp8_e4m3", 448.0, 2.0**-9, 253),
        ("fp8_e5m2", 57344.0, 2.0**-16, 247),
        ("fp6_e3m2", 28.0, 0.0625, 63),
        ("fp6_e2m3", 7.5, 0.125, 63),
        ("fp4_e2m1", 6.0, 0.5, 15),
        ("fp8_e4m3fnuz", 240.0, 2.0**-10, 255),
        ("fp8_e5m2fnuz", 57344.0, 2.0**-17, 255),
        ("bf16", 3.3895313892515355e38, 2.0**-133, 65279),
        ("fp16", 65504.0, 2.0**-24, 63487),
        ("int8", 127.0, 1.0, 256),
        ("uint4", 15.0, 1.0, 16),
        ("ternary", 1.0, 1.0, 3),
    ],
)
def test_published_constants(name: str, largest: float, least: float, values: int) -> None:
    fmt = catalog[name]
    decoded = fmt.decode(fmt.codes()).astype(np.float64)
    finite = np.unique(decoded[np.isfinite(decoded)])
    assert fmt.max == finite.max() == largest
    assert finite[finite > 0].min() == least
    assert len(finite) == values


def test_an_added_format_is_like_any_other(added: Format) -> None:
    assert str(added) == "added_here" and "added_here" in list(catalog)
    assert parse_format("added_here") is added
    assert parse_format("fp(4,2,bias=9)") == added
    assert added.decode(added.encode(np.array([0.1, -1000.0]))).tolist() == [0.09375, -112.0]


def test_a_name_means_one_format_but_a_format_may_have_two_names() -> None:
    own = Catalog({"first": Int(8)})
    assert own.add("second", Int(8)) == own["second"] == own["first"]
    assert own.name_of(Int(8)) == "first"
    assert own.add("first", Int(8)) == Int(8)
    with pytest.raises(HwqError, match=r"'first' already names int\(8\)"):
        own.add("first", Int(4))
    assert own["first"] == Int(8) and len(own) == 2


@pytest.mark.parametrize("name", ["", "8bit", "fp(4,3)", "a b", "a-b"])
def test_a_name_is_letters_digits_and_underscores(name: str) -> None:
    with pytest.raises(HwqError, match="a catalogue name must be small letters, digits and _, not"):
        Catalog({}).add(name, MiniFloat(4, 3))


@pytest.mark.parametrize("name", ["exact", "fixed", "fp", "codebook"])
def test_a_name_is_no_word_of_the_texts(name: str) -> None:
    with pytest.raises(HwqError, match="means something else in the text of a datapath"):
        Catalog({}).add(name, MiniFloat(4, 3))


def test_only_formats_have_names() -> None:
    with pytest.raises(HwqError, match="the catalogue holds formats, not 'fp"):
        Catalog({}).add("mine", "fp(4,3)")  # type: ignore[arg-type]
    assert catalog.get("nothing") is None and dict(catalog)["int8"] == Int(8)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("int7", "; write int(7)"),
        ("float32", "; did you mean fp32?"),
        ("bfloat16", "; did you mean bf16?"),
        ("e4m3", "; did you mean fp8_e4m3 or ue4m3 or mxfp8_e4m3?"),
        ("fp8_e4m3fn", "; did you mean fp8_e4m3"),
        ("zzz", "; hwq formats lists the names"),
    ],
)
def test_an_unknown_name_is_answered_with_what_may_be_meant(name: str, hint: str) -> None:
    with pytest.raises(HwqError) as error:
        catalog[name]
    assert f"format must be a catalogue name or a text such as fp(4,3), not '{name}'{hint}" in str(error.value)
    assert "\n" not in str(error.value)


def test_adding_a_format_in_a_fresh_process_is_one_line() -> None:
    code = (
        "import hwq; hwq.catalog.add('mine', hwq.parse_format('fp(3,3)'))\n"
        "print(hwq.parse_format('mine').max, hwq.Datapath.parse('mine*int8 +fixed(32)'))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["30.0", "mine*int8", "+fixed(32)"]
