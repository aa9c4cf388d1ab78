"""A kernel in a simulator: every word that a layer stores, and the cycles that it takes, against what is expected."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from hwq.datapath import Plan
from hwq.errors import HwqError, ToolError
from hwq.kernel import Codes, Kernel, Program, beats, joined, layer_cycles
from hwq.sim.bulk import MAIN
from hwq.sim.tools import call, icarus_environment, make, verilator_environment

__all__ = ["BENCH", "KernelReport", "check", "simulate", "stimulus"]

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


def stimulus(kernel: Kernel, program: Program, images: Sequence[Codes]) -> dict[str, str]:
    """The files that the bench reads. `images` are codes [channels, height, width] each."""
    entry, bits = kernel.entry, kernel.datapath.mac.a.bits
    width = entry.channels * bits
    for image in images:
        if image.shape != (entry.channels, entry.height, entry.width):
            raise HwqError(
                f"images must be codes {[entry.channels, entry.height, entry.width]}, not {list(image.shape)}"
            )
    config = "".join(f"{last << 32 | payload:09x}\n" for payload, last in beats(kernel, program))
    lines = []
    for image in images:
        pixels = image.reshape(entry.channels, -1).T
        words = [joined(pixel, bits) for pixel in pixels]
        lines += [f"{(at == len(words) - 1) << width | word:0{width // 4 + 1}x}\n" for at, word in enumerate(words)]
    return {"c.hex": config, "i.hex": "".join(lines)}


def simulate(
    folder: str | Path,
    top: str,
    sources: Sequence[str | Path],
    kernel: Kernel,
    program: Program,
    images: Sequence[Codes],
    simulator: str = "verilator",
    stalls: bool = False,
) -> Path:
    """Run images through a kernel's Verilog; returns the folder with what the bench wrote."""
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    texts = stimulus(kernel, program, images)
    for name, text in (*texts.items(), (BENCH, files("hwq.sim").joinpath(BENCH).read_text(encoding="utf-8"))):
        (path / name).write_text(text, encoding="utf-8")
    macros = {"TOP": top, "IMAGES": len(images), "PATIENCE": PATIENCE} | ({"STALLS": 1} if stalls else {})
    macros |= {"I_BITS": kernel.entry.channels * kernel.datapath.mac.a.bits, "O_BITS": kernel.word}
    macros |= {f"{name[0].upper()}_BEATS": text.count("\n") for name, text in texts.items()}
    given = [
        *(f"-D{name}={value}" for name, value in macros.items()),
        BENCH,
        *(str(Path(s).resolve()) for s in sources),
    ]
    {"icarus": _icarus, "verilator": _verilator}[simulator](path, given)
    return path


def _icarus(path: Path, given: Sequence[str]) -> None:
    environment = icarus_environment()
    call(["iverilog", "-g2005", "-o", "sim.vvp", "-s", "bench", *given], path, environment)
    call(["vvp", "-n", "sim.vvp"], path, environment)


def _verilator(path: Path, given: Sequence[str]) -> None:
    environment = verilator_environment()
    options = ["--cc", "--exe", "--prefix", "Vtop", "-o", "sim", "-Mdir", "build", "--top-module", "bench"]
    (path / "main.cpp").write_text(MAIN, encoding="utf-8")
    call(["verilator", *options, "-Wno-fatal", "--x-initial", "unique", "main.cpp", *given], path, environment)
    make(path, ["VM_TRACE=0", "OPT_FAST=-O1", "OPT_GLOBAL=-O1"], environment)
    call([str(path / "build" / "sim")], path, os.environ)


def check(
    folder: Path,
    kernel: Kernel,
    plan: Plan,
    program: Program,
    expected: Sequence[Sequence[Codes]],
    stalls: bool = False,
) -> KernelReport:
    """Compare what the bench wrote with the words [n, lanes] that each layer must store, image by image."""
    came = [line.split() for line in (folder / "trace.txt").read_text().splitlines()]
    bits, lanes = kernel.datapath.mac.a.bits, kernel.lanes
    due = [
        (at, image, word, int(joined(codes, bits)))
        for image, layers in enumerate(expected)
        for at, words in enumerate(layers)
        for word, codes in enumerate(words)
    ]
    if not came:
        raise ToolError("the kernel must store results, not none; see trace.txt and the log in the bench's folder")
    sent = [line.split() for line in (folder / "results.txt").read_text().splitlines()]
    size = program.layers[-1].results
    leaves = [(str(int(word == size - 1)), value) for at, _, word, value in due if at == len(program.layers) - 1]
    lost = sum((one[0], int(one[1], 16)) != two for one, two in zip(sent, leaves, strict=False))
    lost += abs(len(sent) - len(leaves))
    wrong = [
        (one, two) for one, two in zip(came, due, strict=False) if (int(one[0]), int(one[1], 16)) != (two[0], two[3])
    ]
    missing = abs(len(due) - len(came)) + lost
    first = ""
    if wrong:
        (layer, text), (at, image, word, value) = wrong[0]
        difference = int(text, 16) ^ value
        lane = ((difference & -difference).bit_length() - 1) // bits if difference else 0
        mask = (1 << bits) - 1
        first = (
            f"layer {program.layers[at].name} of image {image}, word {word}, lane {lane} of {lanes}: "
            f"{int(text, 16) >> lane * bits & mask} came in layer {layer}, {value >> lane * bits & mask} is expected"
        )
    elif missing:
        first = f"{len(came)} words were stored and {len(sent)} left, {len(due)} and {len(leaves)} are expected"
    layers = () if stalls else _cycles(folder, plan, program, len(expected))
    return KernelReport(len(expected), len(due) + len(leaves), len(wrong) + missing, first, layers)


def _cycles(folder: Path, plan: Plan, program: Program, images: int) -> tuple[tuple[str, int, int], ...]:
    """Of the last image, each layer's cycles and those of the schedule."""
    done = [0, *(int(line) for line in (folder / "cycles.txt").read_text().split())]
    first = (images - 1) * len(program.layers)
    took = [after - before for before, after in zip(done[first:], done[first + 1 :], strict=False)]
    return tuple((x.name, cycles, layer_cycles(plan, x)) for x, cycles in zip(program.layers, took, strict=True))
