"""Accuracy of ResNet-8 by accumulator: exact, aligned groups as in tensor cores, float, and four bits too narrow.

    python tools/study_accumulators.py --store docs/studies/accumulators.jsonl

One quantization a format pair (gptq+refit+bc): every accumulator of the body has the same codes of weights, the same
scales, and the same biases, rounded to its own grid. Scored by the hardware's own arithmetic. `narrow` has four bits
fewer than the weights' certificate says, of each instance, and wraps, or saturates. The store has a line a point, and
points that it has are not made again unless hwq's code changed; then the table is printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from study_store import code, opened, records
from study_tables import points

from hwq import ptq, zoo
from hwq.datapath import Datapath, Fixed, Mac
from hwq.errors import HwqError
from hwq.ptq import QuantizedModel
from hwq.zoo.score import Score

PAIRS = (
    "int8*int8",
    "int8*int4",
    "int4*int4",
    "int8*ternary",
    "fp8_e4m3*fp8_e4m3",
    "fp6_e2m3*fp6_e2m3",
    "fp6_e3m2*fp6_e3m2",
    "fp4_e2m1*fp4_e2m1",
    "int8*mxfp4_e2m1",
    "int8*mxint8",
    "mxfp4_e2m1*mxfp4_e2m1",
)
EDGE = "int8*int8 @8x8"
BODY = "@16x16"  # other than the edge's, so that the body's certificate is its own
RECIPE = "gptq+refit+bc"
FEWER = 4
SUMS = {
    "exact": "",
    "align, 24 bits": "align(8,24,rtz)",
    "align, 13 bits": "align(hopper_fp8)",
    "fp32": "fp32",
    "narrow, wraps": "fixed({narrow},{frac})",
    "narrow, saturates": "fixed({narrow},{frac},sat)",
}


def under(made: QuantizedModel, text: str) -> QuantizedModel:
    """The same network, its body summed as `text` after the + says; {narrow} and {frac} are those of a layer."""
    layers, state = [], dict(made.state)
    for layer in made.layers:
        datapath = layer.datapath
        if layer.role == "body" and datapath is not None:
            mac = _summed(datapath.mac, text)
            bias = datapath.mac.acc_format.decode(state[layer.name, "bias"])
            state[layer.name, "bias"] = mac.acc_format.encode(bias.double())
            layer = replace(layer, datapath=replace(datapath, mac=mac))
        layers.append(layer)
    return replace(made, layers=tuple(layers), state=state)


def _summed(mac: Mac, text: str) -> Mac:
    assert isinstance(mac.acc, Fixed)
    written = text.format(narrow=mac.acc.bits - FEWER, frac=-mac.acc_lsb)
    return replace(mac, acc=Datapath.parse(f"{mac.a}*{mac.w} +{written}").mac.acc)


def certified(made: QuantizedModel) -> list[int]:
    """The widths of the body's instances."""
    return sorted({x.datapath.mac.acc_bits for x in made.layers if x.role == "body" and x.datapath is not None})


class Sums:
    """ResNet-8, calibrated, with its test images."""

    def __init__(self, images: int, calibration: int) -> None:
        self.model = zoo.load("resnet8")
        self.engine = ptq.quantizer(self.model, calibration)
        self.inputs, self.targets = self.model.test(images)

    def points(self, pair: str, wanted: list[str]) -> Iterator[dict[str, Any]]:
        """A record for each accumulator of a pair of formats, compared with the exact one."""
        try:
            assignment = {"first": EDGE, "body": f"{pair} {BODY}", "last": EDGE, "add": EDGE}
            made = self.engine.quantize(assignment, RECIPE)
        except HwqError as error:
            yield from ({"sum": name, "refused": str(error)} for name in wanted)
            return
        exact = made.outputs(self.inputs)
        for name in wanted:
            try:
                outputs = exact if name == "exact" else under(made, SUMS[name]).outputs(self.inputs)
            except HwqError as error:
                yield {"sum": name, "refused": str(error)}
                continue
            task = self.model.task
            yield {
                "sum": name,
                "certified": certified(made),
                "top1": task.score(outputs, self.targets).json(),
                "gain": task.difference(outputs, exact, self.targets).json(),
                "same": float((outputs == exact).all(1).double().mean()),
            }


def sweep(store: Path, images: int, calibration: int, pairs: tuple[str, ...] = PAIRS) -> None:
    """Add the points that the store lacks."""
    head = {"images": images, "calibration": calibration, "code": code()}
    kept = {(*(r[k] for k in head), r["pair"], r["sum"]) for r in records(store)}
    todo = {pair: [name for name in SUMS if (*head.values(), pair, name) not in kept] for pair in pairs}
    if not any(todo.values()):
        return
    made = Sums(images, calibration)
    with opened(store) as add:
        for pair, wanted in todo.items():
            for found in made.points(pair, wanted) if wanted else ():
                add({**head, "pair": pair, **found})


def table(kept: list[dict[str, Any]]) -> str:
    """A line a pair of formats: top-1 under the exact sum; for others the gain in points, and images that differ."""
    shown = {(r["pair"], r["sum"]): r for r in kept}
    others = [name for name in SUMS if name != "exact"]
    lines = ["| formats | certified | exact | " + " | ".join(others) + " |", "|---" * (3 + len(others)) + "|"]
    for pair in dict.fromkeys(pair for pair, _ in shown):
        exact = shown[pair, "exact"]
        if "refused" in exact:
            lines.append(f"| {pair} | | refused |" + " |" * len(others))
            continue
        score = Score(**exact["top1"], n=exact["images"])
        bits = ", ".join(map(str, exact["certified"]))
        cells = [_cell(shown[pair, name]) for name in others if (pair, name) in shown]
        top1 = f"{score.value:.1%} [{score.low:.1%}, {score.high:.1%}]"
        lines.append(f"| {pair} | {bits} | {top1} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(record: dict[str, Any]) -> str:
    if "refused" in record:
        return "refused"
    if record["same"] == 1:
        return "same bits"
    return f"{points(Score(**record['gain'], n=record['images']))}, {1 - record['same']:.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--calibration", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sweep(options.store, options.images, options.calibration)
    print(table(records(options.store)))


if __name__ == "__main__":
    main()
