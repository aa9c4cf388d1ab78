"""What torch records of a network, as a graph: the float function stays, and nothing is dropped."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as fn

from hwq import ptq
from hwq.errors import HwqError
from hwq.ptq.call import Call
from hwq.ptq.capture import EMITTERS, Builder

torch.set_num_threads(1)

INT8 = dict.fromkeys(("first", "body", "last"), "int8*int8")


def random_images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Calls(nn.Module):
    """A convolution, one function, and a linear layer over all that it gives."""

    def __init__(self, function: Callable[["Calls", Tensor], Tensor], seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv, self.function = nn.Conv2d(3, 4, 3), function
        self.up = nn.ConvTranspose2d(4, 6, 3, 2, padding=1, output_padding=1, groups=2, dilation=2)
        self.mirrored = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")
        self.same = nn.Conv2d(4, 4, (2, 4), padding="same")
        self.line = nn.Conv1d(4, 5, 3, stride=2, padding=1)
        self.norm, self.channels = nn.LayerNorm(6), nn.GroupNorm(2, 4)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.recurrent = nn.LSTM(6, 5, num_layers=2, bidirectional=True, batch_first=True)
        self.factor, self.table = nn.Parameter(torch.rand(4, 1, 1) + 0.5), nn.Parameter(torch.randn(6, 6))
        self.token = nn.Parameter(torch.randn(1, 1, 6))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, self.conv(x)).flatten(1)


def rows(x: Tensor) -> Tensor:
    """[N, 4, 6, 6] -> 24 rows of 6."""
    return x.flatten(1, 2)


# Each with the operators of the graph that stay with the host.
FUNCTIONS: dict[str, tuple[Callable[[Calls, Tensor], Tensor], set[str]]] = {
    "sigmoid": (lambda net, x: torch.sigmoid(x), {"sigmoid"}),
    "transposed": (lambda net, x: net.up(x), set()),
    "mirrored": (lambda net, x: net.mirrored(x), {"pad"}),
    "same": (lambda net, x: net.same(x), set()),
    "line": (lambda net, x: net.line(x.flatten(2)), set()),
    "number": (lambda net, x: x * 2 + 1.0, {"add"}),
    "factor": (lambda net, x: x * net.factor, set()),
    "permute": (lambda net, x: net.same(x.permute(0, 3, 2, 1)[:, :4]), set()),
    "uncounted": (lambda net, x: fn.avg_pool2d(x, 3, 1, 1, count_include_pad=False), {"avg_pool2d"}),
    "ceiling": (lambda net, x: fn.max_pool2d(x, 4, ceil_mode=True), {"max_pool2d"}),
    "adaptive": (lambda net, x: fn.adaptive_avg_pool2d(x, 3), set()),
    "uneven": (lambda net, x: fn.adaptive_avg_pool2d(x, 4), {"adaptive_avg_pool2d"}),
    "mean": (lambda net, x: x.mean(1), set()),
    "means": (lambda net, x: x.mean((1, 3), keepdim=True), set()),
    "relu6": (lambda net, x: fn.relu6(4 * x), set()),
    "clamp": (lambda net, x: x.clamp(0, 1.5), set()),
    "pad": (lambda net, x: net.mirrored.weight.new_ones(1) * net.same(fn.pad(x, (0, 1, 2, 0))), set()),
    "grown": (lambda net, x: fn.interpolate(x, scale_factor=2), set()),
    "bilinear": (lambda net, x: fn.interpolate(x, scale_factor=2, mode="bilinear"), {"upsample_bilinear2d"}),
    "norms": (lambda net, x: net.channels(net.norm(x)), {"layer_norm", "group_norm"}),
    "token": (lambda net, x: torch.cat([net.token.expand(len(x), -1, -1), rows(x)], 1) + net.token, set()),
    "table": (lambda net, x: fn.gelu(rows(x) @ net.table + net.table[0]), {"gelu"}),
    "split": (lambda net, x: sum(x.chunk(2, 1)), set()),
    "merged": (lambda net, x: torch.bmm(x.reshape(-1, 6, 6), x.reshape(-1, 6, 6).mT).reshape(len(x), -1), set()),
    "windows": (lambda net, x: net.norm(x.reshape(len(x) * 2, 2, 36).reshape(-1, 6)).reshape(x.shape), {"layer_norm"}),
    "attention": (lambda net, x: net.attention(*[rows(x)] * 3, need_weights=False)[0], {"mul", "softmax"}),
    "causal": (
        lambda net, x: fn.scaled_dot_product_attention(x, x, x, is_causal=True),
        {"mul", "masked_fill", "softmax"},
    ),
    "masked": (
        lambda net, x: fn.scaled_dot_product_attention(x, x, x, attn_mask=x[:, :1] > -3.0),
        {"mul", "masked_fill", "softmax", "gt", "logical_not"},
    ),
    "recurrent": (lambda net, x: net.recurrent(rows(x))[0], {"lstm"}),
    "in place": (lambda net, x: x.relu_().add_(1.0).mul_(x), {"add_", "mul_"}),
    "squeezed": (lambda net, x: x * x.mean((2, 3), keepdim=True).sigmoid(), {"sigmoid", "mul"}),
    "broadcast": (lambda net, x: x + x.mean((2, 3), keepdim=True), set()),
    "einsum": (lambda net, x: torch.einsum("nchw,nchv->ncwv", x, x), {"einsum"}),
    "axis": (lambda net, x: rows(x).transpose(0, 1).softmax(-1).transpose(0, 1), {"softmax"}),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_float_function_stays(name: str) -> None:
    function, host = FUNCTIONS[name]
    net, images = Calls(function).eval(), random_images(5, 3, 8, 8)
    graph = ptq.trace(net, images)
    with torch.no_grad():
        torch.testing.assert_close(graph.run(images), net(images), rtol=0, atol=2e-5)
        torch.testing.assert_close(graph.run(images[:1]), net(images[:1]), rtol=0, atol=2e-5)
    assert {node.call.name for node in graph.nodes if node.op == "host"} == host


@pytest.mark.filterwarnings("ignore:Using padding='same' with even")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_fake_and_exact_follow_the_float_network(name: str, tmp_path: Path) -> None:
    """At 16 bits what is left is rounding: every operator is where it was; at 8 fake and exact are near each other."""
    function, host = FUNCTIONS[name]
    net, images = Calls(function).eval(), random_images(6, 3, 8, 8)
    engine = ptq.Quantizer(net, images)
    roles = dict.fromkeys(engine.roles.values())
    fine = engine.quantize(dict.fromkeys(roles, "int16*int16"), "rtn+minmax+weights-minmax")
    with torch.no_grad():
        want = net(images).double()
        near = (fine.exact(images) - want).norm() / want.norm()
        assert near < 5e-4, f"{near:.2e}"
        coarse = engine.quantize(dict.fromkeys(roles, "int8*int8"))
        exact, fake = coarse.exact(images), coarse.fake(images)
        assert (exact - fake).norm() / want.norm() < 2e-2
    assert {record["op"] for record in fine.float_ops} == host
    ptq.save(coarse, tmp_path / "net.safetensors")
    assert torch.equal(ptq.load(tmp_path / "net.safetensors").exact(images), exact)


class PostNorm(nn.Module):
    """The residual sum of a transformer whose norms come after it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.up, self.norm, self.down = nn.Linear(6, 6), nn.LayerNorm(6), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.up(x))
        out: Tensor = y + self.down(y)
        return out


def test_what_the_host_makes_is_rounded_for_each_reader(tmp_path: Path) -> None:
    """A norm that a layer reads in 4 bits and a residual sum in 16: the sum sees nothing of the 4."""
    net, images = PostNorm().eval(), random_images(64, 5, 6)
    engine = ptq.Quantizer(net, images)
    model = engine.quantize({"first": "int16*int16", "last": "int4*int16", "add": "int16*int16"}, "rtn")
    copies = {str(layer.fmt): layer for layer in model.layers if layer.op == "host" and ":" in layer.name}
    assert {"int4", "int16"} <= set(copies)
    values = {layer.name: (layer, codes) for layer, codes in model.walk_exact(images[:4])}
    near = {}
    for text, layer in copies.items():
        held = model.decode(layer, values[layer.name][1]) * model.state[layer.name, "scale"]
        real = values[layer.node.inputs[0]][1]
        near[text] = float((held - real).norm() / real.norm())
    assert near["int16"] < 1e-4 < 1e-2 < near["int4"]
    assert {record["op"] for record in model.float_ops} == {"layer_norm"}
    ptq.save(model, tmp_path / "net.safetensors")
    assert torch.equal(ptq.load(tmp_path / "net.safetensors").exact(images), model.exact(images))


def test_what_stays_in_float_is_named_with_its_products() -> None:
    for name, macs in (("einsum", 4 * 6 * 6 * 6), ("sigmoid", 0)):
        graph = ptq.trace(Calls(FUNCTIONS[name][0]).eval(), random_images(2, 3, 8, 8))
        (node,) = [node for node in graph.nodes if node.op == "host"]
        assert (graph.macs(node), node.call.name) == (macs, name)


def test_tokens_are_an_input() -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = nn.Embedding(11, 8), nn.Linear(8, 3)

        def forward(self, tokens: Tensor) -> Tensor:
            there = (tokens != 0).unsqueeze(-1)
            x = self.embedding(tokens).masked_fill(~there, 0.0)
            return self.head(x.sum(1) / there.sum(1))

    tokens = torch.randint(0, 11, (7, 5), generator=torch.Generator().manual_seed(0))
    tokens[:, 0] = 1
    net = Words().eval()
    model = ptq.Quantizer(net, tokens).quantize({"first": "int16*int16"}, "rtn")
    with torch.no_grad():
        assert (model.exact(tokens) - net(tokens)).abs().max() < 1e-3
    assert model.graph.input.whole
    with pytest.raises(HwqError, match=r"^images must be an integer tensor \[N, 5\], not torch.float32$"):
        model.exact(tokens.float())


def test_a_layer_used_twice_keeps_its_name_and_weights() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(torch.relu(self.layer(x)))

    graph = ptq.trace(Tied().eval(), random_images(4, 6))
    names = [node.name for node in graph.nodes if node.op == "linear"]
    assert names[0] == "layer"
    assert names[1].startswith("layer:")
    assert torch.equal(graph.state["layer", "weight"], graph.state[names[1], "weight"])


def test_exported_programs_are_networks(tmp_path: Path) -> None:
    net, images = Calls(FUNCTIONS["norms"][0]).eval(), random_images(4, 3, 8, 8)
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(net, (images,), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "net.pt2")
    graph = ptq.trace(torch.export.load(tmp_path / "net.pt2"), images)
    with torch.no_grad():
        torch.testing.assert_close(graph.run(images), net(images), rtol=0, atol=2e-5)
    assert "conv" in [node.name for node in graph.nodes]


def test_networks_without_one_input_and_one_output_wrong() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    class Branches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    class Sizes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.relu() if len(x) > 2 else x.sigmoid()

    for net, message in (
        (Two(), "not fail with"),
        (Pair(), "one tensor"),
        (Branches(), "must run where torch records it"),
        (Sizes(), "must do the same for any number of images"),
    ):
        with pytest.raises(HwqError, match=message):
            ptq.trace(net, random_images(2, 3))
    with pytest.raises(HwqError, match=r"^an example must be a batch of 1 or more"):
        ptq.trace(nn.Identity(), torch.zeros(0, 3))


def test_values_that_mix_images_wrong() -> None:
    for size in (2, 3):
        net = Calls(lambda net, x, size=size: x.reshape(size, -1)).eval()
        with pytest.raises(HwqError, match=r"^(a network must return one tensor|every value must have the images)"):
            ptq.trace(net, random_images(2, 3, 8, 8))
    with pytest.raises(HwqError, match=r"^every value must have the images along one axis, not mean at 'mean'"):
        ptq.trace(Calls(lambda net, x: x - x.mean()).eval(), random_images(2, 3, 8, 8))


def test_hooks_are_recorded() -> None:
    images = random_images(4, 3, 8, 8)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3), nn.ReLU(inplace=True)).eval()
    net[2].register_forward_hook(lambda module, read, made: 2 * made)
    graph = ptq.trace(net, images)
    with torch.no_grad():
        torch.testing.assert_close(graph.run(images), net(images))
    assert [node.op for node in graph.nodes] == ["input", "conv2d", "conv2d"]


def test_a_graph_that_is_not_the_network_wrong() -> None:
    calls: list[int] = []

    def drifting(net: Calls, x: Tensor) -> Tensor:
        calls.append(0)
        return x * len(calls)

    reason = "no value differs from what was recorded, so that the network must change from call to call"
    with pytest.raises(HwqError, match=rf"^the graph of a network must .*, not miss those of up to .*; {reason}$"):
        ptq.trace(Calls(drifting).eval(), random_images(4, 3, 8, 8))


def test_the_first_value_that_differs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    right = EMITTERS["relu"]

    def wrong(b: Builder, node: fx.Node, o: dict[str, Any]) -> bool:
        made = right(b, node, o)
        b.nodes[-1] = dataclasses.replace(b.nodes[-1], most=0.1)
        return made

    monkeypatch.setitem(EMITTERS, "relu", wrong)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 5)
    )
    with pytest.raises(HwqError, match=r"; '3' \(relu\) is the first value that differs$"):
        ptq.trace(net.eval(), random_images(4, 3, 8, 8))


def test_recurrent_layers_are_counted() -> None:
    """Every matrix meets every step of every sequence: two ways, two layers."""
    lstm = nn.LSTM(6, 5, num_layers=2, bidirectional=True, batch_first=True)

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.last = lstm, nn.Linear(10, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.lstm(x)[0])

    graph = ptq.trace(Reader().eval(), random_images(4, 7, 6))
    (host,) = (node for node in graph.nodes if node.op == "host")
    assert graph.macs(host) == 7 * 2 * 4 * 5 * ((6 + 5) + (10 + 5))


def test_calls_of_another_torch_wrong() -> None:
    call = Call.from_json({"target": "nothing.default", "arguments": [], "layouts": [[0, 1]], "pick": None, "macs": 0})
    with pytest.raises(HwqError, match=r"^this version of torch must have the operator 'nothing.default'"):
        call.run([], lambda port: torch.zeros(1), 1)


def test_layers_are_named_by_patterns() -> None:
    net, images = Calls(FUNCTIONS["causal"][0]).eval(), random_images(6, 3, 8, 8)
    engine = ptq.Quantizer(net, images)
    wide = {"first": "int8*int4", "*:values": "uint8*int6", "*:scores": "int(7)*int5"}
    layers = {layer.name: layer for layer in engine.quantize(wide).layers}
    formats = {name: str(layer.datapath).split(" ")[0] for name, layer in layers.items() if layer.op == "matmul"}
    assert sorted(formats.values()) == ["int(7)*int5", "uint8*int6"]
    assert str(layers["conv"].datapath).startswith("int8*int4 ")
    with pytest.raises(HwqError, match=r"roles first and may have .* and names of layers, not first, none\*$"):
        engine.quantize({"first": "int8*int4", "none*": "int8*int8"})


def test_networks_without_a_weighted_layer_wrong() -> None:
    with pytest.raises(HwqError, match=r"^a network must have a convolution or a linear layer, not none$"):
        ptq.Quantizer(nn.ReLU(), random_images(4, 3))
