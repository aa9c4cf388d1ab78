"""Plots: reproducible bytes, labels that tell points apart, texts that do not overlap."""

import itertools
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation

import hwq
from hwq import plot
from hwq.errors import HwqError
from hwq.plot import fronts
from hwq.plot.formats import _errors
from hwq.plot.place import place
from hwq.search import Assignment, Axis, Measure, Space, Study, front

TEXTS = ("int8*int8 @8x8", "int6*int6 @8x8", "int8*int4 @8x8", "int4*int4 @8x8", "int8*ternary @8x8")
WORTH = dict(zip(TEXTS, (0.3, 0.9, 1.2, 4.5, 6.0), strict=True))
LUT = dict(zip(TEXTS, (61, 44, 35, 23, 22), strict=True))


@dataclass(frozen=True)
class Bounded:
    value: float
    low: float
    high: float


def accuracy(assignment: Assignment) -> Bounded:
    value = 92 - sum(WORTH[text] for text in assignment.values())
    return Bounded(value, value - 1.2, value + 1.1)


def lut(assignment: Assignment) -> float:
    return 64.0 * sum(LUT[text] for text in assignment.values())


def latency(assignment: Assignment) -> float:
    return float(sum((1 + role) * (1 + 3 * TEXTS.index(text) % 5) for role, text in enumerate(assignment.values())))


OBJECTIVES = [
    Measure("accuracy", "% of 512 images", "high", "1", accuracy, interval="95 %"),
    Measure("lut", "LUT", "low", "1", lut, "T1 Yosys 0.70 xc7"),
    Measure("latency", "cycles", "low", "1", latency),
]


def study(folder: Path, roles: int, objectives: int = 2, fit: tuple[str, ...] = ()) -> Study:
    space = Space.of({f"role{place_}": TEXTS for place_ in range(roles)})
    found = Study(space, OBJECTIVES[:objectives], folder / "s.db", fit=fit)
    found.run(len(space))
    return found


def draw_all(folder: Path) -> list[Path]:
    """One picture of every kind in both kinds of file."""
    paths = []
    with study(folder, roles=2, objectives=3, fit=("lut<=6000",)) as found:
        for kind in ("png", "svg"):
            paths += [folder / f"{name}.{kind}" for name in ("front", "breakdown", "formats", "progress")]
            plot.front(found, paths[-4], "lut", "accuracy", "a title")
            plot.cost_breakdown([("rows", 48), ("control", 0.25), ("decode", 0)], paths[-3], "LUT, T1")
            plot.formats_compare([hwq.parse_format(name) for name in ("int8", "fp8_e4m3", "fp(5,4)")], paths[-2])
            plot.progress(found, paths[-1])
    return paths


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """A study of 125 points with a long front."""
    with study(tmp_path_factory.mktemp("crowd"), roles=3, objectives=3) as found:
        yield found


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that `front` draws during a test."""
    figures: list[Figure] = []
    drawing = fronts.drawing

    @contextmanager
    def kept(path: Path | str, width: float, height: float) -> Iterator[Figure]:
        with drawing(path, width, height) as figure:
            yield figure
            figures.append(figure)

    monkeypatch.setattr(fronts, "drawing", kept)
    return figures


def test_same_data_same_bytes(tmp_path: Path) -> None:
    """Also in another process with other hashes, and with the user's own matplotlib settings."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with matplotlib.rc_context({"font.size": 20, "svg.hashsalt": "mine", "axes.grid": True}):
        paths = draw_all(tmp_path / "a")
    code = "import sys, pathlib, test_plot; test_plot.draw_all(pathlib.Path(sys.argv[1]))"
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "7",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "b")], check=True, env=environment)
    assert len(paths) == 8
    for path in paths:
        content = path.read_bytes()
        assert content == (tmp_path / "b" / path.name).read_bytes()
        assert content.startswith(b"\x89PNG" if path.suffix == ".png" else b"<?xml")
        assert matplotlib.__version__.encode() not in content
    assert {path.suffix for path in (tmp_path / "a").iterdir()} == {".png", ".svg", ".db"}


def test_no_global_state_and_no_early_import(tmp_path: Path) -> None:
    code = (
        "import sys, hwq.plot; early = 'matplotlib' in sys.modules;"
        "hwq.plot.cost_breakdown([('a', 1.0)], sys.argv[1], 'LUT'); import matplotlib;"
        "print(early, 'matplotlib.pyplot' in sys.modules, matplotlib.rcParams['svg.hashsalt'])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(tmp_path / "a.png")]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    assert result.stdout == "False False None\n"


def test_front_shows_every_point_once(tmp_path: Path, drawn: list[Figure]) -> None:
    with study(tmp_path, roles=2, objectives=3, fit=("lut<=6000",)) as found:
        plot.front(found, tmp_path / "f.png", "lut", "accuracy")
        points, best = found.points(), found.front()
        steps = front(best, found.axes[:2])
    (axes,) = drawn[0].axes
    legend = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    outside = sum(not point.feasible for point in points)
    assert outside and len(steps) < len(best)
    assert legend == [
        f"beyond a limit ({outside})",
        f"evaluated ({len(points) - outside - len(best)})",
        f"front, by another objective ({len(best) - len(steps)})",
        f"front ({len(steps)})",
        "95 % interval of accuracy",
        "limit lut<=6000",
    ]
    assert axes.get_xlabel() == "lut (LUT, T1 Yosys 0.70 xc7)"
    assert axes.get_ylabel() == "accuracy (% of 512 images)"
    assert all(f"\n{point.number:<2}  " in axes.texts[1].get_text() for point in best)


def test_each_kind_of_bar_is_named(tmp_path: Path, drawn: list[Figure]) -> None:
    def spread(assignment: Assignment) -> Bounded:
        return Bounded(lut(assignment), lut(assignment) * 0.9, lut(assignment) * 1.1)

    cost = Measure("lut", "LUT", "low", "1", spread, interval="90 %")
    for number, (first, names) in enumerate(
        [
            (OBJECTIVES[0], ["90 % interval of lut", "95 % interval of accuracy"]),
            (OBJECTIVES[2], ["90 % interval of lut"]),
        ]
    ):
        with Study(Space.of({"body": TEXTS}), [first, cost], tmp_path / f"{number}.db") as found:
            found.run(5)
            plot.front(found, tmp_path / "f.png", "lut", first.name)
        legend = [text.get_text() for text in drawn[number].legends[0].get_texts()]
        assert [name for name in legend if "interval" in name] == names


def test_front_of_one_role_is_labelled_directly(tmp_path: Path, drawn: list[Figure]) -> None:
    with study(tmp_path, roles=1) as found:
        plot.front(found, tmp_path / "f.png", "lut", "accuracy")
    assert {note.get_text() for note in notes(drawn[0])} == {"int8", "int6", "int8*int4", "int4", "int8*ternary"}


def test_final_front_says_what_was_scored_before(tmp_path: Path, drawn: list[Figure]) -> None:
    final = Measure("accuracy", "% of 2,000 images", "high", "2", lambda assignment: accuracy(assignment).value - 0.5)
    with study(tmp_path, roles=2) as found:
        rescored = found.rescore(found.front(), final)
        plot.front(found, tmp_path / "f.png", "lut", "accuracy", final=(rescored, Axis.of(final)))
    (axes,) = drawn[0].axes
    assert axes.get_ylabel() == "accuracy (% of 2,000 images)"
    assert "% of 512 images" in drawn[0].legends[0].get_texts()[0].get_text()
    assert {point.values["accuracy"] for point in rescored} <= {
        float(y) for line in axes.lines for y in line.get_ydata()
    }


def test_wide_ranges_are_logarithmic(tmp_path: Path, drawn: list[Figure]) -> None:
    wide = Measure("lut", "LUT", "low", "1", lambda assignment: lut(assignment) ** 4)
    with Study(Space.of({"body": TEXTS}), [OBJECTIVES[0], wide], tmp_path / "s.db") as found:
        found.run(5)
        plot.front(found, tmp_path / "f.png", "lut", "accuracy")
    (axes,) = drawn[0].axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")


def notes(figure: Figure) -> list[Annotation]:
    return [text for text in figure.axes[0].texts if isinstance(text, Annotation)]


@pytest.mark.parametrize(("x", "y"), list(itertools.permutations(("accuracy", "lut", "latency"), 2)))
def test_labels_do_not_overlap(crowd: Study, tmp_path: Path, drawn: list[Figure], x: str, y: str) -> None:
    plot.front(crowd, tmp_path / "f.png", x, y)
    best = crowd.front()
    spots = {(point.values[x], point.values[y]) for point in best}
    numbers = [number for note in notes(drawn[0]) for number in note.get_text().split(", ")]
    assert sorted(numbers, key=int) == sorted((str(point.number) for point in best), key=int)
    assert len(notes(drawn[0])) == len(spots) > 5
    disjoint(drawn[0])


def disjoint(figure: Figure) -> None:
    boxes = [note.get_window_extent() for note in notes(figure)]
    inside = figure.axes[0].get_window_extent()
    assert boxes
    for box in boxes:
        assert inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
    for one, two in itertools.combinations(boxes, 2):
        assert not one.overlaps(two)


def test_place_refuses_what_cannot_be_placed() -> None:
    figure = Figure(figsize=(4, 3), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    chance = random.Random(1)
    anchors = [(chance.random(), chance.random()) for _ in range(20)]
    assert place(axes, anchors, [str(number) for number in range(20)], [], 8)
    assert len(notes(figure)) == 20
    disjoint(figure)
    assert not place(axes, anchors, ["a long text that fits a few times at most"] * 20, [], 12)
    assert len(notes(figure)) == 20


@pytest.mark.parametrize(
    ("assignments", "labels"),
    [
        ([{"body": "int8*int8 @8x8"}, {"body": "int4*int4 @8x8"}], ["int8", "int4"]),
        ([{"body": "int8*int8 @8x8"}, {"body": "int8*int8 @4x4"}], ["@8x8", "@4x4"]),
        ([{"body": "int8*int8"}, {"body": "int8*int8 +fixed(24) cut=mul"}], ["+exact", "+fixed(24)"]),
        ([{"body": "int8*int8"}, {"body": "int8*int8 cut=mul"}], ["no cut", "cut=mul"]),
        (
            [{"body": f"{mac} @{size}"} for mac in ("int8*int4", "int4*int4") for size in ("4x4", "8x8")],
            ["int8*int4 @4x4", "int8*int4 @8x8", "int4 @4x4", "int4 @8x8"],
        ),
        (
            [
                {"first": "int8*int8", "body": "int8*int8", "last": "int8*int8"},
                {"first": "int8*int8", "body": "int4*int4", "last": "int8*int8"},
                {"first": "int8*int8", "body": "int4*int4", "last": "int4*int4"},
            ],
            ["body, last int8", "body int4 · last int8", "body, last int4"],
        ),
        (
            [
                {"first": "int8*int8", "last": "int8*int8"},
                {"first": "int4*int8", "last": "int8*int8"},
                {"first": "int4*int8", "last": "int4*int8"},
            ],
            ["int8", "first int4*int8 · last int8", "int4*int8"],
        ),
        ([{"first": "int8*int8", "last": "int4*int4"}], ["first int8 · last int4"]),
        ([{"body": "int8*int8"}] * 2, ["int8"] * 2),
        ([], []),
    ],
)
def test_differences_tell_apart(assignments: list[dict[str, str]], labels: list[str]) -> None:
    assert plot.differences(assignments) == labels


def test_rounding_error_is_that_of_the_format() -> None:
    """Against quantizing a fine grid: nothing in a binade rounds worse, and something nearly as badly."""
    fmt = hwq.parse_format("fp8_e4m3")
    values = np.asarray(fmt.decode(fmt.codes()), dtype=np.float64)
    edges, worst = _errors(np.unique(values[np.isfinite(values) & (values > 0)]))
    assert len(edges) == len(worst) == 20
    for low, high, error in zip(edges[:-1], edges[1:], worst[:-1], strict=True):
        grid = np.linspace(low, min(high, 448), 4001, dtype=np.float64)
        found = 100 * np.max(np.abs(fmt.quantize(grid) - grid) / grid)
        assert found <= error + 1e-9
        assert found == pytest.approx(error, rel=0.01)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda at: plot.cost_breakdown([("a", 1.0)], at / "a.gif", "LUT"), r"a plot is written to .+, not 'a\.gif'"),
        (lambda at: plot.cost_breakdown([("a", 1.0)], at / "b" / "a.png", "LUT"), r"the plot's folder must exist, .+"),
        (
            lambda at: plot.cost_breakdown([], at / "a.png", "LUT"),
            r"a breakdown must have at least one part .+, not \[\]",
        ),
        (lambda at: plot.cost_breakdown([("a", -1.0)], at / "a.png", "LUT"), r"a breakdown must have .+-1\.0\)\]"),
        (lambda at: plot.formats_compare([], at / "a.png"), "a comparison must have between 1 and 8 formats, not 0"),
    ],
)
def test_plot_wrong(tmp_path: Path, wrong: Callable[[Path], None], message: str) -> None:
    with pytest.raises(HwqError, match=f"^{message}$"):
        wrong(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_front_wrong(tmp_path: Path) -> None:
    with Study(Space.of({"body": TEXTS}), OBJECTIVES[:2], tmp_path / "s.db") as found:
        with pytest.raises(HwqError, match=r"^a plot needs at least one evaluated point without an error, not 0$"):
            plot.front(found, tmp_path / "f.png", "lut", "accuracy")
        with pytest.raises(HwqError, match=r"^a plot's axis must be one of the objectives accuracy, lut, not 'dsp'$"):
            plot.front(found, tmp_path / "f.png", "dsp", "accuracy")
        found.run(1, "nsga2")
        with pytest.raises(HwqError, match=r"^progress needs a front with a volume, .+$"):
            plot.progress(found, tmp_path / "p.png")
