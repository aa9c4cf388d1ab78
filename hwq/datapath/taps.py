"""Depthwise convolution: each place of the kernel is one product with a whole image, moved, and no window is made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwq.bits.loops import parallel, pieces
from hwq.datapath.kernels import Ints, Sums, embedded, finished, result_dtype
from hwq.datapath.paths import FLOAT32, Path
from hwq.datapath.spec import Mac
from hwq.datapath.steps import SEED
from hwq.formats.rounding import noise_states

__all__ = ["Window", "tapped"]

_CACHED = 1 << 15  # sums that stay in a core's cache while the kernel's places pass


@dataclass(frozen=True)
class Window:
    """What a kernel sees of a padded image: its own size, and how it moves to give results of `size`, all [H, W]."""

    kernel: tuple[int, int]
    size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]


def tapped(mac: Mac, path: Path, x: Ints, w: Ints, given: dict[str, Ints], window: Window, torch: bool) -> Ints:
    """Result codes [B, H', W', C, O/C] of codes x [B, C, H, W] and kernels w [C, O/C, K], none of them special."""
    carrier = np.float32 if path.name == FLOAT32 else np.float64
    image = np.ascontiguousarray(x.transpose(0, 2, 3, 1))  # channels last: so lie parameters
    if w.shape[1] > 1:
        image = np.repeat(image, w.shape[1], axis=3)
    kernels = np.ascontiguousarray(w.reshape(-1, w.shape[2]).T)
    total = _sums(embedded(mac.a, image, carrier), embedded(mac.w, kernels, carrier), window)
    if SEED in given:
        given = given | {SEED: noise_states(given[SEED], total.size // total.shape[3])}
    return finished(mac, Sums(total), given, result_dtype(mac, torch)).reshape(*total.shape[:3], *w.shape[:2])


def _sums(x: Ints, w: Ints, window: Window) -> Ints:
    """Sums [B, H', W', O] of floats x [B, H, W, O] and w [kh * kw, O]: exact wherever any order of addition is."""
    total = np.empty((len(x), *window.size, w.shape[1]), x.dtype)
    row = window.size[1] * w.shape[1]
    rows = max(1, _CACHED // row)
    parts = pieces(len(x), window.size[0], max(1, rows // window.size[0]), rows)

    def span(first: int, last: int) -> None:
        for images, lines in parts[first:last]:
            _add(total[images, lines], x[images, lines.start * window.stride[0] :], w, window)

    parallel(span, len(parts), max(1, 4 * _CACHED // (rows * row * len(w))))
    return total


def _add(total: Ints, x: Ints, w: Ints, window: Window) -> None:
    """Into `total` [B, h, W', O], the taps of the lines of `x` that begin where the first result looks."""
    (down, right), term = window.stride, np.empty_like(total)
    height, width = total.shape[1] * down, total.shape[2] * right
    for place, (i, j) in enumerate(np.ndindex(window.kernel)):
        top, left = i * window.dilation[0], j * window.dilation[1]
        seen = x[:, top : top + height - down + 1 : down, left : left + width - right + 1 : right]
        np.multiply(seen, w[place], out=term if place else total)
        if place:
            np.add(total, term, out=total)
