"""Choose the committed Fashion-MNIST images: `python tools/subset_fashion_mnist.py` (needs the whole set once).

512 calibration images of the train split and 2,000 test images of the test split, drawn by a fixed seed, balanced,
classes interleaved. Train images that are byte-equal to any test image, or to one another, are never drawn.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwq.zoo import fashion_mnist
from hwq.zoo.fashion_mnist import Pixels

SEED = 28
CALIBRATION = 512


def main() -> None:
    """Write the committed file and say what overlap the data set itself has."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=fashion_mnist.COMMITTED)
    out = parser.parse_args().out
    train, train_labels = fashion_mnist.split("train")
    test, test_labels = fashion_mnist.split("t10k")
    fresh = unlike(train, test)
    calibration = draw(train_labels, CALIBRATION, fresh)
    chosen = draw(test_labels, fashion_mnist.COMMITTED_TEST, np.ones(len(test), bool))
    partial = out.with_suffix(".partial.npz")
    np.savez_compressed(
        partial,
        calibration=train[calibration],
        calibration_index=calibration,
        test=test[chosen],
        test_index=chosen,
        test_labels=test_labels[chosen],
    )
    partial.rename(out)
    leaked = unlike(test, train, repeats=True)
    print(f"never drawn: {np.sum(~fresh)} of {len(train)} train images (in the test split, or a repeat)")
    print(f"test images that are also train images: {np.sum(~leaked)} of all, {np.sum(~leaked[chosen])} of the chosen")
    print(f"{out.name}: {out.stat().st_size} bytes")


def draw(labels: NDArray[np.uint8], count: int, allowed: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Indices of `count` allowed items, item i of class i mod 10: any prefix is balanced to one item."""
    order = np.random.default_rng(SEED).permutation(len(labels))
    order = order[allowed[order]]
    queues = [order[labels[order] == label] for label in range(len(fashion_mnist.CLASSES))]
    return np.array([queues[i % len(queues)][i // len(queues)] for i in range(count)], np.int32)


def unlike(images: Pixels, others: Pixels, repeats: bool = False) -> NDArray[np.bool_]:
    """[N] true where an image equals none of the others, nor (unless repeats are allowed) an earlier one of its own."""
    seen = {image.tobytes() for image in others}
    fresh = np.zeros(len(images), bool)
    for i, image in enumerate(images):
        key = image.tobytes()
        fresh[i] = key not in seen
        if not repeats:
            seen.add(key)
    return fresh


if __name__ == "__main__":
    main()
