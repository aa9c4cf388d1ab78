"""`hwq import`: a network that another tool quantized, on datapaths: layers, formats, price, exact score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwq.cli.console import PRICED, Json, check_folder, parse_datapath, show, table
from hwq.errors import HwqError

if TYPE_CHECKING:
    from torch import Tensor

    from hwq.ptq import QuantizedModel

__all__ = ["register"]

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="QDQ, QOperator or QONNX, compressed-tensors, or what hwq saved.")
]
ModelName = Annotated[
    str | None,
    typer.Option("--model", metavar="MODEL", help="Whose weights compressed-tensors are: a model as hwq ptq takes it."),
]
Text = Annotated[
    str | None,
    typer.Option("--datapath", metavar="DP", help="Of the layers of MODEL; weights of the file keep their format."),
]
Recipe = Annotated[str, typer.Option("--recipe", metavar="R", help="For what of MODEL is not in the file.")]
Items = Annotated[int | None, typer.Option("--items", metavar="N", help="Test items of MODEL to score on.")]
Rtl = Annotated[
    Path | None, typer.Option("--rtl", metavar="DIR", help="Write every datapath as Verilog, a folder each.")
]
Out = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the codes as safetensors.")]
Images = Annotated[
    Path | None,
    typer.Option("--images", metavar="PATH", help="Score on a folder of images, or an .npz with images and labels."),
]
Requant = Annotated[
    str,
    typer.Option("--requant", metavar="FORMAT", help="Of multipliers: 24 bits keep a network's codes; 20 cost less."),
]
Size = Annotated[str, typer.Option("--array", metavar="SIZE", help="Of the array of every instance.")]
Device = Annotated[str, typer.Option("--device", "-d", metavar="D", help=f"Whose prices: {PRICED}.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(imported)


def imported(
    file: File,
    out: Out = None,
    images: Images = None,
    requant: Requant = "uint(24)",
    array: Size = "@8x8",
    model: ModelName = None,
    datapath: Text = None,
    recipe: Recipe = "rtn",
    items: Items = None,
    rtl: Rtl = None,
    device: Device = "xc7",
    as_json: Json = False,
) -> None:
    """Read a quantized network as it is, price its datapaths, write them as Verilog, and score it exactly.

    The score is on --images. Weights of compressed-tensors files need the network that they are of, which is --model:
    the file's codes and scales are kept, the rest is quantized by --recipe, and the score is that of the model's task.
    """
    from hwq import ptq
    from hwq.costmodel.estimate import priced

    priced(device)
    for option, path in (("--output", out), ("--rtl", rtl)):
        if path is not None:
            check_folder(option, path)
    if (model is None) != (datapath is None):
        raise HwqError("hwq import needs --model and --datapath together, for weights of compressed-tensors")
    if model is not None and datapath is not None:
        made, scored = _of_model(file, model, datapath, recipe, items)
    elif file.suffix == ".safetensors":
        made, scored = ptq.load(file), {}
    else:
        made, scored = ptq.import_onnx(file, requant, array), {}
    if images is not None:
        pictures, labels = _data(made, images)
        scored = {"exact": _score(made, pictures, labels), "changed": ptq.changed(made, pictures[:64])}
    _tell(made, scored, device, out, rtl, as_json)


def _tell(
    model: QuantizedModel, scored: dict[str, Any], device: str, out: Path | None, rtl: Path | None, as_json: bool
) -> None:
    """Print what was imported, and write the files that were asked for."""
    from hwq import ptq
    from hwq.costmodel import estimate

    cost = estimate(model.instances, device)
    area, *_ = cost.figures
    record: dict[str, Any] = {"model": model.name, "origin": dict(model.origin), "layers": _layers(model)}
    record |= {"device": device, "instances": model.instances, area: cost.figures[area].json()}
    record |= scored
    if out is not None:
        ptq.save(model, out)
    if rtl is not None:
        record["rtl"] = _write(model, rtl)
    if as_json:
        show(record)
    else:
        _print(record, area)


def _of_model(
    file: Path, name: str, datapath: str, recipe: str, items: int | None
) -> tuple[QuantizedModel, dict[str, Any]]:
    """The codes of a compressed-tensors file in the network `name`, and its score beside that network's."""
    from dataclasses import replace

    from hwq import ptq, zoo

    text = str(parse_datapath([datapath]))
    subject = zoo.load(name)
    net, weights = ptq.install(subject.net, file)
    engine = ptq.Quantizer(net, subject.calibration()[: ptq.CALIBRATION], name=subject.name)
    made = engine.quantize(dict.fromkeys(engine.roles.values(), text), recipe, weights)
    made = replace(made, origin={**made.origin, "file": file.name, "layers of the file": str(len(weights))})
    report = ptq.report(subject, made, items)
    return made, {key: report[key] for key in ("metric", "n", "float", "exact", "beside", "float_ops")}


def _write(model: QuantizedModel, folder: Path) -> dict[str, str]:
    """Every instance as Verilog with its bench; {name: folder}."""
    from hwq.datapath import Datapath
    from hwq.rtl import emit
    from hwq.sim.folder import write_bench

    told = {}
    for name, text in model.instances.items():
        place = folder / name
        emit(Datapath.parse(text), place)
        write_bench(place)
        told[name] = str(place)
    return told


def _layers(model: QuantizedModel) -> list[dict[str, Any]]:
    return [
        {"name": x.name, "op": x.op, "format": str(x.fmt), "datapath": None if x.datapath is None else str(x.datapath)}
        for x in model.layers
    ]


def _data(model: QuantizedModel, path: Path) -> tuple[Tensor, Tensor]:
    """Images and labels of a folder, of the size that the model takes, or of an .npz file."""
    import numpy as np
    import torch

    if path.suffix != ".npz":
        from hwq.zoo.folder import Folder, Preprocessing

        channels, height, width = ([*model.graph.input.shape, 0, 0])[:3]
        if height != width or channels not in (1, 3):
            raise HwqError(f"images of a folder must be square, not {list(model.graph.input.shape)}; give an .npz")
        grey = (0.5,)
        how = (
            Preprocessing(round(height / 0.875), height) if channels == 3 else Preprocessing(height, height, grey, grey)
        )
        return Folder(path, how).test()
    try:
        with np.load(path) as held:
            return torch.from_numpy(held["images"]).float(), torch.from_numpy(held["labels"]).long()
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise HwqError(f"{path} must hold images [N, ...] and labels [N], not fail with {error}") from error


def _score(model: QuantizedModel, images: Tensor, labels: Tensor) -> dict[str, Any]:
    from hwq.zoo import accuracy

    score = accuracy(model.predict(images), labels)
    return {**score.json(), "n": score.n}


def _print(record: dict[str, Any], area: str) -> None:
    print(f"{record['model']}: {len(record['layers'])} layers on {len(record['instances'])} datapaths")
    table(
        ["layer", "op ", "format ", "datapath "],
        [[x["name"], x["op"], x["format"], x["datapath"]] for x in record["layers"]],
    )
    print(f"{area} of all datapaths on {record['device']}: {record[area]['value']:,.0f}")
    if rounded := record["origin"].get("biases rounded"):
        print(f"biases off the grid of their sums, rounded to it: {rounded}")
    for name, place in record.get("rtl", {}).items():
        print(f"{name}: {record['instances'][name]} is in {place}")
    if "metric" in record:
        for kind in ("float", "exact"):
            score = record[kind]
            print(f"{record['metric']} {score['value']:.4f} [{score['low']:.4f}, {score['high']:.4f}], {kind}")
        print(f"items: {record['n']}; operators on the host: {len(record['float_ops'])}")
    elif "exact" in record:
        exact, changed = record["exact"], record["changed"]
        print(f"top-1 {exact['value']:.2%} [{exact['low']:.2%}, {exact['high']:.2%}], n={exact['n']}, exact arithmetic")
        if changed["of"]:
            print(
                f"ratios of scales as the requantizer has them change {changed['codes']} of {changed['of']} codes, by 1"
            )
