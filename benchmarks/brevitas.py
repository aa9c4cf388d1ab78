"""Quantization beside Brevitas: one network, one process, the same images, formats and iterations.

Brevitas goes into an environment of its own, from the folder of this repository:

    python3 -m venv rivals
    rivals/bin/pip install -c constraints.txt -e . -r tools/brevitas.txt
    rivals/bin/python -m benchmarks.brevitas            # 2,000 test images
    rivals/bin/python -m benchmarks.brevitas 10000      # all of them, of `make models`
    rivals/bin/python -m benchmarks.brevitas 2000 int4  # one format

ResNet-8 of the zoo, weights of every layer per output channel in the format of the row, activations of 8 bits per
tensor: signed integers under integers, OCP E4M3 under minifloats. Brevitas runs the flow of its own example
(`brevitas_examples.imagenet_classification.ptq`) in its order: merged batch norms, `layerwise` quantizers (the only
target of its learned rounding), weights' scales of least squared error as hwq's, activations by its percentile 99.999,
GPTQ without act order, rounding by hard sigmoid, 1,000 iterations on one image each at a rate of 1e-3, then bias
correction. Its `layerwise` leaves sums, pools and logits in float, which hwq rounds as the hardware does. Rounding is
learned in float32: the example's half precision is slower on a processor. Seconds are those that one thread has of a
processor, from the float network to the quantized one, the least of three turns (of one where rounding is learned).
"""

from __future__ import annotations

import copy
import functools
import io
import math
import sys
import time
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, TypeVar

import torch

from benchmarks.timing import Line
from hwq import ptq, zoo
from hwq.errors import HwqError
from hwq.ptq.recipe import Recipe
from hwq.ptq.reconstruct import Reconstruct
from hwq.zoo import Score

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")
CALIBRATION, BATCH, TURNS = 256, 64, 3
LEARNED = Reconstruct(iterations=1000, batch=1)
RATE = 1e-3  # of Brevitas' example; hwq's is its own
ROLES = ("first", "body", "last")


@dataclass(frozen=True)
class Format:
    """A format of weights: our datapath; what kind it is to Brevitas, its bits, exponent and mantissa."""

    ours: str
    kind: str
    bits: int
    exponent: int = 4
    mantissa: int = 3


FORMATS = {
    "int8": Format("int8*int8", "int", 8),
    "int4": Format("int8*int4", "int", 4),
    "E4M3": Format("fp8_e4m3*fp8_e4m3", "float_ocp", 8, 4, 3),
    "E3M2": Format("fp8_e4m3*fp6_e3m2", "float_ocp", 6, 3, 2),
    "E2M3": Format("fp8_e4m3*fp6_e2m3", "float_ocp", 6, 2, 3),
    "E2M1": Format("fp8_e4m3*fp4_e2m1", "float_ocp", 4, 2, 1),
}
METHODS = ("rtn", "gptq", "learned")


@dataclass(frozen=True)
class Row:
    """One format and method: top-1 of both, ours minus theirs with its paired interval, seconds of calibration."""

    format: str
    method: str
    theirs: Score
    fake: Score
    exact: Score
    gained: Score
    their_seconds: float
    our_seconds: float

    @property
    def faster(self) -> float:
        """How many times their seconds are ours."""
        return self.their_seconds / self.our_seconds

    @property
    def behind(self) -> bool:
        """True where we are worse by more than the noise."""
        return self.gained.high < 0

    def __str__(self) -> str:
        accuracy = " | ".join(f"{100 * score.value:.2f}" for score in (self.theirs, self.fake, self.exact))
        gained = f"{100 * self.gained.value:+.2f} [{100 * self.gained.low:+.2f}, {100 * self.gained.high:+.2f}]"
        seconds = f"{self.their_seconds:.2f} | {self.our_seconds:.2f} | {self.faster:.1f}"
        return f"| {self.format} | {self.method} | {accuracy} | {gained} | {seconds} |"


HEAD = (
    "| weights | method | Brevitas, % | hwq fake, % | hwq exact, % | exact minus Brevitas, points "
    "| Brevitas, s | hwq, s | times faster |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
)


def rows(model: zoo.Model, images: int, formats: Sequence[str], methods: Sequence[str] = METHODS) -> Iterator[Row]:
    """The rows of `formats`, each method as it is and with bias correction, as they are measured."""
    check_installed()
    torch.set_num_threads(1)
    tested, labels = model.test(images)
    held = model.calibration()[:CALIBRATION]
    _warm(model, held)
    for name in formats:
        for method in methods:
            yield from _both(model, held, tested, labels, name, method)


def check_installed() -> None:
    """Refuse to go on without Brevitas and what its learned rounding needs."""
    try:
        version("brevitas"), version("accelerate")
    except PackageNotFoundError as error:
        raise HwqError(
            f"this benchmark must have brevitas and accelerate, not an environment without {error.name}; "
            "make one of its own: pip install -c constraints.txt -e . -r tools/brevitas.txt"
        ) from None


def _warm(model: zoo.Model, held: Tensor) -> None:
    """What either tool imports and compiles once is in nobody's seconds."""
    few = held[:BATCH]
    ours(model.net, few, FORMATS["int8"], "gptq+bc")
    for step in theirs(model.net, few, FORMATS["int8"], "gptq"):
        _timed(step)


def _both(model: zoo.Model, held: Tensor, tested: Tensor, labels: Tensor, name: str, method: str) -> Iterator[Row]:
    """The row of a method and that with bias correction; turn about, so that a busy moment hits both tools alike."""
    fmt, task, titles = FORMATS[name], model.task, (method, f"{method}+bc")
    turns: list[list[float]] = []
    outputs: list[Tensor] = []
    for _ in range(1 if method == "learned" else TURNS):
        quantizing, correcting = theirs(model.net, held, fmt, method)
        net, spent = _timed(quantizing)
        if not outputs:
            outputs.append(_outputs(net, tested))
        net, more = _timed(correcting)
        made = [_timed(functools.partial(ours, model.net, held, fmt, words)) for words in titles]
        turns.append([spent, spent + more, *(seconds for _, seconds in made)])
    outputs.append(_outputs(net, tested))
    first, second, *mine = [min(column) for column in zip(*turns, strict=True)]
    both = list(zip((first, second), mine, strict=True))
    for title, logits, (quantized, _), seconds in zip(titles, outputs, made, both, strict=True):
        fake, exact = (quantized.outputs(tested, kind) for kind in ("fake", "exact"))
        scores = (task.score(found, labels) for found in (logits, fake, exact))
        yield Row(name, title, *scores, task.difference(exact, logits, labels), *seconds)


def ours(net: nn.Module, held: Tensor, fmt: Format, words: str) -> ptq.QuantizedModel:
    """The network quantized by hwq, traced and calibrated anew."""
    plain, *corrected = words.split("+")
    learned = LEARNED if plain == "learned" else None
    solver = Recipe.parse("rtn" if learned else plain).solver
    recipe = Recipe(solver=solver, reconstruction=learned, bias_correction=bool(corrected))
    return ptq.Quantizer(net, held).quantize(dict.fromkeys(ROLES, fmt.ours), recipe)


def theirs(net: nn.Module, held: Tensor, fmt: Format, method: str) -> tuple[Callable[[], nn.Module], ...]:
    """What quantizes the network by Brevitas, and what corrects the biases of the result."""
    from brevitas_examples.imagenet_classification.ptq import ptq_common as flow

    batches = [(batch, None) for batch in torch.split(held, BATCH)]
    float_net, made = copy.deepcopy(net), {}

    def quantizing() -> nn.Module:
        torch.manual_seed(0)
        made["net"] = _brevitas(float_net, batches, fmt)
        if method == "gptq":
            flow.apply_gptq(batches, made["net"], create_weight_orig=True)
        if method == "learned":
            _learn(made["net"], batches)
        return made["net"].eval()

    def correcting() -> nn.Module:
        flow.apply_bias_correction(batches, made["net"])
        return made["net"].eval()

    return quantizing, correcting


def _brevitas(net: nn.Module, batches: list[tuple[Tensor, None]], fmt: Format) -> nn.Module:
    """The network with Brevitas' quantizers, their scales calibrated."""
    from brevitas.graph.quantize import preprocess_for_quantize
    from brevitas_examples.imagenet_classification.ptq import ptq_common as flow

    made = flow.quantize_model(
        preprocess_for_quantize(net),
        backend="layerwise",
        scale_factor_type="float_scale",
        quant_format=fmt.kind,
        weight_quant_granularity="per_channel",
        weight_param_method="mse",
        weight_bit_width=fmt.bits,
        weight_exponent_bit_width=fmt.exponent,
        weight_mantissa_bit_width=fmt.mantissa,
        layerwise_first_last_bit_width=fmt.bits,
        layerwise_first_last_exponent_bit_width=fmt.exponent,
        layerwise_first_last_mantissa_bit_width=fmt.mantissa,
        act_bit_width=8,
        act_exponent_bit_width=4,
        act_mantissa_bit_width=3,
        act_quant_type="sym",
        act_quant_percentile=99.999,
        bias_bit_width=32 if fmt.kind == "int" else None,  # its integer biases need integer inputs
    ).eval()
    with torch.no_grad():
        made(batches[0][0])  # as the example does: some scales are made by a first run
    flow.calibrate(batches, made)
    return made


def _learn(net: nn.Module, batches: list[tuple[Tensor, None]]) -> None:
    """Brevitas' learned rounding with the numbers of its example, but in float32."""
    from brevitas_examples.imagenet_classification.ptq import learned_round_utils as learned

    config = learned.parse_args_to_dataclass(
        Namespace(
            learned_round="hard_sigmoid",
            learned_round_iters=LEARNED.iterations,
            learned_round_batch_size=LEARNED.batch,
            learned_round_lr=RATE,
            learned_round_lr_scheduler=None,
            learned_round_loss="regularised_mse",
        )
    )
    config.training_args.use_amp = False
    blocks = functools.partial(learned.get_blocks, block_check_fn=learned.is_layer)
    learned.LearnedRoundTrainer(config=config).train(
        model=net,
        model_forward=learned.vision_forward,
        block_forward=learned.vision_block_forward,
        data_loader=batches,
        cache=learned.CacheVision(),
        get_blocks_fn=blocks,
    )


@torch.no_grad()
def _outputs(net: nn.Module, images: Tensor) -> Tensor:
    return torch.cat([net(batch) for batch in torch.split(images, 2 * BATCH)])


def _timed(function: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and its seconds of a processor; its progress bars are not shown."""
    start = time.process_time()
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        made = function()
    return made, time.process_time() - start


def faster(found: Sequence[Row]) -> float:
    """The geometric mean of how many times faster we are."""
    return math.exp(sum(math.log(row.faster) for row in found) / len(found))


def measure() -> Iterator[Line]:
    """Rounding and GPTQ in two formats, where Brevitas is installed; nothing elsewhere."""
    try:
        check_installed()
    except HwqError as error:
        print(error, file=sys.stderr)
        return
    found = list(rows(zoo.load("resnet8"), 2000, ("int4", "E2M1"), ("rtn", "gptq")))
    yield Line("PTQ: our seconds of Brevitas'", 1 / faster(found), "x", 0.5, f"{len(found)} rows")
    yield Line("PTQ: rows worse than Brevitas' beyond noise", sum(row.behind for row in found), "", 0)


def main(argv: list[str]) -> int:
    """Print the table: of so many test images, of the formats that are named; 1 if a row is behind or we are slower."""
    images, formats = int(argv[0]) if argv else 2000, argv[1:] or list(FORMATS)
    if unknown := [name for name in formats if name not in FORMATS]:
        raise HwqError(f"formats must be of {', '.join(FORMATS)}, not {', '.join(unknown)}")
    check_installed()
    print(*HEAD, sep="\n", flush=True)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Brevitas' own, about named tensors and torch functions
        for row in rows(zoo.load("resnet8"), images, formats):
            print(row, flush=True)
            found.append(row)
    worse = sum(row.behind for row in found)
    print(f"\n{images} test images, {CALIBRATION} calibration images, {len(found)} rows, {worse} behind beyond noise;")
    named = ", ".join(f"{name} {version(name)}" for name in ("brevitas", "hwq", "torch"))
    print(f"{faster(found):.2f} times faster in geometric mean ({named})")
    return int(worse > 0 or faster(found) < 2)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HwqError as error:
        sys.exit(f"error: {error}")
