"""Networks in files: hwq's own, packed to the bit, and ONNX, executed by other runtimes and compared code by code."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as fn

from hwq import ptq, zoo
from hwq.errors import HwqError
from hwq.formats import packed_bytes
from hwq.ptq.exact import compute
from hwq.ptq.exchange.grids import evenly

torch.set_num_threads(1)

ORACLE = Path(__file__).with_name("onnx_oracle.py")
RUNS = [("integer", "onnxruntime"), ("qdq", "onnxruntime"), ("qdq", "onnxruntime-plain"), ("qonnx", "qonnx")]
ROLES = ("first", "body", "last")


def assigned(text: str, body: str | None = None) -> dict[str, str]:
    return dict.fromkeys(ROLES, text) | ({} if body is None else {"body": body})


class Every(nn.Module):
    """Every operator that has a code: groups, dilation, pools, moves, a product of values, a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 8, 3, padding=1)
        self.deep = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4)
        self.narrow = nn.Conv2d(16, 4, (2, 3), stride=(1, 2))
        self.offset = nn.Parameter(torch.linspace(-1, 1, 25).reshape(5, 5))
        self.mixed = nn.Linear(5, 7)
        self.last = nn.Linear(4 * 5 * 7, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = fn.relu6(self.first(x))
        y = fn.max_pool2d(fn.relu(self.deep(x)), 3, 2, 1)
        z = fn.avg_pool2d(x, 3, 2, 1)
        x = self.narrow(fn.pad(torch.cat([y, z], 1), (3, 2, 0, 0)))
        x = x @ (x + self.offset).transpose(-1, -2)
        x = fn.relu(self.mixed(x.flip(1)))
        return self.last(x.flatten(1))


@pytest.fixture(scope="module")
def resnet() -> Any:
    return zoo.load("resnet8")


@pytest.fixture(scope="module")
def every() -> ptq.Quantizer:
    torch.manual_seed(0)
    return ptq.Quantizer(Every().eval(), torch.randn(32, 2, 12, 12))


def executed(path: Path, runtime: str, images: Tensor, names: list[str]) -> dict[str, np.ndarray]:
    """Tensors of an ONNX file by another runtime, in a process of its own."""
    given, made = path.with_suffix(".in.npz"), path.with_suffix(".out.npz")
    np.savez(given, input=images.numpy(), names=names)
    run = subprocess.run([sys.executable, ORACLE, runtime, path, given, made], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    with np.load(made) as file:
        return dict(zip(names, (file[name] for name in file.files), strict=True))


def numbers(model: ptq.QuantizedModel, layer: ptq.Layer, found: np.ndarray) -> np.ndarray:
    """What a runtime's tensor stands for, in units of the layer's grid."""
    assert layer.fmt is not None
    if found.dtype == np.float32:
        return np.round(found / (float(model.state[layer.name, "scale"]) * 2.0**layer.fmt.lsb))
    stored = found.astype(np.int64)
    return stored if found.dtype == np.int64 else stored - evenly(layer.fmt, layer.name).zero


@dataclass
class Compared:
    """Codes that differ `alone`, of equal codes read; those that differ `after` all layers before; of how many."""

    alone: int = 0
    after: int = 0
    codes: int = 0
    most: float = 0.0

    def __str__(self) -> str:
        return f"{self.alone} of {self.codes} codes differ, by at most {self.most:.0f}; {self.after} after one another"


def compared(model: ptq.QuantizedModel, images: Tensor, path: Path, style: str, runtime: str) -> Compared:
    """Every layer's codes by a runtime beside hwq's, of the codes that the runtime had before and of hwq's own."""
    ptq.export_onnx(model, path, style)
    tensors = {node.output[0] for node in onnx.load(path).graph.node}
    exact = {layer.name: (layer, codes) for layer, codes in model.walk_exact(images) if layer.name in tensors}
    assert len(exact) >= len(model.layers) - 1  # qdq has the last sum as a float alone
    found = executed(path, runtime, images, [*exact, "output"])
    read: dict[str, Tensor] = {}
    result = Compared()
    for name, (layer, codes) in exact.items():
        assert layer.fmt is not None
        there = numbers(model, layer, found[name])
        before = [read[other] for other in layer.node.inputs]
        own = codes if layer.outside else compute(layer, before, model.state)
        read[name] = layer.fmt.encode(torch.from_numpy(there * 2.0**layer.fmt.lsb))
        apart = np.abs(there - model.decode(layer, own).numpy() / 2.0**layer.fmt.lsb)
        result.alone += int((apart > 0).sum())
        result.most = max(result.most, float(apart.max()))
        result.after += int((read[name] != codes).sum())
        result.codes += apart.size
    real = model.exact(images).numpy()
    assert result.after or np.abs(found["output"] - real).max() <= 1e-5 * np.abs(real).max()
    return result


# ---------------------------------------------------------------- ONNX out


@pytest.mark.parametrize(("style", "runtime"), RUNS)
@pytest.mark.parametrize("text", ["int8*int4", "uint(8,zp=101)*int8", "int6*ternary"])
def test_runtimes_give_the_codes_of_resnet8(
    resnet: Any, text: str, style: str, runtime: str, tmp_path: Path, say: Callable[[str], None]
) -> None:
    images, _ = resnet.test(50)
    model = ptq.quantize(resnet, assigned("int8*int8", text), "rtn")
    found = compared(model, images, tmp_path / "model.onnx", style, runtime)
    assert found.codes > 4_000_000
    assert found.after == 0 if style == "integer" else found.alone <= 1e-5 * found.codes and found.most <= 1
    say(f"exchange: {text} as {style} by {runtime}: {found}")


@pytest.mark.parametrize(("style", "runtime"), RUNS)
@pytest.mark.parametrize("text", ["int8*int8", "fixed(7,2)*fp4_e2m1", "int8*binary"])
def test_runtimes_give_the_codes_of_every_operator(
    every: ptq.Quantizer, text: str, style: str, runtime: str, tmp_path: Path
) -> None:
    images = torch.randn(64, 2, 12, 12, generator=torch.Generator().manual_seed(5))
    values = text.split("*")[0]
    others = {"matmul": f"{values}*int8"} | ({"add": f"{values}*int8"} if "binary" in text else {})
    found = compared(every.quantize(assigned(text) | others, "rtn"), images, tmp_path / "model.onnx", style, runtime)
    assert found.codes > 100_000
    assert found.after == 0 if style == "integer" else found.alone <= 1e-5 * found.codes + 1 and found.most <= 1


@pytest.mark.parametrize(("style", "runtime"), RUNS)
def test_codes_are_identical_where_scales_are_powers_of_two(
    resnet: Any, style: str, runtime: str, tmp_path: Path
) -> None:
    model = ptq.quantize(resnet, assigned("int8*int8"), "rtn+tensor")
    state = dict(model.state)
    for layer, port in model.state:
        if port == "mul":
            state[layer, port] = torch.full_like(state[layer, port], 1 << 15)
        if port in ("scale", "weight_scale"):
            state[layer, port] = torch.exp2(state[layer, port].log2().round())
    images, _ = resnet.test(50)
    found = compared(replace(model, state=state), images, tmp_path / "model.onnx", style, runtime)
    assert (found.after, found.codes > 4_000_000) == (0, True)


def test_what_no_runtime_computes_is_refused(resnet: Any, every: ptq.Quantizer, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    for text, style, reason in (
        ("fp8_e4m3*int4", "qdq", "values of 'x' must be integers of at most 16 bits for this style, not fp8_e4m3"),
        ("int8*mxint8", "qdq", "weights of 'stem' must be integers of at most 16 bits to be exported, not mxint8"),
        ("int8*int8 +fixed(12)", "integer", "sums of 'stem' must lose no bits to be exported, not as in int8"),
        ("int12*int4", "integer", "values of 'x' must have at most 8 bits for integer nodes, not 16; use qdq"),
        ("int8*int8", "tflite", "a style must be one of qdq, integer, qonnx, not 'tflite'"),
    ):
        with pytest.raises(HwqError, match=re.escape(reason)):
            ptq.export_onnx(ptq.quantize(resnet, assigned(text), "rtn"), path, style)
    with pytest.raises(HwqError, match="must be a file that can be written"):
        ptq.export_onnx(ptq.quantize(resnet, assigned("int8*int8"), "rtn"), tmp_path / "none" / "model.onnx")
    hosted = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Softmax(1), nn.Linear(4, 2)).eval()
    model = ptq.Quantizer(hosted, torch.randn(8, 1, 2, 2)).quantize(dict.fromkeys(("first", "last"), "int8*int8"))
    with pytest.raises(HwqError, match="must run on datapaths alone, not leave 2 to the host"):
        ptq.export_onnx(model, path)


# ---------------------------------------------------------------- hwq's own files


@pytest.mark.parametrize("text", ["int8*int4", "int8*ternary", "int5*mxfp4_e2m1", "fp8_e4m3*fp6_e2m3", "int8*w4g128"])
def test_files_hold_codes_as_bits(resnet: Any, text: str, tmp_path: Path) -> None:
    model = ptq.quantize(resnet, assigned("int8*int8", text), "rtn")
    path = tmp_path / "model.safetensors"
    ptq.save(model, path)
    with safe_open(path, "np") as file:
        sizes = {name: file.get_tensor(name).nbytes for name in file.keys()}  # noqa: SIM118 - not a mapping
    for layer in model.layers:
        codes = model.state.get((layer.name, "weight"))
        if codes is not None and layer.datapath is not None:
            shape = (len(codes), codes[0].numel())
            assert sizes[f"{layer.name}/weight"] == packed_bytes(layer.datapath.mac.w, shape, dense=True)
    again = ptq.load(path)
    assert again.layers == model.layers and again.name == model.name and again.origin == model.origin
    assert again.state.keys() == model.state.keys()
    assert all(torch.equal(again.state[key], held) for key, held in model.state.items())
    assert all(again.state[key].dtype == held.dtype for key, held in model.state.items())
    ptq.save(again, tmp_path / "again.safetensors")
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()


def test_files_say_where_their_codes_are_from(resnet: Any, tmp_path: Path) -> None:
    model = ptq.quantize(resnet, assigned("int8*int8"), "gptq+bc")
    assert model.origin["recipe"] == "gptq+bc" and model.origin["torch"] == version("torch")
    held = resnet.calibration()
    digest = hashlib.sha256(f"{held.dtype} {list(held.shape)} ".encode() + held.numpy().tobytes()).hexdigest()
    assert (model.origin["calibration sha256"], model.origin["calibration images"]) == (digest, "512")
    ptq.export_onnx(model, tmp_path / "model.onnx")
    props = {prop.key: prop.value for prop in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert props["hwq.recipe"] == "gptq+bc" and props["hwq.model"] == "resnet8"


def test_files_of_the_version_before_are_read_and_others_refused(resnet: Any, tmp_path: Path) -> None:
    model, path = ptq.quantize(resnet, assigned("int8*int4"), "rtn"), tmp_path / "model.safetensors"
    ptq.save(model, path)
    with safe_open(path, "pt") as file:
        described = json.loads(file.metadata()["hwq"])
    old = {key: value for key, value in described.items() if key not in ("packed", "origin")} | {"version": 2}
    tensors = {f"{layer}/{port}": held.contiguous().clone() for (layer, port), held in model.state.items()}
    save_file(tensors, path, metadata={"hwq": json.dumps(old)})
    images, _ = resnet.test(8)
    assert torch.equal(ptq.load(path).exact(images), model.exact(images))
    save_file(tensors, path, metadata={"hwq": json.dumps(old | {"version": 9})})
    with pytest.raises(HwqError, match="must be of version 2 or 3, not 9; use the hwq that wrote it"):
        ptq.load(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(HwqError, match="must be a quantized model"):
        ptq.load(path)


# ---------------------------------------------------------------- ONNX in


def float_onnx(graph: ptq.Graph, path: Path) -> None:
    """A float network as ONNX with batches of any size, written without hwq's exporter."""
    nodes, held, tensor = [], [], {"x": "input"}

    def keep(name: str, value: Tensor) -> str:
        held.append(numpy_helper.from_array(value.detach().numpy(), name))
        return name

    for node in graph.nodes[1:]:
        read, w, out = [tensor[name] for name in node.inputs], node.window, node.name
        attributes: dict[str, Any] = {}
        if node.op in ("conv2d", "linear"):
            read += [keep(f"{node.name}.{port}", graph.state[node.name, port]) for port in ("weight", "bias")]
        if node.op in ("conv2d", "avgpool"):
            attributes = {"kernel_shape": w.kernel, "strides": w.stride, "pads": (*w.padding, *w.padding)}
        if node.op == "reshape":
            read.append(keep(f"{node.name}.shape", torch.tensor([-1, *node.shape])))
        kind = {"conv2d": "Conv", "linear": "Gemm", "add": "Add", "avgpool": "AveragePool", "reshape": "Reshape"}[
            node.op
        ]
        attributes |= {"transB": 1} if kind == "Gemm" else {}
        nodes.append(helper.make_node(kind, read, [out], name=out, **attributes))
        if node.relu:
            nodes.append(helper.make_node("Relu", [out], [f"{out}.relu"], name=f"{out}.relu"))
        tensor[node.name] = f"{out}.relu" if node.relu else out
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *node.shape])
        for name, node in (("input", graph.input), (tensor[graph.output.name], graph.output))
    ]
    made = helper.make_graph(nodes, "float", ends[:1], ends[1:], held)
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


KINDS = ("asymmetric", "asymmetric-channel", "symmetric", "symmetric-channel")


@pytest.fixture(scope="module", params=KINDS)
def quantized_elsewhere(request: pytest.FixtureRequest, resnet: Any, tmp_path_factory: Any) -> tuple[str, Path]:
    """ResNet-8 as ONNX Runtime quantizes it."""
    folder = tmp_path_factory.mktemp(request.param)
    plain, out, given = folder / "float.onnx", folder / "qdq.onnx", folder / "calibration.npz"
    float_onnx(ptq.trace(resnet.net, resnet.calibration()[:2]), plain)
    np.savez(given, input=resnet.calibration()[:64].numpy())
    script = ORACLE.with_name("onnx_quantizer.py")
    run = subprocess.run([sys.executable, script, plain, given, out, request.param], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    return request.param, out


@pytest.mark.parametrize("requant", ["uint(16)", "default"])
def test_a_network_of_onnx_runtime_keeps_its_codes(
    quantized_elsewhere: tuple[str, Path], resnet: Any, requant: str, say: Callable[[str], None]
) -> None:
    kind, path = quantized_elsewhere
    model = ptq.import_onnx(path) if requant == "default" else ptq.import_onnx(path, requant)
    images, labels = resnet.test(50)
    exact = {layer.name: (layer, codes) for layer, codes in model.walk_exact(images)}
    tensors = {name for node in onnx.load(path).graph.node for name in node.output}
    shared = [name for name, (layer, _) in exact.items() if name in tensors and layer.fmt is not None]
    assert len(shared) >= 15
    for runtime in ("onnxruntime", "onnxruntime-plain")[: 2 if requant == "uint(16)" else 1]:
        found = executed(path, runtime, images, shared)
        total = Compared()
        read: dict[str, Tensor] = {}
        for name, (layer, codes) in exact.items():
            own = codes
            if not layer.outside:
                own = compute(layer, [read[other] for other in layer.node.inputs], model.state)
            held = found.get(name)  # as numbers where a move is written between numbers
            there = own.numpy() if held is None or held.dtype == np.float32 else held.view(np.uint8)
            read[name] = torch.from_numpy(there)
            apart = np.abs(there.astype(np.int64) - own.numpy())
            total.alone += int((apart > 0).sum())
            total.after += int((there != codes.numpy()).sum())
            total.codes, total.most = total.codes + apart.size, max(total.most, float(apart.max()))
        say(f"exchange: {kind} by {runtime}, imported with {requant}: {total}")
        assert total.codes > 5_000_000 and total.alone <= 1e-4 * total.codes and total.most <= 1
        assert requant == "uint(16)" or total.after <= 1e-5 * total.codes  # 1e-3 is asked for
    assert model.evaluate(images, labels) > 0.85


@pytest.mark.parametrize("style", ["qdq", "qonnx"])
@pytest.mark.parametrize("text", ["int8*int4", "uint(8,zp=101)*int8", "int6*ternary"])
def test_what_hwq_exports_it_imports_code_by_code(resnet: Any, text: str, style: str, tmp_path: Path) -> None:
    model = ptq.quantize(resnet, assigned("int8*int8", text), "rtn")
    ptq.export_onnx(model, tmp_path / "model.onnx", style)
    again = ptq.import_onnx(tmp_path / "model.onnx")
    images, _ = resnet.test(20)
    there = {layer.name: (layer, codes) for layer, codes in again.walk_exact(images)}
    shared = [(layer, codes) for layer, codes in model.walk_exact(images) if layer.name in there]
    assert len(shared) == len(model.layers) - 1  # the last sum is called "output"
    for layer, codes in shared:
        assert torch.equal(model.decode(layer, codes), again.decode(*there[layer.name]))
    assert torch.equal(again.predict(images), model.predict(images))


def test_imports_refuse_what_they_do_not_understand(resnet: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(HwqError, match="must be an ONNX file"):
        ptq.import_onnx(path)
    float_onnx(ptq.trace(resnet.net, resnet.calibration()[:2]), path)
    with pytest.raises(HwqError, match="Conv at 'stem' must read quantized values: put QuantizeLinear"):
        ptq.import_onnx(path)
    sizes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in ("input", "output")]
    node = helper.make_node("Softmax", ["input"], ["output"])
    onnx.save(helper.make_model(helper.make_graph([node], "g", sizes[:1], sizes[1:])), path)
    with pytest.raises(HwqError, match=r"operators of an imported network must be of .*, not Softmax at 'output'"):
        ptq.import_onnx(path)
