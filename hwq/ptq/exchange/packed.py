"""Quantized networks as safetensors: codes packed to their bits, scales, and in the metadata layers and provenance.

Tensors stand under "layer/port". `packed` in the metadata says of each that holds codes which format and shape they
have: it is a stream of `packed_bytes(format, shape, dense=True)` bytes. Files of version 2 had a code an element.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hwq.datapath import Datapath
from hwq.errors import HwqError
from hwq.formats import Format, Int, pack_bits, parse_format, unpack_bits
from hwq.ptq.call import Call
from hwq.ptq.constants import MAX_SHIFT
from hwq.ptq.exchange.files import check_file
from hwq.ptq.graph import Node, Window
from hwq.ptq.lower import Layer
from hwq.ptq.quantized import QuantizedModel

__all__ = ["code_format", "load", "save"]

_VERSION = 3
_CODES_APART = 2  # the version that did not pack
_SIDES = ("kernel", "stride", "padding", "dilation")
_SHIFT = Int(MAX_SHIFT.bit_length(), signed=False)


def code_format(layer: Layer, port: str) -> Format | None:
    """The format of the codes that a port of `layer` holds; None where it holds other numbers."""
    if layer.datapath is None:
        return layer.fmt if port == "value" and not layer.real else None
    mac = layer.datapath.mac
    return {"weight": mac.w, "bias": mac.acc_format, "mul": mac.requant, "shift": _SHIFT}.get(port)


def save(model: QuantizedModel, path: str | Path) -> None:
    """Write `model`; the same model gives the same bytes."""
    layers = {layer.name: layer for layer in model.layers}
    tensors: dict[str, Tensor] = {}
    packed: dict[str, dict[str, Any]] = {}
    for (name, port), held in sorted(model.state.items()):
        key, fmt = f"{name}/{port}", code_format(layers[name], port)
        tensors[key] = held.contiguous().clone() if fmt is None else pack_bits(fmt, _rows(held), dense=True)
        if fmt is not None:
            packed[key] = {"format": str(fmt), "shape": list(held.shape)}
    described = {"version": _VERSION, "name": model.name, "layers": [_described(layer) for layer in model.layers]}
    described |= {"packed": packed, "origin": dict(model.origin)}
    save_file(tensors, path, metadata={"hwq": json.dumps(described, sort_keys=True)})


def load(path: str | Path) -> QuantizedModel:
    """The model that `save` wrote, of this version or the one before."""
    check_file(path, "a quantized model")
    try:
        with safe_open(path, "pt") as file:
            if any(key.endswith(".weight_scale") for key in file.keys()):  # noqa: SIM118 - not a mapping
                raise HwqError(f"{path} must be a network that hwq saved, not weights alone; hwq import needs --model")
            described = json.loads((file.metadata() or {})["hwq"])
            version = described["version"]
            if version not in (_CODES_APART, _VERSION):
                known = f"{_CODES_APART} or {_VERSION}"
                raise HwqError(f"{path} must be of version {known}, not {version}; use the hwq that wrote it")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
            tensors |= {key: _unpacked(tensors[key], how) for key, how in described.get("packed", {}).items()}
            layers = tuple(_layer(record) for record in described["layers"])
    except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise HwqError(f"{path} must be a quantized model, not one that fails with {error!r}") from error
    state = {(layer, port): tensor for key, tensor in tensors.items() for layer, _, port in [key.rpartition("/")]}
    return QuantizedModel(described["name"], layers, state, origin=described.get("origin", {}))


def _rows(codes: Tensor) -> Tensor:
    """Blocks of a format lie along the products of an output."""
    return codes.flatten(1) if codes.dim() > 1 else codes


def _unpacked(stored: Tensor, how: dict[str, Any]) -> Tensor:
    fmt, shape = parse_format(how["format"]), how["shape"]
    rows = (shape[0], math.prod(shape[1:])) if len(shape) > 1 else tuple(shape)
    codes: Tensor = unpack_bits(fmt, stored, rows, dense=True).reshape(shape)
    return codes.long() if fmt.bits > 8 or fmt == _SHIFT else codes


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
