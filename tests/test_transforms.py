"""Transforms: the float function stays to 1e-10 in double precision, and what a paper promises of its factors holds."""

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from subjects import HEADS, WIDTH, Mobile, Transformer, doubled, mobile, random_images, transformer
from torch import Tensor, nn

import hwq
from hwq import ptq, zoo
from hwq.errors import HwqError
from hwq.ptq.allocate import Bisect
from hwq.ptq.recipe import recipe_names
from hwq.ptq.reconstruct.loop import Reconstruct
from hwq.ptq.sites import KINDS, Site, links, sites
from hwq.ptq.transforms import TRANSFORMS
from hwq.ptq.transforms.awq import rounded_weight
from hwq.ptq.transforms.noise import steps
from hwq.ptq.transforms.reparam import common
from hwq.ptq.transforms.rewrite import affine, input_range
from hwq.ptq.transforms.rotate import orthogonal

torch.set_num_threads(1)

Subject = tuple[ptq.Graph, Tensor]


@cache
def resnet() -> Subject:
    model = zoo.load("resnet8")
    images = model.calibration()[:16]
    return doubled(ptq.trace(model.net, images)), images.double()


SUBJECTS = {
    "layer norms": lambda: transformer(),
    "rms norms": lambda: transformer(nn.RMSNorm, fused=False),
    "mobile": lambda: mobile(),
    "mobile relu6": lambda: mobile(nn.ReLU6),
    "resnet8": resnet,
}


def miss(graph: ptq.Graph, made: ptq.Graph, images: Tensor) -> float:
    want = graph.run(images)
    return float((made.run(images) - want).abs().max() / want.abs().max())


def layers_of(graph: ptq.Graph, text: str = "int8*int4") -> tuple[ptq.Layer, ...]:
    from hwq.ptq.lower import default_roles, lower

    roles = default_roles(graph)
    return lower(graph, roles, dict.fromkeys(roles.values(), text))


def changed(graph: ptq.Graph, made: ptq.Graph) -> bool:
    same = graph.nodes == made.nodes and graph.state.keys() == made.state.keys()
    return not same or any(not torch.equal(x, made.state[key]) for key, x in graph.state.items())


CHANGES = {  # which subjects a word changes; the others have nothing for it
    "fold": {"layer norms", "rms norms"},
    "equalize": {"mobile", "resnet8"},
    "smooth": {"layer norms", "rms norms"},
    "smooth-shift": {"layer norms", "rms norms"},
    "awq": {"layer norms", "rms norms"},
    "reparam": {"layer norms", "rms norms"},
    "lift": {"layer norms", "rms norms"},
    "dynamic": {"layer norms", "rms norms"},
    "lorc": {"layer norms", "rms norms", "resnet8"},
    "svd-branch": {"layer norms", "rms norms", "resnet8"},
    "noise": {"layer norms"},  # behind the GELUs of the other one no noise is best
}


@pytest.mark.parametrize("name", SUBJECTS)
@pytest.mark.parametrize("word", CHANGES)
def test_the_float_function_stays(word: str, name: str) -> None:
    graph, images = SUBJECTS[name]()
    made = TRANSFORMS[word]()(graph, images, layers_of(graph))
    assert miss(graph, made, images) < 1e-10
    assert changed(graph, made) == (name in CHANGES[word])


def test_every_word_is_tested() -> None:
    assert {*CHANGES, "rotate", "polish"} == {*TRANSFORMS}


@pytest.mark.parametrize(
    "words", ["smooth+equalize", "fold+smooth", "smooth-shift+fold", "equalize+awq", "lift+noise", "rotate+smooth"]
)
@pytest.mark.parametrize("name", ["layer norms"])
def test_two_transforms_compose(words: str, name: str) -> None:
    graph, images = SUBJECTS[name]()
    made = graph
    for word in words.split("+"):
        made = TRANSFORMS[word]()(made, images, layers_of(graph))
    assert miss(graph, made, images) < 1e-10


# ---------------------------------------------------------------- links


def found(graph: ptq.Graph, kind: str) -> dict[str, list[str]]:
    return {link.source: [name for name, _ in link.targets] for link in links(graph, kind)}


def test_links_of_convolutions() -> None:
    graph, _ = mobile()
    assert found(graph, "layers") == {
        "expand": ["depthwise"],
        "depthwise": ["project"],
        "second": ["third"],
        "third": ["head"],
    }
    head = next(link for link in links(graph, "layers") if link.source == "third")
    assert head.targets[0][1] == tuple(c for c in range(24) for _ in range(4))  # each channel is four columns
    assert "pool" in head.via
    assert found(mobile(nn.ReLU6)[0], "layers") == {}
    assert [found(graph, kind) for kind in KINDS[1:]] == [{}, {}, {}]


def test_links_of_transformers() -> None:
    graph, _ = transformer(nn.RMSNorm, fused=False)
    assert found(graph, "norms") == {
        "blocks.0.norm1": [f"blocks.0.parts.{i}" for i in range(3)],
        "blocks.0.norm2": ["blocks.0.up"],
        "blocks.1.norm1": [f"blocks.1.parts.{i}" for i in range(3)],
        "blocks.1.norm2": ["blocks.1.up"],
        "norm": ["head"],
    }
    assert found(graph, "values") == {f"blocks.{b}.parts.2": [f"blocks.{b}.out"] for b in range(2)}
    assert found(graph, "layers") == {}
    assert sorted(found(graph, "functions").values()) == [["blocks.0.down"], ["blocks.1.down"]]
    assert all(link.shifts == (link.kind != "values") for kind in KINDS for link in links(graph, kind))


def test_values_of_one_layer_with_queries_and_keys() -> None:
    graph, _ = transformer()
    link = links(graph, "values")[0]
    assert link.free == tuple(range(2 * WIDTH, 3 * WIDTH))
    assert link.targets == (("blocks.0.out", link.free),)
    assert link.heads == tuple(link.free[i::1][: WIDTH // HEADS] for i in range(0, WIDTH, WIDTH // HEADS))


def test_what_something_else_reads_is_no_link() -> None:
    class Net(nn.Module):
        def __init__(self, way: int) -> None:
            super().__init__()
            self.one, self.norm, self.two, self.way = nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 8), way

        def forward(self, x: Tensor) -> Tensor:
            x = self.norm(self.one(x))
            match self.way:
                case 0:
                    return self.two(x) + x
                case 1:
                    return self.two(x.flip(2)) + self.two(x)
                case 2:
                    return self.two(torch.cat([x[:, :1].relu(), x[:, :1] * 0.5, x], 1))
                case 3:
                    return self.two(nn.functional.pad(x, (0, 0, 0, 1)))
            return self.two(torch.cat([x[:, :, :4], x[:, :, 4:].sigmoid()], 2))

    graphs = [ptq.trace(Net(way).eval(), random_images(3, 4, 6)) for way in range(5)]
    assert [len(links(graph, "norms")) for graph in graphs] == [0, 1, 0, 1, 1]
    flipped, padded, some = (links(graphs[way], "norms")[0] for way in (1, 3, 4))
    assert [columns[0] for _, columns in flipped.targets] == [7, 0]
    assert (padded.shifts, flipped.shifts) == (False, True)
    assert some.free == (0, 1, 2, 3)
    assert some.targets[0][1] == (0, 1, 2, 3, -1, -1, -1, -1)
    images = random_images(3, 4, 6).double()
    for word in ("fold", "smooth", "smooth-shift"):
        for graph in map(doubled, graphs):
            assert miss(graph, TRANSFORMS[word]()(graph, images, ()), images) < 1e-10


def test_links_of_unknown_kinds_wrong() -> None:
    with pytest.raises(HwqError, match=r"^a link must be one of layers, values, norms, functions, not 'all'$"):
        links(mobile()[0], "all")


def test_sites_are_all_ports_with_a_format() -> None:
    graph, _ = transformer()
    placed = sites(graph)
    assert Site("blocks.0.up", "weight", "weight") in placed
    assert [site.kind for site in placed].count("weight") == 10
    assert [site.kind for site in placed].count("probability") == 2
    assert placed[-1] == Site("head", "value", "output")
    assert len(set(placed)) == len(placed)


# ---------------------------------------------------------------- each word


def test_folded_norms_are_bare() -> None:
    graph, images = transformer()
    made = TRANSFORMS["fold"]()(graph, images, ())
    for link in links(made, "norms"):
        arguments = dict(made[link.source].call.arguments)
        assert arguments["weight"] is None
        assert arguments["bias"] is None
        assert not [port for name, port in made.state if name == link.source]
    assert len(links(made, "norms")) == 5
    again = TRANSFORMS["smooth"]()(made, images, ())  # which gives them gains again
    assert miss(graph, again, images) < 1e-10
    assert affine(again, links(again, "norms")[0])[0].std() > 0.03


def chain(*weights: list[list[float]]) -> ptq.Graph:
    parts = []
    for weight in weights:
        layer = nn.Linear(len(weight[0]), len(weight))
        layer.weight.data = torch.tensor(weight, dtype=torch.float32)
        parts += [layer, nn.ReLU()]
    return doubled(ptq.trace(nn.Sequential(*parts[:-1]).eval(), random_images(4, len(weights[0][0]))))


def test_equalized_ranges_meet() -> None:
    """The example of the reference, B.3: factors 1/4 and 2, ranges 1."""
    graph = chain([[4, -2], [0.5, 0.1]], [[0.25, 1], [0.1, -2]])
    images = random_images(9, 2).double()
    made = TRANSFORMS["equalize"](iterations=1)(graph, images, ())
    (link,) = links(made, "layers")
    factor = made.state[link.source, "weight"] / graph.state[link.source, "weight"]
    torch.testing.assert_close(factor[:, 0], torch.tensor([0.25, 2], dtype=torch.float64))
    torch.testing.assert_close(made.state[link.source, "weight"].abs().amax(1), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(input_range(made, link.targets[0][0]), torch.ones(2, dtype=torch.float64))
    assert miss(graph, made, images) < 1e-10


def test_equalized_chains_settle() -> None:
    graph, images = mobile()
    made = TRANSFORMS["equalize"]()(graph, images, ())
    for link in links(made, "layers"):
        written = made.state[link.source, "weight"].abs().flatten(1).amax(1)
        read = torch.zeros_like(written)
        at = torch.tensor(link.targets[0][1])
        read.scatter_reduce_(0, at, input_range(made, link.targets[0][0]), "amax")
        assert float((written / read - 1).abs().max()) < 0.05
    far = [graph.state["depthwise", "weight"], made.state["depthwise", "weight"]]
    before, after = (w.abs().flatten(1).amax(1) for w in far)
    assert after.max() / after.min() < 0.3 * before.max() / before.min()


def test_dead_channels_stay() -> None:
    graph = chain([[4, -2], [0, 0]], [[0.25, 1], [0.1, -2]])
    made = TRANSFORMS["equalize"]()(graph, random_images(3, 2).double(), ())
    assert all(bool(torch.isfinite(x).all()) for x in made.state.values())


def test_smoothing_brings_both_maxima_together() -> None:
    """The example of the reference, B.2: factors sqrt(2) and 8, both maxima sqrt(2) and 2."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.one, self.two = nn.LayerNorm(2, eps=0.0), nn.Linear(2, 1), nn.Linear(2, 1)
            self.norm.weight.data, self.norm.bias.data = torch.tensor([1.5, 4]), torch.tensor([-0.5, 12])
            self.one.weight.data, self.two.weight.data = torch.tensor([[0.5, 0.25]]), torch.tensor([[-1, 0.125]])

        def forward(self, x: Tensor) -> Tensor:
            y = self.norm(x)
            return self.one(y) + self.two(y)

    images = torch.tensor([[2.0, 0.0], [0.0, 2.0]])  # norms +-1, so that channels are (1, -2) and (8, 16)
    graph = doubled(ptq.trace(Net().eval(), images))
    made = TRANSFORMS["smooth"]()(graph, images.double(), ())
    root = math.sqrt(2)
    ratio = made.state["norm", "weight"] / graph.state["norm", "weight"]
    torch.testing.assert_close(1 / ratio, torch.tensor([root, 8], dtype=torch.float64))
    value = next(value for node, _, value in made.walk(images.double()) if node.name == "norm")
    joint = torch.cat([made.state[name, "weight"] for name in ("one", "two")]).abs().amax(0)
    for found in (value.abs().amax(0), joint):
        torch.testing.assert_close(found, torch.tensor([root, 2], dtype=torch.float64))


def test_shifted_channels_have_no_mean() -> None:
    graph, images = transformer()
    made = TRANSFORMS["smooth-shift"]()(graph, images, ())
    values = {node.name: value for node, _, value in made.walk(images)}
    for link in links(made, "norms"):
        mean = values[link.source].flatten(0, -2).mean(0)
        assert float(mean.abs().max()) < 1e-10 * float(values[link.source].abs().max())


def test_awq_finds_the_power_of_least_error_and_none_among_them() -> None:
    graph, images = transformer()
    layers = layers_of(graph, "int8*int3")
    by_name = {layer.name: layer for layer in layers}
    made = TRANSFORMS["awq"](kinds=["norms"])(graph, images, layers)
    values = {node.name: value for node, _, value in graph.walk(images)}
    gains = 0
    for link in links(graph, "norms"):
        factor = affine(graph, link)[0] / affine(made, link)[0]
        gains += float((factor - 1).abs().max()) > 1e-3
        error = {}
        for which, by_column in (("plain", torch.ones_like(factor)), ("scaled", factor)):
            total = 0.0
            for name, _ in link.targets:
                weight = graph.state[name, "weight"]
                near = rounded_weight(weight * by_column, by_name[name], ptq.least_squares) / by_column
                total += float((values[graph[name].inputs[0]] @ (near - weight).T).square().sum())
            error[which] = total
        assert error["scaled"] <= error["plain"] * (1 + 1e-9)
    assert gains > 0
    one = TRANSFORMS["awq"](points=1)(graph, images, layers)  # r = 0 alone
    assert not changed(graph, one)


def test_channels_of_one_range_have_the_codes_of_a_scale_each() -> None:
    """The example of the reference, C.14: codes under scales (.1, .4) and zero points (3, 8), and under .25 and 6."""
    scale, zero = (torch.tensor(x, dtype=torch.float64) for x in ([0.1, 0.4], [3.0, 8.0]))
    x = torch.tensor([[0.33, -1.9], [0.04, 0.21], [-0.26, 0.61]], dtype=torch.float64)
    steps_of = 15
    ratio, offset = common(-zero * scale, scale * steps_of, scale.mean() * steps_of, torch.tensor(-6 * 0.25))
    torch.testing.assert_close(ratio, torch.tensor([0.4, 1.6], dtype=torch.float64))
    torch.testing.assert_close(offset, torch.tensor([0.75, -0.5], dtype=torch.float64))
    codes = ((x / ratio - offset) / 0.25).round() + 6
    assert codes.tolist() == [[6, 3], [3, 9], [0, 10]]
    assert codes.tolist() == ((x / scale).round() + zero).tolist()


@pytest.mark.parametrize("centre", ["mean", "median"])
def test_reparameterized_channels_have_one_range(centre: str) -> None:
    graph, images = transformer()
    made = TRANSFORMS["reparam"](centre=centre)(graph, images, ())
    values = {node.name: value.flatten(0, -2) for node, _, value in made.walk(images)}
    before = {node.name: value.flatten(0, -2) for node, _, value in graph.walk(images)}
    assert miss(graph, made, images) < 1e-10
    for link in links(made, "norms"):
        low, high = values[link.source].amin(0), values[link.source].amax(0)
        spans = before[link.source].amax(0) - before[link.source].amin(0)
        shared = spans.mean() if centre == "mean" else spans.median()
        torch.testing.assert_close(high, shared.expand(WIDTH) / 2)
        torch.testing.assert_close(low, -high)
    again = TRANSFORMS["reparam"](centre=centre)(made, images, ())
    assert all(torch.allclose(x, again.state[key], rtol=1e-9, atol=1e-12) for key, x in made.state.items())


def test_centres_of_ranges_wrong() -> None:
    with pytest.raises(HwqError, match=r"^the centre of ranges must be one of mean, median, not 'mode'$"):
        TRANSFORMS["reparam"](centre="mode")
    with pytest.raises(HwqError, match=r"^the shape of noise must be one of uniform, normal, not 'pink'$"):
        TRANSFORMS["noise"](shape="pink")


def test_lifted_functions_are_positive() -> None:
    graph, images = transformer()
    made = TRANSFORMS["lift"]()(graph, images, ())
    lifted = [node for node in made.nodes if node.name.endswith(":lifted")]
    assert len(lifted) == 2
    assert dict(lifted[0].call.arguments)["other"] == pytest.approx(0.16997124, abs=2e-6)
    values = {node.name: value for node, _, value in made.walk(4 * images)}
    assert all(0 < float(values[node.name].min()) < 0.1 for node in lifted)
    unsigned = {**dict.fromkeys(("first", "body", "last"), "int8*int8"), "*.down": "uint8*int8"}
    small = ptq.Quantizer(Transformer().eval(), random_images(48, 7, 6))
    with pytest.raises(HwqError, match="must be 0 or more for uint8"):
        small.quantize(unsigned, "rtn")
    assert {record["op"] for record in small.quantize(unsigned, "lift+rtn").float_ops} > {"gelu", "add"}


def test_noise_helps_where_values_lie_between_grid_points() -> None:
    """The three numbers of the reference, C.29: of an offset f from the grid, f^2 plain, 1/12 with uniform noise."""
    noise = torch.rand(1 << 18, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5
    for offset, plain in ((0.1, 0.01), (0.3, 0.09), (0.4, 0.16)):
        x = torch.full_like(noise, 3 + offset)
        assert float((x.round() - x).square().mean()) == pytest.approx(plain)
        assert float(((x + noise).round() - noise - x).square().mean()) == pytest.approx(1 / 12, rel=0.02)


def test_noise_begins_with_none() -> None:
    candidates = list(steps(torch.rand(4).double(), 2.0, 8, 1.0, hwq.parse_format("int4")))
    assert not bool(candidates[0].any())
    assert len(candidates) == 45
    graph, images = transformer()
    made = TRANSFORMS["noise"]()(graph, images, layers_of(graph))
    assert any(node.name.endswith(":noise") for node in made.nodes)  # behind GELU, visible as a node
    assert sum(node.op == "host" for node in made.nodes) - sum(node.op == "host" for node in graph.nodes) <= 2


def test_rotations_are_orthogonal_and_spread_outliers() -> None:
    """B.13: of a one-hot vector of length 64 max / rms is 8 before and 1 after."""
    for width in (1, 2, 6, 15, 64, 192):
        matrix = orthogonal(width, torch.Generator().manual_seed(1))
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(width, dtype=torch.float64))
    one = torch.zeros(64, dtype=torch.float64)
    one[5] = 1
    for x, ratio in ((one, 8.0), (one @ orthogonal(64, torch.Generator().manual_seed(1)), 1.0)):
        assert float(x.abs().max() / x.square().mean().sqrt()) == pytest.approx(ratio)


@pytest.mark.parametrize("name", ["layer norms", "rms norms"])
@pytest.mark.parametrize("heads", [True, False])
def test_streams_are_rotated(name: str, heads: bool) -> None:
    graph, images = SUBJECTS[name]()
    made = TRANSFORMS["rotate"](heads=heads)(graph, images, ())
    assert miss(graph, made, images) < 1e-10
    assert not [node for node in made.nodes if node.call is not None and node.call.name == "layer_norm"]
    assert [node.name for node in made.nodes] == [node.name for node in graph.nodes]  # nothing is left to run
    for port in ("embed", "blocks.0.out", "blocks.1.down"):
        assert not torch.allclose(made.state[port, "weight"], graph.state[port, "weight"], atol=1e-3)
    moment = graph.state["blocks.0.up", "weight"]
    assert moment.shape == made.state["blocks.0.up", "weight"].shape


class Tokens(nn.Module):
    """A class token before the places, windows, and what `way` does to the stream between norms."""

    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.token, self.way = nn.Conv2d(3, 12, 4, 4), nn.Parameter(torch.randn(1, 1, 12)), way
        self.norm1, self.norm2, self.one = nn.LayerNorm(12), nn.LayerNorm(12), nn.Linear(12, 12)
        self.two, self.head = nn.Linear(12, 12), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        x = x + self.one(self.norm1(x))
        match self.way:
            case "post":
                x = self.norm2(x)
                return self.head(self.norm1(x + self.two(x))[:, 0])
            case "direct":
                return self.head(x[:, 0])
            case "gelu":
                x = x + nn.functional.gelu(self.two(self.norm2(x)))
            case "result":
                return x
            case "channels":
                x = x + x.flip(2)
            case "rolled":
                x = x.roll(1, 1)[:, 1:]
        return self.head(self.norm2(x)[:, 0])


@pytest.mark.parametrize(
    ("way", "obstacle"),
    [
        ("pre", ""),
        ("rolled", ""),
        ("post", "whose norm 'norm2' has gains that stay"),
        ("direct", "that 'head' reads with its mean"),
        ("gelu", "that 'gelu' makes or reads"),
        ("result", "that is the network's result"),
        ("channels", "whose channels change places at 'flip'"),
    ],
)
def test_what_else_a_stream_meets(way: str, obstacle: str) -> None:
    images = random_images(4, 3, 8, 8)
    net = Tokens(way).eval()
    with torch.no_grad():
        net.norm2.weight *= 2
    graph = doubled(ptq.trace(net, images))
    if obstacle:
        with pytest.raises(HwqError, match=f"^a network must have a residual stream to rotate, not one {obstacle};"):
            TRANSFORMS["rotate"]()(graph, images.double(), ())
    else:
        assert miss(graph, TRANSFORMS["rotate"]()(graph, images.double(), ()), images.double()) < 1e-10


class Words(nn.Module):
    """A table of words, a stream between norms that take off a mean or do not, and a head tied to the table."""

    def __init__(self, centred: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.one = nn.Embedding(11, 12), nn.Linear(12, 12)
        self.norm1, self.norm2 = (nn.LayerNorm(12) if centred else nn.RMSNorm(12, eps=1e-5) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.one(self.norm1(x))
        return nn.functional.linear(self.norm2(x), self.embed.weight)


@pytest.mark.parametrize("centred", [False, True])
def test_a_table_of_words_is_rotated_and_what_is_tied_to_it_is_not(centred: bool) -> None:
    words = torch.arange(44).reshape(4, 11) % 11
    graph = doubled(ptq.trace(Words(centred).eval(), words))
    made = TRANSFORMS["rotate"]()(graph, words, ())
    assert miss(graph, made, words) < 1e-10
    assert not torch.allclose(made.state["embed", "weight"], graph.state["embed", "weight"], atol=1e-3)


def test_convolutional_networks_have_no_stream() -> None:
    graph, images = mobile()
    with pytest.raises(HwqError, match=r"residual stream to rotate, not one without norms; leave rotate out$"):
        TRANSFORMS["rotate"]()(graph, images, ())


@pytest.mark.parametrize("name", SUBJECTS)
def test_polished_values_come_back(name: str) -> None:
    graph, images = SUBJECTS[name]()
    made = TRANSFORMS["polish"](above=1.0)(graph, images, ())
    stored = [node.name for node in made.nodes if node.name.endswith(":polished")]
    assert miss(graph, made, images) < 1e-10
    assert stored
    values = {node.name: value for node, _, value in made.walk(images)}
    for node in stored:
        x, phi = values[node.removesuffix(":polished")], values[node]
        assert bool((x.sign() == phi.sign()).all())  # odd
        a = made.state[f"{node.removesuffix(':polished')}:part", "other"]
        torch.testing.assert_close(phi, x.sign() * (x.abs() + a).log2().sub(a.log2()) * math.log(2))
    assert [node.name for node in TRANSFORMS["polish"](above=1e9)(graph, images, ()).nodes] == [
        node.name for node in graph.nodes
    ]


def test_ranges_of_tokens_follow_them() -> None:
    """Every token's largest code is the largest there is, whatever its size; rectifiers and biases stay on the host."""
    torch.manual_seed(0)
    mlp = nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 5)).eval()
    images = random_images(48, 7, 6) * torch.logspace(-2, 2, 7).reshape(7, 1)
    small = ptq.Quantizer(mlp, images)
    wide = dict.fromkeys(("first", "body", "last"), "int16*int8") | {"body": "int4*int8"}
    made, fixed = (small.quantize(wide, f"{word}minmax+rtn") for word in ("dynamic+", ""))
    codes = {layer.name: made.decode(layer, x) for layer, x in made.walk_exact(images)}
    (unit,) = (name for name in codes if name.endswith(":unit"))
    assert (codes[unit].abs().amax(-1) == 7).all()
    assert small.graph["2"].relu
    assert float(codes["2:relu"].min()) == 0

    def errors(of: ptq.QuantizedModel) -> Tensor:
        with torch.no_grad():
            return (of.exact(images).float() - mlp(images)).square().mean((0, 2))

    assert (errors(made)[:4] < 0.2 * errors(fixed)[:4]).all()  # of the smaller tokens
    assert {record["op"] for record in made.float_ops} >= {"gelu", "abs", "amax", "clamp_min", "div", "mul", "add"}


@pytest.mark.parametrize("word", ["lorc", "svd-branch"])
def test_branches_carry_what_codes_miss(word: str, engine: ptq.Quantizer) -> None:
    """C.5: what 8 directions miss are the singular values beyond them; the scale of the rest is found anew."""
    plain = engine.quantize(BRANCHED, "weights-fpcs+rtn")
    made = engine.quantize(BRANCHED | {"*:down": "int16*int8", "*:up": "int16*int8"}, f"{word}+weights-fpcs+rtn")
    branched = [layer.name for layer in made.layers if layer.name.endswith(":down")]
    assert len(branched) == 8
    for down in branched:
        name = down.removesuffix(":down")
        weight = engine.graph.state[name, "weight"].double()
        rest, into, out = (made.reference.state[x, "weight"].double() for x in (name, down, f"{name}:up"))
        torch.testing.assert_close(rest + out @ into, weight, rtol=0, atol=1e-6)
        missed, error = rest - real(made, name), weight - real(plain, name)
        tail = torch.linalg.svdvals(error)[8:].square().sum()
        assert float(missed.square().sum()) <= 1.05 * float(tail) < float(error.square().sum())


def test_branches_are_layers_with_formats_of_their_own(engine: ptq.Quantizer) -> None:
    """Codes, a product each, one more sum; without a name in the assignment a branch has the layer's formats."""
    images, net = random_images(48, 7, 6), Transformer().eval()
    thin = {"*:down": "int16*int8", "*:up": "int16*int6"}
    made = engine.quantize(BRANCHED | thin, "lorc+weights-fpcs+rtn")
    plain = engine.quantize(BRANCHED, "weights-fpcs+rtn")
    weights = {layer.name: str(layer.datapath.mac.w) for layer in made.layers if layer.datapath is not None}
    assert [weights[f"blocks.0.up{part}"] for part in ("", ":down", ":up")] == ["int3", "int8", "int6"]
    assert len(made.products()) == len(plain.products()) + 3 * 8
    assert sum(made.graph.macs(x.node) for x in made.layers) > sum(plain.graph.macs(x.node) for x in plain.layers)
    exact, fake = made.outputs(images), made.outputs(images, "fake")
    torch.testing.assert_close(exact.float(), fake, rtol=0, atol=1e-4 * float(fake.abs().max()))
    assert sqnr(made, net, images) > sqnr(plain, net, images) + 0.5
    own = engine.quantize(BRANCHED, "lorc+rtn")
    assert {layer.role for layer in own.layers if layer.name.endswith(":down")} == {"body"}
    with pytest.raises(HwqError, match=r"^an assignment must have the roles first, body, last .* not .*:sideways"):
        engine.quantize(BRANCHED | {"*:sideways": "int8*int8"}, "lorc+rtn")
    with pytest.raises(HwqError, match=r"^'.*' must have one branch, not two; leave one of lorc and svd-branch out$"):
        engine.quantize(BRANCHED, "lorc+svd-branch")


def test_polished_values_are_stored_in_few_bits(engine: ptq.Quantizer) -> None:
    """Behind norms with outliers 4 bits on a logarithmic scale keep more than 4 bits on an even one."""
    images, net = random_images(48, 7, 6), Transformer().eval()
    wide = dict.fromkeys(("first", "body", "last"), "int8*int8")
    polished = engine.quantize(wide | {"*:polished": "int4*int8"}, "polish+rtn")
    even = engine.quantize(wide | {"*.qkv.0": "int4*int8", "*.up": "int4*int8"}, "rtn")
    assert sqnr(polished, net, images) > sqnr(even, net, images) + 2
    assert {record["op"] for record in polished.float_ops} > {"log1p", "expm1", "sign", "abs"}


# ---------------------------------------------------------------- quantized

BRANCHED = dict.fromkeys(("first", "last", "add"), "int16*int8") | {"body": "int16*int3", "matmul": "int16*int16"}


def real(made: ptq.QuantizedModel, name: str) -> Tensor:
    """A layer's weights as its codes have them."""
    layer = next(layer for layer in made.layers if layer.name == name)
    codes, scale = (made.state[name, port] for port in ("weight", "weight_scale"))
    return layer.datapath.mac.w.decode(codes).double() * scale.reshape(-1, *[1] * (codes.dim() - 1))


def sqnr(made: ptq.QuantizedModel, net: nn.Module, images: Tensor) -> float:
    with torch.no_grad():
        want = net(images)
    return float(10 * torch.log10(want.square().sum() / (made.outputs(images, "fake") - want).square().sum()))


@pytest.fixture(scope="module")
def engine() -> ptq.Quantizer:
    return ptq.Quantizer(Transformer().eval(), random_images(48, 7, 6))


@pytest.fixture(scope="module")
def mobile_engine() -> ptq.Quantizer:
    return ptq.Quantizer(Mobile().eval(), random_images(48, 3, 12, 12))


ASSIGNMENT = dict.fromkeys(("first", "body", "last"), "int6*int6")


@pytest.mark.parametrize(
    ("recipe", "plain", "gain"),
    [
        ("smooth+rtn", "rtn", 2.0),
        ("smooth-shift+rtn", "rtn", 2.0),
        ("reparam+rtn", "rtn", 2.0),
        ("rotate+rtn", "rtn", 2.0),
        ("awq+rtn", "rtn", 2.0),
        ("noise+rtn", "rtn", 0.5),
        ("smoothquant", "minmax+weights-minmax+rtn", 2.0),
    ],
)
def test_planted_outliers_cost_less_when_transformed(
    recipe: str, plain: str, gain: float, engine: ptq.Quantizer
) -> None:
    images, net = random_images(48, 7, 6), Transformer().eval()
    before, after = (sqnr(engine.quantize(ASSIGNMENT, word), net, images) for word in (plain, recipe))
    assert after > before + gain


@pytest.mark.parametrize(
    ("recipe", "plain"),
    [("cle", "minmax+weights-minmax+tensor+rtn+bc"), ("minifloat-fpga", "percentile+weights-minmax+gptq+bc")],
)
def test_unequal_channels_cost_less_when_equalized(recipe: str, plain: str, mobile_engine: ptq.Quantizer) -> None:
    images, net = random_images(48, 3, 12, 12), Mobile().eval()
    before, after = (sqnr(mobile_engine.quantize(ASSIGNMENT, word), net, images) for word in (plain, recipe))
    assert after > before, (before, after)


@pytest.mark.parametrize("name", recipe_names())
def test_packaged_recipes_run(name: str, engine: ptq.Quantizer) -> None:
    """On a network with outliers none is worse than codes to nearest."""
    images, net = random_images(48, 7, 6), Transformer().eval()
    wide = dict.fromkeys(("first", "body", "last"), "int8*tritplanes2" if name == "ptqtp" else "int8*int8")
    recipe = ptq.Recipe.parse(name)
    if isinstance(recipe.allocation, Bisect):  # lowers what it can, here too
        recipe = replace(recipe, allocation=None)
    if isinstance(recipe.reconstruction, Reconstruct):  # its own tests run it in full
        recipe = replace(recipe, reconstruction=replace(recipe.reconstruction, iterations=20))
    assert sqnr(engine.quantize(wide, recipe), net, images) > sqnr(engine.quantize(wide, "rtn+minmax"), net, images) - 1


def test_convolutions_between_layers_may_be_scaled_by_awq() -> None:
    graph, images = mobile()
    made = TRANSFORMS["awq"](kinds=["layers"])(graph, images, layers_of(graph))
    assert miss(graph, made, images) < 1e-10
    assert changed(graph, made)


def test_options_that_a_word_has_not_wrong(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('passes = ["smooth", "rtn"]\n[smooth]\nbeta = 1\n')
    with pytest.raises(HwqError, match=r"^options of 'smooth' in recipe .* must be those it has, not: .*'beta'"):
        ptq.Recipe.parse(str(file))


def test_reports_compare_with_the_transformed_network(engine: ptq.Quantizer) -> None:
    made = engine.quantize(dict.fromkeys(ASSIGNMENT, "int16*int16"), "smooth+rtn+minmax")
    assert made.reference is not None
    records = ptq.per_layer(made.reference, made, random_images(8, 7, 6))
    assert min(record["sqnr_db"] for record in records) > 60
    with torch.no_grad():
        want = Transformer().eval()(random_images(8, 7, 6))
    torch.testing.assert_close(made.exact(random_images(8, 7, 6)).float(), want, rtol=0, atol=2e-3)
