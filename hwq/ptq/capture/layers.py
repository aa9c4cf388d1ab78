"""How torch's products and norms are written in the language of `Graph`: one small function for each."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, fx

from hwq.ptq.call import Batch, Value
from hwq.ptq.capture.builder import Builder, Emit
from hwq.ptq.graph import WEIGHTED, Pair, Window

__all__ = ["LAYERS", "pair"]

Arguments = dict[str, Any]


def pair(value: Any) -> Pair:
    """Sizes of rows and columns, of one number for both or a list."""
    both = [value] if isinstance(value, int) else list(value)
    return (int(both[0]), int(both[-1]))


def _convolution(b: Builder, node: fx.Node, o: Arguments) -> bool:
    x, weight = o["input"], b.constant(o["weight"])
    if weight is None or not b.is_plain(x):
        return False
    kernel, dilation, padding = pair(weight.shape[2:]), pair(o["dilation"]), o["padding"]
    before = b.alias[x]
    if padding == "same":
        reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        padding = [r // 2 for r in reach]
        before = _padded(b, node, before, b.shape(x), [(0, r % 2) for r in reach])
    padding = 0 if padding == "valid" else padding
    window = Window(kernel, pair(o["stride"]), pair(padding), dilation, o["groups"])
    name = b.add(node, "conv2d", (before,), b.shape(node), window, b.layer_name(node, o["weight"]))
    b.keep(name, weight, b.constant(o["bias"]))
    return True


def _padded(b: Builder, node: fx.Node, x: str, shape: tuple[int, ...], sides: list[tuple[int, int]]) -> str:
    """A value [C, H, W] with zeros around, (before, after) of rows and of columns; less than 0 cuts off."""
    if not any(map(any, sides)):
        return x
    padded = (*shape[:-2], *(size + sum(side) for size, side in zip(shape[-2:], sides, strict=True)))
    pad = (*sides[1], *sides[0])
    return b.move(node, x, padded, "constant_pad_nd.default", ("pad", pad), ("value", 0))


def _convolution_1d(b: Builder, node: fx.Node, o: Arguments) -> bool:
    """A convolution with one row."""
    x, weight = o["input"], b.constant(o["weight"])
    if weight is None or not b.is_plain(x) or isinstance(o["padding"], str):
        return False
    (channels, length), shape = b.shape(x), b.shape(node)
    kernel, stride, padding, dilation = (
        (start, pair(v)[0])
        for start, v in ((1, weight.shape[2]), (1, o["stride"]), (0, o["padding"]), (1, o["dilation"]))
    )
    row = b.reshape(node, b.alias[x], (channels, 1, length))
    window = Window(kernel, stride, padding, dilation, o["groups"])
    name = b.add(node, "conv2d", (row,), (shape[0], 1, shape[1]), window, b.layer_name(node, o["weight"]))
    b.keep(name, weight.unsqueeze(2), b.constant(o["bias"]))
    b.reshape(node, name, shape)
    return True


def _transposed(b: Builder, node: fx.Node, o: Arguments) -> bool:
    """A transposed convolution is one with the kernel turned round, of a value with zeros between its elements."""
    x, weight = o["input"], b.constant(o["weight"])
    if weight is None or not b.is_plain(x):
        return False
    stride, padding, extra, dilation = (pair(o[k]) for k in ("stride", "padding", "output_padding", "dilation"))
    channels, *size = b.shape(x)
    kernel, groups = pair(weight.shape[2:]), o["groups"]
    apart = b.alias[x]
    if stride != (1, 1):
        apart = b.reshape(node, apart, (channels, size[0], 1, size[1], 1))
        pad = (0, stride[1] - 1, 0, 0, 0, stride[0] - 1)
        spread = (channels, size[0], stride[0], size[1], stride[1])
        apart = b.move(node, apart, spread, "constant_pad_nd.default", ("pad", pad), ("value", 0))
        size = [s * n for s, n in zip(stride, size, strict=True)]
        apart = b.reshape(node, apart, (channels, *size))
    reach = [d * (k - 1) - p for d, k, p in zip(dilation, kernel, padding, strict=True)]
    sides = [(r, r - (s - 1) + e) for r, s, e in zip(reach, stride, extra, strict=True)]
    around = _padded(b, node, apart, (channels, *size), sides)
    window = Window(kernel, dilation=dilation, groups=groups)
    name = b.add(node, "conv2d", (around,), b.shape(node), window, b.layer_name(node, o["weight"]))
    by_group = weight.reshape(groups, -1, *weight.shape[1:]).transpose(1, 2).flatten(0, 1)  # [out, in / groups, ...]
    b.keep(name, by_group.flip(2, 3), b.constant(o["bias"]))
    return True


def _linear(b: Builder, node: fx.Node, o: Arguments) -> bool:
    weight = b.constant(o["weight"])
    return weight is not None and _weighted(b, node, o["input"], o["weight"], weight, b.constant(o["bias"]))


def _weighted(b: Builder, node: fx.Node, x: Any, source: Any, weight: Tensor, bias: Tensor | None) -> bool:
    """A linear layer along the last axis, with `weight` [N, K]."""
    if not b.is_value(x) or weight.dim() != 2 or b.layout(x).axis == len(b.recording.shape(x)) - 1:
        return False
    name = b.add(node, "linear", (b.alias[x],), b.shape(node), name=b.layer_name(node, source))
    b.keep(name, weight, bias)
    return True


def _matmul(b: Builder, node: fx.Node, o: Arguments) -> bool:
    x, y = o["self"], o["other"] if "other" in o else o["mat2"]
    held = b.constant(y)
    if held is not None and held.dim() == 2:
        return _weighted(b, node, x, y, held.T, None)
    if not b.is_value(x) or not b.is_value(y) or b.layout(x) != b.layout(y):
        return False
    left, right = b.recording.shape(x), b.recording.shape(y)
    if len(left) < 3 or left[:-2] != right[:-2] or b.layout(x).axis > len(left) - 3:
        return False
    b.add(node, "matmul", (b.alias[x], b.alias[y]), b.shape(node))
    return True


def _addmm(b: Builder, node: fx.Node, o: Arguments) -> bool:
    weight, bias = b.constant(o["mat2"]), b.constant(o["self"])
    if weight is None or bias is None or bias.dim() != 1 or (o["alpha"], o["beta"]) != (1, 1):
        return False
    return _weighted(b, node, o["mat1"], o["mat2"], weight.T, bias)


def _attention(b: Builder, node: fx.Node, o: Arguments) -> bool:
    """Two products of values, with the softmax of their scaled and masked scores on the host between them."""
    q, k, v = o["query"], o["key"], o["value"]
    if not b.is_plain(q, k, v) or o["enable_gqa"] or b.shape(q)[:-2] != b.shape(k)[:-2]:
        return False
    (*heads, rows, depth), columns = b.shape(q), b.shape(k)[-2]
    turned = b.move(node, b.alias[k], (*heads, depth, columns), "transpose.int", ("dim0", -2), ("dim1", -1))
    name = b.add(node, "matmul", (b.alias[q], turned), (*heads, rows, columns), name=f"{node.name}:scores")
    scale = 1 / math.sqrt(depth) if o["scale"] is None else o["scale"]
    name = b.host(node, (name,), "mul.Scalar", ("other", scale))
    if o["is_causal"]:
        hidden = ~torch.ones(rows, columns, dtype=torch.bool).tril()
        name = b.host(node, (name,), "masked_fill.Scalar", ("mask", hidden), ("value", -math.inf))
    elif o["attn_mask"] is not None:
        name = _masked(b, node, name, o["attn_mask"])
    name = b.host(node, (name,), "softmax.int", ("dim", -1))
    b.add(node, "matmul", (name, b.alias[v]), b.shape(node), name=f"{node.name}:values")
    return True


def _masked(b: Builder, node: fx.Node, scores: str, mask: fx.Node) -> str:
    """Scores with a mask, True where they count or numbers to be added."""
    held = b.constant(mask)
    if held is None:
        if b.recording.is_float(mask):
            return b.host(node, (scores, b.alias[mask]), "add.Tensor", ("other", Value(1)))
        hidden = b.host(node, (b.alias[mask],), "logical_not.default")
        return b.host(node, (scores, hidden), "masked_fill.Scalar", ("mask", Value(1)), ("value", -math.inf))
    if held.dtype != torch.bool:
        return b.host(node, (scores,), "add.Tensor", ("other", held))
    return b.host(node, (scores,), "masked_fill.Scalar", ("mask", ~held), ("value", -math.inf))


def _batch_norm(b: Builder, node: fx.Node, o: Arguments) -> bool:
    """Fold into the weighted layer that only this norm reads, else become a depthwise 1x1 convolution."""
    x, mean, variance = o["input"], b.constant(o["running_mean"]), b.constant(o["running_var"])
    if mean is None or variance is None or not b.is_plain(x):
        return False
    gain = (variance.double() + o["eps"]).rsqrt()
    given, offset = b.constant(o["weight"]), -mean.double()
    gain = gain if given is None else gain * given.double()
    offset = offset * gain
    added = b.constant(o["bias"])
    offset = offset if added is None else offset + added.double()
    if _scaled(b, node, x, gain, offset):
        return True
    if len(b.shape(node)) != 3:
        return False
    name = b.add(node, "conv2d", (b.alias[x],), b.shape(node), Window(groups=len(gain)))
    b.keep(name, gain.float().reshape(-1, 1, 1, 1), offset.float())
    return True


def _scaled(b: Builder, node: fx.Node, x: fx.Node, gain: Tensor, offset: Tensor) -> bool:
    """Fold y = gain * x + offset, one number an output channel, into a weighted layer that nothing else reads."""
    layer = b.made(x)
    if layer.op not in WEIGHTED or not b.only_reader(x) or b.shape(node) != layer.shape:
        return False
    weight, bias = b.state[layer.name, "weight"], b.state[layer.name, "bias"]
    by_channel = gain.double().expand(len(weight)).reshape(-1, *[1] * (weight.dim() - 1))
    b.state[layer.name, "weight"] = (weight.double() * by_channel).to(weight.dtype)
    b.state[layer.name, "bias"] = (bias.double() * gain.double() + offset.double()).to(bias.dtype)
    b.alias[node] = layer.name
    return True


def _channels(b: Builder, x: fx.Node, held: Tensor) -> Tensor | None:
    """A constant as one number an output channel [N] of the weighted layer `x`, or as one number; None if neither."""
    layer, shape = b.made(x), b.recording.shape(x)
    if held.numel() == 1:
        return held.reshape(1)
    axis = 1 if layer.op == "conv2d" else len(shape) - 1
    wide = (1,) * (len(shape) - held.dim()) + tuple(held.shape)
    alone = len(wide) == len(shape) and all(n == 1 for i, n in enumerate(wide) if i != axis)
    return held.flatten() if alone and wide[axis] == shape[axis] else None


def _add(b: Builder, node: fx.Node, o: Arguments) -> bool:
    x, y = o["self"], o["other"]
    if not b.is_value(x):
        x, y = y, x
    if not b.is_value(x) or o.get("alpha", 1) != 1 or not b.recording.is_float(node):
        return False
    if isinstance(y, int | float) and y == 0:
        b.alias[node] = b.alias[x]
        return True
    if b.is_value(y):
        return _add_values(b, node, x, y)
    held = b.constant(y)
    if held is None or b.recording.shape(x) != b.recording.shape(node):
        return False
    channels = _channels(b, x, held) if b.made(x).op in WEIGHTED else None
    if channels is not None and _scaled(b, node, x, torch.ones(1), channels):
        return True
    constant = b.constant_node(y, x)
    if constant is not None:
        b.add(node, "add", (b.alias[x], constant), b.shape(node))
    return constant is not None


def _add_values(b: Builder, node: fx.Node, x: fx.Node, y: fx.Node) -> bool:
    """A sum of two values, the smaller one repeated to the shape of the larger one."""
    shape, ranks = b.shape(node), {len(b.recording.shape(value)) for value in (x, y, node)}
    if len(ranks) > 1 or len({b.layout(value) for value in (x, y, node)}) > 1:
        return False
    terms = []
    for value in (x, y):
        name = b.alias[value]
        if b.shape(value) != shape:
            name = b.move(node, name, shape, "expand.default", ("size", (Batch(1), *shape)))
        terms.append(name)
    b.add(node, "add", tuple(terms), shape)
    return True


def _mul(b: Builder, node: fx.Node, o: Arguments) -> bool:
    """A factor for each output channel joins the weights before it; every other product of values is the host's."""
    x, y = o["self"], o["other"]
    if not b.is_value(x):
        x, y = y, x
    held = torch.tensor(float(y)) if isinstance(y, int | float) else b.constant(y)
    if held is None or not b.is_value(x) or b.made(x).op not in WEIGHTED:
        return False
    gain = _channels(b, x, held.double())
    return gain is not None and _scaled(b, node, x, gain, torch.zeros(1))


LAYERS: dict[str, Emit] = {
    "conv1d": _convolution_1d,
    "conv2d": _convolution,
    "conv_transpose2d": _transposed,
    "linear": _linear,
    "addmm": _addmm,
    **dict.fromkeys(("matmul", "bmm", "mm"), _matmul),
    "scaled_dot_product_attention": _attention,
    "batch_norm": _batch_norm,
    **dict.fromkeys(("add", "add_"), _add),
    **dict.fromkeys(("mul", "mul_"), _mul),
}
