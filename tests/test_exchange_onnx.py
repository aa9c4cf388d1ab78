"""Quantized ONNX of every kind beside ONNX Runtime, and files that are wrong: one line, never another network."""

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from hwq import ptq
from hwq.errors import HwqError

torch.set_num_threads(1)

HERE = Path(__file__).parent
Array = NDArray[Any]
F, I64 = TensorProto.FLOAT, np.int64
node = helper.make_node


def written(
    path: Path,
    nodes: Sequence[NodeProto],
    held: dict[str, Any],
    shape: Sequence[int | str] = ("N", 3, 8, 8),
    opset: int = 21,
) -> Path:
    """An ONNX file from "input" to "output"."""
    tensors = [x if isinstance(x, TensorProto) else numpy_helper.from_array(x, name) for name, x in held.items()]
    ends = [helper.make_tensor_value_info(name, F, sizes) for name, sizes in (("input", shape), ("output", None))]
    graph = helper.make_graph(list(nodes), "g", ends[:1], ends[1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), path)
    return path


def network(path: Path) -> Path:
    """A float network with a sum, pools, and a flattening that asks for the number of images."""
    rng = np.random.default_rng(0)
    sizes = {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (8, 8, 3, 3), "b2": (8,), "w3": (8, 10), "b3": (10,)}
    held: dict[str, Any] = {k: (rng.standard_normal(size) * 0.3).astype(np.float32) for k, size in sizes.items()}
    held |= {"zero": np.array(0, I64), "first": np.array([0], I64), "rest": np.array([-1], I64)}
    nodes = [
        node("Conv", ["input", "w1", "b1"], ["c1"], "conv1", kernel_shape=[3, 3], auto_pad="SAME_UPPER"),
        node("Relu", ["c1"], ["r1"], "relu1"),
        node("MaxPool", ["r1"], ["m1"], "pool1", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["m1", "w2", "b2"], ["c2"], "conv2", kernel_shape=[3, 3], pads=[1] * 4),
        node("Add", ["c2", "m1"], ["a"], "add1"),
        node("Relu", ["a"], ["ar"], "relu2"),
        node("GlobalAveragePool", ["ar"], ["g"], "gap"),
        node("Shape", ["g"], ["sizes"], "shape"),
        node("Gather", ["sizes", "zero"], ["images"], "gather", axis=0),
        node("Unsqueeze", ["images", "first"], ["row"], "unsqueeze"),
        node("Concat", ["row", "rest"], ["asked"], "concat", axis=0),
        node("Reshape", ["g", "asked"], ["f"], "reshape"),
        node("Gemm", ["f", "w3", "b3"], ["output"], "fc"),
    ]
    return written(path, nodes, held)


KINDS = [
    "asymmetric-bytes",
    "asymmetric-bytes-channel",
    "asymmetric-qoperator",
    "symmetric-qoperator-channel",
    "asymmetric-qoperator-bytes-channel",
    "asymmetric-int4",
    "asymmetric-int4-channel",
    "asymmetric-uint4",
    "symmetric-int16",
    "symmetric-float8",
]


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the network as ONNX Runtime quantizes it in every kind, and images."""
    folder = tmp_path_factory.mktemp("elsewhere")
    rng = np.random.default_rng(1)
    np.savez(folder / "images.npz", input=rng.standard_normal((64, 3, 8, 8)).astype(np.float32))
    pairs = [part for kind in KINDS for part in (str(folder / f"{kind}.onnx"), kind)]
    plain = network(folder / "float.onnx")
    command = [sys.executable, HERE / "onnx_quantizer.py", plain, folder / "images.npz", *pairs]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    return folder


def outputs(path: Path, images: Array, names: Sequence[str] = ("output",), runtime: str = "onnxruntime") -> list[Array]:
    """Tensors of an ONNX file by ONNX Runtime, in a process of its own."""
    given, made = path.with_suffix(".in.npz"), path.with_suffix(".out.npz")
    np.savez(given, input=images, names=list(names))
    command = [sys.executable, HERE / "onnx_oracle.py", runtime, path, given, made]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    with np.load(made) as file:
        return [file[name] for name in file.files]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_its_runtimes_codes(elsewhere: Path, kind: str, say: Callable[[str], None]) -> None:
    """One after another, with the multipliers that an import has by default."""
    path = elsewhere / f"{kind}.onnx"
    model = ptq.import_onnx(path)
    with np.load(elsewhere / "images.npz") as file:
        images = file["input"]
    written = {name for op in onnx.load(path).graph.node for name in op.output}
    exact = {x.name: (x, codes) for x, codes in model.walk_exact(torch.from_numpy(images)) if x.name in written}
    # its optimizer takes a Relu before float8 codes away, as if these could not be negative
    runtime = "onnxruntime-plain" if "float8" in kind else "onnxruntime"
    *made, real = outputs(path, images, [*exact, "output"], runtime)
    found = dict(zip(exact, made, strict=True))
    differ = total = 0
    for name, (layer, codes) in exact.items():
        if found[name].dtype == np.float32:  # moved between numbers
            continue
        assert layer.fmt is not None
        there = torch.from_numpy(found[name].view(np.uint16 if layer.fmt.bits > 8 else np.uint8))
        values = (layer.fmt.decode(x) for x in (there, codes))  # float8 has two zeros
        differ, total = differ + int(torch.ne(*values).sum()), total + codes.numel()
    say(f"exchange: {kind} imported, {differ} of {total} codes differ from ONNX Runtime's, one after another")
    assert total > 30_000
    assert differ <= 1e-3 * total * (10 if "int16" in kind else 1)  # whose sums float32 cannot hold
    assert np.abs(model.exact(torch.from_numpy(images)).numpy() - real).max() <= 2e-2 * np.abs(real).max()
    assert ptq.changed(model, torch.from_numpy(images))["codes"] <= 1e-4 * total


def quantized(
    path: Path,
    weight: Array,
    scale: Any = 0.5,
    zero: Any = None,
    before: Sequence[NodeProto] = (),
    read: str = "input",
    after: Sequence[NodeProto] = (),
    last: str = "output",
    shape: Sequence[int | str] = ("N", 4),
    how: dict[str, Any] | None = None,
    more: dict[str, Any] | None = None,
) -> Path:
    """The product of a quantized value and quantized weights [4, M]; `scale` and `zero` are those of the weights."""
    held: dict[str, Any] = {"w": weight, "ws": np.asarray(scale, np.float32)}
    held |= {"s": np.float32(0.125), "z": np.uint8(128)} | (more or {})
    held |= {} if zero is None else {"wz": zero}
    nodes = [
        *before,
        node("QuantizeLinear", [read, "s", "z"], ["x"]),
        node("DequantizeLinear", ["x", "s", "z"], ["xr"]),
        node("DequantizeLinear", ["w", "ws", *(["wz"] if zero is not None else [])], ["wr"], **(how or {"axis": 1})),
        *after,
        *([] if after else [node("MatMul", ["xr", "wr"], [last])]),
    ]
    held = {name: np.asarray(x) if not isinstance(x, TensorProto) else x for name, x in held.items()}
    return written(path, nodes, held, shape)


ROWS = np.random.default_rng(2).standard_normal((32, 4)).astype(np.float32)
BYTES = np.random.default_rng(3).integers(0, 256, (4, 5)).astype(np.uint8)


def agrees(path: Path, images: Array = ROWS) -> None:
    """The import computes what ONNX Runtime does."""
    (want,) = outputs(path, images)
    found = ptq.import_onnx(path).exact(torch.from_numpy(images)).numpy()
    assert found.shape == want.shape and np.abs(found - want).max() <= 1e-5 * np.abs(want).max()


def test_zero_points_of_channels_may_differ(tmp_path: Path) -> None:
    scales, zeros = np.linspace(0.1, 0.5, 5), np.array([0, 3, 128, 200, 255], np.uint8)
    path = quantized(tmp_path / "a.onnx", BYTES, scales, zeros)
    agrees(path)
    assert "int(9)" in str(ptq.import_onnx(path).layers[-1].datapath)


@pytest.mark.parametrize("kind", ["weights turned", "weights stored turned", "rows picked", "images turned"])
def test_moves_of_constants_and_of_images(tmp_path: Path, kind: str) -> None:
    path, scales = tmp_path / "a.onnx", np.linspace(0.1, 0.5, 5)
    if kind == "weights turned":  # as torch's exporter writes a linear layer
        after = [node("Transpose", ["wr"], ["wt"], perm=[1, 0]), node("MatMul", ["xr", "wt"], ["output"])]
        agrees(quantized(path, BYTES.T.copy(), scales, after=after, how={"axis": 0}))
    elif kind == "weights stored turned":
        after = [
            node("Transpose", ["w"], ["wt"]),
            node("DequantizeLinear", ["wt", "ws"], ["turned"], axis=1),
            node("MatMul", ["xr", "turned"], ["output"]),
        ]
        agrees(quantized(path, BYTES.T.copy(), scales, after=after, how={"axis": 0}))
    elif kind == "rows picked":
        after = [
            node("Slice", ["xr", "start", "end", "axes"], ["part"]),
            node("Unsqueeze", ["part", "axes"], ["wide"]),
            node("Squeeze", ["wide", "axes"], ["narrow"]),
            node("MatMul", ["narrow", "wr"], ["output"]),
        ]
        more = {"start": np.array([1], I64), "end": np.array([5], I64), "axes": np.array([1], I64)}
        agrees(quantized(path, BYTES, scales, after=after, shape=("N", 5), more=more), np.hstack([ROWS, ROWS[:, :1]]))
    else:
        before = [node("Transpose", ["input"], ["turned"], perm=[0, 2, 1])]
        images = np.repeat(ROWS[:, :, None], 2, 2)
        agrees(quantized(path, BYTES, scales, before=before, read="turned", shape=("N", 4, 2)), images)


def test_ends_of_a_clip_may_be_attributes(tmp_path: Path) -> None:
    """0 among them, in files of opset 10 and before."""
    after = [
        node("MatMul", ["xr", "wr"], ["y"]),
        node("Clip", ["y"], ["c"], min=0.0, max=6.0),
        node("QuantizeLinear", ["c", "s", "sz"], ["q"]),
        node("DequantizeLinear", ["q", "s", "sz"], ["output"]),
    ]
    path = quantized(tmp_path / "a.onnx", BYTES, 0.1, np.uint8(128), after=after, more={"sz": np.int8(0)})
    made = ptq.import_onnx(path).exact(torch.from_numpy(ROWS))
    assert float(made.min()) == 0.0 and float(made.max()) == 6.0


def test_a_kind_may_be_asked_for_by_name(tmp_path: Path) -> None:
    """`output_dtype` of opset 21, where there is no zero point."""
    nodes = [
        node("QuantizeLinear", ["input", "s"], ["x"], output_dtype=TensorProto.INT8),
        node("DequantizeLinear", ["x", "s"], ["output"]),
    ]
    agrees(written(tmp_path / "a.onnx", nodes, {"s": np.float32(0.125)}, ("N", 4)))


FLOAT_CONV = [node("Conv", ["input", "w"], ["output"])]
QUANTIZE = node("QuantizeLinear", ["input", "s"], ["x"])
READ = node("DequantizeLinear", ["x", "s"], ["xr"])
S: dict[str, Any] = {"s": np.float32(0.125)}


def convolved(path: Path, bias: int = 4, fill: int = 1, **attributes: Any) -> Path:
    """A quantized convolution of four channels."""
    held = S | {"w": np.full((4, 3, 3, 3), fill, np.int8), "b": np.full(bias, 0.0, np.float32)}
    wide = node("DequantizeLinear", ["w", "s"], ["wr"])
    conv = node("Conv", ["xr", "wr", "b"], ["c"], **attributes)
    return written(path, [QUANTIZE, READ, wide, conv, node("QuantizeLinear", ["c", "s"], ["y"]), LAST], held)


LAST = node("DequantizeLinear", ["y", "s"], ["output"])
WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "nothing there": (lambda p: p.unlink(missing_ok=True), "must be an ONNX file, not a file that is missing"),
    "a folder": (lambda p: p.mkdir(), "must be an ONNX file, not a folder; name the file in it"),
    "not ONNX": (lambda p: p.write_bytes(b"no network"), "must be an ONNX file"),
    "empty": (lambda p: p.write_bytes(b""), "must have one input and one output, not 0 and 0"),
    "cut off": (lambda p: p.write_bytes(network(p).read_bytes()[:-40]), "must be an ONNX file"),
    "a tensor cut off": (
        lambda p: written(p, FLOAT_CONV, {"w": TensorProto(name="w", dims=[9], data_type=F, raw_data=b"1234")}),
        "must be an ONNX file, not one that fails with",
    ),
    "a missing constant": (
        lambda p: written(p, [QUANTIZE, READ, node("MatMul", ["xr", "gone"], ["output"])], S, ("N", 4)),
        "input 1 of MatMul at 'output' must come before it, not be missing",
    ),
    "sizes unknown": (
        lambda p: written(p, [QUANTIZE], S, ("N", "C", 8, 8)),
        "must have known sizes [N, ...], not [0, 0, 8, 8]; fix them in the file",
    ),
    "float": (network, "Conv at 'c1' must read quantized values: put QuantizeLinear"),
    "half quantized": (
        lambda p: written(
            p, [QUANTIZE, READ, node("Conv", ["xr", "w"], ["output"])], S | {"w": np.ones((4, 3, 1, 1), np.float32)}
        ),
        "the weights of Conv at 'output' must be quantized constants",
    ),
    "by blocks": (
        lambda p: quantized(p, BYTES, np.full((2, 5), 0.5), how={"axis": 0, "block_size": 2}),
        "DequantizeLinear at 'wr' must have a scale a channel or one for all, not one a block",
    ),
    "scales of no axis": (
        lambda p: quantized(p, BYTES, np.full(3, 0.5)),
        "wr must have one scale, or one a channel of axis 1, not scales [3] for [4, 5]",
    ),
    "a scale of 0": (lambda p: quantized(p, BYTES, 0.0), "the scale of 'wr' must be finite and above 0, not 0.0"),
    "a scale of nan": (lambda p: quantized(p, BYTES, np.nan), "the scale of 'wr' must be finite and above 0, not nan"),
    "other zero points": (
        lambda p: written(
            p,
            [QUANTIZE, node("DequantizeLinear", ["x", "s", "z"], ["output"])],
            S | {"z": np.uint8(3)},
            ("N", 4),
        ),
        "'output' must have the zero point 0 of the codes it reads, not 3",
    ),
    "dynamic": (
        lambda p: written(p, [node("DynamicQuantizeLinear", ["input"], ["x", "s", "z"])], {}),
        "not DynamicQuantizeLinear at 'x'; quantize with scales that no image changes (static quantization)",
    ),
    "softmax": (
        lambda p: written(p, [QUANTIZE, READ, node("Softmax", ["xr"], ["output"])], S),
        "not Softmax at 'output'; a last Softmax changes no class: cut it off",
    ),
    "sizes that do not meet": (
        lambda p: quantized(p, BYTES, shape=("N", 3)),
        "shapes of 'output' must fit, not",
    ),
    "a short bias": (lambda p: convolved(p, bias=2), "the bias of 'y' must be 4 numbers, not 2"),
    "no steps": (lambda p: convolved(p, strides=[0, 1]), "steps of Conv at 'c' must be 1 or more, not [0, 1]"),
    "two pads": (
        lambda p: convolved(p, pads=[1, 1]),
        "pads of Conv at 'c' must be four numbers of 0 or more, not [1, 1]",
    ),
    "another kernel": (
        lambda p: convolved(p, kernel_shape=[2, 2]),
        "the kernel of Conv at 'c' must be that of its weights, not [2, 2]",
    ),
    "no images": (lambda p: written(p, [node("Identity", ["s"], ["output"])], S), "must be computed from quantized"),
}


@pytest.mark.parametrize("name", WRONG)
def test_files_wrong(name: str, tmp_path: Path) -> None:
    make, reason = WRONG[name]
    make(tmp_path / "a.onnx")
    with pytest.raises(HwqError, match=re.escape(reason)) as caught:
        ptq.import_onnx(tmp_path / "a.onnx")
    assert "\n" not in str(caught.value)


def test_weights_may_all_be_zero(tmp_path: Path) -> None:
    """The narrowest accumulator has two bits."""
    found = ptq.import_onnx(convolved(tmp_path / "a.onnx", fill=0))
    assert bool((found.exact(torch.ones(2, 3, 8, 8)) == 0).all())
