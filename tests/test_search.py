"""Spaces, studies and fronts. Run as a script, this file kills a study at random moments (see `killed`)."""

import importlib
import itertools
import json
import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwq.errors import HwqError
from hwq.search import (
    Assignment,
    Axis,
    Limit,
    Measure,
    Point,
    Space,
    Study,
    assignment_key,
    choices,
    dominates,
    front,
    hypervolume,
    report,
    write,
)
from hwq.zoo import Score

TEXTS = ("int8*int8", "int8*int6", "int8*int4", "int6*int6", "int6*int4", "int4*int4")
SPACE = Space.of({"first": TEXTS, "body": TEXTS, "last": TEXTS})
BITS = {text: sum(int(part.removeprefix("int")) for part in text.split("*")) for text in TEXTS}
KILLS = 20
BUDGETS = {"exhaustive": 216, "nsga2": 100}
PAUSE_S = 0.02


def area(assignment: Assignment) -> float:
    return float(sum(BITS[text] ** 2 for text in assignment.values()))


def quality(assignment: Assignment) -> Score:
    value = 100 - sum(math.exp(-BITS[text] / (2 + place)) for place, text in enumerate(assignment.values()))
    return Score(value, value - 1.5, value + 1.5, 512)


def objectives(pause_s: float = 0.0) -> list[Measure]:
    def slow(assignment: Assignment) -> Score:
        time.sleep(pause_s)
        return quality(assignment)

    return [Measure("accuracy", "%", "high", "images 1", slow), Measure("lut", "LUT", "low", "device 1", area, "T1")]


def contents(study: Study) -> tuple[list[Point], list[Point]]:
    return study.points(), study.front()


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, sorted: what two stores must have in common to be the same."""
    with closing(sqlite3.connect(path)) as connection, connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        assert len(tables) == 4
        return {table: sorted(connection.execute(f"SELECT * FROM {table}"), key=repr) for table in tables}


def python(*arguments: str) -> str:
    """Output of another interpreter that finds the modules this one finds."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


# ---------------------------------------------------------------------------------------------------------- kill -9


def killed(folder: Path, sampler: str) -> None:
    """Kill a study KILLS times at random moments, let it finish, and print how many points each kill found.

    Every second kill waits for some new points first, so that they spread over the run however slow the machine is;
    a run that makes its share of points waits to be killed, so that none ends before its kill however late that comes.
    """
    share = (BUDGETS[sampler] - 1) // KILLS
    chance = random.Random(sampler)
    if sampler == "nsga2":
        importlib.import_module("hwq.search.nsga2")  # once, so that the kills fall into the search and not into imports
    reached: list[int] = []
    while len(reached) < KILLS:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            run_to_end(folder / "killed.db", sampler, PAUSE_S, writer, share)
            os._exit(0)
        os.close(writer)
        if len(reached) % 2:
            for _ in range(chance.randint(1, share)):
                os.read(reader, 1)
        time.sleep(chance.uniform(0, 2 * PAUSE_S))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "a study must be killed, not end with an error"
        os.close(reader)
        with Study(SPACE, objectives(), folder / "killed.db") as study:
            reached.append(len(study.points()))
    run_to_end(folder / "killed.db", sampler)
    print(json.dumps(reached))


def run_to_end(path: Path, sampler: str, pause_s: float = 0.0, pipe: int | None = None, most: int = 0) -> None:
    """Run a study to its budget; write one byte to a pipe after each new point, and wait for ever after `most`."""
    new = itertools.count(1)

    def told(point: Point, done: int, wanted: int) -> None:
        if pipe is not None:
            os.write(pipe, b".")
            if next(new) == most:
                signal.pause()

    with Study(SPACE, objectives(pause_s), path) as study:
        study.run(BUDGETS[sampler], sampler, told)


@pytest.mark.parametrize("sampler", sorted(BUDGETS))
def test_killed_20_times_equals_uninterrupted(tmp_path: Path, sampler: str) -> None:
    reached = json.loads(python(__file__, str(tmp_path), sampler))
    run_to_end(tmp_path / "whole.db", sampler)
    assert len(reached) == KILLS
    assert reached == sorted(reached)
    assert len(set(reached)) >= KILLS // 2  # the kills were spread over the run
    with (
        Study(SPACE, objectives(), tmp_path / "killed.db") as one,
        Study(SPACE, objectives(), tmp_path / "whole.db") as two,
    ):
        assert len(one.points()) == BUDGETS[sampler]
        assert contents(one) == contents(two)
        assert one.hypervolume() == two.hypervolume()
    assert rows(tmp_path / "killed.db") == rows(tmp_path / "whole.db")


# ------------------------------------------------------------------------------------------------------------ studies


def test_auto_sweeps_a_space_that_fits_the_budget(tmp_path: Path) -> None:
    small = Space.of({"body": TEXTS, "last": TEXTS[:2]})
    with Study(small, objectives(), tmp_path / "s.db") as study:
        study.run(budget=50)
        assert [point.assignment for point in study.points()] == list(small)
        assert [point.number for point in study.points()] == list(range(12))
        assert study.points()[0].values == {"accuracy": quality(small.assignment(0)).value, "lut": 512.0}


def test_nsga2_spends_its_budget_on_distinct_points(tmp_path: Path) -> None:
    with Study(SPACE, objectives(), tmp_path / "s.db") as study:
        study.run(budget=60)
        points = study.points()
        assert len({assignment_key(point.assignment) for point in points}) == len(points) == 60


def test_nsga2_begins_with_one_text_in_all_roles(tmp_path: Path) -> None:
    space = Space.of(
        {"first": TEXTS[:4], "body": TEXTS[2:], "last": TEXTS[1:]}, {"not all": lambda a: a["first"] != TEXTS[3]}
    )
    with Study(space, objectives(), tmp_path / "s.db") as study:
        study.run(10)
        alike = [len(set(point.assignment.values())) == 1 for point in study.points()]
    assert alike == [True] + [False] * 9  # int8*int4; the rule forbids int6*int6


def test_nsga2_uses_up_a_space_and_stops(tmp_path: Path) -> None:
    small = Space.of(
        {"first": TEXTS[:1], "body": TEXTS[:4], "last": TEXTS[:3]}, {"not widest": lambda a: BITS[a["body"]] < 16}
    )
    with Study(small, objectives(), tmp_path / "s.db") as study:
        study.run(budget=100, sampler="nsga2")
        assert len(study.points()) == len(small) == 9


def test_nsga2_beats_chance(tmp_path: Path) -> None:
    """The front's volume after 64 points, against the mean of random 64-point subsets of the swept space."""
    reference = {"accuracy": 95.0, "lut": 768.0}
    with Study(SPACE, objectives(), tmp_path / "all.db") as study:
        study.run(216)
        every, best = study.points(), study.hypervolume(reference).value
    with Study(SPACE, objectives(), tmp_path / "s.db") as study:
        study.run(64)
        found = study.hypervolume(reference).value
        axes = study.axes
    chance = random.Random(0)
    by_chance = [hypervolume(chance.sample(every, 64), axes, reference).value for _ in range(20)]
    assert max(by_chance) <= best
    assert found > np.mean(by_chance)


def test_a_larger_budget_goes_on_where_the_smaller_stopped(tmp_path: Path) -> None:
    for name, budgets in (("a.db", (7, 30, 48)), ("b.db", (48,))):
        for budget in budgets:
            with Study(SPACE, objectives(), tmp_path / name, seed=3) as study:
                study.run(budget)
                assert len(study.points()) == budget
    assert rows(tmp_path / "a.db") == rows(tmp_path / "b.db")


def test_seed_decides_and_is_enough(tmp_path: Path) -> None:
    found = []
    for name, seed in (("a.db", 1), ("b.db", 1), ("c.db", 2)):
        with Study(SPACE, objectives(), tmp_path / name, seed=seed) as study:
            study.run(40)
            found.append(contents(study))
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_trial_seed_is_the_same_everywhere() -> None:
    from hwq.search.nsga2 import trial_seed

    assert trial_seed(0, 0) == 0x5513E3EA  # printf 0/0 | sha256sum | head -c 8
    assert len({trial_seed(seed, number) for seed in range(20) for number in range(50)}) == 1000


def test_a_running_trial_runs_again_under_its_number(tmp_path: Path) -> None:
    def interrupted(assignment: Assignment) -> float:
        if len(seen) == 9:
            raise KeyboardInterrupt
        seen.append(assignment)
        return area(assignment)

    seen: list[Assignment] = []
    measures = [Measure("accuracy", "%", "high", "1", quality), Measure("lut", "LUT", "low", "1", interrupted)]
    with Study(SPACE, measures, tmp_path / "s.db") as study:
        with pytest.raises(KeyboardInterrupt):
            study.run(20)
        assert [point.assignment for point in study.points()] == seen
        trials = {number: text for _, number, text in rows(tmp_path / "s.db")["trial"]}
        assert len(trials) == 10
    seen.clear()
    with Study(SPACE, measures, tmp_path / "s.db") as study:
        study.run(18)  # evaluates 9 more, the running one first
        assert assignment_key(seen[0]) == trials[9]
        assert assignment_key(study.points()[9].assignment) == trials[9]
        assert len(study.points()) == 18


def test_nothing_is_evaluated_twice(tmp_path: Path) -> None:
    calls: list[str] = []

    def counted(name: str, function: Callable[[Assignment], float]) -> Callable[[Assignment], float]:
        def call(assignment: Assignment) -> float:
            calls.append(name)
            return function(assignment)

        return call

    def measures(device: str) -> list[Measure]:
        accuracy = Measure("accuracy", "%", "high", "model 1", counted("accuracy", lambda a: quality(a).value))
        return [accuracy, Measure("lut", "LUT", "low", device, counted("lut", area))]

    def run(device: str, seed: int = 0, fit: tuple[str, ...] = ()) -> list[Point]:
        calls.clear()
        with Study(small, measures(device), tmp_path / "s.db", seed, fit) as study:
            study.run(12)
            return study.points()

    small = Space.of({"body": TEXTS, "last": TEXTS[:2]})
    first = run("device 1")
    assert sorted(calls) == ["accuracy"] * 12 + ["lut"] * 12
    assert run("device 1") == first
    assert calls == []
    assert run("device 2") == first  # a changed device file: the accuracies are kept
    assert calls == ["lut"] * 12
    assert [point.values for point in run("device 2", seed=1, fit=("lut<300",))] == [point.values for point in first]
    assert calls == []


def test_a_failure_is_kept_and_spoils_nothing_else(tmp_path: Path) -> None:
    broken = [True]

    def fails(assignment: Assignment) -> float:
        if broken[0] and assignment["body"] == "int6*int4":
            raise RuntimeError("no memory\nfor this one")
        if assignment["body"] == "int4*int4":
            return math.nan
        if assignment["body"] == "int6*int6":
            raise HwqError("k must be at most 4096, not 8192")
        return area(assignment)

    measures = [Measure("accuracy", "%", "high", "1", quality), Measure("lut", "LUT", "low", "1", fails)]
    with Study(Space.of({"body": TEXTS}), measures, tmp_path / "s.db") as study:
        study.run(6)
        errors = {point.assignment["body"]: point.error for point in study.points() if point.error}
        assert errors == {
            "int6*int4": "lut: RuntimeError: no memory",
            "int4*int4": "lut: an objective's value must be finite, within its bounds, not nan",
            "int6*int6": "lut: k must be at most 4096, not 8192",
        }
        assert [point.values.keys() for point in study.points() if point.error] == [{"accuracy"}] * 3
        assert {point.assignment["body"] for point in study.front()} == set(TEXTS) - errors.keys()
        broken[0] = False
        study.run(6)
        assert sum(point.error is not None for point in study.points()) == 3  # kept until the user says otherwise
        assert study.forget_errors() == 3
        study.run(6)
        assert sum(point.error is not None for point in study.points()) == 2


@pytest.mark.parametrize("error", [MemoryError("all of it"), OSError("disk full"), KeyboardInterrupt()])
def test_what_is_not_the_points_own_fault_is_not_kept(tmp_path: Path, error: BaseException) -> None:
    broken = [True]

    def fails(assignment: Assignment) -> float:
        if broken[0] and assignment["body"] == TEXTS[1]:
            raise error
        return area(assignment)

    with Study(Space.of({"body": TEXTS}), [Measure("lut", "LUT", "low", "1", fails)], tmp_path / "s.db") as study:
        with pytest.raises(type(error)):
            study.run(6)
        assert len(study.points()) == 1
        broken[0] = False
        study.run(6)
        assert [point.error for point in study.points()] == [None] * 6


def test_figures_are_printed_by_their_objective() -> None:
    def axis(decimals: int | None) -> Axis:
        return Axis("lut", "LUT", "low", "1", decimals=decimals)

    assert axis(4).text(1.0, 0.51, 1.0) == "1.0000 [0.5100, 1.0000]"
    assert axis(4).text(0.0, 0.0, 0.4) == "0.0000 [0.0000, 0.4000]"
    assert axis(0).text(0.6, 0.6, 0.6) == "1"
    assert axis(0).text(20955.2, 19000.0, 23000.0) == "20,955 [19,000, 23,000]"
    assert axis(None).text(31.8125, 31.8125, 31.8125) == "31.8125"
    assert axis(0).digest("1") == axis(4).digest("1")  # how a figure is printed is not where it is filed


def test_failures_do_not_stop_nsga2(tmp_path: Path) -> None:
    def fails(assignment: Assignment) -> float:
        if assignment["first"] != assignment["last"]:
            raise HwqError("first must equal last")
        return area(assignment)

    with Study(SPACE, [Measure("lut", "LUT", "low", "1", fails)], tmp_path / "s.db") as study:
        study.run(60)
        assert len(study.points()) == 60
        assert 0 < sum(point.error is None for point in study.points()) < 60


def test_limits_keep_points_off_the_front(tmp_path: Path) -> None:
    with Study(SPACE, objectives(), tmp_path / "s.db", fit=("lut <= 400", "accuracy>99")) as study:
        study.run(60)
        outside = [point for point in study.points() if not point.feasible]
        assert outside
        assert all(point.values["lut"] > 400 or point.values["accuracy"] <= 99 for point in outside)
        assert study.front()
        assert all(point.values["lut"] <= 400 and point.values["accuracy"] > 99 for point in study.front())


def test_progress_is_told_of_new_points_only(tmp_path: Path) -> None:
    told: list[tuple[int, int, int]] = []
    for budget in (3, 5):
        with Study(SPACE, objectives(), tmp_path / "s.db") as study:
            study.run(budget, on_point=lambda point, done, wanted: told.append((point.number, done, wanted)))
    assert told == [(0, 1, 3), (1, 2, 3), (2, 3, 3), (3, 4, 5), (4, 5, 5)]


def test_rescore_replaces_one_figure_and_stores_it(tmp_path: Path) -> None:
    calls: list[Assignment] = []

    def better(assignment: Assignment) -> Score:
        calls.append(assignment)
        return Score(quality(assignment).value - 1, 90.0, 100.0, 2000)

    final = Measure("accuracy", "%", "high", "images 2", better)
    with Study(SPACE, objectives(), tmp_path / "s.db") as study:
        study.run(40)
        old = study.front()
        new = study.rescore(old, final)
        assert len(old) == len(new) == len(calls) > 3
        assert study.rescore(old, final) == new
        assert len(calls) == len(old)
        for before, after in zip(old, new, strict=True):
            assert after.values == {"accuracy": before.values["accuracy"] - 1, "lut": before.values["lut"]}
            assert after.intervals == {"accuracy": (90.0, 100.0)}
            assert (after.number, after.assignment) == (before.number, before.assignment)
        assert front(new, study.axes) == new
        assert study.front() == old  # the study's own figures are untouched


def test_two_processes_may_share_a_store(tmp_path: Path) -> None:
    with Study(SPACE, objectives(), tmp_path / "s.db") as one, Study(SPACE, objectives(), tmp_path / "s.db") as two:
        one.run(5)
        two.run(10)
        one.run(20)
        assert contents(one) == contents(two)
        shared = contents(one)
    with Study(SPACE, objectives(), tmp_path / "t.db") as study:
        study.run(20)
        assert contents(study) == shared


# ------------------------------------------------------------------------------------------------------- wrong studies


def damaged(path: Path) -> None:
    with Study(SPACE, objectives(), path) as study:
        study.run(20)
    content = bytearray(path.read_bytes())
    assert len(content) > 8192
    content[4096:8192] = bytes(4096)
    path.write_bytes(content)


def text_file(path: Path) -> None:
    path.write_text("number,lut\n" * 200)


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE trials (x)")


def newer(path: Path) -> None:
    Study(SPACE, objectives(), path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version=99")


def other_space(path: Path) -> None:
    Study(Space.of({"body": TEXTS}), objectives(), path).close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (damaged, r"must be a store of hwq, not a damaged or foreign file \(.+\); restore a copy or name another file"),
        (text_file, r"must be a store of hwq, not a damaged or foreign file \(file is not a database\); restore .+"),
        (foreign, r"must be a store of hwq, not another program's database; name another file"),
        (newer, r"must be a store of this hwq, not of a newer one; name another file"),
        (other_space, r"must hold the space first\(6\) x body\(6\) x last\(6\), not body\(6\); name another file"),
        (Path.mkdir, r"is not: unable to open database file; what was finished is saved; run again .+"),
    ],
)
def test_store_wrong(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    path = tmp_path / "s.db"
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(HwqError, match=rf"^[^\n]*s\.db {message}$"):
        Study(SPACE, objectives(), path)
    assert not path.is_file() or path.read_bytes() == before


def test_folder_wrong(tmp_path: Path) -> None:
    with pytest.raises(HwqError, match=r"^the store's folder must exist, not '.+nowhere'; create it first$"):
        Study(SPACE, objectives(), tmp_path / "nowhere" / "s.db")


def test_an_empty_file_is_a_new_store(tmp_path: Path) -> None:
    (tmp_path / "s.db").touch()
    with Study(SPACE, objectives(), tmp_path / "s.db") as study:
        study.run(2)
        assert len(study.points()) == 2


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    def small(*place: object, **options: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*place, **options)  # type: ignore[call-overload]
        connection.execute("PRAGMA max_page_count=12")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", small)
        message = r"^the store must be writable, but .+s\.db is not: database or disk is full; what was finished is .+$"
        with Study(SPACE, objectives(), tmp_path / "s.db") as study:
            with pytest.raises(HwqError, match=message):
                study.run(216)
            saved = study.points()
    assert 3 < len(saved) < 216
    with Study(SPACE, objectives(), tmp_path / "s.db") as study:
        study.run(216)
        assert study.points()[: len(saved)] == saved
        assert len(study.points()) == 216


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objectives": []}, r"a study must have at least one objective, each of its own name, not \[\]"),
        ({"objectives": objectives()[:1] * 2}, r"a study must have .+, not \[accuracy, accuracy\]"),
        ({"objectives": [Measure("a b", "", "low", "", area)]}, r"an objective's name must be a word, .+, not 'a b'"),
        ({"objectives": [Measure("a", "", "up", "", area)]}, r'a\.better must be "low" or "high", not \'up\''),  # type: ignore[arg-type]
        ({"fit": ("dsp<=3",)}, r"a limit must name one of the objectives accuracy, lut, not 'dsp'"),
        ({"fit": ("lut=3",)}, r"a limit must be \"name<=number\" with <=, >=, < or >, not 'lut=3'"),
        ({"fit": ("lut<=many",)}, r"the bound of 'lut<=many' must be a finite number, not 'many'"),
        ({"fit": ("lut<=inf",)}, r"the bound of 'lut<=inf' must be a finite number, not 'inf'"),
    ],
)
def test_study_wrong(tmp_path: Path, change: dict[str, object], message: str) -> None:
    given_ = {"objectives": objectives(), "fit": (), **change}
    with pytest.raises(HwqError, match=f"^{message}$"):
        Study(SPACE, given_["objectives"], tmp_path / "s.db", fit=given_["fit"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("budget", "sampler", "message"),
    [
        (0, "auto", "budget must be at least 1 point, not 0"),
        (9, "exhaustive", "an exhaustive budget must cover the space's 216 points, not 9; use nsga2"),
        (9, "tpe", 'sampler must be "auto", "exhaustive" or "nsga2", not \'tpe\''),
    ],
)
def test_run_wrong(tmp_path: Path, budget: int, sampler: str, message: str) -> None:
    with Study(SPACE, objectives(), tmp_path / "s.db") as study, pytest.raises(HwqError, match=f"^{message}$"):
        study.run(budget, sampler)


# ------------------------------------------------------------------------------------------------------------- spaces


def test_space_has_an_order() -> None:
    assert len(SPACE) == SPACE.combinations == 216
    assert list(SPACE) == [dict(zip(SPACE.roles, texts, strict=True)) for texts in itertools.product(TEXTS, repeat=3)]
    assert [SPACE.index(SPACE.assignment(index)) for index in range(216)] == list(range(216))
    assert str(SPACE) == "first(6) x body(6) x last(6)"


def test_space_makes_texts_canonical() -> None:
    space = Space.of({"body": ["int8*int8 +exact", "int8*int8", " int4*int8"]})
    assert space.roles["body"] == ("int8*int8", "int4*int8")
    assert space.digest == Space.of({"body": ["int8*int8", "int4*int8"]}).digest
    assert space.digest != Space.of({"body": ["int4*int8", "int8*int8"]}).digest


def test_rules_leave_assignments_out() -> None:
    space = Space.of({"first": TEXTS, "last": TEXTS}, {"first is last": lambda a: a["first"] == a["last"]})
    assert len(space) == 6 < space.combinations
    assert [space.index(assignment) for assignment in space] == [0, 7, 14, 21, 28, 35]
    assert space.at_most(6)
    assert not space.at_most(5)
    assert str(space) == "first(6) x last(6), first is last"
    with pytest.raises(HwqError, match=r"^index must name an allowed assignment, not 1, which breaks 'first is last'$"):
        space.assignment(1)


def test_product_fills_a_template() -> None:
    fields = {"a": ["int8", "int4"], "w": ["int8", "int4", "ternary"], "size": [4, 8]}
    space = Space.product("{a}*{w} @{size}x{size}", fields, roles=("body", "last"))
    assert len(space.roles["body"]) == 12
    assert len(space) == 144
    assert space.roles["body"][0] == "int8*int8 @4x4"
    assert space.roles["body"][-1] == "int4*ternary @8x8"


def test_product_counts_what_it_drops() -> None:
    fields = {"a": ["int8", "bad"], "w": ["int8", "int4"]}
    found = choices("{a}*{w}", fields, invalid="drop")
    assert found == ("int8*int8", "int8*int4")
    assert len(found.dropped) == 2
    assert all(line.startswith("bad*int") and ": " in line for line in found.dropped)
    assert Space.of({"first": found, "last": found}).dropped == found.dropped
    message = r"^every combination must be a datapath, but 2 of 4 are not; the first is bad\*int8: .+$"
    with pytest.raises(HwqError, match=message):
        choices("{a}*{w}", fields)
    with pytest.raises(HwqError, match=r"^every combination must be a datapath, but 1 of 1 are not; .+$"):
        choices("{a}*int8", {"a": ["bad"]}, invalid="drop")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Space.of({}), "a space must have at least one role, not 0"),
        (lambda: Space.of({"body": []}), r"role 'body' must have a list of at least one datapath text, not \[\]"),
        (lambda: Space.of({"body": "int8*int8"}), "role 'body' must have a list of .+, not 'int8.int8'"),
        (lambda: SPACE.assignment(216), "index must be between 0 and 215, not 216"),
        (lambda: SPACE.index({"body": "int8*int8"}), "an assignment must have the roles first, body, last, not body"),
        (
            lambda: SPACE.index(dict.fromkeys(SPACE.roles, "x")),
            "first must be one of the 6 choices of the space, not 'x'",
        ),
        (lambda: choices("{a}*{b}", {"a": ["int8"]}), "template '{a}.{b}' must name only the fields a, not 'b'"),
        (lambda: choices("{a}*int8", {"a": []}), r"field 'a' must have a list of at least one value, not \[\]"),
        (lambda: choices("{a}", {"a": ["x"]}, "skip"), 'invalid must be "refuse" or "drop", not \'skip\''),
    ],
)
def test_space_wrong(wrong: Callable[[], object], message: str) -> None:
    with pytest.raises(HwqError, match=f"^{message}$"):
        wrong()


# ------------------------------------------------------------------------------------------------- limits and fronts


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("lut<=20", (19, 20), (20.1,)),
        ("lut <20", (19,), (20, 21)),
        ("lut>= -2e1", (-20, 0), (-21,)),
        ("lut>0.5", (1,), (0.5, 0)),
    ],
)
def test_limit_holds(text: str, inside: tuple[float, ...], outside: tuple[float, ...]) -> None:
    limit = Limit.parse(text)
    assert [limit.holds({"lut": value}) for value in inside] == [True] * len(inside)
    assert [limit.holds({"lut": value}) for value in outside] == [False] * len(outside)
    assert Limit.parse(str(limit)) == limit


def points_of(losses: list[tuple[float, ...]]) -> tuple[list[Point], list[Axis]]:
    """Points whose losses are the given rows; every second objective is better high, so its value is the negative."""
    axes = [Axis(f"f{place}", "", "high" if place % 2 else "low", "") for place in range(len(losses[0]))]
    rows_ = [{axis.name: axis.sign * loss for axis, loss in zip(axes, row, strict=True)} for row in losses]
    return [Point(number, {}, row, {}, None, True) for number, row in enumerate(rows_)], axes


def loss_rows(dimensions: int) -> st.SearchStrategy[list[tuple[float, ...]]]:
    cell = st.integers(0, 6).map(float)
    return st.lists(st.tuples(*[cell] * dimensions), min_size=1, max_size=25)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 4).flatmap(loss_rows))
def test_front_is_what_nothing_dominates(losses: list[tuple[float, ...]]) -> None:
    points, axes = points_of(losses)
    best = front(points, axes)
    assert best
    for point in points:
        beaten = any(dominates(other, point, axes) for other in points)
        assert (point in best) == (not beaten)
    assert best == sorted(
        best, key=lambda point: [axis.sign * point.values[axis.name] for axis in axes] + [point.number]
    )


def test_front_drops_ties_that_are_worse_and_keeps_equals() -> None:
    points, axes = points_of([(1, 5), (1, 4), (2, 4), (2, 3), (2, 3), (9, 0)])
    assert [point.number for point in front(points, axes)] == [1, 3, 4, 5]


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 4).flatmap(loss_rows))
def test_hypervolume_equals_optuna_and_counted_boxes(losses: list[tuple[float, ...]]) -> None:
    """Against Optuna's WFG and against counting the unit boxes below the reference that a point dominates."""
    from optuna._hypervolume import compute_hypervolume

    points, axes = points_of(losses)
    top = 7.0
    found = hypervolume(points, axes, {axis.name: axis.sign * top for axis in axes}).value
    grid = np.array(losses)
    assert found == compute_hypervolume(grid, np.full(len(axes), top))
    boxes = np.array(list(itertools.product(range(int(top)), repeat=len(axes))))
    assert found == np.any(np.all(grid[None] <= boxes[:, None], axis=2), axis=1).sum()


def test_hypervolume_states_its_reference() -> None:
    points, axes = points_of([(1, 3), (2, 1), (4, 4)])
    found = hypervolume(points, axes)
    assert found.reference == {"f0": 4.0, "f1": -4.0}
    assert found.value == 3 * 1 + 2 * 2
    assert hypervolume(points, axes, {"f0": 2.0, "f1": -4.0}).value == 1.0
    assert hypervolume([], axes).value == 0.0
    with pytest.raises(HwqError, match=r"^the reference must have the objectives f0, f1, not f0$"):
        hypervolume(points, axes, {"f0": 1.0})


# ------------------------------------------------------------------------------------------------------------- tables


def test_report_and_files(tmp_path: Path) -> None:
    with Study(SPACE, objectives(), tmp_path / "s.db", fit=("lut<=500",)) as study:
        study.run(40)
        told = report(study)
        assert told["evaluated"] == 40
        assert told["infeasible"] == sum(not point.feasible for point in study.points()) > 0
        assert told["hypervolume"] == study.hypervolume().value
        assert (told["failed"], told["first_error"]) == (0, None)
        assert (told["space"], told["combinations"], told["rules"]) == (len(SPACE), SPACE.combinations, [])
        best = study.front()
        assert told["front"] == [
            {"number": point.number, "assignment": dict(point.assignment), "metrics": point.metrics()} for point in best
        ]
        lut = best[0].values["lut"]
        assert best[0].metrics()["lut"] == {"value": lut, "low": lut, "high": lut}
        write(study, tmp_path / "s.json")
        write(study, tmp_path / "s.csv")
        read = json.loads((tmp_path / "s.json").read_text())
        assert read["front"] == told["front"]
        assert [point["metrics"] for point in read["points"]] == [point.metrics() for point in study.points()]
        lines = (tmp_path / "s.csv").read_text().splitlines()
        assert len(lines) == 41
        assert lines[0].startswith("number,first,body,last,accuracy,accuracy_low,accuracy_high,lut,")
        assert sum(line.split(",")[-2] == "1" for line in lines[1:]) == len(best)
        with pytest.raises(HwqError, match=r"^a study is written to a \.json or \.csv file, not 's\.xlsx'$"):
            write(study, tmp_path / "s.xlsx")


def test_search_is_light_until_nsga2_runs() -> None:
    loaded = "import hwq.search, sys; print(sorted({'optuna', 'torch', 'numba', 'matplotlib'} & set(sys.modules)))"
    assert python("-c", loaded) == "[]\n"


if __name__ == "__main__":
    killed(Path(sys.argv[1]), sys.argv[2])
