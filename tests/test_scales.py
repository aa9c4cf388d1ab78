"""Rules for scales against dense searches, their definitions and direct products."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import hwq
from hwq import ptq
from hwq.ptq.scales import (
    CALIBRATORS,
    beam,
    divergence,
    dual_clip,
    ema,
    fpcs,
    minmax,
    moments,
    percentile,
    pnorm,
    power,
    products,
    score,
    search,
    squared_error,
)
from hwq.ptq.scales.clipping import on_ranges
from hwq.ptq.weights import proxy_loss

FORMATS = ["int(8)", "int(4)", "uint(8)", "ternary", "fp(4,3)", "fp(2,1)", "log4", "mxfp4_e2m1", "w4g128"]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def dense(x: Tensor, text: str, low: float = 0.05, count: int = 4000) -> tuple[Tensor, Tensor]:
    """The best of many scales between `low` of the covering one and itself, by squared error."""
    fmt = hwq.parse_format(text)
    widest = minmax(x, fmt)
    return search((widest * f for f in np.geomspace(low, 1, count).tolist()), score(x, fmt, power()))


def test_search_takes_the_first_of_the_least() -> None:
    candidates = [torch.tensor([float(i), float(10 - i)]) for i in range(8)]
    best, least = search(candidates, lambda s: (s - 5.5).abs())
    assert best.tolist() == [5, 6]
    assert least.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("name", CALIBRATORS)
@pytest.mark.parametrize("text", FORMATS)
def test_rules_are_blind_to_the_format(name: str, text: str) -> None:
    """Scales follow the values: they are positive, and twice as large for values twice as large; 1 for zeros."""
    fmt = hwq.parse_format(text)
    x = normal(3, 1024)
    if fmt.min >= 0:
        x = x.relu()
    rule = CALIBRATORS[name]
    scale = rule(x, fmt)
    assert scale.shape == (3,)
    assert bool((scale > 0).all())
    torch.testing.assert_close(rule(2 * x, fmt), 2 * scale)
    if fmt.quantize(torch.zeros(1)) == 0:
        assert rule(torch.zeros(2, 64), fmt).tolist() == [1, 1]
    if name in ("mse", "percentile", "fpcs"):
        assert bool((squared_error(x, fmt, scale) <= 1.0101 * squared_error(x, fmt, minmax(x, fmt))).all())


@pytest.mark.parametrize("text", ["int(3)", "int(8)", "fp(2,1)", "ternary"])
def test_fpcs_is_as_good_as_a_dense_search(text: str) -> None:
    x = normal(2, 2000, seed=3) ** 3
    least = dense(x, text, 0.1)[1]
    fmt = hwq.parse_format(text)
    assert bool((squared_error(x, fmt, fpcs(x, fmt)) <= 1.002 * least).all())


def test_a_beam_finds_the_lowest_of_many_valleys() -> None:
    """A parabola under waves of which the coarse grid sees one point each."""

    def waves(scale: Tensor) -> Tensor:
        return (scale.log() - torch.tensor([0.3, 0.9])) ** 2 + 0.2 * torch.sin(40 * scale.log()) ** 2

    ratio = math.e ** (-2 / 31)
    coarse = math.e**1.5 * ratio ** torch.arange(32, dtype=torch.float64).unsqueeze(1).expand(32, 2)
    found, least = beam(coarse, ratio, waves)
    fine = torch.linspace(-0.5, 1.5, 200_001, dtype=torch.float64).exp().unsqueeze(1).expand(-1, 2)
    assert bool((least <= waves(fine).amin(0) + 1e-4).all())
    assert bool((waves(found) == least).all())


def test_percentile_keeps_the_best_share() -> None:
    x = normal(2, 100_000)
    x[0, 7] = 1e4  # the best share leaves this one out, and as few others as may be
    x[1] = torch.rand(100_000)  # of which none should be left out
    fmt = hwq.parse_format("int8")
    ordered = x.sort(1).values
    candidates = [torch.maximum(ordered[:, -1 - out] / 127, ordered[:, out] / -128).double() for out in (1, 10, 100)]
    errors = torch.stack([squared_error(x, fmt, scale) for scale in candidates])
    best = torch.stack(candidates).gather(0, errors.argmin(0, keepdim=True))[0]
    torch.testing.assert_close(percentile(x, fmt), best)
    assert len(set(errors.argmin(0).tolist())) == 2
    assert float(percentile(x, fmt)[0]) < 0.1


def test_the_moving_average_by_hand() -> None:
    x = torch.zeros(1, 16)
    x[0, ::2] = torch.tensor([1.0, 2, 3, 4, 5, 6, 7, 8])
    high = 1.0
    for batch in range(2, 9):
        high = 0.95 * high + 0.05 * batch
    assert float(ema(x, hwq.parse_format("int8"))) == pytest.approx(high / 127)


def test_pnorm_is_the_grid_of_gptq() -> None:
    x, fmt = normal(1, 3000, seed=4), hwq.parse_format("int(3)")
    widest = float(minmax(x, fmt))
    scales = [widest * (1 - i / 100) for i in range(80)]
    errors = [float((x - (x / s).round().clamp(-4, 3) * s).abs().double().pow(2.4).sum()) for s in scales]
    assert float(pnorm(x, fmt)) == pytest.approx(scales[int(np.argmin(errors))])


def reference_divergence(x: np.ndarray, levels: int) -> float:
    """`divergence` for magnitudes 0..levels, in plain Python; a grid to -levels - 1 has that level on no magnitude."""
    size = abs(x)
    top = size.max()
    counts, _ = np.histogram(size, bins=2048, range=(0, top))
    found = {}
    for clip in range(2048, 127, -32):
        scale = top / levels * clip / 2048
        level = [min(levels, round((i + 0.5) * top / 2048 / scale)) for i in range(clip)]
        p, q = counts[:clip].astype(float), np.zeros(clip)
        for value in set(level):
            bins = [i for i in range(clip) if level[i] == value and counts[i] > 0]
            for i in bins:
                q[i] = sum(counts[j] for j in bins) / len(bins)
        p[-1] += counts[clip:].sum()
        p, q = p / p.sum(), q / q.sum()
        lost = any(a > 0 and b == 0 for a, b in zip(p, q, strict=True))
        found[clip] = np.inf if lost else sum(a * np.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)
    return min(found, key=lambda clip: found[clip]) / 2048


def test_the_divergence_is_that_of_the_definition() -> None:
    generator = np.random.default_rng(1)
    for text, levels in (("int(4)", 7), ("int(5)", 15)):
        x = generator.laplace(size=20_000)
        x[0] = abs(x).max() * 1.01  # the largest is positive, where the span ends at 7, not at -8
        found = float(divergence(torch.from_numpy(x).unsqueeze(0), hwq.parse_format(text)))
        clip = found * levels / abs(x).max()
        want = reference_divergence(x, levels)
        assert clip == pytest.approx(want, abs=1e-6)
        assert 0.1 < clip < 0.9


def test_divergence_clips_what_is_rare() -> None:
    x = normal(1, 50_000)
    x[0, 0] = 40
    assert float(divergence(x, hwq.parse_format("int8"))) * 127 < 10


def test_errors_are_those_of_products() -> None:
    x, rounded, weight = normal(30, 5), normal(30, 5, seed=1), normal(4, 5, seed=2)
    wanted = ((x @ weight.T - rounded @ weight.T) ** 2).sum()
    found = products(weight)(x.reshape(1, -1), rounded.reshape(1, -1))
    assert found.shape == (1,)
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)
    square = (x.T @ x).double()
    torch.testing.assert_close(moments(square)(weight, weight.round()), proxy_loss(weight, weight.round(), square))
    wanted = ((weight - weight.round()) @ x.T).square().sum(1).double()
    torch.testing.assert_close(moments(square)(weight, weight.round()), wanted, rtol=1e-4, atol=1e-4)
    gradient = normal(4, 5, seed=6)
    found = power(2.0, gradient**2)(weight, weight.round())
    torch.testing.assert_close(found, (((weight - weight.round()) * gradient) ** 2).sum(1).double())
    torch.testing.assert_close(
        power(2.4)(weight, weight.round()), ((weight - weight.round()).abs() ** 2.4).sum(1).double()
    )


def test_every_error_serves_the_one_search() -> None:
    """The output metric finds a scale at which products err less than at that of least squares."""
    x, fmt = normal(200, 8) * torch.tensor([10.0, 1, 1, 1, 1, 1, 1, 1]), hwq.parse_format("int(3)")
    weight = normal(4, 8, seed=2) * torch.tensor([0.01, 1, 1, 1, 1, 1, 1, 1])  # the wide input hardly counts
    row = x.reshape(1, -1)
    of = score(row, fmt, products(weight))
    _, least = search((minmax(row, fmt) * 0.97**i for i in range(120)), of)
    assert float(least) < 0.5 * float(of(ptq.least_squares(row, fmt)))


def test_learned_ends_of_channels_err_less_and_never_more() -> None:
    """RepQuant's dual clipping: without steps the least and the largest value, with steps fewer errors of products."""
    x, weight, fmt = normal(300, 6), normal(4, 6, seed=2), hwq.parse_format("int(3)")
    x[0] *= 8  # an outlier in every channel

    def error(ends: tuple[Tensor, Tensor]) -> float:
        return float(((x - on_ranges(x, *ends, fmt)) @ weight.T).square().mean())

    start = dual_clip(x, weight, fmt, 0)
    assert torch.equal(start[0], x.amin(0))
    assert torch.equal(start[1], x.amax(0))
    errors = [error(dual_clip(x, weight, fmt, steps)) for steps in (1, 20, 200)]
    assert error(start) == errors[0] >= errors[1] >= errors[2]
    assert errors[2] < 0.5 * errors[0]


def test_weights_wider_than_float32_have_scales_of_least_error() -> None:
    """A block of NF4 under half-precision scales has 38 digits."""
    torch.manual_seed(2)
    engine = ptq.Quantizer(
        torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3)), normal(64, 8)
    )
    made = engine.quantize(dict.fromkeys(("first", "last"), "int8*block(nf4,fp16,64)"), "rtn")
    want = engine.graph.run(normal(64, 8))
    assert float((made.exact(normal(64, 8)) - want).square().mean()) < 0.01 * float(want.square().mean())


@pytest.mark.parametrize("rule", ["ema", "fpcs", "kl", "percentile", "pnorm", "weights-fpcs", "weights-pnorm"])
def test_every_rule_is_a_word_of_a_recipe(rule: str) -> None:
    torch.manual_seed(2)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(64, 3))
    images = torch.randn(64, 1, 6, 6)
    engine = ptq.Quantizer(net, images)
    model = engine.quantize({"first": "int8*int4", "last": "int8*int4"}, f"gptq+{rule}")
    recipe = ptq.Recipe.parse(rule)
    chosen, other = (recipe.weights, recipe.activations)[:: 1 if "weights" in rule else -1]
    assert chosen is CALIBRATORS[rule.removeprefix("weights-")]
    assert other is CALIBRATORS["mse"]
    wanted = engine.graph.run(images)
    assert float((model.fake(images) - wanted).square().mean()) < 0.05 * float(wanted.square().mean())
