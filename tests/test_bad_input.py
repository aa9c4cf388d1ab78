"""Networks and images that are not as they should be, for every kind of recipe: a right result, or one clear line."""

import copy
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hwq import ptq
from hwq.errors import HwqError

torch.set_num_threads(1)

WORDS = [
    *("rtn", "gptq+bc", "gptq-ordered+refit+bc", "ldlq+bc", "gpfq+bc", "decoupleq+bc", "ptqtp+bc"),
    *(
        "rtn+minmax+weights-minmax",
        "rtn+percentile+weights-pnorm",
        "rtn+kl+weights-fpcs",
        "rtn+ema",
        "rtn+pnorm",
        "rtn+fpcs",
    ),
    *("cle", "minifloat-fpga", "equalize+smooth-shift+awq+reparam+noise+rtn"),
]
LEARNT = ["adaround", "adaquant", "flexround", "lsq", "brecq", "qdrop", "pd"]


class Net(nn.Module):
    """Two convolutions with what stands between, and a layer for classes: images [N, 3, 6, 6] -> [N, 5]."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.body = nn.Conv2d(6, 6, 1, bias=bias)
        self.again = nn.Conv2d(6, 6, 1, bias=bias)
        self.last = nn.Linear(6 * 16, 5, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x)).relu()
        x = self.again(self.body(x).relu()) + x
        return self.last(x.flatten(1))


def images(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, 6, 6, generator=torch.Generator().manual_seed(seed))


def sound() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return Net().eval(), images(16)


def one_image() -> tuple[nn.Module, Tensor]:
    net, _ = sound()
    return net, images(1)


def no_bias() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return Net(bias=False).eval(), images(16)


def dead_channels() -> tuple[nn.Module, Tensor]:
    """Channels of weights that are 0, with and without a bias, and one that no rectifier lets through."""
    net, held = sound()
    with torch.no_grad():
        for layer in (net.body, net.again):
            layer.weight[2] = 0.0
            layer.bias[2] = 0.0
        net.body.weight[3] = 0.0
        net.body.bias[4] = -100.0
        net.norm.weight[1] = 0.0
        net.norm.bias[1] = 0.0
    return net, held


def dead_input() -> tuple[nn.Module, Tensor]:
    """A channel of images that is always 0."""
    net, held = sound()
    return net, held * torch.tensor([1.0, 0.0, 1.0]).reshape(3, 1, 1)


def tied() -> tuple[nn.Module, Tensor]:
    """Two layers that hold one tensor, and one that runs twice."""
    net, held = sound()
    net.again.weight = net.body.weight
    net.again.bias = net.body.bias
    return net, held


CASES = [sound, one_image, no_bias, dead_channels, dead_input, tied]
INT8 = dict.fromkeys(("first", "body", "last"), "int8*int8")


def is_right(net: nn.Module, held: Tensor, recipe: str, found: ptq.QuantizedModel) -> None:
    """Both evaluators give finite numbers that are near the float network's."""
    with torch.no_grad():
        want = net(held).double()
    for kind in ("exact", "fake"):
        made = found.outputs(held, kind).double()
        assert bool(made.isfinite().all())
        noise = float((made - want).norm() / want.norm())
        coarse = any(word in recipe for word in ("ptqtp", "kl", "ema"))  # nine levels; ranges that cut off
        assert noise < (0.6 if coarse else 0.15), f"{kind}: {noise}"


@cache
def calibrated(
    case: Callable[[], tuple[nn.Module, Tensor]],
) -> tuple[nn.Module, Tensor, dict[str, Tensor], ptq.Quantizer]:
    """The network of a case, its images and state, traced and calibrated once for all recipes."""
    net, held = case()
    before = copy.deepcopy(net.state_dict())
    return net, held, before, ptq.Quantizer(net, held)


@pytest.mark.parametrize("recipe", WORDS)
@pytest.mark.parametrize("case", CASES)
def test_every_recipe_bears_what_is_odd(case: Callable[[], tuple[nn.Module, Tensor]], recipe: str) -> None:
    net, held, before, engine = calibrated(case)
    is_right(net, held, recipe, engine.quantize(INT8, recipe))
    assert all(torch.equal(x, before[key]) for key, x in net.state_dict().items())


@pytest.mark.parametrize("recipe", LEARNT)
def test_reconstruction_bears_what_is_odd(recipe: str, tmp_path: Path) -> None:
    path = tmp_path / "few.toml"
    path.write_text(f'passes = ["mse", "rtn", "{recipe}", "bc"]\n[{recipe}]\niterations = 10\n')
    for case in (one_image, no_bias, dead_channels, tied):
        net, held = case()
        is_right(net, held, recipe, ptq.Quantizer(net, held).quantize(INT8, str(path)))


def test_tied_layers_have_codes_each() -> None:
    net, held = tied()
    model = ptq.Quantizer(net, held).quantize(INT8, "rtn")
    (other,) = (name for name, port in model.state if name.startswith("body:") and port == "weight")
    assert torch.equal(model.state["body", "weight"], model.state[other, "weight"])


@pytest.mark.parametrize("recipe", ["rtn", "gptq+bc", "cle"])
def test_images_of_zeros_alone(recipe: str) -> None:
    net, held = sound()
    model = ptq.Quantizer(net, held * 0).quantize(INT8, recipe)
    assert bool(model.exact(held).isfinite().all())
    torch.testing.assert_close(model.exact(held * 0).float(), net(held * 0).detach(), atol=0.05, rtol=0.05)


class Odd(nn.Module):
    """A network that calls `run` between its two layers."""

    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.run, self.first, self.last = run, nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.run(self.first(x)))


def chosen_by_data(x: Tensor) -> Tensor:
    return x if float(x.sum()) > 0 else -x


def as_many_as_there_are(x: Tensor) -> Tensor:
    return x[x > 0][:4].expand(len(x), 4)


def of_all_images(x: Tensor) -> Tensor:
    return x - x.mean(0)


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (chosen_by_data, "the network must "),
        (as_many_as_there_are, "the network must "),
        (of_all_images, "every value must have the images along one axis, not "),
        (lambda x: x * math.nan, "values of 'first' must be finite, not with nan or inf among them"),
        (lambda x: torch.log(x - 100.0), "values of 'log' must be finite, not with nan or inf among them"),
        (lambda x: x.to(torch.float16).float().cpu().numpy(), "the network must "),
    ],
)
def test_what_cannot_be_quantized_is_said_in_one_line(run: Callable[[Tensor], Tensor], reason: str) -> None:
    with pytest.raises(HwqError, match=f"^{reason}") as caught:
        ptq.Quantizer(Odd(run).eval(), torch.randn(8, 4)).quantize({"first": "int8*int8", "last": "int8*int8"})
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize("run", [torch.sort, torch.erf, lambda x: torch.fft.rfft(x).abs().repeat(1, 2)[:, :4]])
def test_operators_without_a_datapath_stay_with_the_host(run: Callable[[Tensor], Tensor]) -> None:
    net = Odd(lambda x: run(x)[0] if run is torch.sort else run(x)).eval()
    held = torch.randn(8, 4)
    model = ptq.Quantizer(net, held).quantize({"first": "int8*int8", "last": "int8*int8"})
    assert model.float_ops
    torch.testing.assert_close(model.exact(held).float(), net(held).detach(), atol=0.05, rtol=0.1)


@pytest.mark.parametrize("held", [torch.zeros(0, 3, 6, 6), torch.full((2, 3, 6, 6), math.nan), torch.zeros(3)])
def test_calibration_that_is_none(held: Tensor) -> None:
    with pytest.raises(HwqError, match=r"^(calibration images must be|an example must be a batch)") as caught:
        ptq.Quantizer(Net().eval(), held)
    assert "\n" not in str(caught.value)


def near(net: nn.Module, held: Tensor, assignment: dict[str, str], recipe: str = "rtn") -> ptq.QuantizedModel:
    """The network quantized, both of whose evaluators are near the float one."""
    found = ptq.Quantizer(net, held).quantize(assignment, recipe)
    want = net(held).detach().double()
    for kind in ("exact", "fake"):
        assert float((found.outputs(held, kind).double() - want).norm() / want.norm()) < 0.03, kind
    return found


@pytest.mark.parametrize("recipe", ["rtn", "gptq+bc", "gptq+rescale", "rtn+tensor"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_bias_beyond_its_products_keeps_the_one_scale_of_a_result(value: float, recipe: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5)).eval()
    found = near(net, torch.full((16, 6), value), {"first": "int8*int8", "last": "int8*int8"}, recipe)
    assert len(found.state["2", "weight_scale"].unique()) == 1


class Heads(nn.Module):
    """Two layers of unlike size that read one value, joined as `join` says."""

    def __init__(self, join: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.join, self.first, self.near, self.far = join, nn.Linear(6, 8), nn.Linear(8, 3), nn.Linear(8, 3)
        with torch.no_grad():
            self.far.weight *= 30

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        return self.join(self.near(x), self.far(x))


@pytest.mark.parametrize(
    "join",
    [
        lambda x, y: torch.cat([x, y], 1),
        lambda x, y: torch.stack([x, y], 1),
        lambda x, y: torch.cat([y.relu(), torch.cat([x, y], 1)], 1),
        lambda x, y: torch.cat([x, (y / 30).sin()], 1),
    ],
)
def test_sums_that_are_joined_as_the_result(join: Callable[[Tensor, Tensor], Tensor]) -> None:
    images = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
    near(Heads(join).eval(), images, dict.fromkeys(("first", "body", "last"), "int8*int8"))


class Beside(nn.Module):
    """A rectified value and one far below 0, added in this order."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.body, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        with torch.no_grad():
            self.first.bias -= 1
            self.body.bias -= offset

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        return self.last(x + self.body(x))


@pytest.mark.parametrize(("offset", "zero"), [(10, 200), (10, 240), (30, 200), (30, 240)])
def test_the_accumulator_of_a_sum_has_room_for_each_of_its_terms(offset: float, zero: int) -> None:
    images = torch.randn(64, 6, generator=torch.Generator().manual_seed(0)) * 2
    assignment = dict.fromkeys(("first", "body", "last"), "int8*int8")
    near(Beside(offset).eval(), images, {**assignment, "add": f"uint(8,zp={zero})*int8"})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_of_another_width(dtype: torch.dtype) -> None:
    net, held = sound()
    reason = f"^a network and its images must be in float32, not {dtype}; give .float\\(\\) of both$"
    with pytest.raises(HwqError, match=reason):
        ptq.Quantizer(copy.deepcopy(net).to(dtype), held.to(dtype))
    with pytest.raises(HwqError, match=reason):
        ptq.Quantizer(net, held.to(dtype))
    found, narrow = ptq.Quantizer(net, held).quantize(INT8, "rtn"), held.to(dtype)
    assert torch.equal(found.fake(narrow), found.fake(narrow.float()))
    assert torch.equal(found.exact(narrow), found.exact(narrow.float()))


def test_a_number_an_image_is_no_class() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1), nn.Flatten(0)).eval()
    held = torch.rand(8, 6)
    found = near(net, held, {"first": "int8*int8", "last": "int8*int8"})
    with pytest.raises(HwqError, match=r"^classes must be of outputs \[N, classes\], not of one number an image"):
        found.predict(held)
