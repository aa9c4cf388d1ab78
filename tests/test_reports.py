"""Reports of a price: the tree of its area, the picture of it, and what one change does."""

import itertools
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import hwq
from hwq import plot
from hwq.cli.main import run
from hwq.costmodel import Quantity, estimate, what_if
from hwq.costmodel.fabrics import FABRICS
from hwq.costmodel.tree import Tree
from hwq.costmodel.words import feature_words, piece_words
from hwq.datapath import Datapath, plan
from hwq.datapath.changes import changes
from hwq.datapath.device import DEVICES
from hwq.datapath.device import device as read_device
from hwq.datapath.fabric import modules, surroundings
from hwq.datapath.overflow import overflows
from hwq.errors import HwqError
from hwq.plot import icicle

DESIGNS = [
    "int8*int8 +fixed(24) ->int8[bias,requant,relu] @8x8",
    "fp8_e4m3*int4 @8x8",
    "fp8_e4m3*fp8_e4m3 ->bf16 round=sr",
    "mxint8*mxint8 +bf16 @4x4",
    "int8*int8 @8x8/ws k=8",
    "int4*ternary @4x4x2/tree cut=mul",
]
PRICED = [name for name in DEVICES if read_device(name).prices is not None]


# the tree


@pytest.mark.parametrize("device", PRICED)
@pytest.mark.parametrize("text", DESIGNS)
def test_every_branch_is_the_sum_of_its_parts(text: str, device: str) -> None:
    cost = estimate(text, device)
    area = next(iter(cost.figures))
    top = cost.tree
    for name, total in top.figures.items():
        assert total == pytest.approx(cost.figures[name].value, rel=1e-12, abs=1e-9)
    assert [part.key for part in top.parts] == [p.name for p in cost.breakdown if p.name in {q.key for q in top.parts}]
    for piece in top.parts:
        (found,) = (part for part in cost.breakdown if part.name == piece.key)
        assert piece.count == found.count
        assert piece.figures[area] == pytest.approx(found.figures[area].value * found.count, rel=1e-12, abs=1e-9)
        for _, part in piece.walk():
            check(part, piece, area, device)


def check(part: Tree, piece: Tree, area: str, device: str) -> None:
    """A branch is the sum of its parts, a leaf count times price."""
    assert piece.count is not None
    if part.parts:
        for name, total in part.figures.items():
            assert total == pytest.approx(math.fsum(one.figures[name] for one in part.parts), rel=1e-12, abs=1e-9)
        return
    assert part.count is not None
    if part.key in ("ff", "dsp"):
        assert part.figures[part.key] == piece.count * part.count
    if part.price is not None:
        assert part.figures[area] == pytest.approx(piece.count * part.count * part.price, rel=1e-12)
        assert not part.rule or part.price == FABRICS[device].exact[part.key]
    else:
        assert part.key in ("ff", "dsp") and not part.figures[area]


def test_a_networks_tree_holds_its_designs() -> None:
    texts = ["int8*int8 @2x2", "int4*int4 @2x2"]
    found = estimate({"first": texts[0], "body": texts[1], "last": texts[0]}, "ecp5")
    assert [part.key for part in found.tree.parts] == texts
    assert found.tree.figures["lut"] == pytest.approx(found.lut.value, rel=1e-12)


def test_a_tree_of_other_prices_is_refused() -> None:
    cost = estimate("int8*int8", "xc7")
    other = replace(cost, figures={**cost.figures, "lut": Quantity.exact(1.0)})
    with pytest.raises(HwqError, match=r"^a tree must sum to the lut of its cost, 1, not 64\."):
        _ = other.tree


def test_what_is_priced_has_words() -> None:
    for device in PRICED:
        for field in (read_device(device).prices or {}).values():
            for name in {name for kind in field.values() for name in kind}:
                assert feature_words(name) != (name, name)
                assert "{" not in "".join(feature_words(name, cells=True))
    for text in (*DESIGNS, "fp8_e5m2*fp8_e5m2 use=banks"):
        made = plan(Datapath.parse(text), "xc7")
        for name in (*modules(made, 2, 2), *surroundings(made, 2, 2)):
            assert piece_words(name) != name or name in ("control", "parameters")
    assert feature_words("mux4:2:row") == ("multiplexers", "bits of 4:1, 2 legs live, before an adder")
    assert feature_words("a new one:3") == ("a new one:3", "a new one:3")


def test_an_estimate_makes_no_tree() -> None:
    code = "import sys, hwq; hwq.estimate('int8*int8', device='xc7').ff; print('hwq.costmodel.tree' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "False\n"


# the picture


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn during a test."""
    figures: list[Figure] = []
    drawing = icicle.drawing

    @contextmanager
    def kept(path: Path | str, width: float, height: float) -> Iterator[Figure]:
        with drawing(path, width, height) as figure:
            yield figure
            figures.append(figure)

    monkeypatch.setattr(icicle, "drawing", kept)
    return figures


@pytest.mark.parametrize("device", ["ice40", "ge"])
@pytest.mark.parametrize("text", [DESIGNS[0], DESIGNS[2], "int8*int8"])
def test_every_label_stands_in_its_rectangle(text: str, device: str, tmp_path: Path, drawn: list[Figure]) -> None:
    top = estimate(text, device).tree
    plot.cost_tree(top, tmp_path / "a.png", "area", text)
    (axes,) = drawn[0].axes
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert len(boxes) == len(axes.texts) > 4
    for box, words in zip(boxes, axes.texts, strict=True):
        if words.get_text():
            outer, inner = box.get_window_extent(), words.get_window_extent()
            assert outer.x0 <= inner.x0 and inner.x1 <= outer.x1
            assert outer.y0 <= inner.y0 and inner.y1 <= outer.y1
    for one, two in itertools.combinations(boxes, 2):
        apart = one.get_x() != two.get_x() or min(end(one), end(two)) <= max(one.get_y(), two.get_y()) + 1e-9
        assert apart
    first = max(box.get_x() for box in boxes if box.get_x() == boxes[1].get_x())
    shares = sum(box.get_height() for box in boxes if box.get_x() == first)
    assert shares == pytest.approx(1)


def end(box: Rectangle) -> float:
    return box.get_y() + box.get_height()


def test_small_parts_are_drawn_together(tmp_path: Path, drawn: list[Figure]) -> None:
    small = [Tree(f"s{at}", f"s{at}", 1, {"lut": 2.0}) for at in range(4)]
    thin = Tree("thin", "thin", 1, {"lut": 1.0})
    saved = Tree("saved", "saved", 1, {"lut": -3.0})
    top = Tree("top", "top", 1, {"lut": 96.0}, (Tree("big", "big", 1, {"lut": 90.0}), *small, thin, saved))
    plot.cost_tree(top, tmp_path / "a.svg", "lut")
    (axes,) = drawn[0].axes
    assert [text.get_text() for text in axes.texts] == ["96\n100 %", "big  90  (94 %)", "other (5)  9  (9 %)"]
    assert axes.get_xlabel() == "lut; not drawn: saved -3"
    again = tmp_path / "b.svg"
    plot.cost_tree(top, again, "lut")
    assert again.read_bytes() == (tmp_path / "a.svg").read_bytes()


def test_a_picture_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HwqError, match=r"^a picture of a tree needs a lut above 0, not 0$"):
        plot.cost_tree(Tree("top", "top", 1, {"lut": 0.0}), tmp_path / "a.png", "lut")


# one change


@pytest.mark.parametrize("text", [*DESIGNS, "fp8_e4m3*fp4_e2m1 +fixed(20,4,sat) ->fp8_e5m2 cut=mul,align"])
def test_each_change_is_another_datapath(text: str) -> None:
    dp = Datapath.parse(text)
    found = list(changes(dp))
    made = [change.dp for change in found if change.dp is not None]
    assert len(made) >= 4 and len({*made, dp}) == len(made) + 1
    assert len({change.what for change in found}) == len(found)
    assert all(change.effect and Datapath.parse(str(change.dp)) == change.dp for change in found if change.dp)


@pytest.mark.parametrize("name", sorted(hwq.catalog))
def test_without_subnormals_only_the_smallest_are_gone(name: str) -> None:
    fmt = hwq.parse_format(name)
    try:
        bare = fmt.subnormal(False)
    except HwqError:
        assert any(special in fmt.text for special in ("fnuz", "p3109"))
        return
    assert bare.subnormal(False) == bare and bare.subnormal(True) == fmt
    if bare != fmt and fmt.bits <= 10:
        kept, before = (
            {v for code in f.codes().tolist() if isinstance(v := f.value(code), Fraction)} for f in (bare, fmt)
        )
        assert kept < before
        assert kept == {v for v in before if not v or abs(v) >= bare.least_positive}


def test_so_many_products_fit_and_not_one_more() -> None:
    dp = Datapath.parse("int4*int4 +fixed(14)")
    effects = {change.what: change for change in changes(dp)}
    for what, terms in (("accumulator -4 bits", 7), ("accumulator +4 bits", 2047), ("accumulator -8 bits", 0)):
        changed = effects[what]
        assert changed.dp is not None
        words = f"sums of {terms + 1:,} products or more can wrap" if terms else "one product can wrap"
        assert changed.effect == words
        worst = np.full((1, terms + 1), 8, dtype=np.uint8)  # -8 * -8
        assert overflows(changed.dp.mac, worst, worst).events == 1
        if terms:
            assert overflows(changed.dp.mac, worst[:, 1:], worst[:, 1:]).events == 0
    assert effects["accumulator +8 bits"].effect == "any 4,096 products fit now"
    assert effects["accumulator exact"].effect == "exact, 20 bits: nothing is lost of 4,096 products"
    assert effects["overflow sat"].effect == "a sum stops at the ends, and its order counts"


def test_what_cannot_be_changed_is_left_out_with_a_reason() -> None:
    found = {change.what: change.effect for change in what_if("int8*int8", "xc7").left_out}
    assert found == {
        "subnormals": "no format of int8*int8, its sum or its output has any",
        "overflow": "an exact sum has none",
        "rounding": "no output format rounds; write ->FORMAT",
    }
    found = {change.what: change.effect for change in what_if("fp8_e4m3fnuz*fp4_e2m1 +bf16", "ge").left_out}
    assert found["a without subnormals"].startswith("fnuz has one code of zero")
    assert found["accumulator width"] == "+bf16 is a float; write another format, or +fixed(bits)"


def test_a_fused_sum_has_no_aligned_product_to_cut() -> None:
    text = "fp8_e4m3*fp8_e4m3 +align(1,24,rtz)"
    found = what_if(text, "ge")
    assert "cut mul" in {change.what for change, _ in found.rows}
    assert "cut align" not in {change.what for change, _ in found.rows}
    assert any("must keep the 23 fraction bits" in change.effect for change in found.left_out)
    with pytest.raises(HwqError, match=r"^cut must name stages of unpack, mul1, mul2, mul, not 'align'$"):
        Datapath.parse(f"{text} cut=align")


def test_cost_prints_its_tree_and_its_changes(capsys: pytest.CaptureFixture[str]) -> None:
    text = "fp8_e4m3*int4 ->bf16 @2x2"
    assert run(["cost", text, "-d", "ecp5", "--tree", "--what-if", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["tree"]["lut"] == pytest.approx(record["lut"]["value"], rel=1e-12)
    assert {part["part"] for part in record["tree"]["parts"]} >= {"pe", "epilogue", "control"}
    rows = {row["change"]: row for row in record["what_if"]["rows"]}
    bare = rows["a without subnormals"]
    assert bare["datapath"] == "fp(4,3,nan,nosub)*int4 ->bf16 @2x2"
    more = bare["lut"]["value"] / record["lut"]["value"] - 1
    assert bare["difference"]["lut"] == pytest.approx(more)
    assert rows["cut mul"]["difference"]["fmax_mhz"] is not None
    assert run(["cost", text, "-d", "ecp5", "--tree", "--what-if"]) == 0
    shown = capsys.readouterr().out
    assert "processing element (pe)" in shown and "bits of 4:1" in shown
    assert "round rtz" in shown and "left out: overflow: an exact sum has none" in shown
