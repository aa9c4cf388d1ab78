"""`hwq demo`: the main job on real data, from an empty folder to a front, a picture, Verilog and its proof."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwq.cli.console import fail, progress, table
from hwq.cli.search import knee, print_choice, print_front
from hwq.cli.spaces import DEMO, read_toml, space_of

if TYPE_CHECKING:
    from hwq.cli.objectives import Subject
    from hwq.search import Axis, Measure, Point, Study

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


@dataclass
class Clock:
    """Seconds of each stage, in order."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage and say that it is done."""
        print(f"\n== {name}", flush=True)
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start


def demo(
    folder: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where everything goes.")] = Path(
        "demo-output"
    ),
) -> None:
    """Search a real network's datapaths, pick one, write its Verilog and prove it equal to the emulator."""
    job = read_toml(DEMO)
    clock = Clock()
    folder.mkdir(parents=True, exist_ok=True)
    with clock.stage("load"):
        subject, found = _subject(job)
    from hwq.search import Study

    with Study(space_of(DEMO), found, folder / "study.sqlite") as study:
        with clock.stage("search"):
            _search(study)
        with clock.stage("front on more images"):
            final, axes = _rescore(study, subject, job["final_images"])
        chosen = knee(final, axes[1].name, axes[0].name)
        with clock.stage("table and plot"):
            built = subject.instances(chosen.assignment)
            _show(study, subject, final, axes, folder)
            print_choice(chosen, built)
    with clock.stage("Verilog"):
        _emit(built, folder / "rtl", job["device"])
    with clock.stage("simulation"):
        passed = _check(built, folder / "rtl", job["tiles"])
    _summary(folder, clock)
    if not passed:
        raise fail()


def _subject(job: Mapping[str, Any]) -> tuple[Subject, list[Measure]]:
    from hwq import zoo
    from hwq.cli.objectives import Subject, measures

    subject = Subject(zoo.load(job["model"]), job["recipe"])
    print(f"{job['model']}: trained weights and real images; {job['images']} test images for each assignment")
    return subject, measures(subject, job["device"], job["images"])


def _search(study: Study) -> None:
    size = len(study.space)
    before = len(study.points())
    with progress("search", size) as tick:
        study.run(size, on_point=lambda point, done, total: tick())
    points = study.points()
    print(f"{len(points)} assignments of {study.space}, {before} of them from an earlier run")
    for point in points:
        if point.error is not None:
            print(f"failed: {point.error}")


def _rescore(study: Study, subject: Subject, images: int) -> tuple[list[Point], tuple[Axis, ...]]:
    """The study's front with the accuracy on more images, and what is still a front then."""
    from hwq.search import Axis, front

    objective = subject.accuracy(images)
    points = study.front()
    with progress("rescore", len(points)) as tick:
        scored = study.rescore(points, objective, on_point=lambda point, done, total: tick())
    axes = (Axis.of(objective), *study.axes[1:])
    final = front(scored, axes)
    print(f"{len(points)} points of the front scored again on {images} images; {len(final)} of them stay")
    return final, axes


def _show(
    study: Study,
    subject: Subject,
    final: list[Point],
    axes: tuple[Axis, ...],
    folder: Path,
) -> None:
    """The front as a table, a picture, and files."""
    from hwq.plot import front
    from hwq.search import report, write

    print_front(final, axes, subject.instances)
    for suffix in ("png", "svg"):
        front(study, folder / f"front.{suffix}", x=axes[1].name, y=axes[0].name, final=(final, axes[0]))
    write(study, folder / "points.csv")
    (folder / "front.json").write_text(json.dumps(report(study, final, subject.instances), indent=1) + "\n")


def _emit(built: Mapping[str, str], folder: Path, device: str) -> None:
    from hwq.datapath import Datapath
    from hwq.rtl import emit

    for name, text in built.items():
        manifest = emit(Datapath.parse(text), folder / name, device)
        print(f"{name}: {text}\n  {folder / name}, top {manifest.top}")


def _check(built: Mapping[str, str], folder: Path, tiles: int) -> bool:
    """Compare each instance's Verilog with the emulator in Icarus; True if every check passed."""
    from hwq.datapath import Datapath
    from hwq.sim import check

    reports = {name: check(Datapath.parse(text), vectors=tiles, folder=folder / name) for name, text in built.items()}
    table(
        ["instance", "compared", "mismatches", "cycles", "expected", "stalled"],
        [(name, r.compared, r.mismatches, r.cycles, r.expected_cycles, r.stalled) for name, r in reports.items()],
    )
    compared, mismatches = (sum(getattr(r, name) for r in reports.values()) for name in ("compared", "mismatches"))
    print(f"{compared} outputs compared, mismatches {mismatches}")
    for name, report in reports.items():
        if report.failure:
            print(f"{name} failed: {report.failure}")
    return all(report.passed for report in reports.values())


def _summary(folder: Path, clock: Clock) -> None:
    print("\n== done")
    table(["stage", "seconds"], [(name, f"{seconds:.1f}") for name, seconds in clock.seconds.items()])
    print(f"total {sum(clock.seconds.values()):.1f} s; see {folder}/")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            print(f"  {path}")
