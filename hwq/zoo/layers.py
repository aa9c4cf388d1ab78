"""Weights of the zoo's networks as plain arrays, without torch: real data for number formats to be tried on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hwq.errors import HwqError

__all__ = ["layer_weights"]

_DATA = Path(__file__).parent / "data"


def layer_weights(model: str, layer: str) -> np.ndarray[Any, Any]:
    """float32 [outputs, terms of a dot product] of a layer of a packaged model: "resnet8", "block3.conv2"."""
    from safetensors.numpy import load_file

    path = _DATA / f"{model}.safetensors"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in _DATA.glob("*.safetensors")))
        raise HwqError(f"packaged weights are those of {known}, not {model!r}")
    tensors = load_file(path)
    layers = [name.removesuffix(".weight") for name, x in tensors.items() if name.endswith(".weight") and x.ndim > 1]
    if layer not in layers:
        raise HwqError(f"a layer of {model} must be one of {', '.join(layers)}, not {layer!r}")
    found = tensors[f"{layer}.weight"]
    return np.ascontiguousarray(found.reshape(found.shape[0], -1))
