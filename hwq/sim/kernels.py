"""A kernel in a simulator: every word that a layer stores, and the cycles that it takes, against what is expected."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from hwq.datapath import Plan
from hwq.errors import HwqError, ToolError
from hwq.kernel import CHUNK, Codes, Kernel, Program, beats, joined, layer_cycles
from hwq.sim.bulk import MAIN
from hwq.sim.tools import call, icarus_environment, make, verilator_environment

__all__ = ["BENCH", "KernelReport", "bench_files", "check", "simulate"]

BENCH = "kernel.v"
PATIENCE = 4000  # cycles in which nothing moves


@dataclass(frozen=True)
class KernelReport:
    """What a simulation showed: words of all layers and images that were compared, cycles of the last image's layers.

    `first_mismatch` tells layer, image, word and lane, the code that came and the one expected. `layers` has the name,
    cycles and expected cycles of each; none under stalls, which make layers wait.
    """

    images: int
    compared: int
    mismatches: int
    first_mismatch: str
    layers: tuple[tuple[str, int, int], ...]

    @property
    def ok(self) -> bool:
        """True if something was compared and all of it was equal, cycles included."""
        return self.compared > 0 and not self.mismatches and all(came == due for _, came, due in self.layers)


def bench_files(
    kernel: Kernel, program: Program, images: Sequence[Codes], expected: Sequence[Sequence[Codes]], stalls: bool = False
) -> dict[str, str]:
    """The files of a bench by name: what it reads, what it is, and what it must write.

    `images` are codes [channels, height, width], `expected` of each the words [n, lanes] that each layer must store.
    Under `stalls` images and results pause at random.
    """
    entry, bits = kernel.entry, kernel.datapath.mac.a.bits
    shape = (entry.channels, entry.height, entry.width)
    if not images or any(image.shape != shape for image in images):
        raise HwqError(
            f"images must be 1 or more of codes {list(shape)}, not {[list(image.shape) for image in images]}"
        )
    width = entry.channels * bits
    config = [last << CHUNK | payload for payload, last in beats(kernel, program)]
    pixels = [joined(pixel, bits) for image in images for pixel in image.reshape(entry.channels, -1).T]
    size = entry.height * entry.width
    pixels = [int(at % size == size - 1) << width | pixel for at, pixel in enumerate(pixels)]
    trace, results = [], []
    digits = -(-kernel.word // 4)
    for layers in expected:
        words = [[joined(codes, bits) for codes in words] for words in layers]
        trace += [f"{at} {word:0{digits}x}" for at, layer in enumerate(words) for word in layer]
        results += [f"{int(at == len(words[-1]) - 1)} {word:0{digits}x}" for at, word in enumerate(words[-1])]
    macros = {"TOP": kernel.top, "IMAGES": len(images), "PATIENCE": PATIENCE, "I_BITS": width, "O_BITS": kernel.word}
    macros |= {"C_BEATS": len(config), "I_BEATS": len(pixels)} | ({"STALLS": 1} if stalls else {})
    return {
        "c.hex": _lines(f"{beat:09x}" for beat in config),
        "i.hex": _lines(f"{beat:0{width // 4 + 1}x}" for beat in pixels),
        "bench.f": _lines(f"+define+{name}={value}" for name, value in macros.items()),
        "bench.v": files("hwq.sim").joinpath(BENCH).read_text(encoding="utf-8"),
        "bench.cpp": MAIN,
        "expected_trace.txt": _lines(trace),
        "expected_results.txt": _lines(results),
    }


def _lines(texts: Iterable[str]) -> str:
    return "".join(f"{text}\n" for text in texts)


def simulate(
    folder: str | Path, sources: Sequence[str | Path], bench: Mapping[str, str], simulator: str = "verilator"
) -> Path:
    """Run a bench on a kernel's Verilog in a folder; returns it, with what the bench wrote."""
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    for name, text in bench.items():
        (path / name).write_text(text, encoding="utf-8")
    given = ["-f", "bench.f", "bench.v", *(str(Path(source).resolve()) for source in sources)]
    {"icarus": _icarus, "verilator": _verilator}[simulator](path, given)
    return path


def _icarus(path: Path, given: Sequence[str]) -> None:
    environment = icarus_environment()
    call(["iverilog", "-g2005", "-o", "sim.vvp", "-s", "bench", *given], path, environment)
    call(["vvp", "-n", "sim.vvp"], path, environment)


def _verilator(path: Path, given: Sequence[str]) -> None:
    environment = verilator_environment()
    options = ["--cc", "--exe", "--prefix", "Vtop", "-o", "sim", "-Mdir", "build", "--top-module", "bench"]
    call(["verilator", *options, "-Wno-fatal", "--x-initial", "unique", "bench.cpp", *given], path, environment)
    make(path, ["VM_TRACE=0", "OPT_FAST=-O1", "OPT_GLOBAL=-O1"], environment)
    call([str(path / "build" / "sim")], path, os.environ)


def check(folder: Path, kernel: Kernel, plan: Plan, program: Program) -> KernelReport:
    """Compare what a bench wrote with what it must write."""
    came, due, sent, leaves = (
        (folder / name).read_text(encoding="utf-8").splitlines()
        for name in ("trace.txt", "expected_trace.txt", "results.txt", "expected_results.txt")
    )
    if not came:
        raise ToolError("the kernel must store results, not none; see trace.txt and the log in the bench's folder")
    wrong = [at for at, (one, two) in enumerate(zip(came, due, strict=False)) if one != two]
    lost = sum(one != two for one, two in zip(sent, leaves, strict=False))
    lost += abs(len(sent) - len(leaves)) + abs(len(came) - len(due))
    first = ""
    if wrong:
        first = _named(kernel, program, came[wrong[0]], due[wrong[0]], wrong[0])
    elif lost:
        first = f"{len(came)} words were stored and {len(sent)} left, {len(due)} and {len(leaves)} are expected"
    images = len(due) // sum(layer.results for layer in program.layers)
    stalls = "STALLS" in (folder / "bench.f").read_text(encoding="utf-8")
    layers = () if stalls or lost else _cycles(folder, plan, program, images, kernel.share)
    return KernelReport(images, len(due) + len(leaves), len(wrong) + lost, first, layers)


def _named(kernel: Kernel, program: Program, came: str, due: str, at: int) -> str:
    """Where a word that is not the expected one stands, and the codes of the first lane that differs."""
    bits = kernel.datapath.mac.a.bits
    (layer, one), (_, two) = came.split(), due.split()
    each = sum(layer.results for layer in program.layers)
    differs = int(one, 16) ^ int(two, 16)
    lane = ((differs & -differs).bit_length() - 1) // bits if differs else 0
    codes = [int(text, 16) >> lane * bits & (1 << bits) - 1 for text in (one, two)]
    where = f"image {at // each}, word {at % each} of its layers, lane {lane}"
    return f"{where}: {codes[0]} came in {program.layers[int(layer)].name}, {codes[1]} is expected"


def _cycles(folder: Path, plan: Plan, program: Program, images: int, share: int) -> tuple[tuple[str, int, int], ...]:
    """Of the last image, each layer's cycles and those of the schedule."""
    done = [0, *(int(line) for line in (folder / "cycles.txt").read_text().split())]
    first = (images - 1) * len(program.layers)
    took = [after - before for before, after in zip(done[first:], done[first + 1 :], strict=False)]
    return tuple((x.name, cycles, layer_cycles(plan, x, share)) for x, cycles in zip(program.layers, took, strict=True))
