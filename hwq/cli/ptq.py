"""`hwq ptq`: quantize a model for a datapath, and say what it costs in accuracy, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hwq.cli.console import Json, parse_datapath, show, table

__all__ = ["Images", "ModelName", "Recipe", "register"]

KINDS = ("float", "fake", "exact")
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="A model of the zoo, or file.py:function.")]
Images = Annotated[
    int | None, typer.Option("--images", metavar="N", help="Test images, all committed ones by default.")
]
Recipe = Annotated[str, typer.Option("--recipe", metavar="R", help="Methods joined by +, such as rtn or gptq+bc.")]
Text = Annotated[str, typer.Option("--datapath", metavar="DP", help="The datapath of every layer, in quotes.")]
First = Annotated[str | None, typer.Option("--first", metavar="DP", help="Another one for the first layer.")]
Last = Annotated[str | None, typer.Option("--last", metavar="DP", help="Another one for the last layer.")]
Device = Annotated[str, typer.Option("--device", "-d", metavar="D", help="Where saved accumulator bits are priced.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ptq")(ptq)


def ptq(
    model: ModelName,
    datapath: Text,
    recipe: Recipe,
    first: First = None,
    last: Last = None,
    images: Images = None,
    device: Device = "xc7",
    save: Annotated[Path | None, typer.Option("--save", metavar="FILE", help="Write the codes as safetensors.")] = None,
    as_json: Json = False,
) -> None:
    """Quantize a model and score it: float, fake-quantized, and exactly as the hardware computes."""
    texts = {"first": first or datapath, "body": datapath, "last": last or datapath}
    assignment = {role: str(parse_datapath([text])) for role, text in texts.items()}
    from hwq import ptq as quantization
    from hwq import zoo

    subject = zoo.load(model)
    quantized = quantization.quantize(subject, assignment, recipe)
    report = quantization.report(subject, quantized, zoo.accuracy, images)
    report["accumulators"] = accumulators(quantized.assignment, device)
    if save is not None:
        quantization.save(quantized, save)
    if as_json:
        show(report)
    else:
        _print(report)


def accumulators(assignment: dict[str, str], device: str) -> dict[str, Any]:
    """What the certified accumulators save: the area of `assignment` beside that with room for any weights."""
    from dataclasses import replace

    from hwq.costmodel import estimate
    from hwq.datapath import Datapath, Exact

    parsed = {role: Datapath.parse(text) for role, text in assignment.items()}
    wide = {role: str(replace(dp, mac=replace(dp.mac, acc=Exact()))) for role, dp in parsed.items()}
    certified, any_weights = estimate(assignment, device), estimate(wide, device)
    area, *_ = certified.figures
    saved = any_weights.figures[area].value - certified.figures[area].value
    return {
        "device": device,
        "bits": {role: dp.mac.acc_bits for role, dp in parsed.items()},
        "bits_any_weights": {role: dp.mac.exact_bits for role, dp in parsed.items()},
        area: {"certified": certified.figures[area].json(), "any_weights": any_weights.figures[area].json()},
        f"{area}_saved": round(saved, 1),
    }


def _print(report: dict[str, Any]) -> None:
    print(f"{report['model']}, {report['metric']} of {report['n']} images, 95 % intervals")
    rows = [(kind, *(f"{report[kind][part]:.2%}" for part in ("value", "low", "high"))) for kind in KINDS]
    table(["evaluator", "value", "low", "high"], rows)
    print()
    columns = ["name", "datapath ", "macs", "sqnr_db", "saturated"]
    table(columns, [[layer[name.strip()] for name in columns] for layer in report["per_layer"]])
    saved = report["accumulators"]
    print("\naccumulators, bits that these weights need (that any would):", end=" ")
    print(", ".join(f"{role} {bits} ({saved['bits_any_weights'][role]})" for role, bits in saved["bits"].items()))
    name = next(key for key in saved if key.endswith("_saved"))
    print(f"that saves {saved[name]:,.0f} {name.removesuffix('_saved')} on {saved['device']}")
