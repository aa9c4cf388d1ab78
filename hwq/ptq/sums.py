"""Sums of values with different scales: the scales are powers of two apart, and the weights of the sum undo that.

A residual sum `s1*x1 + s2*x2` with `s1 = 2**j * s2` is the product of (x1, x2) with the weights (2**j, 1), which a
weight format holds exactly for small j: no ratio is rounded. A format with only 0 and +-1 forces equal scales.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor

from hwq.formats import Format
from hwq.ptq.lower import Layer
from hwq.ptq.scales import squared_error

__all__ = ["aligned", "encode_terms", "families", "powers", "term_weights"]

_EXPONENTS = range(-16, 17)


@cache
def powers(fmt: Format) -> tuple[float, ...]:
    """The longest run of consecutive powers of two that `fmt` holds together, ascending; without any, its largest."""
    runs: list[list[float]] = [[]]
    for exponent in _EXPONENTS:
        power = math.ldexp(1.0, exponent)
        held = torch.tensor([power], dtype=torch.float64)
        if float(fmt.decode(encode_terms(fmt, held))) == power:
            runs[-1].append(power)
        elif runs[-1]:
            runs.append([])
    longest = max(runs, key=len)
    return tuple(longest) if longest else (fmt.span[1],)


def encode_terms(fmt: Format, values: Tensor) -> Tensor:
    """Codes of the weights of a sum. Blocks share what gives an element its whole span, not what these few ask for.

    A scale of 1 holds 1, 2 and 4 side by side, which a quotient such as 4 / 15, rounded, does not.
    """
    codes: Tensor = fmt.encode_under(values, fmt.shared(values.new_tensor([fmt.span[1]])))
    return codes


def term_weights(fmt: Format, scales: list[float]) -> tuple[list[float], float]:
    """The weights that stand for terms of `scales`, powers of two apart, and that of the largest scale.

    They are as small as the format allows, with 1 as the least where it has it.
    """
    held, top = powers(fmt), max(scales)
    spread = round(math.log2(top / min(scales)))
    least = held.index(1.0) if 1.0 in held else 0
    largest = held[min(least + spread, len(held) - 1)]
    return [largest * scale / top for scale in scales], largest


def families(layers: tuple[Layer, ...]) -> list[tuple[list[str], int]]:
    """Groups of values that meet in sums, each with the number of doublings by which their scales may differ."""
    family: dict[str, list[str]] = {layer.group: [layer.group] for layer in layers}
    spread: dict[str, int] = {}
    group = {layer.name: layer.group for layer in layers}
    for layer in layers:
        if layer.op == "add" and layer.datapath is not None and len(layer.node.inputs) > 1:
            room = len(powers(layer.datapath.mac.w)) - 1
            terms = [group[name] for name in layer.node.inputs]
            joined = list(dict.fromkeys(member for term in terms for member in family[term]))
            room = min([room, *(spread[member] for member in joined if member in spread)])
            family |= dict.fromkeys(joined, joined)
            spread |= dict.fromkeys(joined, room)
    kept = {tuple(family[member]): spread[member] for member in spread}
    return [(list(members), room) for members, room in kept.items()]


def aligned(
    family: list[str],
    spread: int,
    scales: Mapping[str, Tensor],
    formats: Mapping[str, Format],
    samples: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """The family's scales, brought to powers of two of the largest; of the two nearest, the one of less error."""
    top = max(scales[member] for member in family)
    found = {}
    for member in family:
        below = math.frexp(float(top / scales[member]))[1] - 1
        near = [torch.ldexp(top, torch.tensor(-min(j, spread))) for j in (below, below + 1)]
        errors = [float(squared_error(samples[member], formats[member], scale.reshape(1))) for scale in near]
        found[member] = near[errors.index(min(errors))]
    return found
