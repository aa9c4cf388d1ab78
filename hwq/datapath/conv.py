"""Convolution as dot products: windows of codes, padded with the code of zero, through the same emulator.

All groups go through it at once; where each has one input and order makes no difference, no window is made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from hwq.datapath.emulate import block_rows, check_terms, chosen, product, room
from hwq.datapath.kernels import Ints, has_special
from hwq.datapath.operand import zero_code
from hwq.datapath.params import Params, columns
from hwq.datapath.paths import FLOAT32, FLOAT64, Path
from hwq.datapath.spec import Mac, check_mac
from hwq.datapath.steps import SEED
from hwq.datapath.taps import Window, tapped
from hwq.errors import HwqError
from hwq.formats import Format
from hwq.formats.arrays import check_codes
from hwq.formats.intake import is_torch, like
from hwq.formats.rounding import noise_states

__all__ = ["conv2d"]

Pair = tuple[int, int]
_MOST = 1 << 20  # a stride, dilation or padding: beyond any image, within what numpy can add up
_FEW = 4  # results of a depthwise input above which products of matrices are faster


def conv2d(
    mac: Mac,
    x: Any,
    w: Any,
    params: Params | None = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Any:
    """Codes x [B, C, H, W] and w [O, C/groups, kh, kw]: result codes [B, O, H', W'], in the library of `x`.

    The terms run in the order of `w.flatten(1)`; a padded position is a term with the code of 0. Sizes are those of
    torch's conv2d.
    """
    check_mac(mac)
    torch = is_torch(x)
    image, weight = check_codes(mac.a, x), check_codes(mac.w, w)
    groups = _check_shapes(image.shape, weight.shape, groups)
    moves = _pair("stride", stride, 1), _pair("dilation", dilation, 1)
    up, left = _pair("padding", padding, 0)
    if up or left:
        image = np.pad(image, ((0, 0), (0, 0), (up, up), (left, left)), constant_values=_zero(mac.a))
    kernel = weight.shape[2], weight.shape[3]
    window = Window(kernel, _size(image.shape[2:], kernel, *moves), *moves)
    given = columns(mac, params, len(weight))
    flat = weight.reshape(groups, len(weight) // groups, check_terms(mac, math.prod(weight.shape[1:])))
    return like(_convolved(mac, image, flat, given, window, torch), x)


def _convolved(mac: Mac, x: Ints, w: Ints, given: dict[str, Ints], window: Window, torch: bool) -> Ints:
    """Result codes [B, O, H', W'] of padded codes x [B, C, H, W] and kernels w [G, O/G, K], in blocks that fit."""
    (g, n, k), places, inputs = w.shape, math.prod(window.size), x.shape[1] // len(w)
    out = room(mac, (len(x), g * n, *window.size), torch)
    if not out.size:
        return out
    by_group = out.reshape(len(x), g, n, *window.size)
    path = _tapped(mac, x, w)
    reads = n * math.prod(x.shape[2:]) if path else k * places
    most = block_rows(reads, n * places, many=path is not None)  # of one group of one image
    images, many = max(1, most // g), min(g, most)
    for b in range(0, len(x), images):
        batch = x[b : b + images]
        for at in range(0, g, many):
            own = {name: c[at * n : (at + many) * n] for name, c in given.items()}
            part, kernels = batch[:, at * inputs : (at + many) * inputs], w[at : at + many]
            if path:
                codes = tapped(mac, path, part, kernels, own, window, torch).transpose(0, 3, 4, 1, 2)
            else:
                codes = _windowed(mac, part, kernels, own, window, torch).transpose(1, 0, 4, 2, 3)
            by_group[b : b + images, at : at + many] = codes
        if SEED in given:  # the registers go on where this block's results ended
            given = given | {SEED: noise_states(given[SEED], len(batch) * places + 1)[-1]}
    return out


def _tapped(mac: Mac, x: Ints, w: Ints) -> Path | None:
    """How to add, where each input has a group of its own and its sums are exact in any order; specials need flags."""
    if x.shape[1] != len(w) or w.shape[1] > _FEW or has_special(mac, x, w):
        return None
    path = chosen(mac, w, torch=False)
    return path if path.name in (FLOAT32, FLOAT64) else None


def _windowed(mac: Mac, x: Ints, w: Ints, given: dict[str, Ints], window: Window, torch: bool) -> Ints:
    """Result codes [G, B, H', W', O/G] of codes x [B, C, H, W] and kernels w [G, O/G, K]: products with all windows."""
    own = {name: c.reshape(w.shape[:2]) for name, c in given.items()}
    codes = product(mac, _windows(x, len(w), window), w, own, torch)
    return codes.reshape(len(w), len(x), *window.size, w.shape[1])


def _check_shapes(x: tuple[int, ...], w: tuple[int, ...], groups: int) -> int:
    """The number of groups, as an int."""
    if len(x) != 4 or len(w) != 4:
        raise HwqError(f"conv2d takes x[B, C, H, W] and w[O, C/groups, kh, kw], not {x} and {w}")
    if not isinstance(groups, Integral) or groups < 1 or w[0] % groups or x[1] != w[1] * groups:
        raise HwqError(f"groups must divide C={x[1]} into w's {w[1]} channels and O={w[0]} evenly, not {groups}")
    return int(groups)


def _pair(name: str, value: int | Pair, least: int) -> Pair:
    pair = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(pair) != 2 or not all(isinstance(v, Integral) and least <= v <= _MOST for v in pair):
        raise HwqError(f"{name} must be one or two whole numbers of at least {least}, not {value!r}")
    return int(pair[0]), int(pair[1])


def _zero(fmt: Format) -> int:
    """The code of 0."""
    code = zero_code(fmt)
    if code is None:
        raise HwqError(f"padding needs a code of 0, but {fmt} has none; choose a format with a zero, or padding=0")
    return code


def _size(image: tuple[int, ...], kernel: tuple[int, ...], stride: Pair, dilation: Pair) -> Pair:
    h, w = ((i - d * (k - 1) - 1) // s + 1 for i, k, s, d in zip(image, kernel, stride, dilation, strict=True))
    if h < 1 or w < 1:
        raise HwqError(f"the kernel must fit the padded image, not {kernel} with dilation {dilation} in {image}")
    return h, w


def _windows(x: Ints, groups: int, window: Window) -> Ints:
    """Codes [G, B * H' * W', C/G * kh * kw] as a transposed view: rows of an image are copied whole."""
    (b, c, h, w), (down, right), apart = x.strides, window.stride, window.dilation
    view = as_strided(
        x,
        (x.shape[1], *window.kernel, len(x), *window.size),
        (c, h * apart[0], w * apart[1], b, h * down, w * right),
        writeable=False,
    )
    terms = x.shape[1] // groups * math.prod(window.kernel)
    return view.reshape(groups, terms, len(x) * math.prod(window.size)).mT
