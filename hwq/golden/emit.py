"""A datapath's reference model as files with a manifest: the same bytes for the same datapath, count and seed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hwq.datapath import Datapath
from hwq.datapath.names import write_files
from hwq.errors import HwqError
from hwq.golden.dpi import package, wrapper
from hwq.golden.interface import header
from hwq.golden.model import source
from hwq.golden.ports import Model
from hwq.golden.selftest import MAKEFILE, selftest
from hwq.golden.vectors import lines

__all__ = ["Manifest", "emit"]


@dataclass(frozen=True)
class Manifest:
    """What was written. `datapath` is the parametric text; `files` maps names to SHA-256 digests.

    `widths` gives the bits of each argument's code, in the order of `<top>_dot`. The file itself is
    `<top>_golden.json`, so that several models and their Verilog may share a folder.
    """

    datapath: str
    version: str
    top: str
    k: int
    widths: dict[str, int]
    vectors: int
    seed: int
    files: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def save(self, folder: str | Path) -> None:
        text = json.dumps(self.to_json(), indent=2) + "\n"
        (Path(folder) / f"{self.top}_golden.json").write_text(text, encoding="utf-8")


def emit(dp: Datapath, folder: str | Path, vectors: int = 1000, seed: int = 0) -> Manifest:
    """Write model, DPI-C wrapper, self-test, makefile, vectors and manifest into a folder, made if it is missing.

    The expected codes are the emulator's (`hwq.matmul`), never those of the C.
    """
    for name, value, least in (("vectors", vectors, 1), ("seed", seed, 0)):
        if value < least:
            raise HwqError(f"{name} must be {least} or more, not {value}")
    model = Model(dp)
    top = model.top
    texts = {
        f"{top}.h": header(model),
        f"{top}.c": source(model),
        f"{top}_dpi.c": wrapper(model),
        f"{top}_dpi.sv": package(model),
        f"{top}_test.c": selftest(model),
        f"{top}_vectors.txt": "".join(f"{line}\n" for line in lines(dp.mac, vectors, seed)),
        "golden.mk": MAKEFILE,
    }
    manifest = Manifest(
        datapath=dp.parametric(),
        version=version("hwq"),
        top=top,
        k=dp.mac.k,
        widths={port.name: port.bits for port in (*model.operands, *model.params, model.out)},
        vectors=vectors,
        seed=seed,
        files=write_files(folder, texts),
    )
    manifest.save(folder)
    return manifest
