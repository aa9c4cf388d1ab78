"""The exact evaluator: codes through the emulator, the bits that the hardware gives."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as fn

from hwq.datapath import Params, conv2d, matmul
from hwq.formats import Format
from hwq.ptq.fake import highest, terms
from hwq.ptq.lower import Layer

__all__ = ["compute"]

State = Mapping[tuple[str, str], Tensor]


def compute(layer: Layer, read: list[Tensor], state: State) -> Tensor:
    """The layer's codes [N, *shape] of the codes that it reads."""
    assert layer.fmt is not None
    scale = float(state[layer.name, "scale"])
    if layer.datapath is None:
        return _moved(layer, read, layer.fmt, scale, state)
    mac, node = layer.datapath.mac, layer.node
    weight, bias, mul, shift = (state.get((layer.name, port)) for port in ("weight", "bias", "mul", "shift"))
    params = Params(bias=bias, mul=mul, shift=shift)
    match node.op:
        case "conv2d":
            w = node.window
            out = conv2d(mac, read[0], weight, params, w.stride, w.padding, w.dilation, w.groups)
        case "linear":
            out = matmul(mac, read[0], weight, params)
        case "matmul":
            one = Params(*(None if p is None else p.reshape(()) for p in (bias, mul, shift)))  # for all columns
            out = matmul(mac, read[0], read[1].mT, one)
        case _:
            zero = int(mac.a.encode(torch.zeros(1)))
            out = matmul(mac, terms(node, read, zero).contiguous(), weight, params)
    codes: Tensor = out.reshape(-1, *node.shape)
    codes = _rectified(codes, layer.fmt) if layer.relu_on_codes else codes
    return codes if layer.real else _ended(codes, layer.fmt, highest(layer, scale))


def _moved(layer: Layer, read: list[Tensor], fmt: Format, scale: float, state: State) -> Tensor:
    """What only compares or moves codes; the order of codes is that of their values."""
    node, codes = layer.node, read[0]
    if node.op == "reshape":
        return codes.reshape(-1, *node.shape)
    if node.op == "relu":
        return _ended(_rectified(codes, fmt), fmt, highest(layer, scale))
    if node.call is not None:  # what a move fills in is 0
        zero = int(fmt.encode(torch.zeros(1)))
        moved = node.call.move([x - zero for x in read] if zero else read, lambda p: state[node.name, p], len(codes))
        return moved + zero if zero else moved
    w = node.window
    _, place = fn.max_pool2d(fmt.decode(codes), w.kernel, w.stride, w.padding, w.dilation, return_indices=True)
    return codes.flatten(2).gather(2, place.flatten(2)).reshape(-1, *node.shape)


def _rectified(codes: Tensor, fmt: Format) -> Tensor:
    """Codes of negative values replaced by that of 0, a negative zero's too, as an epilogue gives them."""
    zero: Tensor = fmt.encode(torch.zeros(1))
    return torch.where(fmt.decode(codes) <= 0, zero.to(codes.dtype), codes)


def _ended(codes: Tensor, fmt: Format, highest: float) -> Tensor:
    """Codes of values above the end of a rectifier replaced by that of its end."""
    if highest >= fmt.max:
        return codes
    end: Tensor = fmt.encode(torch.tensor([highest], dtype=torch.float64))
    return torch.where(fmt.decode(codes) > highest, end.to(codes.dtype), codes)
