"""Quantized networks as safetensors: tensors under "layer/port", the layers as JSON in the file's metadata."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hwq.datapath import Datapath
from hwq.errors import HwqError
from hwq.formats import parse_format
from hwq.ptq.call import Call
from hwq.ptq.graph import Node, Window
from hwq.ptq.lower import Layer
from hwq.ptq.quantized import QuantizedModel

__all__ = ["load", "save"]

_VERSION = 2
_SIDES = ("kernel", "stride", "padding", "dilation")


def save(model: QuantizedModel, path: str | Path) -> None:
    """Write `model`; the same model gives the same bytes."""
    described = {"version": _VERSION, "name": model.name, "layers": [_described(layer) for layer in model.layers]}
    tensors = {f"{layer}/{port}": tensor.contiguous().clone() for (layer, port), tensor in sorted(model.state.items())}
    save_file(tensors, path, metadata={"hwq": json.dumps(described, sort_keys=True)})


def load(path: str | Path) -> QuantizedModel:
    """The model that `save` wrote."""
    try:
        with safe_open(path, "pt") as file:
            described = json.loads((file.metadata() or {})["hwq"])
            if described["version"] != _VERSION:
                raise HwqError(f"{path} must be of version {_VERSION}, not {described['version']}; quantize again")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise HwqError(f"{path} must be a quantized model, not one that fails with {error!r}") from error
    state = {(layer, port): tensor for key, tensor in tensors.items() for layer, _, port in [key.rpartition("/")]}
    return QuantizedModel(described["name"], tuple(_layer(record) for record in described["layers"]), state)


def _described(layer: Layer) -> dict[str, Any]:
    return {
        "node": asdict(replace(layer.node, call=None)) | {"call": layer.node.call and layer.node.call.json()},
        "role": layer.role,
        "datapath": None if layer.datapath is None else str(layer.datapath),
        "format": None if layer.fmt is None else str(layer.fmt),
        "group": layer.group,
        "real": layer.real,
    }


def _layer(record: dict[str, Any]) -> Layer:
    node = record["node"]
    kernel, stride, padding, dilation = ((s[0], s[1]) for s in map(node["window"].get, _SIDES))
    window = Window(kernel, stride, padding, dilation, node["window"]["groups"])
    call = None if node["call"] is None else Call.from_json(node["call"])
    inputs, shape = tuple(node["inputs"]), tuple(node["shape"])
    made = Node(node["name"], node["op"], inputs, shape, window, node["relu"], node["most"], call, node["whole"])
    datapath = None if record["datapath"] is None else Datapath.parse(record["datapath"])
    fmt = None if record["format"] is None else parse_format(record["format"])
    return Layer(made, record["role"], datapath, fmt, record["group"], record["real"])
