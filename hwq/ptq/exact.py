"""The exact evaluator: codes through the emulator, the bits that the hardware gives."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as fn

from hwq.datapath import Params, conv2d, matmul
from hwq.formats import Format
from hwq.ptq.fake import terms
from hwq.ptq.graph import CODES
from hwq.ptq.lower import Layer

__all__ = ["compute"]


def compute(layer: Layer, read: list[Tensor], state: Mapping[tuple[str, str], Tensor]) -> Tensor:
    """The layer's codes [N, *shape] of the codes that it reads."""
    assert layer.fmt is not None
    if layer.datapath is None:
        return _moved(layer, read[0], layer.fmt)
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
    return _rectified(codes, layer.fmt) if layer.relu_on_codes else codes


def _moved(layer: Layer, codes: Tensor, fmt: Format) -> Tensor:
    """What only compares or moves codes; the order of codes is that of their values."""
    node = layer.node
    if node.op not in CODES or node.op == "reshape":
        return codes.reshape(-1, *node.shape)
    if node.op == "relu":
        return _rectified(codes, fmt)
    w = node.window
    _, place = fn.max_pool2d(fmt.decode(codes), w.kernel, w.stride, w.padding, w.dilation, return_indices=True)
    return codes.flatten(2).gather(2, place.flatten(2)).reshape(-1, *node.shape)


def _rectified(codes: Tensor, fmt: Format) -> Tensor:
    """Codes of negative values replaced by that of 0, a negative zero's too, as an epilogue gives them."""
    zero: Tensor = fmt.encode(torch.zeros(1))
    return torch.where(fmt.decode(codes) <= 0, zero.to(codes.dtype), codes)
