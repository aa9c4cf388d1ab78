"""The mutation run: seeded faults in emitted Verilog and in the generator, each simulated against the emulator.

`python tests/mutation.py rtl` and `python tests/mutation.py generator` print a line a fault, as JSON. Both work on the
package that is on PYTHONPATH; `tests/test_mutation.py` gives them a copy, which nobody edits meanwhile.

A fault of the generator is made in another copy of the package. What that copy emits is simulated by the good one,
whose emulator did not change with it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path

from mutants import Fault, drawn, python_faults
from mutants_verilog import verilog_faults
from mutation_designs import DESIGNS, ELSEWHERE, GENERATOR, REFUSED, WIDE
from mutation_oracles import declared, limit, linted, same, shown, simulated, simulated_long

import hwq
from hwq.datapath import Datapath
from hwq.errors import HwqError
from hwq.rtl import emit

PACKAGE = Path(hwq.__file__).parent
SEED = 1
EACH = {"rtl": 10, "generator": 7}  # faults of a design, of a file

MOST = 8  # designs of all that a fault of the generator changes

SURVIVED, EQUIVALENT, SAME = "survived", "equivalent", "same bytes"


# -- one process a fault ----------------------------------------------------------------------------------------------

_JOBS: list[Callable[[], str]] = []


def isolated(jobs: list[Callable[[], str]], processes: int) -> Iterator[tuple[int, str]]:
    """(number, result) of each job, in a process of its own that has what this one has."""
    _JOBS[:] = jobs
    with multiprocessing.get_context("fork").Pool(processes, maxtasksperchild=1) as pool:
        yield from pool.imap_unordered(_job, range(len(jobs)))


def _job(number: int) -> tuple[int, str]:
    def stop(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGXCPU, stop)  # here; a program that is called is killed
    try:
        return number, _JOBS[number]()
    except TimeoutError:
        return number, "hang"


# -- faults of the Verilog --------------------------------------------------------------------------------------------


def rtl_faults(folder: Path, each: int) -> list[tuple[Datapath, Path, str, Fault]]:
    """Of every design so many faults, its modules in turn: (datapath, folder, file, fault)."""
    found = []
    for number, text in enumerate(DESIGNS):
        dp, place = Datapath.parse(text), folder / str(number)
        manifest = emit(dp, place)
        ports = {
            name: {port.name: (port.direction, port.width) for port in held} for name, held in manifest.modules.items()
        }
        turns = []
        for name in manifest.files:
            file = f"{text}{name.removeprefix(manifest.top).removesuffix('.v') or '_top'}"
            faults = verilog_faults((place / name).read_text("utf-8"), file, ports)
            turns += [(turn, name, fault) for turn, fault in enumerate(drawn(faults, each, SEED))]
        turns.sort(key=lambda entry: entry[0])
        found += [(dp, place, name, fault) for _, name, fault in turns[:each]]
    return found


def judge_rtl(dp: Datapath, good: Path, name: str, fault: Fault) -> str:
    with tempfile.TemporaryDirectory(prefix="hwq-mutant-") as place:
        folder = Path(place) / "folder"
        shutil.copytree(good, folder)
        (folder / name).write_text(fault.text, encoding="utf-8")
        if verdict := simulated(dp, folder) or linted(folder):
            return verdict
        return EQUIVALENT if same(good, folder) else simulated_long(dp, folder) or SURVIVED


# -- faults of the generator ------------------------------------------------------------------------------------------


def generator_faults(each: int) -> list[Fault]:
    """Of every file so many faults, the files in turn."""
    files = [drawn(python_faults((PACKAGE / name).read_text("utf-8"), name), each, SEED) for name in GENERATOR]
    return [fault for turn in zip_longest(*files) for fault in turn if fault is not None]


Design = tuple[str, str]  # text, device
NARROW = [*((text, "portable") for text in DESIGNS), *ELSEWHERE]


def emit_all(designs: list[Design], folder: Path) -> None:
    """Emit designs into folders by number; write what cycles are claimed and which texts are refused."""
    claims: dict[str, list[int]] = {}
    for number, (text, device) in enumerate(designs):
        dp = Datapath.parse(text)
        manifest = emit(dp, folder / str(number), device)
        claims[f"{text} {device}"] = [manifest.latency, manifest.interval, *_claimed(dp)]
    (folder / "claims.json").write_text(json.dumps(claims), encoding="utf-8")
    refused = [design for design in REFUSED if _refused(design, folder / "refused")]
    (folder / "refused.json").write_text(json.dumps(refused), encoding="utf-8")


def _refused(design: Design, folder: Path) -> bool:
    try:
        emit(Datapath.parse(design[0]), folder, design[1])
    except HwqError:
        return True
    return False


def _claimed(dp: Datapath) -> list[int]:
    return [dp.cycles(m, n, min(k, dp.mac.k)) for m, n, k in ((1, 1, 1), (5, 4, 3), (12, 7, 16))]


def judge_generator(goods: list[tuple[list[Design], Path]], fault: Fault) -> str:
    with tempfile.TemporaryDirectory(prefix="hwq-mutant-") as place:
        faulty = Path(place) / "hwq"
        shutil.copytree(PACKAGE, faulty, copy_function=os.link)
        file = faulty / fault.file
        file.unlink()
        file.write_text(fault.text, encoding="utf-8")
        for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
            compiled.unlink()
        for designs, good in goods:  # the wider list only for what the other does not show
            folder = Path(place) / ("wide" if designs is WIDE else "narrow")
            verdict = _emitted_by(Path(place), designs, folder) or _judge_emitted(designs, good, folder)
            if verdict != SAME:
                return verdict
        return SAME


def _emitted_by(package: Path, designs: list[Design], folder: Path) -> str:
    """Emit designs by a faulty package; returns what went wrong."""
    folder.mkdir()
    limit()
    command = [sys.executable, "-B", __file__, "emit-wide" if designs is WIDE else "emit", "--folder", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(package)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return "" if not done.returncode else "raised" if done.returncode > 0 else "hang"


def _judge_emitted(designs: list[Design], good: Path, folder: Path) -> str:
    """What the good package sees in what the faulty one emitted; of many designs that changed, in the smallest."""
    changed = [
        (Datapath.parse(text), good / str(number), folder / str(number))
        for number, (text, _) in enumerate(designs)
        if _files(good / str(number), "*.v") != _files(folder / str(number), "*.v")
    ]
    changed.sort(key=lambda entry: declared(entry[1]))
    small = changed[:MOST]
    said = [name for name in ("claims", "refused") if _files(good, f"{name}.json") != _files(folder, f"{name}.json")]
    if not changed:
        return said[0] if said else SAME
    verdicts = chain(
        (shown(dp, before, after) for dp, before, after in small),
        said,
        ("larger" for _, before, after in changed if declared(after) > declared(before)),
        (linted(after) for _, before, after in small if not linted(before)),
    )
    if verdict := next(filter(None, verdicts), ""):
        return verdict
    if all(same(before, after) for _, before, after in small):
        return EQUIVALENT
    return next(filter(None, (simulated_long(dp, after) for dp, _, after in small)), SURVIVED)


def _files(folder: Path, pattern: str = "**/*.v") -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob(pattern)}


# -- the run ----------------------------------------------------------------------------------------------------------


def run(population: str, each: int, processes: int) -> Iterator[tuple[Fault, str]]:
    """Every fault of a population, with what showed it."""
    with tempfile.TemporaryDirectory(prefix="hwq-good-") as place:
        good = Path(place)
        jobs: list[Callable[[], str]]
        if population == "rtl":
            drawn_from = rtl_faults(good, each)
            faults = [fault for *_, fault in drawn_from]
            jobs = [partial(judge_rtl, *entry) for entry in drawn_from]
        else:
            faults = generator_faults(each)
            goods = [(NARROW, good), (WIDE, good / "wide")]
            jobs = [partial(judge_generator, goods, fault) for fault in faults]
            for listed, folder in goods:
                emit_all(listed, folder)
        designs = DESIGNS if population == "rtl" else [text for text, _ in NARROW]
        for number, text in enumerate(designs):  # compiles the emulator, too, which every process then has
            assert not simulated(Datapath.parse(text), good / str(number)), text
        for number, verdict in isolated(jobs, processes):
            yield faults[number], verdict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["rtl", "generator", "emit", "emit-wide"])
    parser.add_argument("--each", type=int, help="faults of a design, or of a file")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.what in ("emit", "emit-wide"):
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))  # a fault may ask for more and more
        emit_all(NARROW if given.what == "emit" else WIDE, given.folder)
        return
    for fault, verdict in run(given.what, given.each or EACH[given.what], given.processes):
        fields = {"verdict": verdict, "kind": fault.kind, "file": fault.file, "line": fault.line, "fault": str(fault)}
        print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    main()
