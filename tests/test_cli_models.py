"""`hwq ptq` and `hwq search`: what they print of instances, accumulators, intervals and failures."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hwq import ptq, zoo
from hwq.cli.main import run
from hwq.cli.objectives import Subject, code_digest
from hwq.cli.ptq import print_accumulators
from hwq.costmodel import estimate
from hwq.datapath import Datapath
from hwq.datapath.ranges import reach, width
from hwq.errors import HwqError

torch.set_num_threads(1)

Hwq = Callable[..., tuple[int, str, str]]
TINY = """
import torch
from torch import nn

def net(count=40):
    made = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 4 * 4, 3))
    images = torch.randn(count + 8, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.linspace(-0.5, 0.7, parameter.numel()).reshape(parameter.shape))
        labels = made(images).argmax(1)
    return made, images[:count], images[count:], labels[count:]
"""
SPACE = """
[space.fields]
w = ["int8", "int4"]
[space.roles]
first = "int8*{w} @2x2"
last = "int8*{w} @2x2"
"""


@pytest.fixture
def hwq(capsys: pytest.CaptureFixture[str]) -> Hwq:
    """(exit code, standard output, standard error) of one command line, run in this process."""

    def called(*arguments: object) -> tuple[int, str, str]:
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return called


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    (tmp_path / "m40.py").write_text(TINY)
    (tmp_path / "space.toml").write_text(SPACE)
    return f"{tmp_path / 'm40.py'}:net"


def options(tmp_path: Path, budget: int = 2, device: str = "ge") -> list[object]:
    found: list[object] = ["--device", device, "--budget", budget, "--store", tmp_path / "s.sqlite"]
    return [*found, "--images", 8, "--recipe", "rtn", "--space", tmp_path / "space.toml"]


# ------------------------------------------------------------------------------------------------------------ hwq ptq


def test_a_fatal_accumulator_is_said(hwq: Hwq) -> None:
    arguments = ["ptq", "resnet8", "--datapath", "int8*int8 +fixed(8)", "--first", "int8*int8 @2x2", "--recipe", "rtn"]
    code, out, _ = hwq(*arguments, "--images", 20)
    assert code == 0
    warnings = re.findall(r"^warning: (\S+): the accumulator needs (\d+) bits for these weights, has 8$", out, re.M)
    assert [name for name, _ in warnings] == ["body", "last"]  # the first layer's is certified
    code, out, _ = hwq(*arguments, "--images", 20, "--json")
    told = json.loads(out)["accumulators"]
    assert {name: str(told["needs"][name]) for name, _ in warnings} == dict(warnings)
    assert told["needs"]["first"] == told["bits"]["first"]


def test_needs_are_those_that_are_certified() -> None:
    """On the same weights the bits that a given accumulator needs are those that an exact one gets."""
    model = zoo.load("resnet8")
    roles = ("first", "body", "last")
    exact = ptq.needs(ptq.quantize(model, dict.fromkeys(roles, "int8*int8"), "rtn"))
    given = ptq.needs(ptq.quantize(model, dict.fromkeys(roles, "int8*int8 +fixed(30)"), "rtn"))
    assert given == exact
    assert len(given) == 14
    coarse = ptq.needs(ptq.quantize(model, dict.fromkeys(roles, "int8*int8 +fixed(30,-4)"), "rtn"))
    assert all(bits - 4 <= coarse[name] <= bits - 3 for name, bits in exact.items() if name not in ("add", "pool"))
    quantized = ptq.quantize(model, dict.fromkeys(roles, "int8*int8"), "rtn")
    layer = next(layer for layer in quantized.layers if layer.name == "stem")
    assert layer.datapath is not None
    mac, state = layer.datapath.mac, quantized.state
    bias = mac.acc_format.decode(state["stem", "bias"]).long().tolist()
    assert exact["stem"] == width(*reach(state["stem", "weight"].flatten(1), mac.w, (-128, 127), bias))


def test_a_uniform_assignment_is_one_array_and_its_saving_is_said(hwq: Hwq) -> None:
    text = "int8*int8 ->int8[bias,requant,relu] @4x4"
    code, out, _ = hwq("ptq", "resnet8", "--datapath", text, "--recipe", "rtn", "--images", 20, "--device", "ge")
    assert code == 0
    table, _, rest = out.partition("any weights of k terms\n")[2].partition("\nge on ge: ")
    (row,) = [line for line in table.splitlines() if line.startswith("first")]
    has, needs, any_weights = map(int, row.split()[-3:])
    assert has == needs < any_weights == Datapath.parse(text).mac.exact_bits
    saved = re.match(r"([\d,]+) for any weights, ([\d,]+) certified, ([\d,]+) saved\nnot counted: ", rest)
    assert saved is not None
    wide, narrow, between = (int(number.replace(",", "")) for number in saved.groups())
    assert abs(wide - narrow - between) <= 1
    assert between > 0


def test_calibration_takes_what_there_is(hwq: Hwq, tiny: str, tmp_path: Path) -> None:
    arguments = ["ptq", tiny, "--datapath", "int8*int8 @2x2", "--recipe", "rtn", "--device", "ge"]
    assert hwq(*arguments)[0] == 0
    assert hwq(*arguments, "--calibration", 10)[0] == 0
    code, out, err = hwq(*arguments, "--calibration", 41)
    assert (code, out) == (2, "")
    assert re.fullmatch(r"error: calibration images of \S+ must be 1\.\.40, not 41\n", err)
    model = zoo.load(tiny)
    assert ptq.quantizer(model).images == 40
    assert ptq.quantizer(model, 40) is ptq.quantizer(model)
    assert ptq.quantizer(model, 10).images == 10
    assert Subject(model, "rtn").key != Subject(model, "rtn", 10).key
    code, out, err = hwq("search", tiny, *options(tmp_path), "--calibration", 41)
    assert (code, out) == (2, "")
    assert not (tmp_path / "s.sqlite").exists()


# --------------------------------------------------------------------------------------------------------- hwq search


def test_a_search_names_what_it_prices(hwq: Hwq, tiny: str, tmp_path: Path) -> None:
    code, out, _ = hwq("search", tiny, *options(tmp_path))
    assert code == 0
    front, _, built = out.partition("\ninstances of each point")
    figures = re.findall(r"^(\d+) +\S+ \[.*?\] +([\d,]+)(?: \[| )", front, re.M)
    assert figures
    for number, printed in figures:
        texts = re.findall(rf"^{number} +\S+ +(\S+\*.*?) *$", built.partition("\nchosen")[0], re.M)
        assert len(texts) == 2
        assert f"{sum(cost.figures['ge'].value for cost in estimate(texts, 'ge')):,.0f}" == printed
    code, out, _ = hwq("search", tiny, *options(tmp_path), "--json")
    told = json.loads(out)
    assert code == 0
    for point in told["front"]:
        texts = list(point["instances"].values())
        assert estimate(point["instances"], "ge").figures["ge"].value == point["metrics"]["ge"]["value"]
        assert hwq("rtl", texts[0], "-o", tmp_path / f"rtl{point['number']}")[0] == 0


def test_a_perfect_score_has_its_interval(hwq: Hwq, tiny: str, tmp_path: Path) -> None:
    code, out, _ = hwq("search", tiny, *options(tmp_path, budget=1))
    assert code == 0
    assert "1.0000 [0.6756, 1.0000]" in out  # Wilson's of 8 of 8
    assert "[95 % interval]" in out
    assert "[90 % interval]" in out


@pytest.mark.parametrize(
    ("old", "new"), [("last =", "body ="), ("first =", "midle = 'int8*int8'\nfirst =")], ids=["missing", "unknown"]
)
def test_roles_are_checked_before_a_search(hwq: Hwq, tiny: str, tmp_path: Path, old: str, new: str) -> None:
    (tmp_path / "space.toml").write_text(SPACE.replace(old, new))
    code, out, err = hwq("search", tiny, *options(tmp_path))
    assert (code, out) == (2, "")
    assert re.fullmatch(r"error: an assignment must have the roles first, last and names of layers, not \S+, .*\n", err)
    assert not (tmp_path / "s.sqlite").exists()


def test_an_assignment_with_a_role_of_no_layer_is_refused(tiny: str) -> None:
    with pytest.raises(HwqError, match="must have the roles first, last and names of layers, not first, last, midle"):
        ptq.quantize(zoo.load(tiny), dict.fromkeys(("first", "last", "midle"), "int8*int8"))


def test_a_search_in_which_everything_fails_is_no_success(hwq: Hwq, tiny: str, tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(SPACE.replace("first = 'int8*{w} @2x2'", "").replace("@2x2", "->int8[bias]"))
    plot = ["--plot", tmp_path / "f.png"]
    code, out, _ = hwq("search", tiny, *options(tmp_path), *plot)
    assert code == 1
    assert re.search(r"^2 points failed; the first: accuracy: the datapath of '0' must requantize, not .*", out, re.M)
    assert not (tmp_path / "f.png").exists()
    code, out, _ = hwq("search", tiny, *options(tmp_path), "--json")
    told = json.loads(out)
    assert (code, told["failed"], told["front"]) == (1, 2, [])
    assert told["first_error"].startswith("accuracy: the datapath of '0' must requantize")


def test_failures_are_retried_on_request(hwq: Hwq, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object) -> None:
        raise RuntimeError("for a while")

    with monkeypatch.context() as patch:
        patch.setattr("hwq.ptq.engine.Quantizer.quantize", fails)
        assert hwq("search", tiny, *options(tmp_path))[0] == 1
    code, out, _ = hwq("search", tiny, *options(tmp_path))
    assert code == 1
    assert "RuntimeError: for a while; --retry runs them again" in out
    code, out, _ = hwq("search", tiny, *options(tmp_path), "--retry")
    assert code == 0
    assert "failed" not in out


def test_the_space_of_a_rule_is_counted(hwq: Hwq, tiny: str, tmp_path: Path) -> None:
    code, out, _ = hwq("search", tiny, *options(tmp_path), "--json")
    told = json.loads(out)
    assert (code, told["space"], told["combinations"]) == (0, 2, 4)
    assert told["rules"] == ["roles agree on w"]


def test_stored_figures_know_the_code_that_made_them(tiny: str, tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "share.py").write_text("old")
    before = code_digest.__wrapped__(("rules",), tmp_path)
    (tmp_path / "rules" / "share.py").write_text("new")
    assert code_digest.__wrapped__(("rules",), tmp_path) != before
    subject = Subject(zoo.load(tiny), "rtn")
    scored = code_digest(("bits", "formats", "datapath", "ptq", "zoo"))
    found = [subject.accuracy(8), subject.area("ge"), subject.latency()]
    assert all(scored in measure.key for measure in found)
    assert code_digest(("costmodel",)) in found[1].key
    assert len({measure.key for measure in found}) == 3


def test_a_loss_is_not_said_to_be_saved(capsys: pytest.CaptureFixture[str]) -> None:
    area = {"certified": {"value": 1500.0}, "any_weights": {"value": 1000.0}}
    bits: dict[str, object] = {"bits": {"body": 8}, "needs": {}, "bits_any_weights": {"body": 28}}
    print_accumulators({"device": "ge", "instances": {"body": "a"}, **bits, "ge": area, "ge_saved": -500.0})
    said = capsys.readouterr().out
    assert "ge on ge: 1,000 for any weights, 1,500 certified, 500 more than for any weights\n" in said
