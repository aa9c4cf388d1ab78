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
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from mutants import Fault, drawn, python_faults, verilog_faults
from sequential import same_machine

import hwq
from hwq.datapath import Datapath
from hwq.errors import HwqError
from hwq.rtl import Manifest, emit
from hwq.sim.tools import verilator_environment

PACKAGE = Path(hwq.__file__).parent
SEED = 1
TILES, MORE_TILES = 40, 200  # of a run that most faults do not survive, and of one for those that did
SECONDS, LONG_SECONDS = 10, 30  # of a processor's time for any one process: what needs more hangs

SURVIVED, EQUIVALENT, SAME = "survived", "equivalent", "same bytes"
PAIR_BITS = 12  # of both operands, where every pair of codes is a run of seconds

# A datapath of every kind: dataflows, lanes, flags, kinds of sums and of products, epilogues, cuts
DESIGNS = [
    "int8*int8 +fixed(32) @2x2",
    "int8*int4 +fixed(20) @3x2x2",
    "int8*int4 ->int8[bias,requant,relu] @3x2x2/ws k=6 cut=mul,requant",
    "int8*ternary +fixed(20) @2x2x4/tree cut=mul",
    "fp8_e4m3*fp8_e4m3 +fixed(48) ->fp8_e4m3[bias] cut=mul,align",
    "fp8_e5m2*fp8_e5m2 ->fp16[bias]",
    "fp8_e4m3*fp8_e4m3 +bf16 @1x2",
    "int4*int4 +fixed(16) ->int4[bias,requant,relu] @2x1",
    "fp8_e5m2*int4 +fixed(40) ->fp16[bias] @2x2/ws k=2 round=sr",
    "int8*ternary +fixed(20) decode=pe",
    "fp4_e2m1*fp4_e2m1 +fixed(20) ->fp4_e2m1[requant]",
    "int8*int8 +fixed(16,sat)",
    "fp8_e4m3*fp8_e4m3 +bf16 @1x1x2 order=tree(2)",
    "fp8_e4m3*int4 +align(4,25,rtz) ->bf16 @1x1x4",
]
# Others that a fault of the generator may be seen in: the fabrics, and what the kinds above have none of
ELSEWHERE = [
    ("int8*int8 +fixed(32)", "xc7"),
    ("int4*int4 +fixed(16) ->int4[bias,relu]", "ecp5"),
    ("int4*int4 +fixed(16) ->int4[bias,requant] @1x2 cut=unpack,mul1,mul,bias", "ge"),
    ("fp6_e3m2*fp6_e3m2 ->fp6_e3m2[requant] @1x2x2/tree cut=unpack,mul1", "xc7"),
    ("uint8*int8 +fixed(24) ->uint8[bias,requant(uint(8)),relu] @1x3 k=20 cut=act", "portable"),
    ("int8*ternary +fixed(20) @1x4", "ecp5"),
    ("fp8_e5m2*fp8_e4m3 +fixed(24,6,sat,rne) ->fp8_e5m2 @3x1 cut=unpack round=rtz", "portable"),
    ("nf4*int8 +fixed(30) ->bf16", "portable"),
    ("fp4_e2m1*fp4_e2m1 +fixed(20) use=rows", "xc7"),
    ("fp6_e2m3*fp4_e2m1 +fixed(24) @4x1 decode=pe", "ecp5"),
    ("int8*int8 +bf16 @3x2/ws k=3", "portable"),
    ("signs(1)*signs(1) @2x2", "portable"),
    ("int8*int8 +fixed(48) @1x2 cut=mul use=dsp", "xc7"),
    ("int16*int3 +fixed(30) @5x1x2", "portable"),
    ("int4*int4 @1x3/ws k=1 decode=pe cut=unpack", "portable"),
    ("fp4_e2m1*fp4_e2m1 +fixed(20) @2x2x8", "portable"),
]
REFUSED = [
    "fp8_e4m3*fp8_e4m3 +bf16 order=tree(4)",
    "int8*int8 +align(8,24,rtz)",
    "fp8_e4m3*fp8_e4m3 +align(4,10,rtz) @1x1x4",
    "signs(1)*signs(1) @1x1x2",
    "int8*int8 use=table",
    "fp4_e2m1*fp4_e2m1 use=table,rows",
    "fp8_e4m3*fp4_e2m1 use=table",
    "int4*int4 use=nothing",
]
GENERATOR = [
    *(f"bits/{name}.py" for name in ("rows", "sums", "netlist")),
    *(f"datapath/{name}.py" for name in ("plans", "steps", "operand", "schedule", "variants")),
    *(f"rtl/{name}.py" for name in ("cells", "wires", "blocks", "array", "grid", "control")),
]


# -- one process a fault ----------------------------------------------------------------------------------------------

_JOBS: list[Callable[[], str]] = []


def isolated(jobs: list[Callable[[], str]], processes: int) -> Iterator[tuple[int, str]]:
    """(number, result) of each job, in a process of its own that has what this one has."""
    _JOBS[:] = jobs
    with multiprocessing.get_context("fork").Pool(processes, maxtasksperchild=1) as pool:
        yield from pool.imap_unordered(_job, range(len(jobs)))


def _job(number: int) -> tuple[int, str]:
    return number, _JOBS[number]()


def _limit(seconds: int) -> None:
    """Processor time of each program that is called from here on; what needs more hangs."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


# -- what shows a fault -----------------------------------------------------------------------------------------------


def simulated(dp: Datapath, folder: Path, vectors: int = TILES, seed: int = 0, whole: bool = False) -> str:
    """How the simulation of a folder against the emulator shows a fault; nothing if it passes."""
    from hwq.sim import check

    _limit(LONG_SECONDS if whole or vectors > TILES else SECONDS)
    try:
        report = check(dp, folder=folder, bench="bulk", exhaustive=whole, vectors=vectors, seed=seed)
    except HwqError as error:
        return "compile error" if str(error).startswith("iverilog") else "hang"
    except ValueError:  # results of another width
        return "mismatch"
    if report.passed:
        return ""
    if report.first_mismatch and report.first_mismatch["got"] is None:
        return "hang"
    return "mismatch" if report.mismatches else "cycles"


def simulated_long(dp: Datapath, folder: Path) -> str:
    """The same with many tiles, and with every pair of codes where those are few."""
    if found := simulated(dp, folder, MORE_TILES, 1):
        return f"{found}, long run"
    small = (dp.array.rows, dp.array.cols) == (1, 1) and dp.mac.a.bits + dp.mac.w.bits <= PAIR_BITS
    found = simulated(dp, folder, whole=True) if small else ""
    return f"{found}, all pairs" if found else ""


def called(command: list[str], folder: Path, seconds: int = SECONDS) -> str:
    """What a tool says, whether or not it succeeds or ends in time."""
    environment = verilator_environment()
    path = shutil.which(command[0], path=environment["PATH"])
    assert path is not None, command
    _limit(seconds)
    command = [path, *command[1:]]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def linted(folder: Path) -> str:
    """What Verilator has to say, with every warning that is an error in tests/test_rtl.py."""
    manifest = Manifest.load(folder)
    options = ["--quiet", "--lint-only", "-Wall", "-Wno-UNUSEDSIGNAL", "--top-module", manifest.top]
    return "lint" if called(["verilator", *options, *manifest.files], folder) else ""


def same(good: Path, folder: Path) -> bool:
    """Whether the two are proved to be one machine."""
    return same_machine(good, folder, partial(called, folder=folder, seconds=LONG_SECONDS))


def declared(folder: Path) -> int:
    """Bits of the wires, registers and tables of a folder's modules, each module once."""
    texts = [path.read_text("utf-8") for path in folder.glob("*.v")]
    found = [m for text in texts for m in re.finditer(r"^ .*?\b(?:wire|reg|localparam) (?:\[(\d+):0\] )?", text, re.M)]
    return sum(int(m[1] or 0) + 1 for m in found)


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
    return [
        fault
        for name in GENERATOR
        for fault in drawn(python_faults((PACKAGE / name).read_text("utf-8"), name), each, SEED)
    ]


def emitted() -> list[tuple[str, str]]:
    """(text, device) of what a faulty generator emits."""
    return [*((text, "portable") for text in DESIGNS), *ELSEWHERE]


def emit_all(folder: Path) -> None:
    """Emit all designs into folders by number, and write what is refused and what cycles are claimed."""
    claims: dict[str, Any] = {}
    for number, (text, device) in enumerate(emitted()):
        dp = Datapath.parse(text)
        manifest = emit(dp, folder / str(number), device)
        claims[f"{text} {device}"] = [manifest.latency, manifest.interval, *_claimed(dp)]
    for text in REFUSED:
        try:
            emit(Datapath.parse(text), folder / "refused")
            claims[text] = "emitted"
        except HwqError:
            claims[text] = "refused"
    (folder / "claims.json").write_text(json.dumps(claims), encoding="utf-8")


def _claimed(dp: Datapath) -> list[int]:
    return [dp.cycles(m, n, min(k, dp.mac.k)) for m, n, k in ((1, 1, 1), (5, 4, 3), (12, 7, 16))]


def judge_generator(good: Path, fault: Fault) -> str:
    with tempfile.TemporaryDirectory(prefix="hwq-mutant-") as place:
        faulty, folder = Path(place) / "hwq", Path(place) / "emitted"
        shutil.copytree(PACKAGE, faulty, copy_function=os.link)
        file = faulty / fault.file
        file.unlink()
        file.write_text(fault.text, encoding="utf-8")
        for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
            compiled.unlink()
        folder.mkdir()
        _limit(SECONDS)
        command = [sys.executable, "-B", __file__, "emit", "--folder", str(folder)]
        environment = os.environ | {"PYTHONPATH": place}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            return "raised" if done.returncode > 0 else "hang"
        return _judge_emitted(good, folder)


def _judge_emitted(good: Path, folder: Path) -> str:
    """What the good package sees in what the faulty one emitted."""
    changed = [
        (Datapath.parse(text), good / str(number), folder / str(number))
        for number, (text, _) in enumerate(emitted())
        if _verilog(good / str(number)) != _verilog(folder / str(number))
    ]
    changed.sort(key=lambda entry: declared(entry[1]))  # small ones first
    claims = (good / "claims.json").read_bytes() != (folder / "claims.json").read_bytes()
    if not changed:
        return "claims" if claims else SAME
    verdicts = chain(
        (simulated(dp, place) for dp, _, place in changed),
        ["claims" if claims else ""],
        (linted(place) for _, _, place in changed),
        ("larger" for _, before, after in changed if declared(after) > declared(before)),
    )
    if verdict := next(filter(None, verdicts), ""):
        return verdict
    differ = [(dp, after) for dp, before, after in changed if not same(before, after)]
    if not differ:
        return EQUIVALENT
    return next(filter(None, (simulated_long(dp, after) for dp, after in differ)), SURVIVED)


def _verilog(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.v")}


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
            jobs = [partial(judge_generator, good, fault) for fault in faults]
            emit_all(good)
        designs = DESIGNS if population == "rtl" else [text for text, _ in emitted()]
        for number, text in enumerate(designs):  # compiles the emulator, too, which every process then has
            dp = Datapath.parse(text)
            assert not simulated(dp, good / str(number)), f"{text} must pass before it is given faults"
        for number, verdict in isolated(jobs, processes):
            yield faults[number], verdict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["rtl", "generator", "emit"])
    parser.add_argument("--each", type=int, default=10, help="faults of a design, or of a file")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.what == "emit":
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))  # a fault may ask for more and more
        emit_all(given.folder)
        return
    for fault, verdict in run(given.what, given.each, given.processes):
        fields = {"verdict": verdict, "kind": fault.kind, "file": fault.file, "line": fault.line, "fault": str(fault)}
        print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    main()
