"""`hwq ptq`: quantize a model for a datapath, and say what it costs in accuracy, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwq.cli.console import PRICED, Json, check_folder, fail, parse_datapath, progress, show, table
from hwq.cli.objectives import UNCOUNTED
from hwq.errors import HwqError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hwq.ptq import QuantizedModel

__all__ = ["Calibration", "Images", "ModelName", "Recipe", "print_accumulators", "register"]

KINDS = ("float", "fake", "exact")
MODEL = "A model of the zoo, file.py:function, or net.pt2:folder (of torch.export, and of images)."
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL)]
Images = Annotated[
    int | None, typer.Option("--images", metavar="N", help="Test images, or other items; a default number else.")
]
Crops = Annotated[
    int | None, typer.Option("--crops", metavar="N", help="Compare outputs on N unlabelled crops of photographs.")
]
Calibration = Annotated[
    int | None, typer.Option("--calibration", metavar="N", help="Calibration images, 512 or all there are by default.")
]
Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe", metavar="R", help="Words joined by +, such as gptq+bc; a packaged name by itself; a TOML file."
    ),
]
Text = Annotated[str | None, typer.Option("--datapath", metavar="DP", help="The datapath of every layer, in quotes.")]
First = Annotated[str | None, typer.Option("--first", metavar="DP", help="Another one for the first layer.")]
Last = Annotated[str | None, typer.Option("--last", metavar="DP", help="Another one for the last layer.")]
Matrix = Annotated[
    str | None, typer.Option("--matrix", metavar="FILE", help="A table of methods: builtin, or a TOML file of rows.")
]
Protocol = Annotated[
    Path | None, typer.Option("--protocol", metavar="FILE", help="A TOML file with a published figure to reach.")
]
Onnx = Annotated[Path | None, typer.Option("--onnx", metavar="FILE", help="Write the codes as ONNX.")]
Style = Annotated[str, typer.Option("--style", metavar="S", help="Of --onnx: qdq, integer or qonnx.")]
Store = Annotated[Path, typer.Option("--store", metavar="FILE", help="Where rows of --matrix are kept.")]
Device = Annotated[str, typer.Option("--device", "-d", metavar="D", help=f"Whose prices: {PRICED}.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ptq")(ptq)


def ptq(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help=MODEL)] = None,
    datapath: Text = None,
    recipe: Recipe = None,
    first: First = None,
    last: Last = None,
    images: Images = None,
    crops: Crops = None,
    calibration: Calibration = None,
    device: Device = "xc7",
    save: Annotated[Path | None, typer.Option("--save", metavar="FILE", help="Write the codes as safetensors.")] = None,
    matrix: Matrix = None,
    store: Store = Path("matrix.jsonl"),
    onnx: Onnx = None,
    style: Style = "qdq",
    protocol: Protocol = None,
    as_json: Json = False,
) -> None:
    """Quantize a model and score it: float, fake-quantized, and exactly as the hardware computes.

    With --matrix many methods on many models instead, or on MODEL alone: `hwq ptq --matrix builtin`, or a TOML file of
    your own.
    """
    given = (datapath, recipe, first, last, images, crops, calibration, save, onnx)
    if matrix is not None:
        _alone("--matrix takes MODEL, --store and --json alone", *given, protocol)
        _matrix(matrix, model, store, as_json)
        return
    if protocol is not None:
        _alone("--protocol takes --json alone: its file says the rest", *given, model)
        _protocol(protocol, as_json)
        return
    if model is None or datapath is None or recipe is None:
        raise HwqError("hwq ptq needs a MODEL, --datapath and --recipe, or --matrix, or --protocol")
    texts = {
        "first": datapath if first is None else first,
        "body": datapath,
        "last": datapath if last is None else last,
    }
    assignment = {role: str(parse_datapath([text])) for role, text in texts.items()}
    from hwq.costmodel.estimate import priced

    priced(device)
    if save is not None:
        check_folder("--save", save)
    if onnx is not None:
        check_folder("--onnx", onnx)
    from hwq import ptq as quantization
    from hwq import zoo
    from hwq.ptq.progress import watched

    methods = quantization.Recipe.parse(recipe)
    subject = zoo.load(model)
    subject.test(images)
    unlabelled = None if crops is None else subject.crops(crops)
    engine = quantization.quantizer(subject, calibration)
    assignment = {role: text for role, text in assignment.items() if role in engine.roles.values()}
    engine.products(assignment)  # refuses what cannot be quantized, before it is
    with watched(progress):
        quantized = engine.quantize(assignment, methods)
    worst = [text for text, *_ in engine.products(assignment, methods)]
    report = quantization.report(subject, quantized, images, unlabelled)
    report["accumulators"] = accumulators(quantized, worst, device)
    if save is not None:
        quantization.save(quantized, save)
    if onnx is not None:
        quantization.export_onnx(quantized, onnx, style)
    if as_json:
        show(report)
    else:
        _print(report, subject.task.share)


def _alone(rule: str, *others: object) -> None:
    """Refuse options that would be ignored."""
    if given := [str(other) for other in others if other is not None]:
        raise HwqError(f"{rule}, not also {given[0]!r}")


def _matrix(matrix: str, model: str | None, store: Path, as_json: bool) -> None:
    """The table of methods; a check that fails where one cannot run, or is behind rounding without a word why."""
    from hwq.cli.matrix import cases, markdown, of_model, run

    check_folder("--store", store)
    rows = cases(None if matrix == "builtin" else Path(matrix))
    records, refused = run(rows if model is None else of_model(rows, model), store)
    if as_json:
        show([*records, *({"refused": line} for line in refused)])
    else:
        print(markdown(records), end="")
    for line in refused:
        typer.echo(f"error: {line}", err=True)
    if refused or any(record["behind"] and not record["why"] for record in records):
        raise fail()


def _protocol(path: Path, as_json: bool) -> None:
    """A published figure on the user's machine; a check that fails where it is missed."""
    from hwq.cli.protocol import judged, lines

    record = judged(path)
    if as_json:
        show(record)
    else:
        print("\n".join(lines(record)))
    if not record["passed"]:
        raise fail()


def accumulators(quantized: QuantizedModel, worst: Sequence[str], device: str) -> dict[str, Any]:
    """What the certified accumulators save: bits and area of every instance, beside those for any weights.

    `needs` are the bits that the weights need, which may be more than those of an accumulator that the user fixed.
    `worst` gives, for each of the network's products, the datapath whose accumulator no weights can leave.
    """
    from hwq.costmodel import estimate
    from hwq.datapath import Datapath
    from hwq.ptq import needs

    wide = dict(zip((text for text, *_ in quantized.products()), worst, strict=True))
    certified = estimate(quantized.instances, device)
    any_weights = estimate({text: text for text in worst}, device)
    area, *_ = certified.figures
    saved = any_weights.figures[area].value - certified.figures[area].value
    names = quantized.instances.items()
    return {
        "device": device,
        "instances": quantized.instances,
        "bits": {name: Datapath.parse(text).mac.acc_bits for name, text in names},
        "needs": _widest(quantized, needs(quantized)),
        "bits_any_weights": {name: Datapath.parse(wide[text]).mac.exact_bits for name, text in names},
        area: {"certified": certified.figures[area].json(), "any_weights": any_weights.figures[area].json()},
        f"{area}_saved": round(saved, 1),
    }


def _widest(quantized: QuantizedModel, needed: dict[str, int]) -> dict[str, int]:
    """{instance: bits} of the layer that needs most among those on each instance."""
    found: dict[str, int] = {}
    of = {layer.name: str(layer.datapath) for layer in quantized.layers}
    for name, text in quantized.instances.items():
        bits = [need for layer, need in needed.items() if of[layer] == text]
        found |= {name: max(bits)} if bits else {}
    return found


def _print(report: dict[str, Any], share: bool) -> None:
    """`share`: the metric is one of 1, and printed in percent, its difference in points."""
    print(f"{report['model']}, {report['metric']} of {report['n']} items, 95 % intervals")
    parts, form = ("value", "low", "high"), ".2%" if share else ".4f"
    table(["evaluator", *parts], [(kind, *(f"{report[kind][part]:{form}}" for part in parts)) for kind in KINDS])
    lost = [f"{100 * report['lost'][part]:.2f}" if share else f"{report['lost'][part]:.4f}" for part in parts]
    print(f"the hardware loses {lost[0]}{' points' * share} of float, paired interval [{lost[1]}, {lost[2]}]")
    print(f"its outputs beside float's, {_beside(report['beside'])}\n")
    columns = ["name", "datapath ", "macs", "sqnr_db", "saturated"]
    table(columns, [[layer[name.strip()] for name in columns] for layer in report["per_layer"]])
    print_accumulators(report["accumulators"])


def _beside(near: dict[str, Any]) -> str:
    """How near outputs are, in words."""
    words = {"agreement": "agreement {:.2%}", "kl": "KL {:.4g} nats", "cosine": "cosine {:.5f}"}
    told = [form.format(near[key]) for key, form in words.items() if key in near]
    noise = "no noise" if near["sqnr_db"] is None else f"SQNR {near['sqnr_db']:.1f} dB"
    return f"n={near['n']}: {', '.join([*told, noise])}"


def print_accumulators(saved: dict[str, Any]) -> None:
    """Instances with their width, that which the weights need, that which any would, and the area between the two."""
    name = next(key for key in saved if key.endswith("_saved"))
    area = name.removesuffix("_saved")
    print("\naccumulator bits of each instance: what it has, what these weights need, and any weights of k terms")
    rows = [
        (key, text, saved["bits"][key], saved["needs"].get(key), saved["bits_any_weights"][key])
        for key, text in saved["instances"].items()
    ]
    table(["instance", "datapath ", "has", "needs", "any weights"], rows)
    wide, narrow = (f"{saved[area][kind]['value']:,.0f}" for kind in ("any_weights", "certified"))
    difference = f"{abs(saved[name]):,.0f} {'saved' if saved[name] >= 0 else 'more than for any weights'}"
    print(f"{area} on {saved['device']}: {wide} for any weights, {narrow} certified, {difference}")
    print(f"not counted: {UNCOUNTED}")
    for key, bits in saved["needs"].items():
        if bits > saved["bits"][key]:
            print(f"warning: {key}: the accumulator needs {bits} bits for these weights, has {saved['bits'][key]}")
