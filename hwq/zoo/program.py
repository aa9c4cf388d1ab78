"""Networks in `torch.export` files, with images of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch

from hwq.errors import HwqError
from hwq.zoo.folder import Folder, Preprocessing
from hwq.zoo.model import Data, Model

__all__ = ["load", "program"]

SUFFIX = ".pt2"


def load(spec: str) -> Model:
    """The network of "model.pt2:folder", as ImageNet networks are published: shorter side 256, middle 224."""
    path, _, folder = spec.partition(SUFFIX + ":")
    return program(Path(path + SUFFIX), Folder(Path(folder), Preprocessing()))


def program(path: Path, data: Data) -> Model:
    """The network of a torch.export file with `data`."""
    if not is_zipfile(path):  # of which torch would print a trace
        raise HwqError(f"{path} must be a file of torch.export.save, not {'another' if path.exists() else 'missing'}")
    try:
        found: Any = torch.export.load(path)
    except Exception as error:  # a zip of anything can come out
        line = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise HwqError(f"{path} must be a file of torch.export.save, not one that fails with {line}") from error
    return Model(path.stem, found, data)
