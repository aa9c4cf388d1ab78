"""Accuracy of ResNet-8 by accumulator: exact, aligned groups as in tensor cores, float, and four bits too narrow.

    python tools/study_accumulators.py --images 500

One quantization a format pair (gptq+refit+bc), its weights and scales the same under every accumulator, scored by the
hardware's own arithmetic. `narrow` has four bits fewer than the weights need, and wraps, or saturates.
"""

from __future__ import annotations

import argparse

import torch

from hwq import ptq, zoo
from hwq.datapath import Datapath, Fixed, Mac
from hwq.errors import HwqError

PAIRS = (
    "int8*int8",
    "int8*int4",
    "int4*int4",
    "int8*ternary",
    "fp8_e4m3*fp8_e4m3",
    "fp6_e2m3*fp6_e2m3",
    "fp4_e2m1*fp4_e2m1",
)
EDGE = "int8*int8"
RECIPE = "gptq+refit+bc"


def accumulators(mac: Mac) -> dict[str, str]:
    """{name: text after +} for a layer whose certified accumulator is that of `mac`."""
    assert isinstance(mac.acc, Fixed)
    narrow = mac.acc.bits - 4
    frac = -mac.acc_lsb
    return {
        "exact": "exact",
        "align": "align(8,24,rtz)",
        "fp32": "fp32",
        "bf16": "bf16",
        "narrow, wraps": f"fixed({narrow},{frac})",
        "narrow, saturates": f"fixed({narrow},{frac},sat)",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = zoo.load("resnet8")
    engine = ptq.quantizer(model, 256)
    inputs, labels = model.test(options.images)
    floats = model.task.score(ptq.float_outputs(engine.graph, inputs), labels)
    print(f"float: {floats}")
    print("| formats | accumulator | bits | top-1, 95 % |\n|---|---|---|---|")
    for pair in PAIRS:
        assignment = {"first": EDGE, "body": pair, "last": EDGE, "add": EDGE}
        exact = engine.quantize(assignment, RECIPE)
        mac = Datapath.parse(exact.assignment["body"]).mac
        for name, text in accumulators(mac).items():
            try:
                made = engine.quantize(assignment | {"body": f"{pair} +{text}"}, RECIPE) if name != "exact" else exact
                score = model.task.score(made.outputs(inputs), labels)
                bits = Datapath.parse(made.assignment["body"]).mac.acc_bits
                print(f"| {pair} | {name} | {bits} | {score} |", flush=True)
            except HwqError as error:
                print(f"| {pair} | {name} | | refused: {error} |", flush=True)


if __name__ == "__main__":
    main()
