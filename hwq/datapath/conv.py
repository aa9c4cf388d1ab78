"""Convolution as dot products: windows of codes, padded with the code of zero, through the same emulator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from hwq.datapath.emulate import block_rows, product
from hwq.datapath.kernels import Ints
from hwq.datapath.operand import zero_code
from hwq.datapath.params import Params, columns
from hwq.datapath.spec import Mac, check_mac
from hwq.errors import HwqError
from hwq.formats import Format
from hwq.formats.arrays import check_codes
from hwq.formats.intake import is_torch, like

__all__ = ["conv2d"]

Pair = tuple[int, int]
_MOST = 1 << 20  # a stride, dilation or padding: beyond any image, within what numpy can add up


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
    size = _size(image.shape[2:], weight.shape[2:], *moves)
    given = columns(mac, params, weight.shape[0])
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    flat = weight.reshape(weight.shape[0], math.prod(weight.shape[1:]))
    parts = []
    for g in range(groups):
        rows = slice(g * outputs, (g + 1) * outputs)
        kernel, own = flat[rows], {name: c[rows] for name, c in given.items()}
        step = max(1, block_rows(kernel.shape[1], outputs) // (size[0] * size[1]))
        for b in range(0, max(1, len(image)), step):
            batch = image[b : b + step, g * inputs : (g + 1) * inputs]
            codes = product(mac, _windows(batch, weight.shape[2:], size, *moves), kernel, own, torch)
            parts.append(codes.reshape(len(batch), *size, outputs).transpose(0, 3, 1, 2))
    per_group = len(parts) // groups
    whole = [np.concatenate(parts[g * per_group : (g + 1) * per_group]) for g in range(groups)]
    return like(np.ascontiguousarray(np.concatenate(whole, axis=1)), x)


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


def _windows(x: Ints, kernel: tuple[int, ...], size: Pair, stride: Pair, dilation: Pair) -> Ints:
    """Codes [B * H' * W', C * kh * kw] as a transposed view: rows of an image are copied whole."""
    b, c, h, w = x.strides
    view = as_strided(
        x,
        (x.shape[1], *kernel, x.shape[0], *size),
        (c, h * dilation[0], w * dilation[1], b, h * stride[0], w * stride[1]),
        writeable=False,
    )
    return view.reshape(x.shape[1] * kernel[0] * kernel[1], x.shape[0] * size[0] * size[1]).T
