"""Weights of compressed-tensors files (vLLM, llm-compressor): packed int4 or int8 in groups, and float8, as codes.

A layer L has `L.weight_packed` (int32 words of 32 / bits codes, the first in the lowest bits, each with an offset of
2**(bits - 1)), `L.weight_shape` and `L.weight_scale` [N, groups]; or `L.weight` in int8 or float8 with its scale.
Source: compressed-tensors, compressors/pack_quantized and naive_quantized.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from hwq.errors import HwqError
from hwq.formats import Format, Int, MiniFloat

__all__ = ["Weights", "import_compressed"]

_WORD = 32
_FLOATS = {torch.float8_e4m3fn: (4, 3, "nan"), torch.float8_e5m2: (5, 2, "inf")}


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of a layer: codes [N, K] of a format, and scales [N, groups], groups of equal length along K."""

    fmt: Format
    codes: Tensor
    scale: Tensor

    @property
    def real(self) -> Tensor:
        """The weights [N, K] as float64."""
        values: Tensor = self.fmt.decode(self.codes).double()
        return values * self.scale.double().repeat_interleave(values.shape[1] // self.scale.shape[1], 1)


def import_compressed(path: str | Path) -> dict[str, Weights]:
    """{layer: weights} of every quantized layer of a safetensors file; tensors that are not quantized are left out."""
    try:
        with safe_open(path, "pt") as file:
            held = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise HwqError(f"{path} must be a safetensors file, not one that fails with {error}") from error
    layers = [key.removesuffix(".weight_scale") for key in held if key.endswith(".weight_scale")]
    if not layers:
        raise HwqError(f"{path} must hold compressed-tensors weights (NAME.weight_scale), not none")
    return {layer: _layer(layer, held) for layer in layers}


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
    given = held[f"{layer}.weight_scale"].float()
    scale = given if given.dim() == 2 else given.reshape(-1, 1)
    scale = scale.expand(len(codes), -1)
    if codes.shape[1] % scale.shape[1]:
        raise HwqError(f"groups of {layer!r} must divide {codes.shape[1]} weights evenly, not be {scale.shape[1]}")
    return Weights(fmt, codes, scale)


def _unpacked(layer: str, packed: Tensor, shape: Tensor | None) -> tuple[Format, Tensor]:
    """Codes of int32 words; the width is what the shape tells."""
    if shape is None or packed.dim() != 2 or packed.dtype != torch.int32 or shape.numel() != 2:
        raise HwqError(f"{layer!r} must have int32 weight_packed of two axes and a weight_shape")
    rows, columns = (int(n) for n in shape)
    bits = next((n for n in (4, 8) if packed.shape == (rows, -(-columns * n // _WORD))), None)
    if bits is None:
        raise HwqError(f"{layer!r} must pack 4 or 8 bits a weight, not {list(packed.shape)} for {[rows, columns]}")
    places = torch.arange(0, _WORD, bits)
    fields = (packed.long().unsqueeze(-1) >> places) & ((1 << bits) - 1)
    stored = fields.flatten(1)[:, :columns]
    fmt = Int(bits)
    codes: Tensor = fmt.encode((stored - (1 << (bits - 1))).double())
    return fmt, codes


def _plain(layer: str, weight: Tensor) -> tuple[Format, Tensor]:
    if weight.dtype == torch.int8:
        return Int(8), weight.flatten(1).view(torch.uint8)
    if weight.dtype in _FLOATS:
        exp, man, specials = _FLOATS[weight.dtype]
        return MiniFloat(exp, man, specials=specials), weight.flatten(1).view(torch.uint8)
    raise HwqError(f"weights of {layer!r} must be signed bytes or float8, not {weight.dtype}")
