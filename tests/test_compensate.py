"""Compensation: means, least squares and low-rank branches against float64 linear algebra."""

import numpy as np
import pytest
import torch
from torch import Tensor

import hwq
from hwq import ptq
from hwq.errors import HwqError
from hwq.ptq.compensate import empirical, lorc, refit, retuned, svd_branch
from hwq.ptq.weights import hessian


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_mean_error_is_gone() -> None:
    x, weight, bias = normal(200, 6) + 1, normal(4, 6, seed=1), normal(4, seed=2)
    target = (x @ weight.T + bias).mean(0)
    products = x @ weight.round().T
    found = empirical(torch.zeros(4).double(), target, lambda bias: (products + bias).mean(0), 1)
    torch.testing.assert_close((products + found).mean(0), target)
    # the other published form: the mean of the inputs times the error of the weights
    torch.testing.assert_close(found, bias - x.mean(0) @ (weight.round() - weight).T)


def test_turns_find_the_mean_behind_a_rectifier_and_a_clip() -> None:
    products = normal(5000, 6)
    target = torch.tensor([0.05, 0.3, 0.8, 1.2, 1.7, 5.0], dtype=torch.float64)  # the last one is beyond the clip

    def mean(bias: Tensor) -> Tensor:
        return (products + bias).clamp(0, 2).mean(0)

    start = torch.zeros(6, dtype=torch.float64)
    once = start + target - mean(start)
    found = empirical(start, target, mean, 30)
    left = (mean(found) - target).abs()
    assert bool((left[:5] < 1e-2).all())
    assert bool((left <= (mean(once) - target).abs()).all())
    assert bool((left <= (mean(start) - target).abs()).all())
    linear = empirical(start, target, lambda bias: products.mean(0) + bias, 1)
    torch.testing.assert_close(linear, target - products.mean(0))


def test_retuned_outputs_have_the_float_moments() -> None:
    floats = normal(300, 5) * torch.arange(1, 6) + 2
    quantized = floats * 0.7 + normal(300, 5, seed=1) - 1
    quantized[:, 4] = 3  # constant
    gain, shift = retuned(floats, quantized)
    tuned = gain * quantized + shift
    torch.testing.assert_close(tuned.mean(0), floats.mean(0))
    torch.testing.assert_close(tuned.std(0)[:4], floats.std(0)[:4])
    assert float(gain[4]) == 1
    same = retuned(floats, floats)
    torch.testing.assert_close(same[0], torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(same[1], torch.zeros(5, dtype=torch.float64))


def test_refitted_weights_are_those_of_least_squares() -> None:
    seen = normal(400, 12) @ normal(12, 12, seed=1)
    floats = seen + 0.5 * normal(400, 12, seed=2)
    weight = normal(5, 12, seed=3)
    square, cross = hessian(seen), hessian(seen, floats)
    found = refit(weight, square, cross)
    exact = np.linalg.lstsq(seen.numpy(), (floats @ weight.T).numpy(), rcond=None)[0].T

    def error(w: Tensor) -> float:
        return float((floats @ weight.T - seen @ w.T).square().sum())

    best, without, wrong = (error(w) for w in (torch.from_numpy(exact), weight, 2 * weight - found))
    assert best <= error(found) < without < wrong  # the sign is a plus
    assert error(found) - best < 0.2 * (without - best)
    # without damping to speak of it is the minimiser: what is left is orthogonal to the inputs
    undamped = weight + weight @ (cross - square) @ torch.linalg.inv(square)
    torch.testing.assert_close(undamped, torch.from_numpy(exact))
    torch.testing.assert_close(
        (floats @ weight.T - seen @ undamped.T).T @ seen, torch.zeros(5, 12).double(), atol=1e-8, rtol=0
    )


def test_refitting_to_the_same_inputs_changes_nothing() -> None:
    square = hessian(normal(3, 8))  # singular, too
    weight = normal(4, 8, seed=1)
    assert torch.equal(refit(weight, square, square), weight)


def test_the_error_of_lorc_is_the_tail_of_singular_values() -> None:
    weight, errors = normal(20, 30), []
    quantized = weight.round()
    tail = torch.linalg.svdvals(weight - quantized)
    for rank in range(21):
        branch = lorc(weight, quantized, rank)
        assert branch.out.shape == (20, rank)
        assert branch.into.shape == (rank, 30)
        errors.append(float((weight - branch.values).square().sum()))
        assert errors[-1] == pytest.approx(float(tail[rank:].square().sum()), abs=1e-12)
    assert errors == sorted(errors, reverse=True)
    with pytest.raises(HwqError, match=r"^the rank of a branch must be 0\.\.20, not 21$"):
        lorc(weight, quantized, 21)


def test_the_svd_branch_is_better_than_lorc() -> None:
    """A few strong directions: taken out first, they leave a rest that a narrow grid rounds well."""
    fmt = hwq.parse_format("int4")
    weight = normal(24, 32) * 0.1 + normal(24, 2, seed=1) @ normal(2, 32, seed=2)

    def quantize(x: Tensor) -> Tensor:
        scale = ptq.minmax(x, fmt).unsqueeze(1)
        rounded: Tensor = fmt.quantize(x / scale) * scale
        return rounded

    def error(x: Tensor) -> float:
        return float((weight - x).square().sum())

    once, turned = lorc(weight, quantize(weight), 2), svd_branch(weight, quantize, 2)
    assert error(turned.values) < 0.2 * error(once.values)
    assert max(len(row.unique()) for row in turned.weight) <= 16
    # refitting: no other branch of the rank serves the quantized rest better
    assert error(turned.values) == pytest.approx(error(lorc(weight, turned.weight, 2).values))
    assert error(svd_branch(weight, quantize, 0).values) == pytest.approx(error(quantize(weight)))


def test_refitting_betters_a_network() -> None:
    torch.manual_seed(4)
    net = torch.nn.Sequential(
        torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8)
    )
    images = torch.randn(256, 16) @ torch.randn(16, 16)
    engine = ptq.Quantizer(net, images)
    wanted = engine.graph.run(images)

    def error(recipe: str) -> float:
        model = engine.quantize({"first": "int8*int2", "body": "int3*int4", "last": "int3*int4"}, recipe)
        return float((model.fake(images) - wanted).square().mean())

    assert error("gptq+refit+bc") < 0.95 * error("gptq+bc")
    assert error("gpfq+refit") < 0.95 * error("rtn")
