"""`hwq compile`: a quantized network as Verilog of a streaming kernel, with its memories' words and a bench."""

from __future__ import annotations

import hashlib
import math
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwq.cli.console import Json, parse_datapath, progress, show, table
from hwq.cli.cost import Clock
from hwq.cli.ptq import MODEL, Calibration
from hwq.cli.rtl import BUS, DATA_WIDTH, TARGET, bus_of
from hwq.errors import HwqError

if TYPE_CHECKING:
    from torch import Tensor

    from hwq.compiler import Compiled
    from hwq.ptq import QuantizedModel
    from hwq.rtl import Axi

__all__ = ["register"]

DATAPATH = "int(8)*int(4) ->int(8)[bias,requant]"
RECIPE = "gptq+refit+bc"

Model = Annotated[str, typer.Argument(metavar="MODEL", help=f"{MODEL[:-1]}; or codes, as hwq ptq --save wrote them.")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where the files go.")]
Text = Annotated[str, typer.Option("--datapath", metavar="DP", help="Of every layer of MODEL; requantizes to its a.")]
Recipe = Annotated[str, typer.Option("--recipe", metavar="R", help="How MODEL is quantized.")]
Lanes = Annotated[int, typer.Option("--lanes", metavar="L", help="L channels of L products a cycle, 2 to 64.")]
Share = Annotated[
    int | None, typer.Option("--share", metavar="N", help="Columns that an epilogue serves: 4, or as L allows.")
]
Cut = Annotated[str, typer.Option("--cut", metavar="STAGES", help="Registers after these stages, if no --clock does.")]
Images = Annotated[int, typer.Option("--images", metavar="N", help="Test images of the bench; of codes, noise.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compile")(compile_)


def compile_(
    model: Model,
    folder: Output,
    datapath: Text = DATAPATH,
    recipe: Recipe = RECIPE,
    lanes: Lanes = 16,
    share: Share = None,
    device: Annotated[str, TARGET] = "ecp5",
    clock: Clock = None,
    cut: Cut = "mul,bias,requant",
    bus: Annotated[str | None, BUS] = None,
    data_width: Annotated[int | None, DATA_WIDTH] = None,
    images: Images = 2,
    calibration: Calibration = None,
    as_json: Json = False,
) -> None:
    """Write a network as Verilog: one streaming kernel, the words of its memories, and a bench that needs no hwq.

    Each layer's codes and cycles are known before: the bench compares every word, and `layers.json` lists them.
    """
    from hwq.compiler import compile_network

    if not 2 <= lanes <= 64:
        raise HwqError(f"--lanes must be 2 to 64, not {lanes}")
    around = bus_of(bus, data_width)
    network, samples = _quantized(model, datapath, recipe, calibration, images)
    cuts = () if clock is not None else tuple(stage for stage in cut.split(",") if stage)
    compiled = compile_network(network, lanes, device, clock, cuts, share or math.gcd(lanes, 4))
    report = _written(compiled, folder, samples, clock, around)
    if as_json:
        show(report)
    else:
        _print(report, folder)


def _quantized(
    model: str, datapath: str, recipe: str, calibration: int | None, images: int
) -> tuple[QuantizedModel, Tensor]:
    """The network in codes, and images for its bench."""
    import torch

    from hwq import ptq, zoo
    from hwq.ptq.progress import watched

    if images < 1:
        raise HwqError(f"--images must be 1 or more, not {images}")
    if model.endswith(".safetensors"):
        network = ptq.load(model)
        noise = torch.randn(images, *network.graph.input.shape, generator=torch.Generator().manual_seed(0))
        return network, noise * float(network.state[network.layers[0].name, "scale"]) * 64
    text = str(parse_datapath([datapath]))
    methods = ptq.Recipe.parse(recipe)
    subject = zoo.load(model)
    samples, _ = subject.test(images)
    engine = ptq.quantizer(subject, calibration)
    with watched(progress):
        return engine.quantize(dict.fromkeys(engine.roles.values(), text), methods), samples


def _written(compiled: Compiled, folder: Path, samples: Tensor, clock: float | None, bus: Axi | None) -> dict[str, Any]:
    """Write the folder; what is in it, as numbers."""
    import json

    from hwq.datapath.names import check_own, write_files
    from hwq.kernel import layer_cycles
    from hwq.rtl.kernel import emit_kernel
    from hwq.sim.kernels import bench_files

    manifest = emit_kernel(compiled.kernel, compiled.plan, folder, clock, bus)
    bench = bench_files(compiled.kernel, compiled.program, compiled.images(samples), compiled.expected(samples))
    layers = [
        {
            "name": layer.name,
            "results": layer.results,
            "beats": layer.beats,
            "cycles": layer_cycles(compiled.plan, layer, compiled.kernel.share),
            "adds": step.other,
            "kernel": list(layer.kernel),
            "target": "results" if layer.target is None else f"bank {layer.target.bank} at {layer.target.base}",
        }
        for step, layer in zip(compiled.steps, compiled.program.layers, strict=True)
    ]
    report = {
        "model": compiled.network.name,
        "kernel": str(compiled.kernel),
        "device": compiled.plan.device,
        "top": manifest.top,
        "cycles": compiled.cycles,
        "macs": compiled.macs,
        "utilisation": compiled.utilisation,
        "clock_mhz": clock,
        "images_per_s": None if clock is None else clock * 1e6 / compiled.cycles,
        "memory_bits": compiled.kernel.memory_bits,
        "layers": layers,
    }
    texts = {f"bench/{name}": text for name, text in bench.items()} | {
        "layers.json": json.dumps(report, indent=2) + "\n"
    }
    check_own(folder, texts, manifest.project)
    write_files(folder, texts)
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    replace(manifest, project={**manifest.project, **digests}).save(folder)
    return report


def _print(report: dict[str, Any], folder: Path) -> None:
    print(f"{report['model']} on {report['kernel']}, {report['device']}, top {report['top']}")
    rows = [(x["name"], x["results"], x["beats"], x["cycles"], x["adds"] or "", x["target"]) for x in report["layers"]]
    table(("layer", "words", "beats each", "cycles", "adds ", "into "), rows)
    rate = (
        ""
        if report["images_per_s"] is None
        else f", {report['images_per_s']:,.0f} images/s at {report['clock_mhz']:g} MHz"
    )
    print(f"{report['cycles']:,} cycles an image, multipliers in use {report['utilisation']:.1%}{rate}")
    bits = ", ".join(f"{name} {count:,}" for name, count in report["memory_bits"].items())
    print(f"bits of memory: {bits}")
    print(f"make -C {shlex.quote(str(folder))} verilator compares every word; also: sim, lint, synth")
