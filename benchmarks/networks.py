"""Layers on an accelerator beside ZigZag and SCALE-Sim: the same layer, the same array, in one process.

Both go into an environment of their own, from the folder of this repository, which hwq is read from:

    python3 -m venv rivals
    rivals/bin/pip install -r tools/mappers.txt
    rivals/bin/python -m benchmarks.networks

ZigZag runs its own example `tpu_like`: 32 x 32 multipliers (K x C), weights in registers of 128 bytes each, 2 MiB of
SRAM for inputs and outputs, 64 bits a cycle to the DRAM; its temporal mapping is searched for latency. hwq prices the
same: an array that streams, a buffer of 128 KiB for the weights of all registers, energies per access as ZigZag's file
has them, the registers of sums in the energy of a multiply-accumulate. `its DRAM` are the cycles in which the one port
moves the words that ZigZag lists; hwq's `for energy` is the tiling of the least energy. SCALE-Sim runs products of
matrices on 16 x 16 arrays of both dataflows, its bandwidth free; hwq takes the cycles of its own arrays, which the
simulation of their Verilog confirms. Seconds are those of a processor for one layer each, searches included; hwq's the
least of seven turns, each of which searches anew.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.timing import Line
from hwq.costmodel.cost import Quantity
from hwq.costmodel.networks import (
    Accelerator,
    Buffer,
    Layer,
    LayerCost,
    Offchip,
    Streaming,
    Systolic,
    Widths,
    conv,
    gemm,
    price,
)
from hwq.costmodel.networks.shapes import resnet18
from hwq.datapath import Datapath
from hwq.errors import HwqError

T = TypeVar("T")
WIDTHS = Widths(8, 8, 16, 8)
BOTH = gemm("product 64 x 64 x 64", WIDTHS, 64, 64, 64)  # what all three run
LAYERS = (
    conv("3x3, 64 to 64, 56 x 56", WIDTHS, 64, 64, (56, 56), 3, 1, 1),
    conv("1x1 stride 2, 64 to 128", WIDTHS, 128, 64, (56, 56), 1, 2),
    conv("3x3, 512 to 512, 7 x 7", WIDTHS, 512, 512, (7, 7), 3, 1, 1),
    gemm("linear, 512 to 1000", WIDTHS, 1, 1000, 512),
    gemm("product 128 x 512 x 512", WIDTHS, 128, 512, 512),
    BOTH,
)
PRODUCTS = (BOTH, gemm("product 100 x 40 x 96", WIDTHS, 100, 40, 96))
MULTIPLIER, SUMS = 0.04, 2 * 0.021  # pJ, of tpu_like: a product; its sum read and written
DRAM = (700 + 750) / 2 / 64  # pJ a bit, the mean of its reads and writes
TURNS = 7
DATAFLOWS = {"os": "int8*int8 +fixed(32) @16x16 k=96", "ws": "int8*int8 +fixed(32) @16x16/ws k=16"}


def tpu_like() -> Accelerator:
    """ZigZag's example, as hwq describes it."""
    pj = Quantity.exact
    sram = Buffer("SRAM", ("input", "output"), 2 << 23, 2048, pj(416.16), pj(378.4), "tpu_like.yaml")
    registers = Buffer("registers", ("weight",), 1 << 20, 8, pj(0.095), pj(0.095), "tpu_like.yaml")
    dram = Offchip(8, pj(DRAM), "tpu_like.yaml")
    array = Streaming(1, 32, 32)
    return Accelerator("tpu_like", array, 1000, (sram, registers), dram, mac_pj=pj(MULTIPLIER + SUMS))


@dataclass(frozen=True)
class ZigZag:
    """What it says of a layer: cycles, those that its DRAM port moves for, and pJ."""

    cycles: float
    dram: int
    energy: float


def zigzag(layer: Layer, folder: Path) -> ZigZag:
    """Its search for the least latency."""
    import yaml
    import zigzag as package
    from zigzag.api import get_hardware_performance_zigzag
    from zigzag.mapping.data_movement import DataDirection

    inputs = Path(package.__file__).parent / "inputs"
    (folder / "layer.yaml").write_text(yaml.safe_dump(_workload(layer)))
    logging.disable(logging.CRITICAL)
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        energy, latency, (found, *_) = get_hardware_performance_zigzag(
            str(folder / "layer.yaml"),
            str(inputs / "hardware" / "tpu_like.yaml"),
            str(inputs / "mapping" / "tpu_like.yaml"),
            opt="latency",
            dump_folder=str(folder),
            pickle_filename=str(folder / "found.pickle"),
            loma_show_progress_bar=False,
        )
    levels: Any = found[1][0][0].memory_word_access.values()  # of the layer, words of 64 bits at the top
    return ZigZag(latency, sum(one[-1].get(way) for one in levels for way in DataDirection), energy)


def _workload(layer: Layer) -> list[dict[str, Any]]:
    y, x = (f"{s}*o{axis}+1*f{axis}" for s, axis in zip(layer.stride, "yx", strict=True))
    return [
        {
            "id": 0,
            "operator_type": "Conv",
            "equation": "O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]",
            "dimension_relations": [f"ix={x}", f"iy={y}"],
            "loop_dims": ["B", "K", "C", "OY", "OX", "FY", "FX"],
            "loop_sizes": [1, layer.k, layer.c, *layer.out, *layer.kernel],
            "operand_precision": {"W": 8, "I": 8, "O": 16, "O_final": 8},
            "operand_source": {"I": 0, "W": 0},
        }
    ]


CONFIG = """[general]
run_name = one
[architecture_presets]
ArrayHeight: 16
ArrayWidth: 16
IfmapSramSzkB: 64
FilterSramSzkB: 64
OfmapSramSzkB: 64
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Dataflow: {dataflow}
ReadRequestBuffer: 512
WriteRequestBuffer: 512
[layout]
IfmapCustomLayout: False
FilterCustomLayout: False
IfmapSRAMBankBandwidth: 10
IfmapSRAMBankNum: 10
IfmapSRAMBankPort: 2
FilterSRAMBankBandwidth: 10
FilterSRAMBankNum: 10
FilterSRAMBankPort: 2
[sparsity]
SparsitySupport: false
[run_presets]
InterfaceBandwidth: CALC
UseRamulatorTrace: False
"""


def scalesim(layer: Layer, dataflow: str, folder: Path) -> int:
    """The cycles of its array."""
    from scalesim.scale_sim import scalesim as simulator

    (folder / "one.cfg").write_text(CONFIG.format(dataflow=dataflow))
    (folder / "one.csv").write_text(f"Layer, M, N, K, Sparsity,\none,{layer.pixels},{layer.k},{layer.c},1:1,\n")
    (folder / "layout.csv").write_text("Layer,\none," + "1," * 24 + "\n")
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, about what it refuses from 2.4 on
        paths = {name: str(folder / file) for name, file in (("config", "one.cfg"), ("topology", "one.csv"))}
        one = simulator(
            save_disk_space=True,
            verbose=False,
            config=paths["config"],
            topology=paths["topology"],
            layout=str(folder / "layout.csv"),
            input_type_gemm=True,
        )
        one.run_scale(top_path=str(folder))
        found: int = one.runner.single_layer_sim_object_list[0].get_compute_report_items()[1]
    return found


def check_installed() -> None:
    """Refuse to go on without both."""
    try:
        version("zigzag-dse"), version("scalesim")
    except PackageNotFoundError as error:
        raise HwqError(
            f"this benchmark must have zigzag-dse and scalesim, not an environment without {error.name}; "
            "make one of its own: pip install -r tools/mappers.txt"
        ) from None


def beside_zigzag(folder: Path) -> Iterator[tuple[dict[str, LayerCost], float, ZigZag, float]]:
    """(ours for latency and for energy, our seconds, theirs, their seconds) of each layer."""
    accelerator = tpu_like()
    zigzag(BOTH, folder)  # what is imported once is in nobody's seconds
    for layer in LAYERS:
        theirs, spent = timed(partial(zigzag, layer, folder))
        mine = min(timed(partial(price, [layer], accelerator))[1] for _ in range(TURNS))
        ours = {goal: price([layer], accelerator, goal).layers[0] for goal in ("latency", "energy")}
        yield ours, mine, theirs, spent


def beside_scalesim(folder: Path) -> Iterator[tuple[Layer, str, int, float, int, float]]:
    """(layer, dataflow, our cycles, our seconds, their cycles, their seconds)."""
    for layer in PRODUCTS:
        for dataflow, text in DATAFLOWS.items():
            work = partial(Systolic(Datapath.parse(text)).work, layer.pixels, layer.k, layer.c, layer.taps)
            theirs, spent = timed(partial(scalesim, layer, dataflow, folder))
            mine = min(timed(work)[1] for _ in range(TURNS))
            yield layer, dataflow, int(work().cycles), mine, theirs, spent


def timed(function: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and its seconds of a processor."""
    start = time.process_time()
    found = function()
    return found, time.process_time() - start


def measure() -> Iterator[Line]:
    """ResNet-18 with the search for its tilings, each call anew."""
    layers, accelerator = resnet18(WIDTHS), tpu_like()
    spent = min(timed(partial(price, layers, accelerator))[1] for _ in range(TURNS))
    yield Line("ResNet-18 priced, tilings searched for", 1e3 * spent, "ms", 50)


def _beside(ours: float, theirs: float, unit: float = 1) -> str:
    return f"{ours / unit:,.0f} ({ours / theirs - 1:+.1%})"


def main() -> int:
    """Print both tables."""
    check_installed()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(
            "| layer | ZigZag, cycles | its DRAM | hwq, cycles | for energy | ZigZag, nJ | hwq, nJ | for energy ",
            end="",
        )
        print("| ZigZag, s | hwq, ms |\n" + "| --- " * 10 + "|")
        for ours, mine, theirs, spent in beside_zigzag(folder):
            cycles = [_beside(one.cycles.total, theirs.cycles) for one in ours.values()]
            energy = [_beside(one.energy_pj.value, theirs.energy, 1e3) for one in ours.values() if one.energy_pj]
            cells = [ours["latency"].layer.name, f"{theirs.cycles:,.0f}", f"{theirs.dram:,}", *cycles]
            cells += [f"{theirs.energy / 1e3:,.0f}", *energy, f"{spent:.1f}", f"{1e3 * mine:.1f}"]
            print(f"| {' | '.join(cells)} |", flush=True)
        print("\n| layer, 16 x 16 | SCALE-Sim, cycles | hwq, cycles | difference | SCALE-Sim, s | hwq, ms |")
        print("| --- " * 6 + "|")
        for layer, dataflow, cycles, mine, theirs_cycles, spent in beside_scalesim(folder):
            print(
                f"| {layer.name}, {dataflow} | {theirs_cycles:,} | {cycles:,} | {cycles / theirs_cycles - 1:+.1%} "
                f"| {spent:.2f} | {1e3 * mine:.3f} |"
            )
    for line in measure():
        print(f"\n{line.name}: {line.value:.1f} ms")
    print(", ".join(f"{name} {version(name)}" for name in ("zigzag-dse", "scalesim", "numpy")))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except HwqError as error:
        sys.exit(f"error: {error}")
