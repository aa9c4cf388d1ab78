"""A program as the words of a kernel's memories, and as the beats of configuration that load them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from hwq.errors import HwqError
from hwq.kernel.kernel import CHUNK, Kernel
from hwq.kernel.program import Codes, Layer, Program

__all__ = ["MEMORIES", "as_words", "beats", "descriptors", "joined", "memories"]

MEMORIES = ("weights", "scales", "layers", "run")  # by number, as a header names them
MEMORY_AT = 28  # the bit of a header from which on the memory's number stands, above its first address


def joined(codes: Iterable[int], bits: int) -> int:
    """Codes side by side in one number, the first lowest."""
    return sum(int(code) << at * bits for at, code in enumerate(codes))


def memories(kernel: Kernel, program: Program) -> dict[str, list[int]]:
    """The words of each memory, by name."""
    return {
        "weights": _weights(kernel, program),
        "scales": _scales(kernel, program),
        "layers": descriptors(kernel, program),
    }


def _weights(kernel: Kernel, program: Program) -> list[int]:
    bits = kernel.datapath.mac.w.bits
    return [joined(word.reshape(-1), bits) for layer in program.layers for word in layer.weight_words]


def _scales(kernel: Kernel, program: Program) -> list[int]:
    widths = list(kernel.parameters.values())
    each = sum(widths)
    found = []
    for layer in program.layers:
        columns = layer.parameters.reshape(layer.words, -1, kernel.share, len(widths))
        for word in columns.transpose(0, 2, 1, 3).reshape(layer.words * kernel.share, -1, len(widths)):
            found.append(joined((_side_by_side(row, widths) for row in word), each))
    return found


def _side_by_side(values: Sequence[int] | Codes, widths: Sequence[int]) -> int:
    at, found = 0, 0
    for value, width in zip(values, widths, strict=True):
        found |= int(value) << at
        at += width
    return found


def descriptors(kernel: Kernel, program: Program) -> list[int]:
    """The word of each layer's descriptor."""
    words, weights, scales = [], 0, 0
    for at, layer in enumerate(program.layers):
        values = _descriptor(kernel, layer) | {
            "weights": weights,
            "scales": scales,
            "waits": at == 0,
            "frees": at == program.last_look,
            "last": at == len(program.layers) - 1,
        }
        weights, scales = weights + len(layer.weight_words), scales + layer.words * kernel.share
        words.append(sum(_fitting(layer, kernel, name, int(value)) for name, value in values.items()))
    return words


def _fitting(layer: Layer, kernel: Kernel, name: str, value: int) -> int:
    """A field's value at its place; addresses and coordinates count modulo their range."""
    field = kernel.fields[name]
    if not -(1 << field.width) <= value < 1 << field.width:
        raise HwqError(f"{name} of layer {layer.name} must fit {field.width} bits, not {value}")
    return (value & (1 << field.width) - 1) << field.at


def _descriptor(kernel: Kernel, layer: Layer) -> dict[str, int]:
    """The fields that the layer alone decides. A step leads from the last address before it to the first one after."""
    source, words, (rows, cols) = layer.source, layer.source.words, layer.kernel
    (stride_y, stride_x), (pad_y, pad_x), (dilation_y, dilation_x) = layer.stride, layer.padding, layer.dilation
    line, deep = source.width * words, layer.reads - 1
    target = layer.target
    found = {
        "diagonal": layer.diagonal,
        "repeats": layer.repeats,
        "relu": layer.relu,
        "streams": target is None,
        "source": source.bank,
        "target": 0 if target is None else target.bank,
        "into": 0 if target is None else target.base,
        "last_word": deep,
        "last_kx": cols - 1,
        "last_ky": rows - 1,
        "last_result": layer.words - 1,
        "last_scale": layer.words * kernel.share - 1,
        "last_x": layer.width - 1,
        "last_y": layer.height - 1,
        "height": source.height,
        "width": source.width,
        "row": -pad_y,
        "col": -pad_x,
        "dilation_y": dilation_y,
        "dilation_x": dilation_x,
        "stride_y": stride_y,
        "stride_x": stride_x,
        "start": _modulo(kernel, source.base - pad_y * line - pad_x * words),
        "step_kx": _modulo(kernel, dilation_x * words - deep),
        "step_ky": _modulo(kernel, dilation_y * line - (cols - 1) * dilation_x * words - deep),
        "step_x": _modulo(kernel, stride_x * words),
        "step_y": _modulo(kernel, stride_y * line - (layer.width - 1) * stride_x * words),
    }
    return found | (_join(layer, list(kernel.parameters)) if layer.join is not None else {})


def _join(layer: Layer, names: Sequence[str]) -> dict[str, int]:
    join = layer.join
    assert join is not None
    first, other = join.weights
    values = dict(zip((f"join_{name}" for name in names), join.parameters, strict=True))
    where = {"joins": 1, "join_relu": int(join.relu), "other_bank": join.other.bank, "other": join.other.base}
    return values | where | {"join_first": first, "join_other": other}


def _modulo(kernel: Kernel, address: int) -> int:
    return address & (1 << kernel.address) - 1


def beats(kernel: Kernel, program: Program) -> list[tuple[int, bool]]:
    """(payload, last) of every beat of configuration.

    A packet is a header and the words of one memory, low bits first. The last packet lets the kernel run.
    """
    found: list[tuple[int, bool]] = []
    widths = {"weights": kernel.weight_word, "scales": kernel.scale_word, "layers": kernel.descriptor}
    for name, words in memories(kernel, program).items():
        found.append((MEMORIES.index(name) << MEMORY_AT, False))
        chunks = -(-widths[name] // CHUNK)
        data = [word >> at * CHUNK & (1 << CHUNK) - 1 for word in words for at in range(chunks)]
        found += [(beat, at == len(data) - 1) for at, beat in enumerate(data)]
    return [*found, (MEMORIES.index("run") << MEMORY_AT, False), (1, True)]


def as_words(codes: Codes, lanes: int, zero: int = 0) -> Codes:
    """Codes [channels, height, width] of a tensor as its words [height * width * words, lanes].

    Channels that only fill a word have the code `zero`.
    """
    channels, height, width = codes.shape
    words = -(-channels // lanes)
    filled = np.full((words * lanes, height, width), zero, codes.dtype)
    filled[:channels] = codes
    return filled.transpose(1, 2, 0).reshape(-1, lanes)
