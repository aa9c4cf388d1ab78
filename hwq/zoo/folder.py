"""Images of a folder as a model's data: a sub-folder for each class, or labels in the names of files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from torch import Tensor, float32, from_numpy, stack, tensor

from hwq.errors import HwqError

__all__ = ["Folder", "Preprocessing"]

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
_LABEL = re.compile(r"_(\d+)$")
_RESAMPLING = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # as Pillow numbers them


@dataclass(frozen=True)
class Preprocessing:
    """From a picture to network input: the shorter side to `resize`, the middle `crop`, then (x / 255 - mean) / std.

    The defaults are those that ImageNet models of torchvision are published with.
    """

    resize: int = 256
    crop: int = 224
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    resampling: str = "bilinear"

    def __post_init__(self) -> None:
        if self.resampling not in _RESAMPLING:
            raise HwqError(f"resampling must be one of {', '.join(_RESAMPLING)}, not {self.resampling!r}")
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3) or min(self.std) <= 0:
            raise HwqError("mean and std must have one number for each of 1 or 3 channels, std above 0")
        if not 1 <= self.crop <= self.resize:
            raise HwqError(f"crop must be 1..resize={self.resize}, not {self.crop}")

    def __call__(self, path: Path) -> Tensor:
        """The input [C, crop, crop] of one file."""
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path) as file:
                picture = file.convert("RGB" if len(self.mean) == 3 else "L")
        except (OSError, UnidentifiedImageError) as error:
            raise HwqError(
                f"{path} must be an image, not one that fails with {' '.join(str(error).split())}"
            ) from error
        width, height = picture.size
        ratio = self.resize / min(width, height)  # the longer side is cut, as torchvision does
        size = (self.resize, int(height * ratio)) if width <= height else (int(width * ratio), self.resize)
        picture = picture.resize(size, _RESAMPLING.index(self.resampling))
        left, top = (round((n - self.crop) / 2) for n in size)
        pixels = np.asarray(picture.crop((left, top, left + self.crop, top + self.crop)), np.float32)
        x = from_numpy(pixels.reshape(self.crop, self.crop, -1).copy()).permute(2, 0, 1) / 255
        mean, std = (tensor(values, dtype=float32).reshape(-1, 1, 1) for values in (self.mean, self.std))
        return (x - mean) / std


_PUBLISHED = Preprocessing()


@dataclass(frozen=True)
class Folder:
    """`Data` from a folder: `CLASS/FILE`, classes in the order of their names, else files called `NAME_LABEL`.

    `held` images are for calibration, taken evenly over the folder and without labels; all are test images, which is
    told where they are scored: give another `calibration` folder for a figure to be published.
    """

    path: Path
    preprocessing: Preprocessing = _PUBLISHED
    calibration_path: Path | None = None
    held: int = 512

    def calibration(self) -> Tensor:
        """Calibration images [N, C, H, W], of the other folder where there is one."""
        files = [file for file, _ in _listed(self.calibration_path or self.path, self.calibration_path is None)]
        step = max(1, len(files) // self.held)
        return stack([self.preprocessing(file) for file in files[::step][: self.held]])

    def test(self, n: int | None = None) -> tuple[Tensor, Tensor]:
        """The first n images in the order of their names, and their labels."""
        files = _listed(self.path, True)
        n = len(files) if n is None else n
        if not 1 <= n <= len(files):
            raise HwqError(f"the number of test images must be 1..{len(files)}, not {n}")
        return stack([self.preprocessing(file) for file, _ in files[:n]]), tensor([label for _, label in files[:n]])


@lru_cache(maxsize=8)
def _listed(path: Path, labelled: bool) -> tuple[tuple[Path, int], ...]:
    """Every image with its label, in the order of names; 0 where labels are not asked for."""
    if not path.is_dir():
        raise HwqError(f"a folder of images must exist, not {path}")
    classes = sorted(entry for entry in path.iterdir() if entry.is_dir())
    if classes:
        found = [(file, label) for label, folder in enumerate(classes) for file in _images(folder)]
    else:
        found = [(file, _label(file) if labelled else 0) for file in _images(path)]
    if not found:
        raise HwqError(f"{path} must hold images ({', '.join(_SUFFIXES)}), not none")
    return tuple(found)


def _images(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES)


def _label(file: Path) -> int:
    found = _LABEL.search(file.stem)
    if found is None:
        raise HwqError(f"an image must lie in a folder of its class or be called NAME_LABEL, not {file.name}")
    return int(found[1])
