"""Real photographs from installed packages, cut into crops: read where they lie, never committed.

Calibration takes those of Debian's `opencv-doc`; what judges are foolbox's 20 labelled ImageNet pictures and those of
scikit-image. No photograph is in both.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hwq.errors import HwqError
from hwq.zoo.packages import debian, wheel

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["calibration", "crops", "judging", "labelled", "views"]

Pixels = NDArray[np.uint8]
SEED = 224

_OPENCV = (
    *("aero1.jpg", "aloeL.jpg", "apple.jpg", "baboon.jpg", "board.jpg", "building.jpg", "fruits.jpg", "graf1.png"),
    *("left.jpg", "leuvenA.jpg", "licenseplate_motion.jpg", "messi5.jpg", "orange.jpg", "rubberwhale1.png"),
    *("squirrel_cls.jpg", "stuff.jpg", "plant.jpg", "ela_original.jpg", "box_in_scene.png", "basketball1.png"),
    *(f"scenetext0{i}.jpg" for i in range(1, 7)),
    *(f"scenetext_segmented_word0{i}.jpg" for i in range(1, 6)),
    *("data/butterfly.jpg", "dnn_superres/butterfly.png", "data/home.jpg", "reg/home.png"),
)
_SCIKIT = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
_FOOLBOX = (
    *("00_243", "01_559", "02_438", "03_990", "04_949", "05_853", "06_609", "07_609", "08_915", "09_455"),
    *("10_541", "11_630", "12_741", "13_471", "14_129", "15_99", "16_251", "17_22", "18_317", "19_305"),
)


def calibration(n: int, size: int) -> Pixels:
    """n crops [n, size, size, 3] of the 35 photographs of opencv-doc."""
    return crops(tuple(_opencv(name) for name in _OPENCV), n, size)


def judging(n: int, size: int) -> Pixels:
    """n crops [n, size, size, 3] of 26 photographs: 20 of foolbox, 6 of scikit-image."""
    scikit = tuple(wheel("scikit-image", "0.26.0", f"skimage/data/{name}") for name in _SCIKIT)
    return crops(tuple(_foolbox(name) for name in _FOOLBOX) + scikit, n, size)


def labelled(n: int, size: int) -> tuple[Pixels, NDArray[np.int64]]:
    """The first n <= 100 views [n, size, size, 3] of foolbox's 20 ImageNet pictures, and their classes [n].

    The first 20 are the centre views of all pictures, then come their four corners, one corner after another.
    """
    most = 5 * len(_FOOLBOX)
    if not 1 <= n <= most:
        raise HwqError(f"the number of test images must be 1..{most}, not {n}")
    made = [views(_picture(_foolbox(name)), size) for name in _FOOLBOX]
    labels = np.array([int(name.split("_")[1]) for name in _FOOLBOX])
    return np.stack([made[i % len(made)][i // len(made)] for i in range(n)]), np.resize(labels, n)


def views(picture: Image, size: int) -> list[Pixels]:
    """The centre and the four corners of a picture, each a square of 7/8 of its shorter side, as [size, size, 3]."""
    width, height = picture.size
    side = round(0.875 * min(width, height))
    right, low = width - side, height - side
    return [
        _cut(picture, at, side, size) for at in ((right // 2, low // 2), (0, 0), (right, 0), (0, low), (right, low))
    ]


def crops(files: tuple[Path, ...], n: int, size: int) -> Pixels:
    """n random square crops [n, size, size, 3], one photograph after another; the first n of any larger number.

    A crop has 1/2 to all of the shorter side, anywhere, and is mirrored half of the time.
    """
    if n < 1:
        raise HwqError(f"the number of crops must be 1 or more, not {n}")
    return np.stack([_crop(_picture(files[i % len(files)]), i, size) for i in range(n)])


def _crop(picture: Image, number: int, size: int) -> Pixels:
    random = np.random.default_rng((SEED, number))
    side = round(min(picture.size) * random.uniform(0.5, 1))
    left, top = (int(random.integers(0, length - side + 1)) for length in picture.size)
    made = _cut(picture, (left, top), side, size)
    return made[:, ::-1] if random.random() < 0.5 else made


def _cut(picture: Image, at: tuple[int, int], side: int, size: int) -> Pixels:
    """The square of `side` pixels at (left, top), resized bicubically."""
    from PIL.Image import Resampling

    left, top = at
    return np.asarray(picture.resize((size, size), Resampling.BICUBIC, (left, top, left + side, top + side)))


@lru_cache(maxsize=64)
def _picture(file: Path) -> Image:
    from PIL import Image

    return Image.open(file).convert("RGB")


def _opencv(name: str) -> Path:
    return debian("opencv-doc", f"examples/{name}" if "/" in name else name, "/usr/share/doc/opencv-doc")


def _foolbox(name: str) -> Path:
    return wheel("foolbox", "3.3.4", f"foolbox/data/imagenet_{name}.jpg")
