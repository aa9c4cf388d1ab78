"""Fashion-MNIST (Xiao et al., arXiv 1708.07747; MIT): committed images, and the whole set where Debian's package is.

`data/fashion_mnist.npz` holds 512 calibration images of the train split and 2,000 test images of the test split, both
class-balanced with classes interleaved (`tools/subset_fashion_mnist.py` chose them). All 10,000 test images are read
from the unpacked package `dataset-fashion-mnist`: below the folder in `HWQ_DATA`, else below `~/.cache/hwq`, else from
`/usr/share/datasets` (`apt install dataset-fashion-mnist`). Only `tools/fetch_data.py` ever downloads.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hwq.errors import HwqError
from hwq.zoo.packages import debian

if TYPE_CHECKING:
    from torch import Tensor

Pixels = NDArray[np.uint8]
COMMITTED = Path(__file__).parent / "data" / "fashion_mnist.npz"
COMMITTED_TEST = 2_000
FULL_TEST = 10_000
_SIZES = {"train": 60_000, "t10k": FULL_TEST}
CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def normalise(pixels: Pixels) -> Tensor:
    """Network input `(pixel - 128) / 128`: uint8 [N, 28, 28] -> float32 [N, 1, 28, 28] in [-1, 1).

    A power of two, so that every pixel is exact in 8-bit integers and in every float of 8 significant bits or more:
    the hardware's input port loses nothing and needs no host arithmetic.
    """
    import torch

    return (torch.from_numpy(pixels).float().unsqueeze(1) - 128) / 128


def split(name: str) -> tuple[Pixels, Pixels]:
    """All images [N, 28, 28] and labels [N] of "train" (60,000) or "t10k" (10,000), as the package stores them."""
    images, labels = _idx(f"{name}-images-idx3-ubyte.gz"), _idx(f"{name}-labels-idx1-ubyte.gz")
    n = _SIZES[name]
    if images.shape != (n, 28, 28) or labels.shape != (n,):
        raise HwqError(f"{name} must hold {n} images of 28x28 and labels, not {images.shape} and {labels.shape}")
    return images, labels


@dataclass(frozen=True)
class FashionMnist:
    """The `Data` of a model on Fashion-MNIST."""

    def calibration(self) -> Tensor:
        """512 normalised train images [512, 1, 28, 28]; no byte-equal image is among the 10,000 test images."""
        with np.load(COMMITTED) as stored:
            return normalise(stored["calibration"])

    def test(self, n: int | None = None) -> tuple[Tensor, Tensor]:
        """Normalised images [n, 1, 28, 28] and labels [n] (int64) of the test split.

        `n` up to 2,000 (the default) takes the first n committed images, each class n/10 times, rounded either way;
        10,000 takes the whole split from the package. Any other n is an `HwqError`.
        """
        import torch

        n = COMMITTED_TEST if n is None else n
        if n == FULL_TEST:
            images, labels = split("t10k")
        elif 1 <= n <= COMMITTED_TEST:
            with np.load(COMMITTED) as stored:
                images, labels = stored["test"][:n], stored["test_labels"][:n]
        else:
            raise HwqError(f"the number of test images must be 1..{COMMITTED_TEST} or {FULL_TEST}, not {n}")
        return normalise(images), torch.from_numpy(labels).long()


def _idx(name: str) -> Pixels:
    """The uint8 array in a gzipped IDX file: bytes 0, 0, 8, rank, then big-endian sizes, then the data."""
    file = debian("dataset-fashion-mnist", name, "/usr/share/datasets")
    try:
        raw = gzip.decompress(file.read_bytes())
        if len(raw) < 4 or raw[:3] != b"\0\0\x08":
            raise ValueError(f"header {raw[:4].hex()}")
        sizes = np.frombuffer(raw, ">u4", count=raw[3], offset=4).astype(int)
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(sizes).copy()
    except (OSError, EOFError, ValueError) as error:
        raise HwqError(f"{file} must be a gzipped IDX file of bytes, not {error}; unpack the package again") from error
