"""Weights of compressed-tensors files, packed here as its compressor packs them."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hwq import ptq, zoo
from hwq.cli.main import run
from hwq.errors import HwqError

torch.set_num_threads(1)

REAL = Path(__file__).parent / "data" / "compressed.safetensors"  # by the library, see compressed_writer.py


def packed(codes: Tensor, bits: int) -> Tensor:
    """int32 words of signed codes [N, K], one at a time in Python's integers."""
    per = 32 // bits
    rows = []
    for row in codes.tolist():
        row = [code + (1 << (bits - 1)) for code in row] + [0] * (-len(row) % per)
        words = [sum(code << (bits * i) for i, code in enumerate(row[at : at + per])) for at in range(0, len(row), per)]
        rows.append([word - (1 << 32) if word >> 31 else word for word in words])
    return torch.tensor(rows, dtype=torch.int32)


@pytest.mark.parametrize(("bits", "columns", "groups"), [(4, 64, 4), (4, 60, 1), (8, 32, 2)])
def test_packed_integers_keep_codes_and_scales(bits: int, columns: int, groups: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    codes = torch.randint(-(1 << (bits - 1)), 1 << (bits - 1), (6, columns))
    scale = torch.rand(6, groups).bfloat16()
    path = tmp_path / "model.safetensors"
    tensors = {"a.b.weight_packed": packed(codes, bits), "a.b.weight_scale": scale, "norm.weight": torch.ones(3)}
    save_file(tensors | {"a.b.weight_shape": torch.tensor([6, columns])}, path)
    found = ptq.import_compressed(path)
    assert list(found) == ["a.b"]
    weights = found["a.b"]
    assert torch.equal(weights.fmt.decode(weights.codes), codes.float()) and torch.equal(weights.scale, scale.float())
    want = codes.double().reshape(6, groups, -1) * scale.double().unsqueeze(-1)
    assert torch.equal(weights.real, want.reshape(6, -1))


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.int8])
def test_plain_codes_are_kept(dtype: torch.dtype, tmp_path: Path) -> None:
    weight = (torch.randn(4, 16) * 3).to(dtype)
    path = tmp_path / "model.safetensors"
    save_file({"x.weight": weight, "x.weight_scale": torch.tensor([0.5])}, path)
    found = ptq.import_compressed(path)["x"]
    assert torch.equal(found.codes, weight.view(torch.uint8)) and torch.equal(found.real, weight.double() * 0.5)


def test_what_is_not_symmetric_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    tensors = {"x.weight": torch.ones(2, 4, dtype=torch.int8), "x.weight_scale": torch.ones(2, 1)}
    short = {"x.weight_packed": torch.zeros(2, 1, dtype=torch.int32), "x.weight_shape": torch.tensor([2, 4])}
    for more, reason in (
        ({"x.weight_zero_point": torch.ones(2, 1)}, "must be symmetric, not with zero points"),
        ({"x.weight_g_idx": torch.tensor([1, 0, 1, 0])}, "must have groups in order"),
        ({"x.weight": torch.ones(2, 4)}, "must be signed bytes or float8, not torch.float32"),
        ({"x.weight_scale": torch.ones(2, 3)}, "must divide 4 weights evenly, not be 3"),
        ({"x.weight_scale": torch.ones(3)}, r"scales of 'x' must be 1, \[2\] or \[2, groups\], not \[3\]"),
        ({"x.weight_scale": torch.ones(2, 0)}, r"must be 1, \[2\] or \[2, groups\], not \[2, 0\]"),
        ({"x.weight_scale": torch.tensor([[1.0], [0.0]])}, "must be finite and above 0, not 0 among them"),
        ({"x.weight_scale": torch.tensor([[1.0, torch.nan]])}, "must be finite and above 0, not nan among them"),
        ({"x.weight": torch.ones(4, dtype=torch.int8)}, r"must have two axes or more, not \[4\]"),
        (short, "must pack more than 4 weights a row, to tell 4 bits from 8"),
    ):
        save_file(tensors | more, path)
        with pytest.raises(HwqError, match=reason):
            ptq.import_compressed(path)
    save_file({"norm": torch.ones(1)}, path)
    with pytest.raises(HwqError, match="must hold compressed-tensors weights"):
        ptq.import_compressed(path)
    path.write_bytes(b"x")
    with pytest.raises(HwqError, match="must be a safetensors file"):
        ptq.import_compressed(path)


def test_files_of_the_library_are_read_as_it_reads_them() -> None:
    found = ptq.import_compressed(REAL)
    expected = load_file(REAL.with_name("compressed-expected.safetensors"))
    assert found.keys() == expected.keys() and len(found) == 5
    for name, rows in expected.items():  # it multiplies in bfloat16
        assert torch.equal(found[name].real[:8].bfloat16(), rows)


@pytest.fixture(scope="module")
def installed() -> tuple[ptq.Quantizer, ptq.QuantizedModel]:
    """glassllm with the codes of the library's file."""
    subject = zoo.load("glassllm")
    net, weights = ptq.install(subject.net, REAL)
    assert torch.equal(net.get_submodule("blocks.1.w2").weight, weights["blocks.1.w2"].real.float())
    engine = ptq.Quantizer(net, subject.calibration()[:8])
    roles = dict.fromkeys(engine.roles.values(), "int16*int8")
    return engine, engine.quantize(roles, "rtn+bc", weights)


def test_codes_of_a_file_run_as_they_are(installed: tuple[ptq.Quantizer, ptq.QuantizedModel], tmp_path: Path) -> None:
    engine, model = installed
    layers = {layer.name: layer for layer in model.layers}
    for name, held in ptq.import_compressed(REAL).items():
        datapath = layers[name].datapath
        assert datapath is not None
        codes, scale = model.state[name, "weight"], model.state[name, "weight_scale"]
        assert torch.equal(datapath.mac.w.decode(codes).double() * scale.double().unsqueeze(1), held.real)
        if held.scale.shape[1] == 1:
            assert datapath.mac.w == held.fmt and torch.equal(codes, held.codes)
    ids = zoo.load("glassllm").test(2)[0]
    exact, real = model.exact(ids), engine.graph.run(ids).double()
    assert (exact - real).abs().mean() < 0.02 * real.abs().mean()
    ptq.save(model, tmp_path / "model.safetensors")
    assert torch.equal(ptq.load(tmp_path / "model.safetensors").exact(ids), exact)


def test_given_codes_are_not_changed_nor_mistaken(
    installed: tuple[ptq.Quantizer, ptq.QuantizedModel], tmp_path: Path
) -> None:
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)).eval()
    engine = ptq.Quantizer(net, torch.randn(16, 8))
    roles = {"first": "int8*int8", "last": "int8*int8"}
    codes = torch.randint(0, 256, (8, 8), dtype=torch.uint8)
    tensors = {"0.weight": codes.view(torch.int8), "0.weight_scale": torch.rand(8, 1) + 0.1, "0.bias": torch.ones(8)}
    path = tmp_path / "model.safetensors"
    save_file(tensors, path)
    copied, weights = ptq.install(net, path)
    assert torch.equal(copied.get_submodule("0").bias, torch.ones(8)) and not torch.equal(net[0].bias, torch.ones(8))
    assert torch.equal(engine.quantize(roles, "gptq", weights).state["0", "weight"], codes)
    for recipe in ("adaround", "equalize+rtn"):
        with pytest.raises(HwqError, match="a recipe for given codes must not rewrite the network nor reconstruct"):
            engine.quantize(roles, recipe, weights)
    with pytest.raises(HwqError, match=r"the codes of '2' must be \[4, 8\], not \[8, 8\]"):
        engine.quantize(roles, "rtn", {"2": weights["0"]})
    with pytest.raises(HwqError, match="weights must be given of layers of the network, 0, 2; not x"):
        engine.quantize(roles, "rtn", {"x": weights["0"]})
    last = ptq.Weights(weights["0"].fmt, codes[:4], torch.arange(1.0, 5.0).unsqueeze(1))
    with pytest.raises(HwqError, match="'2', whose sums are the result, must have one weight scale, not many"):
        engine.quantize(roles, "rtn", {"2": last})
    wide = engine.quantize(roles | {"last": "int8*int8 ->int16[bias,requant]"}, "rtn", {"2": last})
    assert torch.equal(wide.state["2", "weight"], codes[:4])
    with pytest.raises(HwqError, match=r"tensors of .* must be those of the model, not 'blocks.0.*', missing there"):
        ptq.install(net, REAL)


class Shared(nn.Module):
    """A layer that runs twice, and one with a norm behind it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.body, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 5)
        self.norm = nn.BatchNorm1d(6)
        nn.init.constant_(self.norm.weight, 3.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x)).relu()
        return self.last(self.body(self.body(x).relu()).relu())


def test_a_layer_that_runs_twice_keeps_its_codes_and_one_with_a_norm_is_refused() -> None:
    net = Shared().eval()
    engine = ptq.Quantizer(net, torch.randn(16, 6))
    roles = dict.fromkeys(("first", "body", "last"), "int8*int8")
    codes = torch.randint(0, 256, (6, 6), dtype=torch.uint8)
    given = ptq.Weights(engine.quantize(roles, "rtn").layers[1].datapath.mac.w, codes, torch.rand(6, 1) + 0.1)
    model = engine.quantize(roles, "rtn", {"body": given})
    twice = [name for name in engine.roles if name.startswith("body")]
    assert len(twice) == 2 and all(torch.equal(model.state[name, "weight"], codes) for name in twice)
    with pytest.raises(HwqError, match="must be given of layers without a norm folded into them, not of 'first'"):
        engine.quantize(roles, "rtn", {"first": given})


def test_tensors_of_another_shape_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"last.weight": torch.ones(6, 5, dtype=torch.int8), "last.weight_scale": torch.ones(1)}, path)
    with pytest.raises(HwqError, match=r"not 'last.weight', \[5, 6\] there and \[6, 5\] here"):
        ptq.install(Shared(), path)


def test_import_scores_weights_in_their_model(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--model", "glassllm", "--datapath", "int16*int8 @8x8", "--items", "2", "--json"]
    assert run(["import", str(REAL), *options]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["metric"] == "KL" and record["n"] == 2 and record["float"]["value"] < 1e-9
    assert 0 < record["exact"]["value"] < 0.01 and record["lut"]["value"] > 0
    assert record["origin"]["layers of the file"] == "5"
    assert any("block(int4" in text for text in record["instances"].values())
    assert run(["import", str(REAL), "--model", "glassllm"]) == 2
    assert "hwq import needs --model and --datapath together" in capsys.readouterr().err
    assert run(["import", str(REAL)]) == 2
    assert "must be a network that hwq saved, not weights alone; hwq import needs --model" in capsys.readouterr().err
