"""`hwq import`: a network that another tool quantized, on datapaths: layers, formats, price, exact score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwq.cli.console import PRICED, Json, check_folder, show, table
from hwq.errors import HwqError

if TYPE_CHECKING:
    from torch import Tensor

    from hwq.ptq import QuantizedModel

__all__ = ["register"]

File = Annotated[Path, typer.Argument(metavar="FILE", help="QDQ ONNX, QONNX, or a network that hwq saved.")]
Out = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the codes as safetensors.")]
Images = Annotated[
    Path | None,
    typer.Option("--images", metavar="PATH", help="Score on a folder of images, or an .npz with images and labels."),
]
Requant = Annotated[
    str, typer.Option("--requant", metavar="FORMAT", help="Of multipliers: 24 bits hold a float32 scale, 16 cost less.")
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
    device: Device = "xc7",
    as_json: Json = False,
) -> None:
    """Read a quantized network as it is, price its datapaths, and score it exactly where images are given."""
    from hwq import ptq
    from hwq.costmodel import estimate
    from hwq.costmodel.estimate import priced

    priced(device)
    if out is not None:
        check_folder("--output", out)
    model = ptq.load(file) if file.suffix == ".safetensors" else ptq.import_onnx(file, requant, array)
    data = None if images is None else _data(model, images)
    cost = estimate(model.instances, device)
    area, *_ = cost.figures
    record: dict[str, Any] = {"model": model.name, "origin": dict(model.origin), "layers": _layers(model)}
    record |= {"device": device, "instances": model.instances, area: cost.figures[area].json()}
    record |= {} if data is None else {"exact": _score(model, *data), "changed": ptq.changed(model, data[0][:64])}
    if out is not None:
        ptq.save(model, out)
    if as_json:
        show(record)
    else:
        _print(record, area)


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
    if "exact" in record:
        exact, changed = record["exact"], record["changed"]
        print(f"top-1 {exact['value']:.2%} [{exact['low']:.2%}, {exact['high']:.2%}], n={exact['n']}, exact arithmetic")
        if changed["of"]:
            print(
                f"ratios of scales as the requantizer has them change {changed['codes']} of {changed['of']} codes, by 1"
            )
