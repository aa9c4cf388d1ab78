"""Reconstruction: published numbers, definitions, finite differences, and what no unit may become."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import hwq
from hwq import ptq, zoo
from hwq.errors import HwqError
from hwq.ptq.progress import watched
from hwq.ptq.recipe import Recipe, recipe_names
from hwq.ptq.reconstruct import LOSSES, RECONSTRUCTIONS, SOFT, Reconstruct
from hwq.ptq.reconstruct.data import Data
from hwq.ptq.reconstruct.loop import score
from hwq.ptq.reconstruct.losses import Made, divergence, importance, sensitivity, squared
from hwq.ptq.reconstruct.soft import AdaRound, Straight
from hwq.ptq.solved import Solved
from hwq.ptq.unit import Unit
from hwq.zoo import Model

WORDS = sorted(RECONSTRUCTIONS)
RECIPES = sorted(name for name in recipe_names() if Recipe.parse(name).reconstruction is not None)
SCALAR = ["int4", "int2", "ternary", "binary", "fp4_e2m1", "fp8_e4m3", "nf4"]
ROLES = {"first": "int8*int8", "body": "int8*int(3)", "last": "int8*int8"}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Toy(nn.Module):
    """A residual block between two convolutions, pooled, with ten classes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.stem, self.one, self.two = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 1, groups=2)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = (self.two(self.one(x).relu()) + x).relu()
        return self.head(x.mean((2, 3)))


@pytest.fixture(scope="module")
def toy() -> ptq.Quantizer:
    return ptq.Quantizer(Toy().eval(), normal(48, 1, 8, 8, seed=1).float())


@pytest.fixture(scope="module")
def resnet() -> Model:
    return zoo.load("resnet8")


def quantized(engine: ptq.Quantizer, made: Reconstruct, recipe: str = "rtn") -> ptq.QuantizedModel:
    return engine.quantize(ROLES, replace(Recipe.parse(recipe), reconstruction=made))


def units_of(engine: ptq.Quantizer, level: str, assignment: Mapping[str, str] = ROLES) -> list[Unit]:
    """The units that a reconstruction is given, which leaves them as they are."""
    seen: list[Unit] = []

    class Watch:
        unit = level

        def __call__(self, unit: Unit) -> dict[str, Solved]:
            seen.append(unit)
            return {}

    engine.quantize(assignment, replace(Recipe.parse("rtn"), reconstruction=Watch()))
    return seen


# ---------------------------------------------------------------- soft weights


def test_adaround_begins_at_the_fraction() -> None:
    """The values of V that the method's definition gives for three fractions."""
    x = torch.tensor([[0.1, 0.5, 0.9, -2.25]], dtype=torch.float64)
    soft = AdaRound(x, hwq.parse_format("int4"))
    assert soft.logit.detach()[0, :3].tolist() == pytest.approx([-math.log(5), 0, math.log(5)], abs=1e-6)
    assert soft.share().detach()[0].tolist() == pytest.approx([0.1, 0.5, 0.9, 0.75], abs=1e-6)
    torch.testing.assert_close(soft.weight(0).detach().double(), x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("text", SCALAR)
def test_adaround_stays_between_the_neighbours_of_any_format(text: str) -> None:
    """The neighbours are found by looking at every value of the format."""
    fmt = hwq.parse_format(text)
    found = {float(v) for c in fmt.codes().tolist() if isinstance(v := fmt.value(c), Fraction)}
    values = torch.tensor(sorted(found), dtype=torch.float64)
    x = normal(8, 30, seed=2) * fmt.max / 2
    soft = AdaRound(x, fmt)
    inside = x.clamp(fmt.min, fmt.max)
    torch.testing.assert_close(soft.weight(0).detach().double(), inside, rtol=0, atol=1e-5 * fmt.max)
    below = torch.stack([values[values <= v].max() for v in inside.flatten()]).reshape(x.shape)
    above = torch.stack([values[values >= v].min() for v in inside.flatten()]).reshape(x.shape)
    for way, wanted in ((-50.0, below), (50.0, above)):
        with torch.no_grad():
            soft.logit.fill_(way * float(soft.step.max()))
        codes, gain = soft.harden()
        assert torch.equal(fmt.decode(codes).double(), wanted)
        assert torch.equal(gain, torch.ones(8, dtype=torch.float64))
        torch.testing.assert_close(soft.weight(1).detach().double(), wanted, rtol=1e-6, atol=1e-6)


def test_a_step_of_a_minifloat_is_that_of_its_binade() -> None:
    """Every weight moves at the same rate, whatever the distance of its neighbours (FP4DiT)."""
    x = torch.tensor([[0.2, 1.2, 2.4, 4.8]], dtype=torch.float64)  # E2M1 has steps of .5, .5, 1, 2 there
    soft = AdaRound(x, hwq.parse_format("fp4_e2m1"))
    assert (soft.step / soft.step[0, 0]).tolist() == [[1, 1, 2, 4]]
    assert soft.share().detach().tolist()[0] == pytest.approx([0.4, 0.4, 0.4, 0.4], abs=1e-6)
    soft.weight(0).sum().backward()  # type: ignore[no-untyped-call]
    gradient = soft.logit.grad
    assert gradient is not None
    torch.testing.assert_close(gradient, gradient[0, 0].expand(1, 4))


def test_the_penalty_of_adaround() -> None:
    soft = AdaRound(torch.tensor([[0.1, 0.5, 1.0]], dtype=torch.float64), hwq.parse_format("int4"))
    assert soft.penalty(0.1).item() == 0
    assert soft.penalty(0.2).item() == pytest.approx(1 - 0.8**20 + 1)
    assert soft.penalty(1.0).item() == pytest.approx(1 - 0.8**2 + 1)
    assert soft.penalty(0.6).item() == pytest.approx(1 - 0.8**11 + 1)


def test_adaround_needs_neighbours_of_a_number_alone_wrong() -> None:
    with pytest.raises(HwqError, match=r"adaround must have grid points for a number alone, not .*; use adaquant"):
        AdaRound(torch.zeros(1, 32), hwq.parse_format("mxfp4_e2m1"))


@pytest.mark.parametrize("text", [*SCALAR, "mxfp4_e2m1"])
@pytest.mark.parametrize("name", ["adaquant", "flexround", "lsq"])
def test_straight_weights_begin_rounded(name: str, text: str) -> None:
    fmt = hwq.parse_format(text)
    x = normal(4, 32, 3, 3, seed=3)
    soft = SOFT[name](x, fmt, False)
    wanted = fmt.quantize(x.float().flatten(1)).reshape(x.shape)
    assert torch.equal(soft.weight(0).detach(), wanted)
    codes, gain = soft.harden()
    assert torch.equal(fmt.decode(codes.flatten(1)).reshape(x.shape), wanted.to(fmt.decode(codes.flatten(1)).dtype))
    assert torch.equal(gain, torch.ones(4, dtype=torch.float64))


def test_flexround_moves_a_weight_by_more_than_one_code() -> None:
    """W = .9 on a step of .25: rounding gives 4, a divisor of 1.6 gives 2, out of AdaRound's reach."""
    fmt = hwq.parse_format("int8")
    soft = Straight(torch.tensor([[0.9 / 0.25]]), fmt, divides=True)
    assert fmt.decode(soft.harden()[0]).tolist() == [[4]]
    with torch.no_grad():
        soft.divisors[0].fill_(math.log(1.6))
    assert fmt.decode(soft.harden()[0]).tolist() == [[2]]
    assert soft.weight(0).item() * 0.25 == pytest.approx(0.5)


def test_flexround_moves_large_weights_further() -> None:
    x = torch.tensor([[0.3, 1.3, -2.6]])
    soft = Straight(x, hwq.parse_format("int4"), divides=True)
    soft.weight(0).sum().backward()  # type: ignore[no-untyped-call]
    assert soft.divisors[0].grad is not None
    torch.testing.assert_close(soft.divisors[0].grad, -x)


def test_the_gradient_of_a_learned_step() -> None:
    """LSQ: Q(x/s) - x/s inside, the ends outside; by finite differences, the rounding of x/s held where it is."""
    fmt = hwq.parse_format("int4")
    x = torch.tensor([[0.3, 2.6, -1.4, 30.0, -30.0]])
    soft = Straight(x, fmt)
    soft.weight(0).sum().backward()  # type: ignore[no-untyped-call]
    assert soft.gain.grad is not None
    each = torch.tensor([0 - 0.3, 3 - 2.6, -1 + 1.4, 7, -8])
    assert float(soft.gain.grad) == pytest.approx(float(each.sum()), abs=1e-5)

    def surrogate(gain: float) -> Tensor:
        """Rounding as the addition of what it adds at a gain of 1."""
        scaled = x.double() / gain
        return (gain * (scaled + fmt.quantize(x.double()) - x.double()).clamp(-8, 7)).sum()

    h = 1e-6
    assert float(surrogate(1 + h) - surrogate(1 - h)) / (2 * h) == pytest.approx(float(each.sum()), abs=1e-5)


def test_a_gain_between_jumps_is_the_true_gradient_outside() -> None:
    """Where everything saturates there is nothing to assume: the loss itself has this slope."""
    soft = Straight(torch.tensor([[30.0, -40.0]]), hwq.parse_format("int4"))
    soft.weight(0).square().sum().backward()  # type: ignore[no-untyped-call]
    slopes = []
    for h in (1e-3, -1e-3):
        with torch.no_grad():
            soft.gain.fill_(h)
            slopes.append(float(soft.weight(0).square().sum()))
    assert soft.gain.grad is not None
    assert float(soft.gain.grad) == pytest.approx((slopes[0] - slopes[1]) / 2e-3, rel=1e-3)


def test_stages_begin_without_rounding() -> None:
    x = normal(3, 4, seed=4)
    soft = SOFT["stages"](x, hwq.parse_format("ternary"), False)
    assert torch.equal(soft.weight(0.49).detach(), x.float())
    assert torch.equal(soft.weight(0.5).detach(), hwq.parse_format("ternary").quantize(x.float()))


# ---------------------------------------------------------------- losses


def judged(unit: Unit, judge: Callable[[Made], Tensor], value: Tensor) -> float:
    return float(judge(Made(torch.arange(len(value)), value, {})))


def test_the_squared_error_is_summed_over_channels(toy: ptq.Quantizer) -> None:
    unit = units_of(toy, "block")[0]
    value = unit.run(unit.read)
    error = (value - unit.target).square().sum(1).mean() / unit.target.square().mean()
    assert judged(unit, squared(unit), value) == pytest.approx(float(error))
    assert score(unit, squared(unit)) == pytest.approx(float(error), rel=1e-5)


def test_fisher_of_ones_is_the_squared_error(toy: ptq.Quantizer) -> None:
    unit = units_of(toy, "block")[0]
    value = unit.run(unit.read)
    assert judged(unit, squared(unit, torch.ones_like(value)), value) == judged(unit, squared(unit), value)
    assert torch.equal(importance(torch.full((3,), 7.0)), torch.ones(3))
    assert torch.equal(importance(torch.zeros(3)), torch.ones(3))


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_loss_is_nothing_at_the_target(toy: ptq.Quantizer, name: str) -> None:
    unit = units_of(toy, "layer")[1]
    judge = LOSSES[name](unit)
    layer = unit.layers[-1].name
    weights = {layer: unit.graph.state[layer, "weight"]}
    made = Made(torch.arange(len(unit.target)), unit.target, weights)
    assert float(judge(made)) == pytest.approx(0, abs=1e-6)
    worse = Made(made.index, unit.target * 0.5, {layer: weights[layer] * 0.5})
    if name == "cosine":  # which does not see a size
        worse = Made(made.index, unit.target.flip(1), weights)
    assert float(judge(worse)) > 1e-6


def test_sensitivity_is_the_slope_of_the_divergence(toy: ptq.Quantizer) -> None:
    unit = units_of(toy, "block")[1]
    value = unit.run(unit.read)
    gradient = sensitivity(unit)[0]
    way = normal(*value.shape[1:], seed=6).float()
    wanted = unit.tail(unit.target)
    h = 1e-2
    slopes = [divergence(wanted[:1], unit.tail(value[:1] + s * h * way)) for s in (1, -1)]
    assert float(slopes[0] - slopes[1]) / (2 * h) == pytest.approx(float((gradient * way).sum()), rel=2e-2)


def test_the_prediction_loss_of_a_float_unit_is_nothing_and_trains_one_unit(toy: ptq.Quantizer) -> None:
    first, last = units_of(toy, "block")[0], units_of(toy, "block")[-1]
    torch.testing.assert_close(first.tail(first.target), toy.graph.run(toy.calibrated.prefix), rtol=0, atol=1e-5)
    torch.testing.assert_close(last.tail(last.target), last.target)
    logits = normal(4, 5)
    assert float(divergence(logits, logits)) == pytest.approx(0, abs=1e-9)
    p, q = logits.softmax(1), (logits * 2).softmax(1)
    by_hand = (p * (p.log() - q.log())).sum(1).mean()
    assert float(divergence(logits, logits * 2)) == pytest.approx(float(by_hand))
    assert float(divergence(logits * 4, logits * 8, 4.0)) == pytest.approx(float(by_hand))


def test_the_kronecker_loss_is_the_product_of_two_moments(toy: ptq.Quantizer) -> None:
    """On a layer of two groups, written out over all pairs of rows."""
    unit = next(unit for unit in units_of(toy, "layer") if unit.layers[-1].name == "two")
    judge, weight = LOSSES["kronecker"](unit), unit.graph.state["two", "weight"]
    read, gradient = unit.read[unit.layers[-1].node.inputs[0]], sensitivity(unit)

    def form(error: Tensor) -> float:
        total = 0.0
        for group in range(2):
            x = read[:, 3 * group : 3 * group + 3].movedim(1, -1).flatten(0, -2)
            g = gradient[:, 3 * group : 3 * group + 3].movedim(1, -1).flatten(0, -2)
            total += float((g @ error[3 * group : 3 * group + 3].flatten(1) @ x.T).square().mean())
        return total

    for change in (normal(*weight.shape).float(), weight * 0.1):
        made = Made(torch.arange(1), unit.target, {"two": weight + change})
        assert float(judge(made)) == pytest.approx(6 * form(change) / form(weight), rel=1e-4)


def test_a_kronecker_loss_is_of_a_layer_wrong(toy: ptq.Quantizer) -> None:
    with pytest.raises(HwqError, match='a kronecker loss must be of one layer; write unit = "layer"'):
        quantized(toy, Reconstruct(loss="kronecker", unit="block", iterations=1))


# ---------------------------------------------------------------- data


def test_nothing_dropped_is_the_quantized_run_and_all_dropped_the_float_one(toy: ptq.Quantizer) -> None:
    unit = units_of(toy, "block")[1]
    index = torch.arange(8)
    part, noise = unit.of(index), torch.Generator()
    kept, none = Data(unit, 8, 0.0, noise), Data(unit, 8, 1.0, noise)
    assert torch.equal(part.run(kept.read(part), rounder=kept.rounder), unit.run(unit.read)[:8])
    real = none.read(part)
    for name, x in real.items():
        torch.testing.assert_close(x * float(unit.scales[name]), unit.floats[name][:8])
    inside = part.run(real, rounder=none.rounder)
    exact = {
        layer.name: replace(unit.held[layer.name], weight=_float_weight(unit, layer.name)) for layer in unit.weighted
    }
    torch.testing.assert_close(part.run(real, unit.held | exact, none.rounder), unit.target[:8], rtol=0, atol=2e-3)
    assert not torch.equal(inside, part.run(real))


def _float_weight(unit: Unit, name: str) -> Tensor:
    weight = unit.graph.state[name, "weight"]
    return weight / unit.solved[name].weight_scale.float().reshape(-1, 1, 1, 1)


def test_half_of_the_elements_are_dropped(toy: ptq.Quantizer) -> None:
    unit = units_of(toy, "block")[1]
    data = Data(unit, 32, 0.5, torch.Generator().manual_seed(0))
    index, part = data.draw()
    assert len(index.unique()) == 32
    ((name, x),) = data.read(part).items()
    real = part.floats[name] / float(unit.scales[name])
    changed = part.read[name] != real
    assert bool(((x == real) | (x == part.read[name])).all())
    assert float((x == real)[changed].double().mean()) == pytest.approx(0.5, abs=0.02)


# ---------------------------------------------------------------- the loop


@pytest.mark.parametrize("word", WORDS)
def test_no_unit_is_worse_than_it_was(toy: ptq.Quantizer, word: str) -> None:
    made = RECONSTRUCTIONS[word](iterations=60, batch=16)
    total = [0.0, 0.0]
    for unit in units_of(toy, made.unit):
        judge = LOSSES[made.loss](unit)
        found = made(unit)
        assert found.keys() == {layer.name for layer in unit.weighted}
        before, after = score(unit, judge), score(replace(unit, solved={**unit.solved, **found}), judge)
        assert after <= before
        total = [total[0] + before, total[1] + after]
    assert total[1] < 0.98 * total[0]


def test_a_run_that_only_hurts_changes_nothing(toy: ptq.Quantizer) -> None:
    hurt = Reconstruct(soft="adaquant", iterations=5, rate=1000.0)
    for unit in units_of(toy, "layer"):
        assert hurt(unit) == {layer.name: unit.solved[layer.name] for layer in unit.weighted}


@pytest.mark.parametrize("word", WORDS)
def test_the_same_seed_gives_the_same_codes(toy: ptq.Quantizer, word: str) -> None:
    make = RECONSTRUCTIONS[word]
    unit = units_of(toy, make().unit)[0]
    first, again = (make(iterations=10, batch=8)(unit) for _ in range(2))
    for name, made in first.items():
        assert torch.equal(_codes(made), _codes(again[name]))
        assert torch.equal(made.weight_scale, again[name].weight_scale)
        assert torch.equal(made.bias, again[name].bias)


def _codes(made: Solved) -> Tensor:
    assert made.weight is not None
    return made.weight


def test_a_new_scale_is_that_of_the_requantizer(toy: ptq.Quantizer) -> None:
    """The sum of the new codes and bias, requantized, is what the trained weights came to."""
    unit = units_of(toy, "layer")[1]
    found = Reconstruct(soft="lsq", iterations=100, rate=10.0)(unit)
    ((name, made),) = found.items()
    start = unit.solved[name]
    gain = made.weight_scale / start.weight_scale
    assert float((gain - 1).abs().max()) > 0.01
    assert made.mul is not None and start.mul is not None
    before, after = (one.held(unit.layers[-1]) for one in (start, made))
    assert before.ratio is not None and after.ratio is not None
    torch.testing.assert_close(after.ratio.double(), before.ratio.double() * gain, rtol=2e-4, atol=0)
    torch.testing.assert_close(after.bias.double() * gain, before.bias.double(), rtol=0, atol=2.0)


def test_classes_keep_one_scale(toy: ptq.Quantizer) -> None:
    model = quantized(toy, Reconstruct(soft="flexround", iterations=20, rate=5.0))
    assert len(model.state["head", "weight_scale"].unique()) == 1
    assert len(model.state["one", "weight_scale"].unique()) > 1


def test_exact_and_fake_agree_after_any_word(toy: ptq.Quantizer) -> None:
    images = normal(16, 1, 8, 8, seed=8).float()
    for word in WORDS:
        model = quantized(toy, RECONSTRUCTIONS[word](iterations=5))
        assert float((model.exact(images) - model.fake(images)).abs().max()) < 0.05


def test_bias_correction_follows(toy: ptq.Quantizer) -> None:
    model = quantized(toy, Reconstruct(iterations=20), "bc")
    prefix, mean = toy.calibrated.prefix, toy.calibrated.statistics.mean
    totals = {layer.name: value for layer, value in model.walk_fake(prefix) if layer.name == "head"}
    got = totals["head"].mean(0) * float(model.state["head", "scale"])
    torch.testing.assert_close(got.double(), mean["head"], rtol=0, atol=1e-4)


def test_a_whole_network_is_a_unit(toy: ptq.Quantizer) -> None:
    made = Reconstruct(soft="adaquant", unit="net", iterations=80)
    images = toy.calibrated.prefix
    wanted = toy.graph.run(images)
    errors = [
        float(
            (toy.quantize(ROLES, replace(Recipe.parse("rtn"), reconstruction=how)).fake(images) - wanted)
            .square()
            .mean()
        )
        for how in (None, made)
    ]
    assert errors[1] < 0.8 * errors[0]


def test_every_unit_is_ticked_and_an_interrupt_leaves_nothing(toy: ptq.Quantizer) -> None:
    seen: list[str] = []

    @contextmanager
    def bar(title: str, total: int) -> Iterator[Callable[[str], None]]:
        assert (title, total) == ("reconstruct", 4)

        def tick(text: str) -> None:
            seen.append(text)
            if stop and len(seen) == 2:
                raise KeyboardInterrupt

        yield tick

    stop = True
    made = Reconstruct(iterations=2)
    with pytest.raises(KeyboardInterrupt), watched(bar):
        quantized(toy, made)
    assert torch.is_grad_enabled()
    assert seen == ["stem", "one"]
    seen.clear()
    stop = False
    with watched(bar):
        quantized(toy, made)
    assert seen == ["stem", "one", "two", "head"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"soft": "hard"}, "soft must be one of adaround, .*, not 'hard'"),
        ({"loss": "l1"}, "loss must be one of cosine, .*, not 'l1'"),
        ({"unit": "all"}, "unit must be one of layer, block, net, not 'all'"),
        ({"drop": 1.5}, "drop must be 0.0 or more and at most 1.0, not 1.5"),
        ({"iterations": 0}, "iterations must be 1 or more, not 0"),
        ({"iterations": 2.5}, "iterations must be a whole number, not 2.5"),
        ({"batch": True}, "batch must be a whole number, not True"),
    ],
)
def test_options_wrong(options: dict[str, object], message: str) -> None:
    with pytest.raises(HwqError, match=f"^{message}$"):
        Reconstruct(**options)  # type: ignore[arg-type]


def test_a_recipe_has_one_reconstruction() -> None:
    with pytest.raises(HwqError, match=r"a recipe must have at most one of .*, not adaround and lsq"):
        Recipe.parse("adaround+lsq")
    assert Recipe.parse("gptq+bc+qdrop").reconstruction == Reconstruct(unit="block", drop=0.5)
    assert len(RECIPES) >= 10


@pytest.mark.parametrize("name", RECIPES)
def test_packaged_recipes_run(toy: ptq.Quantizer, name: str) -> None:
    """Shortened, on a toy: what leaves a unit is no worse than what entered, and the hardware computes it."""
    recipe = Recipe.parse(name)
    assert isinstance(recipe.reconstruction, Reconstruct)
    assert recipe.bias_correction
    short = replace(recipe, reconstruction=replace(recipe.reconstruction, iterations=3, batch=8))
    images = normal(8, 1, 8, 8, seed=8).float()
    model = toy.quantize(ROLES, short)
    assert float((model.exact(images) - model.fake(images)).abs().max()) < 0.05


def test_options_of_a_file_reach_the_loop(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('passes = ["qdrop", "bc"]\n[qdrop]\ndrop = 0.25\niterations = 7\nunit = "layer"\n')
    assert Recipe.parse(str(file)).reconstruction == Reconstruct(unit="layer", drop=0.25, iterations=7)
    file.write_text('passes = ["qdrop"]\n[qdrop]\ndropped = 0.25\n')
    with pytest.raises(HwqError, match=r"options of 'qdrop' in recipe .* must be those it has, not: .*dropped"):
        Recipe.parse(str(file))


def test_two_bits_of_resnet8_are_worth_more_than_solved(resnet: Model) -> None:
    """On 1,000 test images a few iterations of FlexRound gain more on GPTQ than either's interval."""
    images, labels = resnet.test(1000)
    assignment = ROLES | {"body": "int8*int(2)"}
    solved = ptq.quantize(resnet, assignment, "gptq+bc")
    layers = Reconstruct(soft="flexround", iterations=60)
    learned = ptq.quantize(resnet, assignment, replace(Recipe.parse("rtn+bc"), reconstruction=layers))
    gained = zoo.difference(learned.predict(images), solved.predict(images), labels)
    assert gained.low > 0
