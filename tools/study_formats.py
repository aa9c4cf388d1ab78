"""The sweep of "Shedding the Bits" (arXiv 2311.12359) on this project's networks: minifloats against integers.

    python tools/study_formats.py resnet8 vit_tiny --store docs/studies/minifloat.jsonl
    python tools/study_formats.py --store docs/studies/minifloat.jsonl --picture docs/images/minifloat.svg

Every fp(e,m) and int(n) of 3 to 8 bits: the same format for weights and activations, with two recipes; with --mixed
also as weights beside int8 and fp(4,3) activations. First and last layer stay int8*int8. A point is scored by the
hardware's own arithmetic. The store has a line a point, and points that it has are not made again unless hwq's code
changed. Without models its tables are printed (`study_tables.py`) and its picture is drawn.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import torch
from study_store import code, opened, records
from study_tables import draw, tables

from hwq import estimate, ptq, zoo
from hwq.costmodel.cost import Quantity
from hwq.errors import HwqError

BITS = range(3, 9)
SIDE = 16
EDGE = f"int8*int8 @{SIDE}x{SIDE}"
FULL, PAPER = "equalize+smooth+gptq+refit+bc", "minifloat-fpga"
WIDE = ("int(8)", "fp(4,3)")
MORE = {  # the operators that are not swept; a transformer's residual stream has 16 bits
    "resnet8": {"add": EDGE},
    "vit_tiny": {
        "matmul": EDGE,
        "probabilities": f"uint8*int8 @{SIDE}x{SIDE}",
        "add": f"int16*int8 @{SIDE}x{SIDE}",
    },
}


@dataclass(frozen=True)
class Pair:
    """A point of the sweep."""

    recipe: str
    activation: str
    weight: str


def formats(bits: int) -> Iterator[str]:
    """Every format of so many bits: the integer, and each split of a minifloat."""
    yield f"int({bits})"
    for exponent in range(1, bits):
        yield f"fp({exponent},{bits - 1 - exponent})"


def stages(mixed: bool = False) -> list[list[Pair]]:
    """The sweep, stage after stage, what is compared first."""
    every = [fmt for bits in BITS for fmt in formats(bits)]
    equal = [[Pair(recipe, fmt, fmt) for fmt in every] for recipe in (FULL, PAPER)]
    return equal + [[Pair(FULL, wide, fmt) for fmt in every if fmt != wide] for wide in WIDE if mixed]


class Sweep:
    """A calibrated network, its test images, and what the float network says of them."""

    def __init__(self, name: str, images: int, calibration: int) -> None:
        self.model = zoo.load(name)
        self.engine = ptq.quantizer(self.model, calibration)
        self.inputs, self.targets = self.model.test(images)
        self.floats = ptq.float_outputs(self.engine.graph, self.inputs)

    def scored(self, outputs: torch.Tensor) -> dict[str, Any]:
        """Accuracy, what is lost against float (paired), and which items are right, as bits."""
        task = self.model.task
        right = task.items(outputs, self.targets)
        return {
            "n": len(outputs),
            "top1": task.score(outputs, self.targets).json(),
            "lost": task.difference(self.floats, outputs, self.targets).json(),
            "right": f"{int(''.join('01'[int(x)] for x in right), 2):0{-(-len(right) // 4)}x}",
        }

    def point(self, pair: Pair) -> dict[str, Any]:
        """One point, or why it is refused."""
        text = f"{pair.activation}*{pair.weight} @{SIDE}x{SIDE}"
        assignment = {"first": EDGE, "body": text, "last": EDGE, **MORE[self.model.name]}
        try:
            made = self.engine.quantize(assignment, pair.recipe)
            outputs = made.outputs(self.inputs)
        except HwqError as error:
            return {"refused": str(error)}
        body = {str(x.datapath) for x in made.layers if x.role == "body" and x.datapath is not None}
        widest = max(sorted(body), key=_element)
        return {"body": widest, **cost(widest), **self.scored(outputs)}


def cost(text: str) -> dict[str, dict[str, float]]:
    """LUT on xc7 of an element and its share of the decoders at the array's edge; and of the array, an element."""
    made = estimate(text, "xc7")
    element = Quantity.exact(0)
    for part in made.breakdown:
        if part.name in ("pe", "decode_a", "decode_w"):
            element += part.figures["lut"] * (part.count / SIDE**2)
    return {"lut": element.json(), "array_lut": (made.lut * (1 / SIDE**2)).json()}


def _element(text: str) -> float:
    return cost(text)["lut"]["value"]


def sweep(name: str, store: Path, images: int, calibration: int, wanted: list[Pair]) -> None:
    """Add the points of a model that the store lacks."""
    head = {"model": name, "images": images, "calibration": calibration, "code": code()}
    kept = {tuple(r[k] for k in (*head, "recipe", "pair")) for r in map(_hashable, records(store))}
    todo = [p for p in wanted if (*head.values(), p.recipe, (p.activation, p.weight)) not in kept]
    if not todo:
        return
    made = _made(name, images, calibration)
    with opened(store) as add:
        if (*head.values(), "float", ("float", "float")) not in kept:
            add({**head, "recipe": "float", "pair": ["float", "float"], **made.scored(made.floats)})
        for pair in todo:
            begun = time.process_time()
            found = made.point(pair)
            line = {**head, "recipe": pair.recipe, "pair": [pair.activation, pair.weight], **found}
            add(line | {"seconds": round(time.process_time() - begun, 1)})
            print(name, pair, found.get("refused") or found["top1"]["value"], flush=True)


@cache
def _made(name: str, images: int, calibration: int) -> Sweep:
    return Sweep(name, images, calibration)


def _hashable(record: dict[str, Any]) -> dict[str, Any]:
    return record | {"pair": tuple(record["pair"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", choices=[[], *MORE], default=[])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--calibration", type=int, default=256)
    parser.add_argument("--mixed", action="store_true", help="each format as weights beside 8-bit activations, too")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for stage, name in product(stages(options.mixed), options.models):
        sweep(name, options.store, options.images, options.calibration, stage)
    if not options.models:
        print(tables(records(options.store)))
    if options.picture:
        draw(records(options.store), options.picture)


if __name__ == "__main__":
    main()
