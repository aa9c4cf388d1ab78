"""How torch's pools, rectifiers and moves are written in the language of `Graph`, and which operators are which."""

from __future__ import annotations

import math
from typing import Any

from torch import fx

from hwq.ptq.call import Layout
from hwq.ptq.capture.builder import Builder, Emit
from hwq.ptq.capture.layers import LAYERS, pair
from hwq.ptq.graph import Window

__all__ = ["ALIASES", "EMITTERS", "MOVES"]

Arguments = dict[str, Any]


def _rectifier(b: Builder, node: fx.Node, o: Arguments) -> bool:
    low, high = o.get("min_val", o.get("min", 0)), o.get("max_val", o.get("max"))
    x = o["self"]
    if low != 0 or not b.is_value(x) or not isinstance(high, int | float | None):
        return False
    b.rectify(node, x, math.inf if high is None else float(high))
    return True


def _relu6(b: Builder, node: fx.Node, o: Arguments) -> bool:
    b.rectify(node, o["self"], 6.0)
    return True


def _avg_pool(b: Builder, node: fx.Node, o: Arguments) -> bool:
    x, padding = o["self"], pair(o["padding"])
    if not b.is_plain(x) or o["ceil_mode"] or o["divisor_override"] or len(b.shape(x)) != 3:
        return False
    if padding != (0, 0) and not o["count_include_pad"]:
        return False
    kernel = pair(o["kernel_size"])
    b.add(node, "avgpool", (b.alias[x],), b.shape(node), Window(kernel, pair(o["stride"] or kernel), padding))
    return True


def _adaptive_pool(b: Builder, node: fx.Node, o: Arguments) -> bool:
    """Windows of one size: the whole image, or where the output divides it."""
    x = o["self"]
    if not b.is_plain(x):
        return False
    (channels, *size), out = b.shape(x), b.shape(node)[1:]
    if any(n % m for n, m in zip(size, out, strict=True)):
        return False
    kernel = pair([n // m for n, m in zip(size, out, strict=True)])
    b.add(node, "avgpool", (b.alias[x],), (channels, *out), Window(kernel, kernel))
    return True


def _mean(b: Builder, node: fx.Node, o: Arguments) -> bool:
    """The mean over axes of one image: a pool, of which they are the rows and columns."""
    x = o["self"]
    if not b.is_value(x) or b.layout(x) != Layout() or not o.get("dim") or o.get("dtype") is not None:
        return False
    shape = b.shape(x)
    axes = sorted(a % (len(shape) + 1) - 1 for a in o["dim"])
    if axes[0] < 0:
        return False
    kept = [a for a in range(len(shape)) if a not in axes]
    name, rest = b.alias[x], [shape[a] for a in kept]
    if axes != [1, 2] or len(shape) != 3:
        order = [*kept, *axes]
        if order != sorted(order):
            turned = tuple(shape[a] for a in order)
            name = b.move(node, name, turned, "permute.default", ("dims", (0, *(a + 1 for a in order))))
        size = (math.prod(shape[a] for a in axes), 1)
        name = b.reshape(node, name, (math.prod(rest), *size))
    else:
        size = (shape[1], shape[2])
    pooled = (math.prod(rest), 1, 1)
    name = b.add(node, "avgpool", (name,), pooled, Window(pair(size), pair(size)))
    if b.shape(node) != pooled:
        b.add(node, "reshape", (name,), b.shape(node), name=f"{name}:flat")
    return True


def _max_pool(b: Builder, node: fx.Node, o: Arguments) -> bool:
    x = o["self"]
    if not b.is_plain(x) or o["ceil_mode"] or len(b.shape(x)) != 3:
        return False
    kernel = pair(o["kernel_size"])
    window = Window(kernel, pair(o["stride"] or kernel), pair(o["padding"]), pair(o["dilation"]))
    b.add(node, "maxpool", (b.alias[x],), b.shape(node), window)
    return True


def _reshape(b: Builder, node: fx.Node, o: Arguments) -> bool:
    """Any view whose first axis stays the images."""
    x = o["self"]
    views = b.is_plain(x) and b.layout(node) == Layout()
    if views:
        b.add(node, "reshape", (b.alias[x],), b.shape(node))
    return views


def _pad(b: Builder, node: fx.Node, o: Arguments) -> bool:
    """Zeros around a value."""
    if o.get("mode", "constant") != "constant" or o.get("value") or not b.is_value(o["self"]):
        return False
    b.call(node, "move", node, o)
    return True


# What changes nothing in eval mode; what only moves numbers about; what has a function of its own.
ALIASES = frozenset(
    {
        "alias",
        "clone",
        "contiguous",
        "detach",
        "dropout",
        "dropout_",
        "alpha_dropout",
        "feature_dropout",
        "lift_fresh",
        "lift_fresh_copy",
    }
)
MOVES = frozenset(
    {
        "cat",
        "chunk",
        "concat",
        "expand",
        "expand_as",
        "flatten",
        "flip",
        "index",
        "index_select",
        "movedim",
        "mT",
        "numpy_T",
        "permute",
        "pixel_shuffle",
        "pixel_unshuffle",
        "repeat",
        "repeat_interleave",
        "reshape",
        "roll",
        "select",
        "slice",
        "split",
        "split_with_sizes",
        "squeeze",
        "stack",
        "swapaxes",
        "swapdims",
        "t",
        "tile",
        "transpose",
        "unbind",
        "unflatten",
        "unsafe_split",
        "unsqueeze",
        "upsample_nearest2d",
        "view",
        "_unsafe_view",
    }
)
EMITTERS: dict[str, Emit] = {
    **LAYERS,
    **dict.fromkeys(("relu", "relu_", "hardtanh", "hardtanh_", "clamp", "clamp_", "clamp_min"), _rectifier),
    **dict.fromkeys(("relu6", "relu6_"), _relu6),
    "avg_pool2d": _avg_pool,
    "adaptive_avg_pool2d": _adaptive_pool,
    "mean": _mean,
    "max_pool2d": _max_pool,
    **dict.fromkeys(("constant_pad_nd", "pad"), _pad),
    **dict.fromkeys(("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "_unsafe_view"), _reshape),
}
