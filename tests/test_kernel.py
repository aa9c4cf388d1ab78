"""Kernels in a simulator that did not write them, against the exact evaluator: every word and cycle of every layer."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from hwq import HwqError, ptq, zoo
from hwq.cli.main import run
from hwq.compiler import Compiled, compile_network
from hwq.formats import parse_format
from hwq.kernel import Entry, Kernel, Layer, Program, layer_cycles, rectifier
from hwq.kernel import Tensor as Stored
from hwq.rtl import Axi
from hwq.rtl.kernel import emit_kernel
from hwq.sim.kernels import KernelReport, bench_files, check, simulate
from hwq.sim.tools import call, icarus_environment, verilator_environment

INT4 = "int8*int4 ->int8[bias,requant]"
CUTS = ("mul", "bias", "requant")


class Small(nn.Module):
    """[N, 3, 7, 6] -> [N, 5]: strides, paddings, dilation, groups, sums with and without a projection, a pool."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.zero, self.one = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, (3, 1), padding=(1, 0))
        self.down = nn.Conv2d(6, 9, 3, stride=2, padding=1)
        self.side = nn.Conv2d(6, 9, 1, stride=2)
        self.wide = nn.Conv2d(9, 9, 3, padding=2, dilation=2)
        self.own = nn.Conv2d(9, 9, 3, padding=1, groups=9)
        self.three = nn.Conv2d(9, 6, 1, groups=3)
        self.fc = nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = fn.relu(self.stem(x))
        x = fn.relu(x + self.one(fn.relu(self.zero(x))))
        x = fn.relu(self.down(x) + self.side(x))
        x = fn.relu(self.three(self.own(self.wide(x))))
        return self.fc(fn.avg_pool2d(x, 2, stride=(2, 1)).flatten(1))  # type: ignore[no-any-return]


def images(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, 7, 6, generator=torch.Generator().manual_seed(seed))


def small(text: str = INT4, recipe: str = "rtn") -> ptq.QuantizedModel:
    net = Small().eval()
    quantizer = ptq.Quantizer(net, images(16, 1))
    return quantizer.quantize(dict.fromkeys(quantizer.roles.values(), text), recipe)


def ran(
    compiled: Compiled, samples: Tensor, folder: Path, simulator: str = "icarus", stalls: bool = False
) -> KernelReport:
    """What a simulator makes of images, in a folder."""
    manifest = emit_kernel(compiled.kernel, compiled.plan, folder)
    bench = bench_files(compiled.kernel, compiled.program, compiled.images(samples), compiled.expected(samples), stalls)
    sources = [folder / name for name in manifest.sources]
    return check(
        simulate(folder / "bench", sources, bench, simulator), compiled.kernel, compiled.plan, compiled.program
    )


@pytest.mark.parametrize(
    ("text", "lanes", "cuts", "stalls", "share"),
    [
        (INT4, 4, CUTS, False, 1),
        (INT4, 4, CUTS, True, 2),
        (INT4, 4, CUTS, False, 4),
        (INT4, 16, (), False, 8),
        (INT4, 3, ("mul", "bias", "requant2", "requant5", "requant"), True, 3),
        ("fp8_e4m3*fp8_e4m3 ->fp8_e4m3[bias,requant]", 4, ("unpack", "mul", "align", "bias", "requant"), False, 2),
        ("fp8_e4m3*fp4_e2m1 ->fp8_e4m3[bias,requant]", 4, ("mul", "requant"), False, 1),
        ("int8*ternary ->int8[bias,requant]", 5, ("mul",), False, 1),
        ("int4*int4 ->int4[bias,requant]", 4, ("bias",), False, 2),
        ("uint(8,zp=128)*int8 ->uint(8,zp=128)[bias,requant]", 4, CUTS, True, 1),
    ],
)
def test_every_word_and_cycle_of_a_network(
    tmp_path: Path, text: str, lanes: int, cuts: tuple[str, ...], stalls: bool, share: int
) -> None:
    compiled = compile_network(small(text), lanes, "ecp5", cuts=cuts, share=share)
    report = ran(compiled, images(3), tmp_path, stalls=stalls)
    words = sum(layer.results for layer in compiled.program.layers)
    assert (report.first_mismatch, report.mismatches) == ("", 0)
    assert report.compared == 3 * (words + compiled.program.layers[-1].results)
    assert [took for _, took, _ in report.layers] == [
        layer_cycles(compiled.plan, layer, share) for layer in compiled.program.layers if not stalls
    ]
    assert report.ok


def test_another_simulator_and_fabric(tmp_path: Path) -> None:
    compiled = compile_network(small(), 4, "xc7", cuts=CUTS)
    assert ran(compiled, images(2), tmp_path, "verilator").ok


def test_a_fault_is_found_and_named(tmp_path: Path) -> None:
    """One bit of one table of the epilogue, one address step, one parameter: each shows."""
    compiled = compile_network(small(), 4, "ecp5", cuts=CUTS)
    manifest = emit_kernel(compiled.kernel, compiled.plan, tmp_path)
    bench = bench_files(compiled.kernel, compiled.program, compiled.images(images(1)), compiled.expected(images(1)))
    path = tmp_path / f"{manifest.top}_sequencer.v"
    text = path.read_text("utf-8")
    for right, wrong in (
        ("place <= place + d_step_kx", "place <= place + d_step_ky"),
        ("col < d_width", "col <= d_width"),
        ("first_beat <= at_ky", "first_beat <= at_kx"),
    ):
        assert right in text
        path.write_text(text.replace(right, wrong), "utf-8")
        folder = simulate(tmp_path / "bench", [tmp_path / name for name in manifest.sources], bench, "icarus")
        report = check(folder, compiled.kernel, compiled.plan, compiled.program)
        assert not report.ok and report.mismatches
        assert "is expected" in report.first_mismatch


def test_equal_networks_give_equal_bytes(tmp_path: Path) -> None:
    first, second = (
        emit_kernel(compiled.kernel, compiled.plan, tmp_path / name)
        for name, compiled in (("a", compile_network(small(), 4)), ("b", compile_network(small(recipe="gptq"), 4)))
    )
    assert first.files == second.files  # weights are loaded, not built in


def test_a_wrapper_stands_around_a_kernel(tmp_path: Path) -> None:
    compiled = compile_network(small(), 4, cuts=CUTS)
    manifest = emit_kernel(compiled.kernel, compiled.plan, tmp_path, bus=Axi(32))
    assert f"{manifest.top}_axi" in manifest.modules
    assert "BUSY" in (tmp_path / f"{manifest.top}_axi.h").read_text("utf-8").upper()
    sources = [str(tmp_path / name) for name in manifest.files]
    lint = ["verilator", "--lint-only", "--top-module", f"{manifest.top}_axi", *sources]
    call(lint, tmp_path, verilator_environment())
    call(["iverilog", "-g2005", "-Wall", "-o", "/dev/null", *sources], tmp_path, icarus_environment())
    assert (tmp_path / "log.txt").read_text("utf-8") == ""


def test_values_that_are_read_together_stand_in_two_banks() -> None:
    compiled = compile_network(small(), 4)
    joined = [layer for layer in compiled.program.layers if layer.join is not None]
    assert len(joined) == 2
    for layer in joined:
        assert layer.join is not None and layer.join.other.bank != layer.source.bank
    for at, layer in enumerate(compiled.program.layers):
        for other in live(compiled, at):
            assert layer.target is None or not overlap(layer.target, other)


def live(compiled: Compiled, at: int) -> list[Stored]:
    """The tensors that layer `at` or a later one reads, and that were stored before it."""
    layers = compiled.program.layers
    stored = {id(layer.target): layer.target for layer in layers[:at]}
    read = [t for layer in layers[at:] for t in (layer.source, layer.join.other if layer.join else None) if t]
    return [one for one in stored.values() if one is not None and one in read and last_writer(layers, one) < at]


def last_writer(layers: Sequence[Layer], tensor: Stored) -> int:
    return max(at for at, layer in enumerate(layers) if layer.target == tensor)


def overlap(one: Stored, two: Stored) -> bool:
    return one.bank == two.bank and one.base < two.base + two.size and two.base < one.base + one.size


@pytest.mark.parametrize("name", ["int8", "uint8", "fp8_e4m3", "fp8_e5m2", "fp4_e2m1", "int4", "uint(8,zp=128)"])
def test_a_rectifier_of_codes_is_that_of_their_values(name: str) -> None:
    from hwq.bits import evaluate
    from hwq.kernel.blocks import rectified

    fmt = parse_format(name)
    codes = np.arange(1 << fmt.bits)
    values = np.asarray(fmt.decode(codes.astype(np.uint8)), dtype=np.float64)
    zero = int(fmt.encode(np.zeros(1))[0])
    word = rectified(fmt)
    for code, value in zip(codes, values, strict=True):
        kept = [int(evaluate([word], {"code": int(code), "relu": relu})[0]) for relu in (0, 1)]
        assert kept == [code, zero if value <= 0 else code]
    assert rectifier(fmt).depth == 0


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("int8*int8", INT4, INT4), "a layer must add a bias and requantize|all layers must run on one datapath"),
        ((INT4, INT4, "int8*int4"), "a layer must add a bias and requantize to be compiled, not fc"),
        ((INT4, "int8*int8 ->int8[bias,requant]", INT4), "all layers must run on one datapath to be compiled"),
    ],
)
def test_what_no_kernel_can_be_is_refused(texts: tuple[str, str, str], message: str) -> None:
    quantizer = ptq.Quantizer(Small().eval(), images(16, 1))
    network = quantizer.quantize(dict(zip(("first", "body", "last"), texts, strict=True)), "rtn")
    with pytest.raises(HwqError, match=message):
        compile_network(network, 4)


def test_operators_that_no_kernel_has_are_named() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 2)).eval()
    quantizer = ptq.Quantizer(net, images(8))
    network = quantizer.quantize(dict.fromkeys(quantizer.roles.values(), INT4), "rtn")
    with pytest.raises(HwqError, match=r"^a network must be of conv2d, linear, .* to be compiled, not \S+, a maxpool$"):
        compile_network(network, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int8*int4 ->int8[bias,requant] @4x4", "must be @1xLxL/tree use=load"),
        ("int8*int4 ->int4[bias,requant] @1x4x4/tree use=load", "requantized to codes that it reads again"),
        ("int8*int4 ->int8[bias] @1x4x4/tree use=load", "requantized to codes that it reads again"),
        ("int8*int4 ->int8[bias,requant] @1x4x4/tree use=load round=sr", "must round without noise"),
    ],
)
def test_a_kernel_needs_a_datapath_that_streams(text: str, message: str) -> None:
    from hwq import Datapath

    with pytest.raises(HwqError, match=message):
        Kernel(Datapath.parse(text), Entry(3, 4, 4), (32, 8, 8), 1, 1, 1, 4)


def test_a_program_gives_results_at_its_end() -> None:
    weights, scales = np.zeros((4, 1, 1, 1, 4), np.int64), np.zeros((4, 3), np.int64)
    source, target = Stored(0, 0, 4, 4, 1), Stored(1, 0, 4, 4, 1)
    inner = Layer("a", source, target, 4, 4, 1, weights, scales)
    with pytest.raises(HwqError, match="the last layer of a program alone must give its results, not none"):
        Program(Entry(3, 4, 4), (inner,))
    with pytest.raises(HwqError, match="a program must have 1 layer or more"):
        Program(Entry(3, 4, 4), ())


def test_the_command_writes_a_folder_that_tells_its_cycles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--recipe", "rtn", "--calibration", "32", "--images", "1", "--clock", "80", "--json"]
    assert run(["compile", "resnet8", "-o", str(tmp_path), *options]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((tmp_path / "layers.json").read_text("utf-8"))
    assert report["cycles"] == sum(layer["cycles"] for layer in report["layers"])
    assert report["utilisation"] > 0.85
    assert report["images_per_s"] == pytest.approx(80e6 / report["cycles"])
    names = ("Makefile", "bench/bench.v", "bench/expected_trace.txt", f"{report['top']}.v", "manifest.json")
    assert all((tmp_path / name).is_file() for name in names)
    assert run(["compile", "resnet8", "-o", str(tmp_path), *options]) == 0  # over its own files
    capsys.readouterr()
    (tmp_path / "bench" / "c.hex").write_text("mine", "utf-8")
    assert run(["compile", "resnet8", "-o", str(tmp_path), *options]) == 2
    assert "c.hex" in capsys.readouterr().err


@pytest.mark.slow
def test_resnet8_in_two_simulators(tmp_path: Path) -> None:
    """20 images in Verilator and one in Icarus: each layer's codes, each image's class. 5 minutes."""
    model = zoo.load("resnet8")
    quantizer = ptq.quantizer(model, 256)
    network = quantizer.quantize(dict.fromkeys(quantizer.roles.values(), INT4), "gptq+refit+bc")
    compiled = compile_network(network, 16, "ecp5", 80.0)
    samples, _ = model.test(20)
    report = ran(compiled, samples, tmp_path / "verilator", "verilator")
    assert report.ok and report.images == 20
    sent = (tmp_path / "verilator" / "bench" / "results.txt").read_text("utf-8").splitlines()
    classes = [int(np.argmax(logits(line.split()[1]))) for line in sent]
    assert classes == network.predict(samples).tolist()
    assert ran(compiled, samples[:1], tmp_path / "icarus", "icarus").ok


def logits(word: str) -> list[int]:
    """The ten signed bytes of a word of results, class 0 lowest."""
    value = int(word, 16)
    return [(value >> 8 * at & 255 ^ 128) - 128 for at in range(10)]
