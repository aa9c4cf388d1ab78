"""Trained networks with real data, ready to be quantized: `load("resnet8")`, or your own: `load("file.py:function")`.

Importing this package does not load torch; `load` does.
"""

from __future__ import annotations

from importlib import import_module

from hwq.errors import HwqError
from hwq.zoo.layers import layer_weights
from hwq.zoo.model import Data, Model
from hwq.zoo.score import Score, accuracy, difference, wilson
from hwq.zoo.task import TOP1, Task

__all__ = [
    "TOP1",
    "Data",
    "Model",
    "Score",
    "Task",
    "accuracy",
    "difference",
    "layer_weights",
    "load",
    "models",
    "wilson",
]

_NAMES = ("crnn", "efficientnet_lite0", "glassllm", "minilm", "resnet8", "tinydepth", "vit_s", "vit_tiny")
_MODULES = {name: f"hwq.zoo.{name}" for name in _NAMES}


def models() -> tuple[str, ...]:
    """The names that `load` knows."""
    return tuple(sorted(_MODULES))


def load(name: str) -> Model:
    """A model of the zoo by its name, one that a Python file makes ("path/file.py:function"), or "net.pt2:folder"."""
    if ".onnx" in name:
        raise HwqError(
            f"a float network must be file.py:function or a torch.export file, net.pt2:folder, not {name!r}; "
            "hwq import reads ONNX that is quantized"
        )
    if name not in _MODULES and ":" not in name:
        raise HwqError(f"a model must be one of {', '.join(models())}, or file.py:function, not {name!r}")
    if ".pt2:" in name:
        from hwq.zoo import program

        return program.load(name)
    model: Model = import_module(_MODULES[name]).load() if name in _MODULES else _external(name)
    return model


def _external(spec: str) -> Model:
    from hwq.zoo import external

    return external.load(spec)
