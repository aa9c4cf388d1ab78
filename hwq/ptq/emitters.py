"""How torch's operators are written in the language of `Graph`: one small function for each."""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as fn

from hwq.ptq.building import Builder, Emit
from hwq.ptq.graph import Node, Pair, Window

__all__ = ["EMITTERS"]


def _pair(value: Any) -> Pair:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _input(b: Builder, node: fx.Node) -> fx.Node | None:
    found = b.reads(node, 1)
    return found[0] if found else None


def _same(b: Builder, node: fx.Node) -> bool:
    """An operator that changes nothing in eval mode."""
    x = _input(b, node)
    if x is not None:
        b.alias[node] = b.alias[x]
    return x is not None


def _conv(b: Builder, node: fx.Node) -> bool:
    conv, x = b.module(node), _input(b, node)
    assert isinstance(conv, nn.Conv2d)
    if x is None or conv.padding_mode != "zeros":
        return False
    kernel, dilation = _pair(conv.kernel_size), _pair(conv.dilation)
    if conv.padding == "same":
        reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        if any(r % 2 for r in reach):
            return False
        padding = (reach[0] // 2, reach[1] // 2)
    else:
        padding = (0, 0) if conv.padding == "valid" else _pair(conv.padding)
    name = b.add(node, "conv2d", (x,), Window(kernel, _pair(conv.stride), padding, dilation, conv.groups))
    _keep(b, name, conv.weight, conv.bias)
    return True


def _linear(b: Builder, node: fx.Node) -> bool:
    layer, x = b.module(node), _input(b, node)
    assert isinstance(layer, nn.Linear)
    if x is not None:
        _keep(b, b.add(node, "linear", (x,)), layer.weight, layer.bias)
    return x is not None


def _keep(b: Builder, name: str, weight: Tensor, bias: Tensor | None) -> None:
    b.state[name, "weight"] = weight.detach().clone()
    b.state[name, "bias"] = weight.new_zeros(len(weight)) if bias is None else bias.detach().clone()


def _batch_norm(b: Builder, node: fx.Node) -> bool:
    """Fold into the weighted layer that only this norm reads, else become a depthwise 1x1 convolution."""
    norm, x = b.module(node), _input(b, node)
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    if x is None or norm.running_mean is None or norm.running_var is None:
        return False
    gain = (norm.running_var.double() + norm.eps).rsqrt()
    gain = gain if norm.weight is None else gain * norm.weight.detach().double()
    offset = -norm.running_mean.double() * gain
    offset = offset if norm.bias is None else offset + norm.bias.detach().double()
    name = b.alias[x]
    before = type(b.module(x)) if x.op == "call_module" else None
    if len(x.users) == 1 and (before, len(b.shape(x))) in ((nn.Conv2d, 3), (nn.Linear, 1)):
        weight, bias = b.state[name, "weight"], b.state[name, "bias"]
        b.alias[node] = name
    elif isinstance(norm, nn.BatchNorm2d):
        name = b.add(node, "conv2d", (x,), Window(groups=norm.num_features))
        weight, bias = (torch.full((norm.num_features, *s), v) for s, v in (((1, 1, 1), 1.0), ((), 0.0)))
    else:
        return False
    by_channel = gain.reshape(-1, *[1] * (weight.dim() - 1))
    b.state[name, "weight"] = (weight.double() * by_channel).float()
    b.state[name, "bias"] = (bias.double() * gain + offset).float()
    return True


def _relu(b: Builder, node: fx.Node) -> bool:
    x = _input(b, node)
    if x is not None:
        b.add(node, "relu", (x,))
    return x is not None


def _add(b: Builder, node: fx.Node) -> bool:
    both = b.reads(node, 2)
    if both is None or b.shape(both[0]) != b.shape(both[1]) or node.kwargs.get("alpha", 1) != 1:
        return False
    b.add(node, "add", (both[0], both[1]))
    return True


def _matmul(b: Builder, node: fx.Node) -> bool:
    both = b.reads(node, 2)
    if both is None or len(b.shape(both[0])) < 2 or b.shape(both[0])[:-2] != b.shape(both[1])[:-2]:
        return False
    b.add(node, "matmul", (both[0], both[1]))
    return True


def _reshape(b: Builder, node: fx.Node) -> bool:
    """Any view whose first axis stays the batch."""
    x = _input(b, node)
    if x is not None:
        b.add(node, "reshape", (x,))
    return x is not None


def _flatten(b: Builder, node: fx.Node) -> bool:
    return _options(b, node, ("start_dim",), (1,))["start_dim"] == 1 and _reshape(b, node)


def _options(b: Builder, node: fx.Node, names: tuple[str, ...], defaults: tuple[Any, ...]) -> dict[str, Any]:
    """The operator's options beside its input, from the module or from the call."""
    if node.op == "call_module":
        return {name: getattr(b.module(node), name, default) for name, default in zip(names, defaults, strict=True)}
    given = dict(zip(names, node.args[1:], strict=False)) | node.kwargs
    return dict(zip(names, defaults, strict=True)) | given


def _avg_pool(b: Builder, node: fx.Node) -> bool:
    names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
    o, x = _options(b, node, names, (None, None, 0, False, True, None)), _input(b, node)
    padding = _pair(o["padding"])
    if x is None or o["ceil_mode"] or o["divisor_override"] or (padding != (0, 0) and not o["count_include_pad"]):
        return False
    kernel = _pair(o["kernel_size"])
    b.add(node, "avgpool", (x,), Window(kernel, _pair(o["stride"] or kernel), padding))
    return True


def _adaptive_pool(b: Builder, node: fx.Node) -> bool:
    """Only the mean over the whole image: any other size has windows of unequal counts."""
    size, x = _options(b, node, ("output_size",), (None,))["output_size"], _input(b, node)
    if x is None or _pair(size) != (1, 1):
        return False
    b.add(node, "avgpool", (x,), Window(_pair(b.shape(x)[-2:]), _pair(b.shape(x)[-2:])))
    return True


def _mean(b: Builder, node: fx.Node) -> bool:
    """The mean over rows and columns, with or without their axes kept."""
    axes, x = _options(b, node, ("dim",), (None,))["dim"], _input(b, node)
    if x is None or len(b.shape(x)) != 3 or not isinstance(axes, list | tuple) or {a % 4 for a in axes} != {2, 3}:
        return False
    channels, window = b.shape(x)[0], Window(_pair(b.shape(x)[1:]), _pair(b.shape(x)[1:]))
    name = b.add(node, "avgpool", (x,), window)
    b.nodes[-1] = replace(b.nodes[-1], shape=(channels, 1, 1))
    if b.shape(node) != (channels, 1, 1):
        b.nodes.append(Node(f"{name}:flat", "reshape", (name,), b.shape(node)))
        b.alias[node] = f"{name}:flat"
    return True


def _max_pool(b: Builder, node: fx.Node) -> bool:
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    o, x = _options(b, node, names, (None, None, 0, 1, False)), _input(b, node)
    if x is None or o["ceil_mode"]:
        return False
    kernel = _pair(o["kernel_size"])
    window = Window(kernel, _pair(o["stride"] or kernel), _pair(o["padding"]), _pair(o["dilation"]))
    b.add(node, "maxpool", (x,), window)
    return True


# What is called -> how it is written.
EMITTERS: dict[Any, Emit] = {
    **dict.fromkeys((nn.Identity, nn.Dropout, nn.Dropout2d, fn.dropout, "contiguous"), _same),
    **dict.fromkeys((nn.ReLU, fn.relu, torch.relu, torch.relu_, "relu", "relu_"), _relu),
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), _add),
    **dict.fromkeys((operator.matmul, torch.matmul, torch.bmm, "matmul", "bmm"), _matmul),
    **dict.fromkeys(("view", "reshape", "squeeze", "unsqueeze", torch.reshape, torch.squeeze), _reshape),
    **dict.fromkeys((nn.Flatten, torch.flatten, "flatten"), _flatten),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d), _batch_norm),
    **dict.fromkeys((nn.AvgPool2d, fn.avg_pool2d), _avg_pool),
    **dict.fromkeys((nn.AdaptiveAvgPool2d, fn.adaptive_avg_pool2d), _adaptive_pool),
    **dict.fromkeys((torch.mean, "mean"), _mean),
    **dict.fromkeys((nn.MaxPool2d, fn.max_pool2d, torch.max_pool2d), _max_pool),
    nn.Conv2d: _conv,
    nn.Linear: _linear,
}
