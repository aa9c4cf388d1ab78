"""Weights of compressed-tensors files (vLLM, llm-compressor): packed int4 or int8 in groups, and float8, as codes.

A layer L has `L.weight_packed` (int32 words of 32 / bits codes, the first in the lowest bits, each with an offset of
2**(bits - 1)), `L.weight_shape` and `L.weight_scale` [N, groups]; or `L.weight` in int8 or float8 with its scale.
Source: compressed-tensors, compressors/pack_quantized and naive_quantized.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from hwq.errors import HwqError
from hwq.formats import Format, Int, MiniFloat
from hwq.ptq.exchange.files import check_file
from hwq.ptq.weights import Weights

__all__ = ["import_compressed", "install"]

_WORD = 32
_ACTIVATIONS = ("_scale", "_zero_point", "_global_scale")
_FLOATS = {torch.float8_e4m3fn: (4, 3, "nan"), torch.float8_e5m2: (5, 2, "inf")}


def import_compressed(path: str | Path) -> dict[str, Weights]:
    """{layer: weights} of every quantized layer of a safetensors file; tensors that are not quantized are left out."""
    held = _tensors(path)
    return {layer: _layer(layer, held) for layer in _layers(held)}


def install(net: nn.Module, path: str | Path) -> tuple[nn.Module, dict[str, Weights]]:
    """A copy of `net` with the tensors of a compressed-tensors file, and the codes of its quantized layers.

    Every tensor of the file must be one of the network; what the file does not have stays as it is. Scales of
    activations in the file are not read: values are calibrated.
    """
    held, copied = _tensors(path), deepcopy(net)
    weights = {layer: _layer(layer, held) for layer in _layers(held)}
    known = copied.state_dict()
    plain = {key: x for key, x in held.items() if key.rpartition(".")[0] not in weights or key.endswith(".bias")}
    plain = {key: x for key, x in plain.items() if not key.endswith(_ACTIVATIONS)}
    plain |= {f"{layer}.weight": made.real for layer, made in weights.items()}
    for key, x in plain.items():
        if key not in known or known[key].shape[:1] != x.shape[:1] or known[key].numel() != x.numel():
            found = "missing there" if key not in known else f"{list(known[key].shape)} there and {list(x.shape)} here"
            raise HwqError(f"tensors of {path} must be those of the model, not {key!r}, {found}")
        known[key].copy_(x.reshape(known[key].shape))
    return copied, weights


def _tensors(path: str | Path) -> dict[str, Tensor]:
    check_file(path, "a safetensors file")
    try:
        with safe_open(path, "pt") as file:
            held = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise HwqError(f"{path} must be a safetensors file, not one that fails with {error}") from error
    if not _layers(held):
        raise HwqError(f"{path} must hold compressed-tensors weights (NAME.weight_scale), not none")
    return held


def _layers(held: dict[str, Tensor]) -> list[str]:
    return [key.removesuffix(".weight_scale") for key in held if key.endswith(".weight_scale")]


def _layer(layer: str, held: dict[str, Tensor]) -> Weights:
    zero, order = held.get(f"{layer}.weight_zero_point"), held.get(f"{layer}.weight_g_idx")
    if zero is not None and bool((zero != 0).any()):
        raise HwqError(f"weights of {layer!r} must be symmetric, not with zero points; quantize them so")
    if order is not None and bool((order.diff() < 0).any()):
        raise HwqError(f"weights of {layer!r} must have groups in order, not permuted (actorder)")
    packed, plain = held.get(f"{layer}.weight_packed"), held.get(f"{layer}.weight")
    if packed is not None:
        fmt, codes = _unpacked(layer, packed, held.get(f"{layer}.weight_shape"))
    elif plain is not None:
        fmt, codes = _plain(layer, plain)
    else:
        raise HwqError(f"{layer!r} must have weight_packed or weight beside its weight_scale")
    return Weights(fmt, codes, _scales(layer, held[f"{layer}.weight_scale"].float(), *codes.shape))


def _scales(layer: str, given: Tensor, rows: int, columns: int) -> Tensor:
    """Scales [N, groups]: one for all, one a row, or of groups."""
    scale = given if given.dim() == 2 else given.reshape(-1, 1)
    if given.dim() > 2 or len(scale) not in (1, rows) or scale.shape[1] == 0:
        raise HwqError(f"scales of {layer!r} must be 1, [{rows}] or [{rows}, groups], not {list(given.shape)}")
    if columns == 0 or columns % scale.shape[1]:
        raise HwqError(f"groups of {layer!r} must divide {columns} weights evenly, not be {scale.shape[1]}")
    if not bool((scale.isfinite() & (scale > 0)).all()):
        raise HwqError(f"scales of {layer!r} must be finite and above 0, not {float(scale.min()):.3g} among them")
    return scale.expand(rows, -1)


def _unpacked(layer: str, packed: Tensor, shape: Tensor | None) -> tuple[Format, Tensor]:
    """Codes of int32 words; the width is what the shape tells."""
    if shape is None or packed.dim() != 2 or packed.dtype != torch.int32 or shape.numel() != 2:
        raise HwqError(f"{layer!r} must have int32 weight_packed of two axes and a weight_shape")
    rows, columns = (int(n) for n in shape)
    fitting = [n for n in (4, 8) if packed.shape == (rows, -(-columns * n // _WORD))]
    if len(fitting) != 1:  # one word has room for 4 of either
        either = "more than 4 weights a row, to tell 4 bits from 8" if fitting else "4 or 8 bits a weight"
        raise HwqError(f"{layer!r} must pack {either}, not {list(packed.shape)} for {[rows, columns]}")
    (bits,) = fitting
    places = torch.arange(0, _WORD, bits)
    fields = (packed.long().unsqueeze(-1) >> places) & ((1 << bits) - 1)
    stored = fields.flatten(1)[:, :columns]
    fmt = Int(bits)
    codes: Tensor = fmt.encode((stored - (1 << (bits - 1))).double())
    return fmt, codes


def _plain(layer: str, weight: Tensor) -> tuple[Format, Tensor]:
    if weight.dim() < 2:
        raise HwqError(f"weights of {layer!r} must have two axes or more, not {list(weight.shape)}")
    if weight.dtype == torch.int8:
        return Int(8), weight.flatten(1).view(torch.uint8)
    if weight.dtype in _FLOATS:
        exp, man, specials = _FLOATS[weight.dtype]
        return MiniFloat(exp, man, specials=specials), weight.flatten(1).view(torch.uint8)
    raise HwqError(f"weights of {layer!r} must be signed bytes or float8, not {weight.dtype}")
