"""One layer's constants from what enters it: weight codes, bias, and the encoded ratio of its scales."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as fn

from hwq.errors import HwqError
from hwq.formats import Format
from hwq.ptq.compensate import refit
from hwq.ptq.fake import accumulate
from hwq.ptq.lower import Layer
from hwq.ptq.moments import input_rows
from hwq.ptq.recipe import Recipe
from hwq.ptq.scales import check_finite
from hwq.ptq.solved import Solved, assembled
from hwq.ptq.statistics import channel_means
from hwq.ptq.sums import encode_terms, term_weights
from hwq.ptq.weights import CROSS, Rows, Weights, hessian

__all__ = ["Inputs", "corrected", "solve", "solve_sum"]


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a layer reads on the calibration images: `values` in units of `scale`, of at most the magnitude `most`.

    `floats` is what the float network has in place of the first value, where a solver asks for it.
    """

    values: list[Tensor]
    scale: Tensor
    most: float
    floats: Tensor | None = None


def solve(
    layer: Layer, weight: Tensor, bias: Tensor, target: Tensor, inputs: Inputs, out: Tensor | None, recipe: Recipe
) -> tuple[Solved, Tensor | None]:
    """The constants of a convolution or linear layer with float `weight` [N, ...] and `bias` [N], and its sums.

    `target` [N] is the mean of the float output, at which bias correction aims; `out` is the scale of the value, None
    where the sum is the result, which takes one weight scale for all channels. The sums are those that bias correction
    has made of `inputs`, None without it.
    """
    assert layer.datapath is not None
    rows = weight.flatten(1).double()
    check_finite(rows, f"weights of {layer.name!r}")
    is_result = out is None and not layer.real
    given, real = recipe.fixed.layers.get(layer.name), None
    if given is None:
        codes, scale, real = _solved(layer, rows, bias, inputs, recipe, is_result)
    else:
        codes, scale = _given(layer, rows, given, is_result)
    codes = codes.reshape(weight.shape)
    unit = inputs.scale * scale
    biased = "bias" in layer.datapath.mac.steps
    if not biased and bool(bias.any()):
        raise HwqError(f"the datapath of {layer.name!r} must add its bias, not {layer.datapath}; write ->...[bias,...]")
    bias, total = bias.double() / unit, None
    if recipe.bias_correction and biased:
        bias, total = _corrected(layer, codes, inputs.values, target / unit)
    made = assembled(layer, codes, scale, bias, unit, out)
    return (made if real is None else replace(made, real=real.reshape(weight.shape))), total


def _given(layer: Layer, rows: Tensor, given: Weights, is_result: bool) -> tuple[Tensor, Tensor]:
    """Codes [N, K] and scales [N] that come with a layer."""
    assert layer.datapath is not None
    if given.codes.shape != rows.shape or given.scale.shape != (len(rows), 1):
        raise HwqError(f"the codes of {layer.name!r} must be {list(rows.shape)}, not {list(given.codes.shape)}")
    if given.fmt != layer.datapath.mac.w:
        raise HwqError(f"the datapath of {layer.name!r} must read weights as {given.fmt}, not {layer.datapath.mac.w}")
    scale = given.scale.flatten().double()
    if is_result and not bool((scale == scale[0]).all()):
        ways = "write ->FORMAT[bias,requant] for it"
        raise HwqError(f"{layer.name!r}, whose sums are the result, must have one weight scale, not many; {ways}")
    return given.codes, scale


def _solved(
    layer: Layer, rows: Tensor, bias: Tensor, inputs: Inputs, recipe: Recipe, is_result: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Codes [N, K] and scales [N], one for all where the sum `is_result`, and weights [N, K] if they were refitted."""
    assert layer.datapath is not None
    by_row = recipe.per_channel and not is_result
    fmt, node, real = layer.datapath.mac.w, layer.node, None
    moment, cross, seen = _moments(layer, inputs, recipe.needs)
    if recipe.refit and moment is not None and cross is not None:
        whole = rows.reshape(len(moment), -1, rows.shape[1])
        rows = real = refit(whole, moment, cross, damping=rows.shape[1] / seen).flatten(0, 1)
        cross = moment  # what the refitted weights are worth is counted on the inputs that they were refitted to
    scale = _weight_scale(rows, fmt, moment, recipe, by_row)
    if not is_result:  # whose one scale stays what the weights need, as wide as a bias makes its sum
        scale = _room_for_bias(scale, rows, bias.double() / inputs.scale, inputs.most)
    grouped = (rows / scale.unsqueeze(1)).reshape(node.window.groups, -1, rows.shape[1])
    answer = recipe.solver(Rows(grouped, fmt, moment, cross, one_gain=not by_row))
    return answer.codes.reshape(rows.shape), scale if answer.gain is None else scale * answer.gain.flatten(), real


def corrected(layer: Layer, made: Solved, values: list[Tensor], target: Tensor, entering: Tensor) -> Solved:
    """`made` with the bias at which the mean of the sum is `target` [N]; `values` enter in units of `entering`."""
    assert layer.datapath is not None and made.weight is not None
    if "bias" not in layer.datapath.mac.steps:
        return made
    unit = entering * made.weight_scale
    bias, _ = _corrected(layer, made.weight, values, target / unit)
    return assembled(layer, made.weight, made.weight_scale, bias, unit, None if made.mul is None else made.scale)


def _corrected(layer: Layer, codes: Tensor, values: list[Tensor], target: Tensor) -> tuple[Tensor, Tensor]:
    """The bias [N] that brings the mean of the sum to `target` [N], in units of the sum, and the sums without it."""
    assert layer.datapath is not None
    total = accumulate(layer, values, layer.datapath.mac.w.decode(codes).to(values[0].dtype))
    return target - channel_means(total, layer.op), total


def solve_sum(layer: Layer, scales: list[Tensor], out: Tensor | None) -> Solved:
    """The constants of a sum, a pool or a product of two values: no bias, and weights that only undo unequal scales."""
    assert layer.datapath is not None
    fmt, none = layer.datapath.mac.w, torch.zeros(1, dtype=torch.float64)
    if layer.op == "matmul":
        return assembled(layer, None, scales[1].reshape(1), none, scales[0] * scales[1].reshape(1), out)
    if layer.op == "avgpool":
        scales = scales * layer.node.window.size
    values, one = term_weights(fmt, torch.stack(scales).tolist())
    largest = max(scales) / layer.node.window.size  # 1 but for a mean
    weight = encode_terms(fmt, torch.tensor([values], dtype=torch.float64))
    return assembled(layer, weight, torch.tensor([1 / one], dtype=torch.float64), none, (largest / one).reshape(1), out)


def _moments(layer: Layer, inputs: Inputs, needs: frozenset[str]) -> tuple[Tensor | None, Tensor | None, int]:
    """The moments [groups, K, K] of a layer's inputs that its solver `needs`, in units of the inputs' scale.

    The number is of the rows that they were taken of.
    """
    if not needs:
        return None, None, 0
    rows = input_rows(layer.node, inputs.values[0])
    cross = None
    if CROSS in needs and inputs.floats is not None:
        cross = hessian(rows, input_rows(layer.node, inputs.floats / inputs.scale.to(rows.dtype)))
    return hessian(rows), cross, rows.shape[-2]


def _weight_scale(rows: Tensor, fmt: Format, moment: Tensor | None, recipe: Recipe, per_channel: bool) -> Tensor:
    """The scale of every output channel [N]; the error of a weight counts by the energy of its input where known."""
    narrow = fmt.decode(fmt.encode(rows[:1, :1])).dtype  # float32 as a rule, which rounds 8 times as fast as float64
    rows, energy = rows.to(narrow), None
    if moment is not None:
        energy = moment.diagonal(dim1=-2, dim2=-1).float().repeat_interleave(len(rows) // len(moment), 0)
    if per_channel:
        return recipe.weights(rows, fmt, energy)
    short = (0, -rows.shape[1] % fmt.block)  # in one row of them all, blocks begin where they do in each
    whole = None if energy is None else fn.pad(energy, short).reshape(1, -1)
    return recipe.weights(fn.pad(rows, short).reshape(1, -1), fmt, whole).expand(len(rows)).contiguous()


def _room_for_bias(scale: Tensor, rows: Tensor, bias: Tensor, most: float) -> Tensor:
    """Scales at which no bias exceeds what the products of the largest channel can reach.

    A channel with tiny weights has a tiny scale, in which its bias would widen the accumulator of the whole layer.
    """
    largest = (rows.abs().sum(1) / scale).max() * most
    return torch.maximum(scale, bias.abs() / largest) if largest > 0 else scale
